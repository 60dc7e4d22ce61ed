"""How alike extractors are: a matrix of all pairs, with intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.image import AxesImage

from attrkit.checks import name_list
from attrkit.errors import InputError
from attrkit.plot.grid import add_colorbar
from attrkit.plot.panels import Panels, make_panels
from attrkit.plot.scale import Colors
from attrkit.plot.size import FigSize, fit
from attrkit.plot.study import dataset_of, extractors_of, interval_said, seeds_in, variable_of
from attrkit.plot.style import Visuals, check_visuals, fold, styled
from attrkit.plot.theme import palette, readable_on
from attrkit.studies.summaries.agreement import self_means
from attrkit.studies.summaries.rows import interval_of

VISUALS = ("mesh", "text", "title", "colorbar", "note")


@styled
def agreement(
    data: xr.DataTree | xr.Dataset,
    *,
    metric: str | Sequence[str] = "kendall_tau",
    extractors: Any = None,
    visuals: Visuals | None = None,
    ax: Any = None,
    figsize: FigSize | None = None,
) -> Panels:
    """Draw how alike extractors are as a matrix: the mean of each pair, with its interval.

    All correlations and shares have one scale, from -1 to 1, so that figures can be compared; divergences have one from
    0 to 1. On the diagonal stands, of a study, how alike an extractor is to itself on models of other seeds.

    Parameters
    ----------
    data : DataTree or Dataset
        A study, or what `attrkit.metrics.agreement` returns.
    metric : str or sequence of str, default "kendall_tau"
        A panel each.
    extractors : sequence of str, optional
        Which, and in which order; if not given, all that have a number in any pair.
    visuals : mapping of str to mapping or bool, optional
        Style of mesh, text, title, colorbar, note; False leaves one out.
    ax : Axes or array of Axes, optional
        Where to draw; as many as there are metrics. The note is left out there.
    figsize : {"column", "page"}, float or (float, float), optional
        Width in print: of one column, 3.5 inches, of both, 7, or in inches, with the height that fits; or both sides.

    Returns
    -------
    Panels
        With the dim ``metric``.

    Raises
    ------
    InputError
        If a metric or an extractor is not there, or correlations and divergences are asked for together.

    Examples
    --------
    >>> panels = attrkit.plot.agreement(study_tree, extractors=["attention", "gradient"])
    >>> panels.artists["mesh"].sel(metric="kendall_tau").item().get_array().shape
    (2, 2)
    """
    styles = check_visuals(visuals, VISUALS)
    ds = dataset_of(data, "agreement")
    metrics = name_list(metric, "metric")
    arrays = {name: variable_of(ds, name, "agreement") for name in metrics}
    lower = {str(array.attrs.get("direction", "")).startswith("lower") for array in arrays.values()}
    if len(lower) != 1:
        raise InputError(f"metrics {metrics} have no common scale; draw correlations and shares, or divergences")
    names = extractors_of(ds, extractors, _defined(arrays))
    selves = self_means(data["seed_variance"].to_dataset()) if _has(data, "seed_variance") else {}
    norm = Normalize(0, 1) if lower.pop() else Normalize(-1, 1)
    shades = palette().sequential.reversed() if norm.vmin == 0 else palette().diverging
    cmap = shades.with_extremes(bad=palette().page)
    side = 1.5 + 0.62 * len(names)
    size = fit(figsize, min(side * len(metrics) + 0.6, 7.0 if len(metrics) > 1 else 9.0), side)
    panels = make_panels(
        {"metric": pd.Index(metrics)}, ax=ax, figsize=size, cells=[(0, i) for i in range(len(metrics))]
    )
    for i, (name, array) in enumerate(arrays.items()):
        found = interval_of(array.sel(extractor=names, other=names))
        own = {label: selves.get(name, {}).get(label, np.nan) for label in names}
        axes = panels.axes.values[i]
        if styles["mesh"] is not None:
            settings = {"norm": norm, "cmap": cmap, **styles["mesh"]}
            panels.keep("mesh", draw_matrix(lower_half(found["estimate"], own), axes, **settings), (i,))
        if styles["text"] is not None:
            panels.keep("text", _write(found, own, axes, ScalarMappable(norm, cmap), styles["text"]), (i,))
        _label(axes, names, first=i == 0)
        if styles["title"] is not None:
            said = str(array.attrs.get("long_name", name))
            panels.keep("title", axes.set_title(fold(said, 70 * len(names)), **styles["title"]), (i,))
    if styles["colorbar"] is not None:
        label = "divergence" if norm.vmin == 0 else "agreement"
        add_colorbar(panels, Colors(norm, cmap, label, "neither"), styles["colorbar"])
    diagonal = "diagonal: with itself, on models of other seeds" if selves else ""
    gone = [str(name) for name in ds["extractor"].values if name not in names] if extractors is None else []
    undefined = f"not defined: {', '.join(gone)}" if gone else ""
    panels.note([f"{seeds_in(ds)}; {interval_said(ds)}", diagonal, undefined], styles["note"])
    return panels


def lower_half(estimate: xr.DataArray, own: Mapping[str, float]) -> xr.DataArray:
    """Return the pairs below the diagonal, each once, and on it what extractors have with themselves."""
    values = estimate.transpose("extractor", "other").values.copy()
    values[np.triu_indices(len(values))] = np.nan
    np.fill_diagonal(values, list(own.values()))
    return estimate.transpose("extractor", "other").copy(data=values)


def draw_matrix(da: xr.DataArray, ax: Axes, **style: Any) -> AxesImage:
    """Draw a matrix of shape (extractor, other) as coloured cells, NaN blank.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> da = xr.DataArray([[1.0, 0.5]], dims=("extractor", "other"))
    >>> draw_matrix(da, Figure().subplots(), vmin=-1, vmax=1).get_array().data
    array([[1. , 0.5]])
    """
    image = ax.imshow(np.ma.masked_invalid(da.values), **{"aspect": "auto", "interpolation": "nearest", **style})
    ax.set_xticks(np.arange(da.shape[1] + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(da.shape[0] + 1) - 0.5, minor=True)
    ax.grid(which="minor", color=ax.get_facecolor(), linewidth=1.2)
    ax.tick_params(which="both", length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return image


def _write(
    found: xr.Dataset, own: Mapping[str, float], ax: Axes, shades: ScalarMappable, style: Mapping[str, Any]
) -> list[Any]:
    """Write the mean of each cell and below it the interval, light on dark."""
    artists = []
    names = list(own)
    for row, col in np.transpose(np.tril_indices(len(names))).tolist():
        cell = found.sel(extractor=names[row], other=names[col])
        value = own[names[row]] if row == col else float(cell["estimate"])
        if np.isnan(value):
            if row != col:
                artists.append(ax.text(col, row, "n/a", ha="center", va="center", fontsize=6, color=palette().note))
            continue
        words = _short(value)
        low, high = float(cell["low"]), float(cell["high"])
        if row != col and not np.isnan(low):
            words += f"\n[{_short(low)}, {_short(high)}]"
        ink = readable_on(shades.to_rgba(np.asarray(value)))
        settings = {"ha": "center", "va": "center", "fontsize": 6, "color": ink, "linespacing": 1.3}
        slanted = {"style": "italic"} if row == col else {}
        artists.append(ax.text(col, row, words, **{**settings, **slanted, **style}))
    return artists


def _short(value: float) -> str:
    """Write a number to two decimals, with a minus as wide as a plus."""
    return f"{value:.2f}".replace("-0.00", "0.00").replace("-", "\N{MINUS SIGN}")


def _label(ax: Axes, names: Sequence[str], *, first: bool) -> None:
    ax.set_xticks(range(len(names)), [fold(name, 60, size=7) for name in names], rotation=45, ha="right")
    ax.set_yticks(range(len(names)), [fold(name, 70, size=7) for name in names] if first else [])
    for label in ax.get_xticklabels():
        label.set_rotation_mode("anchor")


def _defined(arrays: Mapping[str, xr.DataArray]) -> xr.DataArray:
    """Return whether an extractor has a number with any other, by metric."""
    each = []
    for array in arrays.values():
        apart = array["extractor"] != array["other"]
        others = [dim for dim in array.dims if dim != "extractor"]
        each.append((array.notnull() & apart).any(others))
    return xr.concat(each, "metric", coords="minimal", compat="override")


def _has(data: Any, test: str) -> bool:
    return isinstance(data, xr.DataTree) and test in data.children
