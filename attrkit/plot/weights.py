"""What other attention weights do, sample by sample: how far the output moves, and how far weights can go."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection

from attrkit.errors import InputError
from attrkit.plot.draw import draw_corner
from attrkit.plot.grid import label_axes
from attrkit.plot.labels import with_unit
from attrkit.plot.panels import Panels, make_panels
from attrkit.plot.size import FigSize, fit
from attrkit.plot.study import by_case, classes_of, dataset_of, seeds_in, variable_of
from attrkit.plot.style import Visuals, check_visuals, styled
from attrkit.plot.theme import palette
from attrkit.plot.wrap import below, wrap, wrapped_size

VISUALS = ("dots", "title", "n", "xlabel", "ylabel", "note")

MOST_CLASSES = 12
"""Of more classes than this there is one panel for all."""


@styled
def permutation(
    data: xr.DataTree | xr.Dataset,
    *,
    by_class: bool = True,
    visuals: Visuals | None = None,
    ax: Any = None,
    figsize: FigSize | None = None,
) -> Panels:
    """Draw how far shuffled attention moves the output, against the largest weight there was to shuffle.

    As Jain and Wallace (2019, arXiv:1902.10186, figure 6) have it: dots at the lower right are samples whose output
    does not rest on the timestep with most of the weight.

    Parameters
    ----------
    data : DataTree or Dataset
        A study, or what `attrkit.studies.permute_attention` returns.
    by_class : bool, default True
        A panel for each class that models say, up to 12 of them, where that is known: of a study of classes.
    visuals : mapping of str to mapping or bool, optional
        Style of dots, title, n, xlabel, ylabel, note; False leaves one out.
    ax : Axes or array of Axes, optional
        Where to draw. The note is left out there.
    figsize : {"column", "page"}, float or (float, float), optional
        Width in print: of one column, 3.5 inches, of both, 7, or in inches, with the height that fits; or both sides.

    Returns
    -------
    Panels
        With the dim ``predicted_class``; one dot for each sample of each seed.

    Raises
    ------
    InputError
        If the test is not there.

    Examples
    --------
    >>> panels = attrkit.plot.permutation(study_tree, by_class=False)
    >>> len(panels.artists["dots"].item().get_offsets())  # two seeds, 20 samples
    40
    """
    styles = check_visuals(visuals, VISUALS)
    ds = dataset_of(data, "permutation")
    values = variable_of(ds, "median_output_change", "permutation")
    measure = ds["output_change"].attrs.get("long_name", "output change")
    shuffles = f"{ds.sizes['permutation']} shuffles of each sample"
    label = f"output change ({measure})"
    told = classes_of(data, ds) if by_class else None
    return _clouds(ds, values, told, label=label, said=shuffles, styles=styles, ax=ax, figsize=figsize)


@styled
def adversarial(
    data: xr.DataTree | xr.Dataset,
    *,
    by_class: bool = True,
    visuals: Visuals | None = None,
    ax: Any = None,
    figsize: FigSize | None = None,
) -> Panels:
    """Draw how far attention can go without changing the output, against the largest of the layer's own weights.

    As Jain and Wallace (2019, arXiv:1902.10186, figure 8) have it. The bound on the output is in the note. What was not
    found lies at 0.

    Parameters
    ----------
    data : DataTree or Dataset
        A study, or what `attrkit.studies.adversarial_attention` returns.
    by_class : bool, default True
        A panel for each class that models say, up to 12 of them, where that is known: of a study of classes.
    visuals : mapping of str to mapping or bool, optional
        Style of dots, title, n, xlabel, ylabel, note; False leaves one out.
    ax : Axes or array of Axes, optional
        Where to draw. The note is left out there.
    figsize : {"column", "page"}, float or (float, float), optional
        Width in print: of one column, 3.5 inches, of both, 7, or in inches, with the height that fits; or both sides.

    Returns
    -------
    Panels
        With the dim ``predicted_class``; one dot for each sample of each seed.

    Raises
    ------
    InputError
        If the test is not there.

    Examples
    --------
    >>> panels = attrkit.plot.adversarial(study_tree, by_class=False)
    >>> panels.axes.item().get_xlabel()
    'largest attention weight'
    """
    styles = check_visuals(visuals, VISUALS)
    ds = dataset_of(data, "adversarial")
    values = variable_of(ds, "jensen_shannon", "adversarial")
    measure = ds["output_change"].attrs.get("long_name", "output change")
    bound = f"output change \N{LESS-THAN OR EQUAL TO} {float(ds.attrs['epsilon']):g} ({measure})"
    label = with_unit("divergence from the own weights", {"units": values.attrs.get("units", "bit")})
    told = classes_of(data, ds) if by_class else None
    return _clouds(ds, values, told, label=label, said=bound, styles=styles, ax=ax, figsize=figsize, top=1.0)


def _clouds(
    ds: xr.Dataset,
    values: xr.DataArray,
    told: xr.DataArray | None,
    *,
    label: str,
    said: str,
    styles: dict[str, Any],
    ax: Any,
    figsize: Any,
    top: float | None = None,
) -> Panels:
    """Draw a panel a class, all with the same axes."""
    x, y = by_case(ds["largest_weight"]), by_case(values)
    if not np.isfinite(y).any():
        raise InputError("no value is defined; there is nothing to draw")
    classes = np.zeros(len(y), int) if told is None else by_case(told).astype(int)
    names: list[Any] = sorted(set(classes.tolist()))
    if told is None or len(names) > MOST_CLASSES:
        classes, names = np.zeros(len(y), int), ["all"]
    cells = wrap([len(names)], None, figsize)
    size = wrapped_size(cells, figsize) if len(names) > 1 else fit(figsize, 3.6, 2.7)
    panels = make_panels({"predicted_class": pd.Index(names)}, ax=ax, figsize=size, cells=cells)
    high = max(np.nanmax(y), 1e-12) if top is None else top
    for i, name in enumerate(names):
        axes = panels.axes.values[i]
        own = classes == name if len(names) > 1 or name != "all" else np.ones(len(y), bool)
        if styles["dots"] is not None:
            panels.keep("dots", draw_cloud(x[own], y[own], axes, **styles["dots"]), (i,))
        if styles["title"] is not None and name != "all":
            panels.keep("title", axes.set_title(f"predicted class {name}", **styles["title"]), (i,))
        if styles["n"] is not None:
            panels.keep("n", draw_corner(f"n = {int(own.sum()):,}", axes, **styles["n"]), (i,))
        axes.set_xlim(0, 1.06 * float(np.nanmax(x)))
        # Room above for the number of dots.
        axes.set_ylim(-0.04 * high, 1.18 * high)
    x_labels = {(i,): "largest attention weight" for i in range(len(names)) if below(cells, i) is None}
    y_labels = {(i,): label for i in range(len(names)) if cells[i][1] == 0}
    label_axes(panels, "x", x_labels, styles["xlabel"], common=True)
    label_axes(panels, "y", y_labels, styles["ylabel"], common=True)
    panels.note([seeds_in(values), said], styles["note"])
    return panels


def draw_cloud(x: np.ndarray, y: np.ndarray, ax: Axes, **style: Any) -> PathCollection:
    """Draw samples as dots that show through where they lie over each other.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> draw_cloud(np.array([0.1]), np.array([0.5]), Figure().subplots()).get_offsets().data
    array([[0.1, 0.5]])
    """
    settings = {"s": 9, "color": palette().cycle[0], "alpha": 0.45, "linewidths": 0, **style}
    return ax.scatter(x, y, **settings)
