"""What other packages add by entry points: modules that they name in their metadata, by a group of attrkit's."""

import warnings
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from attrkit.errors import AttrkitWarning


@cache
def modules_in(group: str, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the modules that other packages have put into a group of entry points, by the name given there.

    Parameters
    ----------
    group : str
        ``"attrkit.adapters"`` or ``"attrkit.attention"``.
    names : tuple of str
        What such a module must have.

    Returns
    -------
    dict of str to module

    Warns
    -----
    AttrkitWarning
        Once, if one cannot be imported or lacks one of `names`; it is left out.

    Examples
    --------
    >>> modules_in("attrkit.nothing", ("handles",))
    {}
    """
    found = {}
    for entry in entry_points(group=group):
        try:
            module = entry.load()
        except Exception as err:  # Code of another package, which must not stop models that it has no part in.
            _warn(group, entry, f"cannot be imported and is left out: {type(err).__name__}: {err}")
            continue
        missing = [name for name in names if not hasattr(module, name)]
        if missing:
            _warn(group, entry, f"is left out: it has no {', '.join(missing)}")
        else:
            found[entry.name] = module
    return found


def _warn(group: str, entry: Any, what: str) -> None:
    warnings.warn(
        f"{entry.name!r} of another package ({entry.value}, entry point {group}) {what}", AttrkitWarning, stacklevel=4
    )
