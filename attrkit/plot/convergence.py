"""How the gap of integrated gradients closes, and how attributions settle, with the number of steps."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from attrkit.checks import some_of
from attrkit.errors import InputError
from attrkit.plot.data import only_dims, pick
from attrkit.plot.labels import count, text
from attrkit.plot.panels import Panels, make_panels
from attrkit.plot.removal import draw_mean
from attrkit.plot.size import FigSize, fit
from attrkit.plot.style import Visuals, check_visuals, colors, fold_to, styled
from attrkit.plot.theme import palette
from attrkit.plot.wrap import add_legend

VISUALS = ("curve", "median", "tolerance", "xlabel", "ylabel", "legend", "note")
MEASURES = {"gap_share": "tolerance", "attribution_change": "change_tolerance"}
"""What is drawn, and the attribute that says how large it may be."""

MOST_SAMPLES = 200
MOST_TICKS = 8


@styled
def convergence(
    data: xr.Dataset,
    *,
    samples: Any = None,
    measures: Any = tuple(MEASURES),
    visuals: Visuals | None = None,
    ax: Any = None,
    figsize: FigSize | None = None,
) -> Panels:
    """Draw what integrated gradients miss, and how far they still move, against the number of steps.

    Both axes are logarithmic, and what is tolerated is a dashed line. Up to seven samples have a colour each; of more,
    and of several quadratures, samples are thin curves and their median is a thick one.

    Parameters
    ----------
    data : Dataset
        What `attrkit.metrics.convergence` returns.
    samples : label or list of labels, optional
        The first 200 if not given.
    measures : str or sequence of {"gap_share", "attribution_change"}, default both
        A panel each.
    visuals : mapping of str to mapping or bool, optional
        Style of curve, median, tolerance, xlabel, ylabel, legend, note; False leaves one out.
    ax : Axes or array of Axes, optional
        Where to draw; as many as there are measures. The note is left out there.
    figsize : {"column", "page"}, float or (float, float), optional
        Width in print: of one column, 3.5 inches, of both, 7, or in inches, with the height that fits; or both sides.

    Returns
    -------
    Panels
        With the dim ``measure``. Artists "curve" have the dims ``quadrature`` and ``sample`` too, artists "median" the
        dim ``quadrature``.

    Raises
    ------
    InputError
        If `data` is something else, or a label or measure is unknown.

    Examples
    --------
    >>> found = attrkit.metrics.convergence(model, x, n_steps=[4, 8, 16], show_progress=False)
    >>> panels = convergence(found, samples=[0, 1])
    >>> panels.artists["curve"].sel(measure="gap_share", quadrature="gauss_legendre", sample=1).item().get_xdata()
    array([ 4,  8, 16])
    """
    styles = check_visuals(visuals, VISUALS)
    if not isinstance(data, xr.Dataset) or not set(MEASURES) <= set(data.data_vars):
        held = f"with {sorted(map(str, data.data_vars))}" if isinstance(data, xr.Dataset) else ""
        raise InputError(f"got a {type(data).__name__} {held}; accepted is what attrkit.metrics.convergence returns")
    asked = some_of(measures, "measures", MEASURES)
    if "quadrature" not in data.dims:
        data = data.expand_dims(quadrature=[str(data.attrs["quadratures"])])
    total = data.sizes["sample"]
    data = data.isel(sample=pick(data, "sample", samples, first=MOST_SAMPLES))
    arrays = {name: only_dims(data[name], ("quadrature", "n_steps", "sample"), "convergence") for name in asked}
    floor = _floor(arrays)
    size = fit(figsize, 0.9 + 3.05 * len(asked), 2.7)
    cells = [(0, i) for i in range(len(asked))]
    panels = make_panels({"measure": pd.Index(asked)}, ax=ax, figsize=size, cells=cells)
    _draw(panels, arrays, floor, styles)
    for i, (name, array) in enumerate(arrays.items()):
        axes = panels.axes.values[i]
        _set_scales(axes, data["n_steps"].values)
        if styles["tolerance"] is not None:
            panels.keep("tolerance", _tolerated(axes, data.attrs, MEASURES[name], styles["tolerance"]), (i,))
        if styles["xlabel"] is not None:
            panels.keep("xlabel", axes.set_xlabel("steps", **styles["xlabel"]), (i,))
        if styles["ylabel"] is not None:
            words = str(array.attrs.get("long_name", name))
            panels.keep("ylabel", axes.set_ylabel(fold_to(words, axes, along="height"), **styles["ylabel"]), (i,))
    for get, put in (("get_xlim", "set_xlim"), ("get_ylim", "set_ylim")):
        limits = np.array([getattr(axes, get)() for axes in panels.axes.values])
        for axes in panels.axes.values:
            getattr(axes, put)(limits[:, 0].min(), limits[:, 1].max())
    few = "" if samples is not None else count(data.sizes["sample"], total, "sample")
    zero = f"0 is drawn at {floor:.0e}" if any(bool((array == 0).any()) for array in arrays.values()) else ""
    panels.note([few, _done(data), zero], styles["note"])
    return panels


def _floor(arrays: Mapping[str, xr.DataArray]) -> float:
    """Return where 0 is drawn, which a logarithmic axis has no place for: a little below all that is larger."""
    values = np.concatenate([array.values.ravel() for array in arrays.values()])
    above = values[values > 0]
    return 10.0 ** (np.floor(np.log10(above.min())) - 1) if above.size else 1e-8


def _draw(panels: Panels, arrays: Mapping[str, xr.DataArray], floor: float, styles: Mapping[str, Any]) -> None:
    """Draw the curves of all samples, and medians where these are many."""
    first = next(iter(arrays.values()))
    rules, samples = first.get_index("quadrature"), first.get_index("sample")
    by_sample = len(rules) == 1 and len(samples) <= len(palette().cycle)
    shades = colors(len(samples) if by_sample else len(rules))
    shape = (len(arrays), len(rules), len(samples))
    drawn, medians = np.full(shape, None), np.full(shape[:2], None)
    for i, k in np.ndindex(*shape[:2]):
        axes: Any = panels.axes.values[i]
        array = list(arrays.values())[i].isel(quadrature=k)
        array = array.where(~(array < floor), floor)
        thin = {} if by_sample else {"color": shades[k], "linewidth": 0.5, "alpha": 0.35, "marker": "none"}
        for j in range(len(samples)) if styles["curve"] is not None else ():
            look = {**thin, **({"color": shades[j]} if by_sample else {}), **styles["curve"]}
            drawn[i, k, j] = draw_mean(array.isel(sample=j), axes, x="n_steps", **look)
        if styles["median"] is not None and not by_sample:
            look = {"color": shades[k], "linewidth": 1.6, "zorder": 3, **styles["median"]}
            medians[i, k] = draw_mean(array.median("sample"), axes, x="n_steps", **look)
    coords = {"measure": list(arrays), "quadrature": rules, "sample": samples}
    if styles["curve"] is not None:
        panels.artists["curve"] = xr.DataArray(drawn, coords, tuple(coords))
    if styles["median"] is not None and not by_sample:
        del coords["sample"]
        panels.artists["median"] = xr.DataArray(medians, coords, tuple(coords))
    handles = drawn[0, 0] if by_sample else medians[0]
    names, title = (samples, "sample") if by_sample else (rules, "median of samples")
    if styles["legend"] is not None and handles[0] is not None:
        add_legend(panels, list(handles), [text(name) for name in names], title, styles["legend"], may_lie=False)


def _set_scales(ax: Axes, steps: np.ndarray) -> None:
    """Make both axes logarithmic, with ticks at the numbers of steps that were taken, as far as they fit."""
    ax.set_xscale("log")
    ax.set_yscale("log")
    every = -(-len(steps) // MOST_TICKS)
    ax.xaxis.set_major_locator(FixedLocator(steps[::every].tolist()))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{at:.0f}"))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_minor_locator(NullLocator())


def _tolerated(ax: Axes, attrs: Mapping[str, Any], name: str, style: Mapping[str, Any]) -> Line2D:
    """Draw how large a measure may be, and say it."""
    limit = float(attrs[name])
    line = ax.axhline(limit, **{"color": palette().ink, "linestyle": "--", "linewidth": 0.8, "zorder": 0.9, **style})
    words = "tolerance" if name == "tolerance" else f"{limit / float(attrs['tolerance']):g} tolerances"
    ax.annotate(
        f"{words}\n{limit:g}",
        (1, limit),
        (3, 0),
        xycoords=ax.get_yaxis_transform(),
        textcoords="offset points",
        ha="left",
        va="center",
        fontsize=6,
        color=palette().ink,
    )
    return line


def _done(data: xr.Dataset) -> str:
    """Say how many samples are done, by quadrature if there are several."""
    if "steps_needed" not in data:
        return ""
    needed = data["steps_needed"].transpose("quadrature", "sample", ...)
    most = int(data["n_steps"].values[-1])
    each = [
        f"{rule} {int(own.notnull().sum())}" if len(needed) > 1 else str(int(own.notnull().sum()))
        for rule, own in zip(needed["quadrature"].values, needed, strict=True)
    ]
    return f"done within {most:,} steps: {', '.join(each)} of {data.sizes['sample']:,}"
