"""Half precision: what it is called, and its numbers brought to single precision, where sums are taken."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from attrkit.errors import RefusedError

HALF = ("float16", "bfloat16")

SMALLEST = float(np.finfo(np.float16).smallest_normal)
"""Below it float16 keeps fewer digits, and below 6e-8 none; bfloat16 has the range of float32."""

ROUNDING = {"float16": 2.0**-11, "bfloat16": 2.0**-8}
"""By how much of its size a number is rounded at most."""

_KEEPS = {"float16": "3 digits, and nothing beyond 65504", "bfloat16": "2 digits"}


def half_of(dtypes: Iterable[Any]) -> str:
    """Return which half precision is among some types, of any framework; ``""`` if none is.

    Examples
    --------
    >>> half_of([np.dtype("float32"), "bfloat16"]), half_of(["float32", "float64"])
    ('bfloat16', '')
    """
    names = {str(dtype).removeprefix("torch.").removeprefix("<dtype: '").rstrip("'>") for dtype in dtypes}
    return next((kind for kind in HALF if kind in names), "")


def way_out_of(half: str) -> str:
    """Say what half precision does to the numbers of a model, and what to do."""
    return (
        f"The model computes in {half}, which keeps {_KEEPS[half]}; explain the same weights in single precision: "
        "attrkit.to_float32(model), outside of torch.autocast"
    )


def check_relevance(half: str, method: str) -> None:
    """Refuse a model in half precision where relevance is divided by sums.

    Examples
    --------
    >>> check_relevance("bfloat16", "lrp")
    Traceback (most recent call last):
        ...
    attrkit.errors.RefusedError: lrp divides by sums that may be next to zero, which magnifies rounding: ...
    """
    if half:
        raise RefusedError(
            f"{method} divides by sums that may be next to zero, which magnifies rounding: relevance would add up, and "
            f"be wrong. {way_out_of(half)}"
        )


def widened(values: Any) -> Any:
    """Return an array, or a DataArray with its attributes, in single precision where it came in half of it.

    Examples
    --------
    >>> rows = np.full(100_000, 1.0, "float16")
    >>> float(rows.sum()), float(widened(rows).sum())
    (inf, 100000.0)
    """
    return values.astype(np.float32) if values.dtype.name in HALF else values
