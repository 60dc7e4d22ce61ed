"""What a matrix of attention comes to by key and by query: narrow panels along its edges."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from attrkit.errors import InputError
from attrkit.plot.draw import draw_hist
from attrkit.plot.grid import Column
from attrkit.plot.panels import Panels
from attrkit.plot.pool import dots, peaks, pool_steps
from attrkit.plot.style import settle
from attrkit.plot.theme import palette
from attrkit.plot.ticks import Steps

WAYS = ("mean", "max")
SHARE = 0.2
"""Of the side of a matrix, for the panel at its edge."""


def read_marginals(marginals: bool | str) -> str | None:
    """Return how to reduce, None for not at all."""
    if isinstance(marginals, bool | np.bool_):
        return "mean" if marginals else None
    if not isinstance(marginals, str) or marginals not in WAYS:
        raise InputError(f"marginals={marginals!r}; accepted are False, True, {', '.join(map(repr, WAYS))}")
    return marginals


def draw_marginals(
    panels: Panels, columns: Sequence[Column], how: str, style: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Draw, above and beside every matrix, its mean or largest value over queries and over keys.

    Parameters
    ----------
    panels : Panels
        With dims ``sample`` and that of `columns`.
    columns : sequence of Column
        Of queries by keys.
    how : {"mean", "max"}
        Over what is no padding.
    style : dict
        Of the outlines.

    Returns
    -------
    above, beside : ndarray of Axes
        Of the shape of `panels`. All panels above have one range, and so have all beside.
    """
    above: Any = np.full(panels.axes.shape, None)
    beside: Any = np.full(panels.axes.shape, None)
    for row, col in np.ndindex(*panels.axes.shape):
        at, column = (row, col), columns[col]
        ax: Any = panels.axes.values[at]
        x, y = column.steps(row)
        of_keys, of_queries = (over(column.matrix(row), dim, how) for dim in ("query_timestep", "key_timestep"))
        above[at] = _edge(ax, (0, 1.03, 1, SHARE), share_x=True)
        beside[at] = _edge(ax, (1.03, 0, SHARE, 1), share_x=False)
        panels.keep("above", _outline(of_keys, above[at], x, dots(ax)[0], style), at)
        panels.keep("beside", _outline(of_queries, beside[at], y, dots(ax)[1], style, flat=True), at)
    for edges, is_x in ((above, False), (beside, True)):
        _one_range(edges, is_x=is_x)
    for row, col in np.ndindex(*panels.axes.shape):
        above[row, col].tick_params(labelleft=col == 0)
        beside[row, col].tick_params(labelbottom=row == panels.axes.shape[0] - 1)
    return above, beside


def over(matrix: xr.DataArray, dim: str, how: str) -> np.ndarray:
    """Return the mean or the largest value over one dim of a matrix; NaN where all is blank.

    Examples
    --------
    >>> matrix = xr.DataArray([[0.2, 0.4], [np.nan, np.nan]], dims=("query_timestep", "key_timestep"))
    >>> over(matrix, "query_timestep", "mean"), over(matrix, "key_timestep", "max")
    (array([0.2, 0.4]), array([0.4, nan]))
    """
    reduced: xr.DataArray = matrix.mean(dim) if how == "mean" else matrix.max(dim)
    return reduced.values


def marginals_said(how: str) -> str:
    """Say what stands at the edges."""
    return f"above: {'mean' if how == 'mean' else 'largest'} over queries, right: over keys"


def _edge(ax: Axes, bounds: tuple[float, float, float, float], *, share_x: bool) -> Axes:
    shared = {"sharex": ax} if share_x else {"sharey": ax}
    edge = ax.inset_axes(bounds, **shared)  # type: ignore[arg-type]
    settle(edge, labelsize=6)
    edge.patch.set_alpha(0)
    edge.tick_params(labelbottom=not share_x, labelleft=share_x, bottom=not share_x, left=share_x)
    edge.spines[["top", "right"]].set_visible(False)
    return edge


def _outline(
    values: np.ndarray, ax: Axes, where: Steps, n: int, style: Mapping[str, Any], *, flat: bool = False
) -> Any:
    way = {"orientation": "horizontal"} if flat else {}
    look = {"color": palette().ink, "alpha": 0.55, "linewidth": 0, **way, **style}
    return draw_hist(peaks(values, n), ax, edges=pool_steps(where, n).edges, **look)


def _one_range(edges: np.ndarray, *, is_x: bool) -> None:
    """Give the panels along one side of all matrices one range from zero, with its end as the only tick."""
    each = [ax.patches[0].get_data().values for ax in edges.ravel()]
    top = max((float(np.nanmax(values)) for values in each if np.isfinite(values).any()), default=1.0) or 1.0
    for ax in edges.ravel():
        (ax.set_xlim if is_x else ax.set_ylim)(0, 1.08 * top)
        (ax.set_xticks if is_x else ax.set_yticks)([0, top], ["0", f"{top:.2g}"])
