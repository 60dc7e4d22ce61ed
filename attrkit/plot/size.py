"""How wide and high a figure is: for one column of a paper, for both, or as the user has it."""

import math
from collections.abc import Callable
from typing import Any

from attrkit.checks import is_number
from attrkit.errors import InputError

FigSize = tuple[float, float] | float | str

WIDTHS = {"column": 3.5, "page": 7.0}
"""Inches: of one column, and of the text of a page, which is two."""

LEAST_WIDTH = 1.6
"""Inches of a panel with its ticks."""


def fit(figsize: FigSize | None, width: float, height: float | Callable[[float], float]) -> tuple[float, float]:
    """Return the size of a figure in inches.

    Parameters
    ----------
    figsize : {"column", "page"}, float, (float, float) or None
        What the user asks for: a width, or width and height.
    width : float
        The one that the plot chooses if none is asked for.
    height : float or callable
        The height that fits, or a function that returns it of the width.

    Raises
    ------
    InputError
        If `figsize` is something else.

    Examples
    --------
    >>> fit("column", 7.0, lambda width: width / 2), fit(None, 7.0, 2.0), fit((5, 4), 7.0, 2.0)
    ((3.5, 1.75), (7.0, 2.0), (5, 4))
    """
    if isinstance(figsize, tuple | list):
        if len(figsize) == 2 and all(is_number(side) and 0 < side < math.inf for side in figsize):
            return (figsize[0], figsize[1])
        raise _refused(figsize)
    wide = asked_width(figsize) or width
    return (wide, height(wide) if callable(height) else height)


def asked_width(figsize: FigSize | None) -> float | None:
    """Return the width in inches that the user asks for, if any."""
    if figsize is None:
        return None
    if isinstance(figsize, str) and figsize in WIDTHS:
        return WIDTHS[figsize]
    wide: Any = figsize[0] if isinstance(figsize, tuple | list) and len(figsize) == 2 else figsize
    if is_number(wide) and 0 < wide < math.inf:
        return float(wide)
    raise _refused(figsize)


def _refused(figsize: object) -> InputError:
    return InputError(
        f"figsize={figsize!r}; accepted are {', '.join(map(repr, WIDTHS))}, a width in inches, or (width, height)"
    )
