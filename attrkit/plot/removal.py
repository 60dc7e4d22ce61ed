"""What a model says while timesteps are taken away, or given back, in the order of extractors."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.lines import Line2D

from attrkit.checks import some_of
from attrkit.errors import InputError
from attrkit.plot.grid import label_axes
from attrkit.plot.panels import Panels, make_panels
from attrkit.plot.size import FigSize, fit
from attrkit.plot.study import dataset_of, extractors_of, interval_said, seeds_in, variable_of
from attrkit.plot.style import Visuals, check_visuals, colors, styled
from attrkit.plot.theme import palette
from attrkit.plot.wrap import add_legend
from attrkit.studies.summaries.faithfulness import POINTS
from attrkit.studies.summaries.rows import interval_of

VISUALS = ("curve", "band", "title", "xlabel", "ylabel", "legend", "note")
CURVES = {"deletion": "deletion: most relevant removed first", "insertion": "insertion: most relevant given first"}


@styled
def removal(
    data: xr.DataTree | xr.Dataset,
    *,
    curves: Any = ("deletion", "insertion"),
    extractors: Any = None,
    visuals: Visuals | None = None,
    ax: Any = None,
    figsize: FigSize | None = None,
) -> Panels:
    """Draw deletion and insertion: the model's output while items are removed in the order of each extractor.

    A faithful extractor falls early in deletion and rises early in insertion. Random orders are dashed.

    Parameters
    ----------
    data : DataTree or Dataset
        A study, or what `attrkit.metrics.faithfulness` returns.
    curves : sequence of {"deletion", "insertion"}, default both
        A panel each.
    extractors : sequence of str, optional
        All but ``uniform``, whose order is by chance, if not given.
    visuals : mapping of str to mapping or bool, optional
        Style of curve, band, title, xlabel, ylabel, legend, note; False leaves one out.
    ax : Axes or array of Axes, optional
        Where to draw; as many as there are curves. The note is left out there.
    figsize : {"column", "page"}, float or (float, float), optional
        Width in print: of one column, 3.5 inches, of both, 7, or in inches, with the height that fits; or both sides.

    Returns
    -------
    Panels
        With the dim ``curve``; the artists "curve" and "band" have the dim ``extractor`` too.

    Raises
    ------
    InputError
        If a curve or an extractor is not there.

    Examples
    --------
    >>> panels = attrkit.plot.removal(study_tree)
    >>> panels.artists["curve"].sel(curve="deletion", extractor="random").item().get_linestyle()
    '--'
    """
    styles = check_visuals(visuals, VISUALS)
    ds = dataset_of(data, "faithfulness")
    asked = some_of(curves, "curves", CURVES)
    arrays = {name: _curve(ds, name) for name in asked}
    point = next(dim for dim in POINTS if dim in ds.dims)
    names = extractors_of(ds, extractors, arrays[asked[0]].notnull())
    if extractors is None:
        names = [name for name in names if name != "uniform"]
    size = fit(figsize, 0.9 + 3.05 * len(asked), 2.6)
    panels = make_panels({"curve": pd.Index(asked)}, ax=ax, figsize=size, cells=[(0, i) for i in range(len(asked))])
    shape, dims = (len(asked), len(names)), ("curve", "extractor")
    drawn: dict[str, np.ndarray] = {name: np.full(shape, None) for name in ("curve", "band")}
    shades = dict(zip([name for name in names if name != "random"], colors(len(names)), strict=False))
    for i, (curve, array) in enumerate(arrays.items()):
        axes = panels.axes.values[i]
        found = interval_of(array.sel(extractor=names))
        for k, name in enumerate(names):
            own = found.sel(extractor=name)
            look: dict[str, Any] = {"color": shades.get(name, palette().pale)}
            if styles["band"] is not None:
                drawn["band"][i, k] = draw_band(own["low"], own["high"], axes, x=point, **look, **styles["band"])
            if styles["curve"] is not None:
                look |= {"linestyle": "--", "zorder": 3} if name == "random" else {}
                drawn["curve"][i, k] = draw_mean(own["estimate"], axes, x=point, **{**look, **styles["curve"]})
        if styles["title"] is not None:
            panels.keep("title", axes.set_title(CURVES[curve], **styles["title"]), (i,))
    coords = {"curve": asked, "extractor": names}
    panels.artists |= {
        name: xr.DataArray(held, coords, dims) for name, held in drawn.items() if styles[name] is not None
    }
    _limits(panels, arrays, ds)
    _labels(panels, arrays, ds, point, styles)
    if styles["curve"] is not None and styles["legend"] is not None:
        add_legend(panels, list(drawn["curve"][0]), names, "extractor", styles["legend"], may_lie=False)
    operator = f"what is removed becomes: {ds.attrs['operator']}" if "operator" in ds.attrs else ""
    panels.note([f"{seeds_in(ds)}; {interval_said(ds)}", operator], styles["note"])
    return panels


def _curve(ds: xr.Dataset, name: str) -> xr.DataArray:
    array = variable_of(ds, name, "faithfulness")
    if "order" in array.dims:
        array = array.sel(order="most_relevant_first")
    if "operator" in array.dims:
        raise InputError(f"there are several operators; select one first, such as .sel(operator={_first(array)!r})")
    return array


def _first(array: xr.DataArray) -> Any:
    return array["operator"].values.tolist()[0]


def draw_mean(da: xr.DataArray, ax: Axes, *, x: str, **style: Any) -> Line2D:
    """Draw a mean along the dim `x` as a line with a dot at each point.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> da = xr.DataArray([1.0, 0.5], coords={"share": [0.0, 1.0]}, dims="share")
    >>> draw_mean(da, Figure().subplots(), x="share").get_xdata()
    array([0., 1.])
    """
    settings = {"linewidth": 1.1, "marker": "o", "markersize": 2, **style}
    (line,) = ax.plot(da[x].values, da.values, **settings)
    return line


def draw_band(low: xr.DataArray, high: xr.DataArray, ax: Axes, *, x: str, **style: Any) -> PolyCollection:
    """Shade between two limits along the dim `x`.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> da = xr.DataArray([1.0, 0.5], coords={"share": [0.0, 1.0]}, dims="share")
    >>> float(draw_band(da - 0.1, da + 0.1, Figure().subplots(), x="share").get_paths()[0].vertices.max())
    1.1
    """
    settings = {"alpha": 0.08, "linewidth": 0, **style}
    return ax.fill_between(low[x].values, low.values, high.values, **settings)


def _limits(panels: Panels, arrays: dict[str, xr.DataArray], ds: xr.Dataset) -> None:
    """Give panels one range: of probabilities no more than there can be, else of the means with their neighbourhood."""
    means = [interval_of(array) for array in arrays.values()]
    low = min(float(found["low"].fillna(found["estimate"]).min()) for found in means)
    high = max(float(found["high"].fillna(found["estimate"]).max()) for found in means)
    if ds.attrs.get("outputs") == "probability":
        low, high = max(low, 0.0), min(high, 1.0)
    room = 0.04 * (high - low)
    for axes in panels.axes.values:
        axes.set_ylim(low - room, high + room)
        axes.margins(x=0.02)


def _labels(panels: Panels, arrays: dict[str, xr.DataArray], ds: xr.Dataset, point: str, styles: Any) -> None:
    items = {"timestep": "timesteps", "cell": "cells"}.get(str(ds.attrs.get("resolution")), "items")
    kind = "share" if point == "share" else "number"
    words = {"deletion": f"{kind} of {items} removed", "insertion": f"{kind} of {items} given"}
    x_labels = {(i,): words[name] for i, name in enumerate(arrays)}
    label_axes(panels, "x", x_labels, styles["xlabel"], common=False)
    output = {"probability": "probability of the explained class"}.get(str(ds.attrs.get("outputs")), "explained output")
    label_axes(panels, "y", {(0,): output}, styles["ylabel"], common=False)
    for axes in panels.axes.values[1:] if panels.own else ():
        axes.set_yticklabels([])
