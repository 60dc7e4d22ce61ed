"""More steps than dots: of those that share a dot the largest is shown, so that no peak is lost, and it is said so."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from attrkit.plot.ticks import Steps

DPI = 200
"""Dots per inch that `Panels.save` writes unless told otherwise."""

NAMES = {
    "timestep": "timesteps",
    "channel": "channels",
    "query_timestep": "queries",
    "key_timestep": "keys",
    "sample": "samples",
}


def peaks(values: np.ndarray, n: int, *, axis: int = -1) -> np.ndarray:
    """Split an axis into `n` bins and return of each the value that is largest in magnitude, with its sign.

    Parameters
    ----------
    values : ndarray of float
        NaN where blank; a bin is blank if all of it is.
    n : int
        With as many values or fewer, they are returned as they are.
    axis : int, optional

    Examples
    --------
    >>> peaks(np.array([0.0, 1.0, -3.0, 2.0, np.nan, np.nan]), 3)
    array([ 1., -3., nan])
    """
    size = values.shape[axis]
    if size <= n:
        return values
    starts = np.arange(n) * size // n
    high, low = (ufunc.reduceat(values, starts, axis=axis) for ufunc in (np.fmax, np.fmin))
    return np.where(-low > high, low, high)


def pool_steps(where: Steps, n: int) -> Steps:
    """Return where the bins of `peaks` lie.

    Examples
    --------
    >>> from attrkit.plot.ticks import place
    >>> pool_steps(place(np.arange(6)), 2).edges
    array([-0.5,  2.5,  5.5])
    """
    size = len(where.positions)
    if size <= n:
        return where
    edges = where.edges[np.append(np.arange(n) * size // n, size)]
    return where._replace(positions=(edges[1:] + edges[:-1]) / 2, edges=edges, texts=())


def extremes(values: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the least and the largest value of each of `n` bins in order, and the bin of each.

    A line through these looks like the line through all. Of a bin that is all NaN the first position is there, and
    stays a gap.

    Parameters
    ----------
    values : ndarray of float, shape (x,)
    n : int

    Returns
    -------
    positions, bins : ndarray of int, shape (kept,)

    Examples
    --------
    >>> extremes(np.array([0.0, 1.0, -3.0, 2.0, 2.5, 2.2]), 2)
    (array([1, 2, 3, 4]), array([0, 0, 1, 1]))
    """
    starts = np.arange(n) * len(values) // n
    ends = np.append(starts[1:], len(values))
    bins = np.repeat(np.arange(n), ends - starts)
    # Ordered by bin and then by value, NaN last: the first of a bin is its least, the last that is known its largest.
    order = np.lexsort((values, bins))
    known = np.add.reduceat(np.isfinite(values).astype(int), starts)
    ends = starts + np.maximum(known, 1) - 1
    kept = np.unique(np.concatenate([order[starts], order[ends]]))
    return kept, bins[kept]


def dots(ax: Axes, *, per_inch: float = DPI) -> tuple[int, int]:
    """Return about how many dots a panel is wide and high in print."""
    box = ax.get_window_extent()
    width, height = (max(1, int(side / ax.figure.dpi * per_inch)) for side in (box.width, box.height))
    return width, height


def crowded(ax: Axes, *, x: Mapping[str, int], y: Mapping[str, int]) -> dict[str, None]:
    """Return which of the dims that run along x and y have more labels than a panel has dots."""
    width, height = dots(ax)
    found = [dim for dim, size in x.items() if size > width] + [dim for dim, size in y.items() if size > height]
    return dict.fromkeys(found)


def pooling_said(dims: Mapping[str, None]) -> str:
    """Say what was done to crowded dims.

    Examples
    --------
    >>> pooling_said({"timestep": None, "channel": None})
    'each dot: the largest |value| of its timesteps and channels'
    """
    names = [NAMES.get(dim, dim) for dim in dims]
    return f"each dot: the largest |value| of its {' and '.join(names)}" if names else ""
