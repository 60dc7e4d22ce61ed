"""What models give, looked at: whether it is numbers, whether two passes agree, what stood before a softmax."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from attrkit.adapters.terms import Feed
from attrkit.errors import AttrkitWarning, ForwardMismatchError, RefusedError
from attrkit.half import SMALLEST, way_out_of
from attrkit.parts import Parts, row_maxima


def no_path() -> RefusedError:
    """Return the refusal of a model whose output does not depend on its input in a way that has gradients."""
    return RefusedError("no differentiable path leads from the model's input to its output; use occlusion")


def before_softmax(outputs: Any, seen: Sequence[tuple[Any, Any]]) -> Any:
    """Return what went into the softmax or sigmoid that made an output, of pairs of its result and argument.

    Of several outputs, those that none makes stay as they are.
    """
    found: list[Any] = []

    def before(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: before(own) for name, own in value.items()}
        if isinstance(value, list | tuple):
            return [before(own) for own in value]
        for result, logits in seen:
            if result is value:
                found.append(logits)
                return logits
        return value

    replaced = before(outputs)
    if found:
        return replaced
    raise RefusedError(
        "no softmax or sigmoid makes the model's output, or it is changed after it; leave logits=True out, or explain "
        "a function of the output that undoes it: target=lambda outputs: ..."
    )


def check_differentiable(feed: Feed) -> None:
    """Refuse integers, which have no gradient."""
    for name, values in feed.items():
        if values.dtype.kind != "f":
            raise RefusedError(
                f"input {name!r} takes {values.dtype}, and there is no gradient with respect to integers such as "
                "token ids; use occlusion, or attention"
            )


def difference_of(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Return the size of predictions `a`, next to which 1e-6 is nothing, and their largest difference from `b`."""
    return max(float(np.abs(a).max()), 1e-6), float(np.abs(a.astype(float) - b).max())


def check_same(expected: np.ndarray, found: np.ndarray, precision: float, what: str, why: str = "") -> None:
    """Refuse a pass that predicts something else than the model: say `what` it is, by how much, and `why`."""
    scale, difference = difference_of(expected, found)
    if not difference <= precision * scale:
        raise ForwardMismatchError(f"{what} by {difference:.3g} (largest prediction {scale:.3g}){why}")


def check_large_enough(slopes: Parts) -> None:
    """Warn of gradients, of shape (row, ...), that float16 cannot tell from 0."""
    small = row_maxima(slopes) < SMALLEST
    if small.any():
        warnings.warn(
            f"the gradients of {int(small.sum())} of {len(small)} samples are below {SMALLEST:.2g}, where float16 "
            f"loses its digits, and below 6e-8 all of them. {way_out_of('float16')}",
            AttrkitWarning,
            stacklevel=3,
        )


def check_finite(outputs: np.ndarray) -> None:
    """Refuse outputs that are no numbers."""
    if not np.isfinite(outputs).all():
        raise RefusedError(
            f"{int((~np.isfinite(outputs)).sum())} of the model's {outputs.size} outputs for the first batch are NaN "
            "or infinite; there is nothing to explain"
        )
