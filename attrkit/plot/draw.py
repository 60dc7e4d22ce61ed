"""The marks of every plot: each function draws one thing on one panel and returns its artist."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.colors import Colormap, Normalize
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch
from matplotlib.text import Text

from attrkit.plot.pool import dots, extremes, peaks, pool_steps
from attrkit.plot.theme import palette
from attrkit.plot.ticks import Steps, set_limits

STEPS_IN_A_DOT = 4
"""Up to so many, a coloured line has a segment for every step."""


class CellImage(AxesImage):
    """An image that shows, of cells smaller than a dot, the one that is largest in magnitude.

    A mesh would show whichever cell comes last in a dot, and an average would shrink a peak the more steps there are:
    in both, peaks vanish. What a dot is, is found when the image is drawn, whatever the size and resolution.
    """

    def set_data(self, A: Any) -> None:
        """Take a matrix, NaN blank."""
        self.cells = np.ma.masked_invalid(A)
        self.set_interpolation("nearest")
        super().set_data(self.cells)

    def get_array(self) -> np.ma.MaskedArray:
        """Return the matrix itself, masked where blank."""
        return self.cells

    def make_image(self, renderer: Any, magnification: float = 1.0, unsampled: bool = False) -> Any:
        """Draw the matrix with no more cells than dots."""
        left, right, bottom, top = self.get_extent()
        corners = self.get_transform().transform([(left, bottom), (right, top)])
        width, height = np.maximum(1, np.rint(magnification * abs(corners[1] - corners[0]))).astype(int)
        rows, columns = self.cells.shape
        if rows > height or columns > width:
            values = self.cells.filled(np.nan)
            super().set_data(np.ma.masked_invalid(peaks(peaks(values, width), height, axis=0)))
        else:
            super().set_data(self.cells)
        return super().make_image(renderer, magnification, unsampled)


def draw_mesh(
    da: xr.DataArray, ax: Axes, *, x: Steps, y: Steps, norm: Normalize, cmap: Colormap, **style: Any
) -> CellImage | QuadMesh:
    """Draw a matrix of shape (y, x) as coloured cells, NaN blank.

    Parameters
    ----------
    da : DataArray of shape (y, x)
    ax : Axes
    x, y : Steps
    norm, cmap : Normalize, Colormap
    **style
        For `CellImage`, or ``Axes.pcolormesh`` where steps are uneven.

    Returns
    -------
    CellImage or QuadMesh
        Its ``get_array()`` is the masked matrix; of a `QuadMesh` with more steps than dots, what is left of it.

    Examples
    --------
    >>> from matplotlib import colormaps
    >>> from matplotlib.figure import Figure
    >>> from attrkit.plot.ticks import steps
    >>> da = xr.DataArray([[0.0, np.nan]], dims=("channel", "timestep"))
    >>> x, y = steps(da, "timestep"), steps(da, "channel")
    >>> mesh = draw_mesh(da, Figure().subplots(), x=x, y=y, norm=Normalize(0, 1), cmap=colormaps["Blues"])
    >>> mesh.get_array().mask
    array([[False,  True]])
    """
    mesh: CellImage | QuadMesh
    if _even(x.edges) and _even(y.edges):
        extent = (x.edges[0], x.edges[-1], y.edges[-1], y.edges[0])
        mesh = CellImage(ax, norm=norm, cmap=cmap, extent=extent, **style)
        mesh.set_data(da.values)
        mesh.set_clip_path(ax.patch)
        ax.add_image(mesh)
    else:
        settings = {"rasterized": True, "shading": "flat", **style}
        width, height = dots(ax)
        values = np.ma.masked_invalid(peaks(peaks(da.values, width), height, axis=0))
        edges = (pool_steps(x, width).edges, pool_steps(y, height).edges)
        mesh = ax.pcolormesh(*edges, values, norm=norm, cmap=cmap, **settings)
    set_limits(ax, x, y)
    return mesh


def _even(edges: np.ndarray) -> bool:
    widths = np.diff(edges)
    return bool(np.allclose(widths, widths[0], rtol=1e-3))


def draw_curve(da: xr.DataArray, ax: Axes, *, x: Steps, **style: Any) -> Line2D:
    """Draw one series of shape (x,) as a line, with a dot where a value has no neighbour.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from attrkit.plot.ticks import steps
    >>> da = xr.DataArray([1.0, 2.0], dims="timestep")
    >>> draw_curve(da, Figure().subplots(), x=steps(da, "timestep"), color="k").get_ydata()
    array([1., 2.])
    """
    known = np.isfinite(da.values)
    alone = known & ~np.append(False, known[:-1]) & ~np.append(known[1:], False)
    settings = {"linewidth": 0.9, "solid_joinstyle": "round", **style}
    dots = {"marker": "o", "markersize": 2.5, "markevery": list(np.flatnonzero(alone))} if alone.any() else {}
    (line,) = ax.plot(x.positions, da.values, **{**dots, **settings})
    return line


def draw_bundle(
    da: xr.DataArray, ax: Axes, *, x: Steps, by: np.ndarray, norm: Normalize, cmap: Colormap, **style: Any
) -> LineCollection:
    """Draw many series of shape (series, x) as thin curves, coloured by a number `by` of each.

    Examples
    --------
    >>> from matplotlib import colormaps
    >>> from matplotlib.figure import Figure
    >>> from attrkit.plot.ticks import steps
    >>> da = xr.DataArray([[0.5, 0.5], [0.0, 1.0]], dims=("query_timestep", "key_timestep"))
    >>> lines = draw_bundle(da, Figure().subplots(), x=steps(da, "key_timestep"), by=np.arange(2),
    ...                     norm=Normalize(0, 1), cmap=colormaps["viridis"])
    >>> len(lines.get_segments())
    2
    """
    settings = {"linewidth": 0.5, "alpha": 0.7, **style}
    at = np.stack([np.broadcast_to(x.positions, da.shape), da.values], axis=-1)
    lines = LineCollection(list(at), norm=norm, cmap=cmap, **settings)
    lines.set_array(by)
    ax.add_collection(lines)
    ax.autoscale_view()
    return lines


def draw_hist(counts: np.ndarray, ax: Axes, *, edges: np.ndarray, **style: Any) -> StepPatch:
    """Draw counts of shape (bins,) between edges of shape (bins + 1,) as one filled outline.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> draw_hist(np.array([1, 2]), Figure().subplots(), edges=np.array([0, 1, 2])).get_data().values
    array([1, 2])
    """
    return ax.stairs(counts, edges, **{"fill": True, "linewidth": 0.9, **style})


def draw_zero(ax: Axes, *, vertical: bool = False, **style: Any) -> Line2D:
    """Draw the line at zero behind all else.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> draw_zero(Figure().subplots()).get_ydata()
    [0, 0]
    """
    settings = {"color": palette().pale, "linewidth": 0.6, "zorder": 0.9, **style}
    return ax.axvline(0, **settings) if vertical else ax.axhline(0, **settings)


def draw_relevance_line(
    da: xr.DataArray, ax: Axes, *, of: xr.DataArray, x: Steps, norm: Normalize, cmap: Colormap, **style: Any
) -> LineCollection:
    """Draw a series as a line whose colour at every step is the relevance of that step.

    Parameters
    ----------
    da : DataArray of shape (x,)
        The relevance.
    ax : Axes
    of : DataArray of shape (x,)
        The series.
    x : Steps
    norm, cmap : Normalize, Colormap
    **style
        For ``LineCollection``.

    Returns
    -------
    LineCollection
        One segment a step, from half way after the last to half way before the next; ``get_array()`` is the
        masked relevance. Of more steps than dots, those with the least and the largest value of the series in each dot,
        in the colour of the largest relevance in magnitude.

    Examples
    --------
    >>> from matplotlib import colormaps
    >>> from matplotlib.figure import Figure
    >>> from attrkit.plot.ticks import steps
    >>> da = xr.DataArray([0.0, 1.0], dims="timestep")
    >>> line = draw_relevance_line(da, Figure().subplots(), of=3 * da, x=steps(da, "timestep"),
    ...                            norm=Normalize(0, 1), cmap=colormaps["Blues"])
    >>> line.get_array().data, len(line.get_segments())
    (array([0., 1.]), 2)
    """
    positions, series, relevance = x.positions, of.values, da.values
    width, _ = dots(ax)
    if len(positions) > STEPS_IN_A_DOT * width:
        kept, bins = extremes(series, width)
        positions, series, relevance = positions[kept], series[kept], peaks(relevance, width)[bins]
    at = np.column_stack([positions, series])
    middle = (at[1:] + at[:-1]) / 2
    # At the ends, and beside a gap, there is no way to half way: the segment starts at the step itself.
    before, after = np.vstack([at[:1], middle]), np.vstack([middle, at[-1:]])
    before, after = (np.where(np.isfinite(end), end, at) for end in (before, after))
    settings = {"linewidth": 2.0, "capstyle": "round", "zorder": 2.1, **style}
    lines = LineCollection(list(np.stack([before, at, after], axis=1)), norm=norm, cmap=cmap, **settings)
    lines.set_array(np.ma.masked_invalid(relevance))
    ax.add_collection(lines)
    return lines


def draw_background(da: xr.DataArray, ax: Axes, *, x: Steps, norm: Normalize, cmap: Colormap, **style: Any) -> QuadMesh:
    """Shade the whole height of a panel at every step by the relevance of that step, of shape (x,).

    Of more steps than dots, the largest relevance in magnitude is shown.

    Examples
    --------
    >>> from matplotlib import colormaps
    >>> from matplotlib.figure import Figure
    >>> from attrkit.plot.ticks import steps
    >>> da = xr.DataArray([0.0, 1.0], dims="timestep")
    >>> mesh = draw_background(da, Figure().subplots(), x=steps(da, "timestep"),
    ...                        norm=Normalize(0, 1), cmap=colormaps["Blues"])
    >>> mesh.get_array().shape
    (1, 2)
    """
    width, _ = dots(ax)
    values = np.ma.masked_invalid(peaks(da.values[None], width))
    settings = {"rasterized": True, "shading": "flat", "zorder": 0, **style}
    edges, transform = pool_steps(x, width).edges, ax.get_xaxis_transform()
    limits = ax.dataLim.frozen()
    mesh = ax.pcolormesh(edges, [0, 1], values, norm=norm, cmap=cmap, transform=transform, **settings)
    # Its heights are shares of the panel: as values, they would pull the range of a series of 1,000 hPa down to 0.
    ax.dataLim.set(limits)
    mesh.sticky_edges.y.clear()
    return mesh


def draw_corner(words: str, ax: Axes, **style: Any) -> Text:
    """Write a few words inside the upper left corner of a panel.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> draw_corner("n = 3", Figure().subplots()).get_text()
    'n = 3'
    """
    settings = {"fontsize": 6.5, "color": palette().ink, "ha": "left", "va": "top", **style}
    return ax.annotate(words, (0, 1), xytext=(2, -2), xycoords="axes fraction", textcoords="offset points", **settings)
