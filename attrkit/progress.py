"""Progress with time left, for what takes longer than a second and was asked to show it."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

Item = TypeVar("Item")


class _Silent:
    def update(self, count: int = 1) -> None: ...

    def set_postfix_str(self, text: str, refresh: bool = True) -> None: ...


def progress_bar(
    total: int | None, *, label: str, unit: str, show: bool, initial: int = 0, delay: float = 1
) -> AbstractContextManager[Any]:
    """Return a bar to ``update(count)`` within a block; it takes itself away in the end.

    Parameters
    ----------
    total : int or None
        None if it is not known.
    label : str
        What is being done.
    unit : str
        What is counted.
    show : bool
        If False, nothing is drawn, and nothing is loaded to draw it.
    initial : int, default 0
        How many were done before.
    delay : float, default 1
        Seconds before it is first drawn: what takes less needs none.
    """
    if not show:
        return nullcontext(_Silent())
    # Not at the top: most of what runs shows none, and it takes a tenth of what attrkit takes to import.
    from tqdm.auto import tqdm

    bar: AbstractContextManager[Any] = tqdm(
        total=total, initial=initial, desc=label, unit=unit, delay=delay, leave=False
    )
    return bar


def with_progress(items: Sequence[Item], *, label: str, unit: str, show: bool) -> Iterator[Item]:
    """Yield items one after the other, under a bar that counts them."""
    with progress_bar(len(items), label=label, unit=unit, show=show, delay=0) as bar:
        for item in items:
            yield item
            bar.update()
