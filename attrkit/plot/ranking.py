"""Extractors in the order of a metric, with intervals and what each seed says."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.container import ErrorbarContainer

from attrkit.checks import name_list, one_of
from attrkit.errors import InputError
from attrkit.plot.labels import with_unit
from attrkit.plot.panels import Panels, make_panels
from attrkit.plot.size import FigSize, fit
from attrkit.plot.study import dataset_of, extractors_of, interval_said, seeds_in, variable_of
from attrkit.plot.style import Visuals, check_visuals, fold, fold_to, styled
from attrkit.plot.theme import palette
from attrkit.studies.summaries.rows import interval_of

VISUALS = ("interval", "seeds", "random", "xlabel", "note")
DEFAULTS = {"faithfulness": "aopc_comprehensiveness", "ground_truth": "auprc"}


@styled
def ranking(
    data: xr.DataTree | xr.Dataset,
    *,
    metric: str | Sequence[str] | None = None,
    test: str = "faithfulness",
    extractors: Any = None,
    visuals: Visuals | None = None,
    ax: Any = None,
    figsize: FigSize | None = None,
) -> Panels:
    """Draw extractors from best to worst by a metric, with intervals, and the mean of each seed as a dot.

    Parameters
    ----------
    data : DataTree or Dataset
        A study, or what `attrkit.metrics.faithfulness` or `attrkit.metrics.ground_truth` returns.
    metric : str or sequence of str, optional
        A panel each, with an order of its own. If not given, ``aopc_comprehensiveness``, or ``auprc`` of a ground
        truth.
    test : {"faithfulness", "ground_truth"}, default "faithfulness"
        Which test of a study.
    extractors : sequence of str, optional
        All that have a number, if not given; ``random`` is a dashed line.
    visuals : mapping of str to mapping or bool, optional
        Style of interval, seeds, random, xlabel, note; False leaves one out.
    ax : Axes or array of Axes, optional
        Where to draw; as many as there are metrics. The note is left out there.
    figsize : {"column", "page"}, float or (float, float), optional
        Width in print: of one column, 3.5 inches, of both, 7, or in inches, with the height that fits; or both sides.

    Returns
    -------
    Panels
        With the dim ``metric``. Labels of the y axis are extractors, the best at the top.

    Raises
    ------
    InputError
        If a metric or an extractor is not there, or a metric has no direction.

    Examples
    --------
    >>> panels = attrkit.plot.ranking(study_tree, metric="deletion_auc")
    >>> sorted(label.get_text() for label in panels.axes.values[0].get_yticklabels())
    ['attention', 'gradient', 'uniform']
    """
    styles = check_visuals(visuals, VISUALS)
    one_of(test, "test", tuple(DEFAULTS))
    ds = dataset_of(data, test)
    if metric is None:
        metric = next((name for name in DEFAULTS.values() if name in ds), DEFAULTS[test])
    metrics = name_list(metric, "metric")
    arrays = {name: _directed(ds, name, test) for name in metrics}
    names = extractors_of(ds, extractors, arrays[metrics[0]].notnull())
    shown = [name for name in names if name != "random"]
    height = 0.75 + 0.27 * len(shown) * (1 if len(metrics) < 3 else 1.2)
    size = fit(figsize, 3.9 if len(metrics) == 1 else 7.0, height)
    cells = [(0, i) for i in range(len(metrics))]
    panels = make_panels({"metric": pd.Index(metrics)}, ax=ax, figsize=size, cells=cells)
    for i, array in enumerate(arrays.values()):
        axes = panels.axes.values[i]
        found = interval_of(array)
        up = array.attrs["direction"].startswith("higher")
        means = found["estimate"].sel(extractor=shown).to_series()
        order = means.sort_values(ascending=not up, na_position="last").index.tolist()
        own = found.sel(extractor=order)
        if styles["random"] is not None and "random" in names:
            at = float(found["estimate"].sel(extractor="random"))
            line = axes.axvline(
                at, **{"color": palette().pale, "linestyle": "--", "linewidth": 0.9, "zorder": 0.8, **styles["random"]}
            )
            axes.annotate(
                "random",
                (at, 1),
                (1, -1),
                xycoords=axes.get_xaxis_transform(),
                textcoords="offset points",
                fontsize=6,
                color=palette().ink,
                rotation=-90,
                va="top",
            )
            panels.keep("random", line, (i,))
        if styles["seeds"] is not None and array.sizes.get("seed", 1) > 1:
            of_seeds = array.sel(extractor=order).mean("sample")
            panels.keep("seeds", draw_seeds(of_seeds, axes, **styles["seeds"]), (i,))
        if styles["interval"] is not None:
            panels.keep("interval", draw_intervals(own, axes, **styles["interval"]), (i,))
        axes.set_yticks(range(len(order)), [fold(name, 110, size=7) for name in order])
        axes.set_ylim(len(order) - 0.4, -0.6)
        if styles["xlabel"] is not None:
            said = with_unit(str(array.attrs.get("long_name", array.name)), array.attrs)
            words = f"{said}, {array.attrs['direction']}"
            panels.keep("xlabel", axes.set_xlabel(fold_to(words, axes), **styles["xlabel"]), (i,))
    dots = "small dots: seeds" if ds.sizes.get("seed", 1) > 1 else ""
    panels.note([f"{seeds_in(ds)}; {interval_said(ds)}", dots], styles["note"])
    return panels


def _directed(ds: xr.Dataset, name: str, test: str) -> xr.DataArray:
    array = variable_of(ds, name, test)
    if "direction" not in array.attrs or set(array.dims) - {"seed", "extractor", "sample"}:
        fit = [
            str(known)
            for known, own in ds.data_vars.items()
            if "direction" in own.attrs and not set(own.dims) - {"seed", "extractor", "sample"}
        ]
        raise InputError(
            f"{name!r} is no metric of one number a sample with a direction; accepted are {', '.join(fit)}"
        )
    return array.where(np.isfinite(array)).assign_attrs(array.attrs)


def draw_intervals(found: xr.Dataset, ax: Axes, **style: Any) -> ErrorbarContainer:
    """Draw means with their intervals, of dims (extractor,), one line below the other.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> limits = {"estimate": [1.0], "low": [0.5], "high": [2.0]}
    >>> found = xr.Dataset({name: ("extractor", values) for name, values in limits.items()})
    >>> draw_intervals(found, Figure().subplots()).lines[0].get_xdata()
    array([1.])
    """
    mean, low, high = (found[name].values for name in ("estimate", "low", "high"))
    sides = np.nan_to_num(np.stack([mean - low, high - mean]))
    settings = {"fmt": "o", "color": palette().cycle[0], "markersize": 4, "linewidth": 1.2, "capsize": 2, **style}
    return ax.errorbar(mean, np.arange(len(mean)), xerr=sides, **settings)


def draw_seeds(means: xr.DataArray, ax: Axes, **style: Any) -> PathCollection:
    """Draw the mean of each seed, of dims (seed, extractor), as a small dot below that of all.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> means = xr.DataArray([[1.0, 2.0]], dims=("seed", "extractor"))
    >>> draw_seeds(means, Figure().subplots()).get_offsets().data[:, 0]
    array([1., 2.])
    """
    values = means.transpose("seed", "extractor").values
    rows = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    settings = {"s": 7, "color": palette().ink, "alpha": 0.7, "linewidths": 0, "zorder": 3, **style}
    return ax.scatter(values.ravel(), rows.ravel() + 0.24, **settings)
