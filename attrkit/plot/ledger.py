"""Where relevance ended: the input, biases, stabilisers, and what is missing, as bars that add up to the output."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.container import BarContainer

from attrkit.errors import InputError
from attrkit.plot.data import Data, blank, datasets, only_dims, pick
from attrkit.plot.draw import draw_zero
from attrkit.plot.grid import label_axes
from attrkit.plot.labels import count, text, with_unit
from attrkit.plot.panels import Panels, make_panels
from attrkit.plot.size import FigSize, fit
from attrkit.plot.style import Visuals, check_visuals, fold_to, styled
from attrkit.plot.theme import palette
from attrkit.plot.ticks import place, set_ticks
from attrkit.plot.wrap import add_legend, below, wrap
from attrkit.result_checks import explained_output

VISUALS = ("bar", "output", "zero_line", "title", "xlabel", "ylabel", "legend", "note")
MOST_ROWS = 40
"""Samples that are drawn unless the user names some: each is one row."""

SMALL = 1e-3
"""A part that is nowhere more than this share of the longest bar is not drawn, and the note says how large it is."""

ROUNDING = 1e-5
"""What is missing by less than this share of the longest bar is rounding, of single precision."""

SHADES = {
    "input": 0,
    "biases": 1,
    "epsilon": 2,
    "padding": 3,
    "missing": None,
}
"""Of each part, the place of its colour in the cycle; what is missing is pale."""


class Ledger(NamedTuple):
    """What the parts of one extractor were given, of dims (part, sample), and the output, of dim sample."""

    parts: xr.DataArray
    output: xr.DataArray


@styled
def ledger(
    data: Data,
    *,
    samples: Any = None,
    n_cols: int | None = None,
    visuals: Visuals | None = None,
    ax: Any = None,
    figsize: FigSize | None = None,
) -> Panels:
    """Draw where the relevance of LRP ended, a stacked bar for each sample, a panel for each extractor.

    What is above zero is stacked to the right, what is below to the left; right less left is the explained output, the
    white mark. ``padding`` is relevance of timesteps that the mask leaves out; ``missing`` is what relevance and ledger
    do not account for.

    Parameters
    ----------
    data : Dataset, DataTree or mapping of str to Dataset
        Results of ``lrp``; groups of a tree that have no ledger are left out.
    samples : label or list of labels, optional
        The first 40 if not given.
    n_cols : int, optional
        Panels in a row.
    visuals : mapping of str to mapping or bool, optional
        Style of bar, output, zero_line, title, xlabel, ylabel, legend, note; False leaves one out.
    ax : Axes or array of Axes, optional
        Where to draw; as many as there are extractors. The note is left out there.
    figsize : {"column", "page"}, float or (float, float), optional
        Width in print: of one column, 3.5 inches, of both, 7, or in inches, with the height that fits; or both sides.

    Returns
    -------
    Panels
        With the dim ``extractor``. Artists "bar" have the dim ``part`` too: containers with one bar a sample.

    Raises
    ------
    InputError
        If there is no ledger, the output it adds up to is not known, an output is left to choose, or a label is
        unknown.

    Examples
    --------
    >>> from attrkit.schema import build
    >>> values = {"attribution": np.ones((2, 4, 1)), "bias_relevance": [-1.5, 3.0], "prediction": [2.5, 7.0]}
    >>> panels = ledger(build(values, attrs={"method": "lrp"}))
    >>> panels.artists["bar"]["part"].values.tolist()
    ['input', 'biases']
    >>> [float(bar.get_width()) for bar in panels.artists["bar"].sel(extractor="lrp", part="biases").item()]
    [-1.5, 3.0]
    """
    styles = check_visuals(visuals, VISUALS)
    found = datasets(data)
    ledgers = {name: _read(ds, name) for name, ds in found.items() if "bias_relevance" in ds}
    if not ledgers:
        held = {name: sorted(map(str, ds.data_vars)) for name, ds in found.items()}
        raise InputError(f"no ledger to draw; the variables are {held}; 'bias_relevance' is needed, as lrp gives it")
    first = next(iter(ledgers.values())).output
    labels = first.get_index("sample")[pick(first, "sample", samples, first=MOST_ROWS)].tolist()
    taken = {}
    for name, (parts, output) in ledgers.items():
        at = pick(output, "sample", labels)
        taken[name] = Ledger(parts.isel(sample=at), output.isel(sample=at))
    longest = max(float(abs(own.parts).sum("part").max()) for own in taken.values())
    shown = [part for part in _all_parts(taken) if any(_largest(own, part) > SMALL * longest for own in taken.values())]
    cells = wrap([len(taken)], n_cols, figsize)
    size = _size(cells, len(labels), figsize)
    panels = make_panels({"extractor": pd.Index(list(taken))}, ax=ax, figsize=size, cells=cells)
    _draw(panels, list(taken.values()), shown, styles)
    _dress(panels, cells, first, labels, styles)
    least = max(_largest(own, "missing") for own in taken.values())
    within = f" within {least:.1g}" if least > ROUNDING * longest else ""
    adds_up = f"adds up to the output{within}" if "missing" not in shown else ""
    panels.note([count(len(labels), first.sizes["sample"], "sample"), adds_up], styles["note"])
    return panels


def _read(ds: xr.Dataset, name: str) -> Ledger:
    """Read what each part of the model was given of the explained output."""
    sums = {}
    for variable in [str(key) for key in ds.data_vars if str(key).startswith("attribution")]:
        whole = _by_sample(ds[variable], name)
        sums["input" + variable.removeprefix("attribution").replace("_", " ", 1)] = whole
    if "attribution" in ds:
        real = _by_sample(blank(ds["attribution"], ds), name)
        sums["padding"], sums["input"] = sums["input"] - real, real
    sums["biases"] = _by_sample(ds["bias_relevance"], name)
    if "epsilon_relevance" in ds:
        sums["epsilon"] = _by_sample(ds["epsilon_relevance"], name)
    booked = sum(list(sums.values())[1:], start=next(iter(sums.values())))
    output = _explained(ds, name, booked)
    sums["missing"] = output - booked
    order = sorted(sums, key=lambda part: [*SHADES].index(part) if part in SHADES else 0)
    parts = [sums[part].reset_coords(drop=True) for part in order]
    return Ledger(xr.concat(parts, xr.DataArray(order, dims="part", name="part")), output.reset_coords(drop=True))


def _by_sample(array: xr.DataArray, name: str) -> xr.DataArray:
    """Sum over all that is not an output to choose, in double precision."""
    inner = [dim for dim in array.dims if dim not in ("sample", "output")]
    return only_dims(array.astype(float).sum(inner, keep_attrs=True), ("sample",), name)


def _explained(ds: xr.Dataset, name: str, booked: xr.DataArray) -> xr.DataArray:
    """Return the output that was explained: that of the model, else what relevance and gap say it was."""
    output = explained_output(ds)
    if output is not None:
        return output.astype(float)
    if "completeness_gap" in ds:
        return booked - _by_sample(ds["completeness_gap"], name)
    raise InputError(
        f"{name!r} does not say which output its ledger adds up to; it needs 'prediction', and 'target' where "
        "there are several outputs, or 'completeness_gap'"
    )


def _all_parts(ledgers: Mapping[str, Ledger]) -> list[str]:
    return list(dict.fromkeys(str(part) for own in ledgers.values() for part in own.parts["part"].values))


def _largest(own: Ledger, part: str) -> float:
    """Return the largest absolute value of a part, 0 where there is none."""
    return float(abs(own.parts.sel(part=part)).max()) if part in own.parts["part"] else 0.0


def _size(cells: list[tuple[int, int]], n_samples: int, figsize: FigSize | None) -> tuple[float, float]:
    rows, cols = 1 + max(row for row, _ in cells), 1 + max(col for _, col in cells)
    return fit(figsize, 4.8 if cols == 1 else 7.0, 0.75 + rows * (0.3 + 0.19 * max(n_samples, 3)))


def _draw(panels: Panels, ledgers: list[Ledger], shown: list[str], styles: Mapping[str, Any]) -> None:
    """Draw the bars and marks of all panels, on one axis of x, and their legend."""
    own_colors = palette()
    others = iter(own_colors.cycle[4:])
    known = {part: own_colors.pale if at is None else own_colors.cycle[at] for part, at in SHADES.items()}
    shades = {part: known[part] if part in known else next(others, own_colors.note) for part in shown}
    drawn = np.full((len(ledgers), len(shown)), None)
    handles: dict[str, Any] = {}
    for i, (parts, output) in enumerate(ledgers):
        axes = panels.axes.values[i]
        own = parts.sel(part=[part for part in shown if part in parts["part"]])
        for values, left in zip(own, stack_sides(own), strict=True):
            part = str(values["part"].values)
            if styles["bar"] is not None:
                look = {"color": shades[part], **styles["bar"]}
                drawn[i, shown.index(part)] = handles[part] = draw_bars(values, axes, left=left.values, **look)
        if styles["output"] is not None:
            look = {
                "marker": "D",
                "markersize": 3.2,
                "markerfacecolor": own_colors.page,
                "markeredgecolor": own_colors.text,
            }
            look |= {"markeredgewidth": 0.8, "linestyle": "none", "zorder": 4, **styles["output"]}
            (handles["output"],) = axes.plot(output.values, np.arange(output.size), **look)
            panels.keep("output", handles["output"], (i,))
        if styles["zero_line"] is not None:
            line = draw_zero(axes, vertical=True, **{"color": own_colors.text, "zorder": 3, **styles["zero_line"]})
            panels.keep("zero_line", line, (i,))
    limits = np.array([axes.get_xlim() for axes in panels.axes.values])
    for axes in panels.axes.values:
        axes.set_xlim(limits[:, 0].min(), limits[:, 1].max())
    if styles["bar"] is not None:
        coords = {**panels.axes.coords, "part": shown}
        panels.artists["bar"] = xr.DataArray(drawn, coords, ("extractor", "part"))
    if styles["legend"] is not None and handles:
        in_order = [part for part in [*shown, "output"] if part in handles]
        found = [handles[part] for part in in_order]
        add_legend(panels, found, in_order, "", styles["legend"], may_lie=False)


def _dress(
    panels: Panels, cells: list[tuple[int, int]], first: xr.DataArray, labels: list[Any], styles: Mapping[str, Any]
) -> None:
    """Name panels, samples and axes."""
    rows = place(np.array([text(label) for label in labels], dtype=object))
    words = with_unit("relevance", {"units": "output"})
    for i, (axes, name) in enumerate(zip(panels.axes.values, panels.axes["extractor"].values, strict=True)):
        set_ticks(axes.yaxis, rows, show=cells[i][1] == 0)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(labels) - 0.4, -0.6)
        if below(cells, i) is not None:
            axes.tick_params(axis="x", labelbottom=False)
        if styles["title"] is not None:
            panels.keep("title", axes.set_title(fold_to(str(name), axes), **styles["title"]), (i,))
    x_labels = {(i,): words for i in range(len(cells)) if below(cells, i) is None}
    y_labels = {(i,): str(first["sample"].attrs.get("long_name", "sample")) for i, c in enumerate(cells) if c[1] == 0}
    label_axes(panels, "x", x_labels, styles["xlabel"], common=True)
    label_axes(panels, "y", y_labels, styles["ylabel"], common=True)


def stack_sides(parts: xr.DataArray) -> xr.DataArray:
    """Return where each bar begins: parts above zero stand to the right of each other, those below to the left.

    Parameters
    ----------
    parts : DataArray of shape (part, sample)

    Examples
    --------
    >>> stack_sides(xr.DataArray([[2.0], [-1.0], [3.0], [-4.0]], dims=("part", "sample"))).values[:, 0]
    array([ 0.,  0.,  2., -1.])
    """
    right, left = parts.clip(min=0), parts.clip(max=0)
    return xr.where(parts < 0, left.cumsum("part") - left, right.cumsum("part") - right)


def draw_bars(da: xr.DataArray, ax: Axes, *, left: np.ndarray, **style: Any) -> BarContainer:
    """Draw values of shape (sample,) as horizontal bars that begin at `left`, one below the other.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> bars = draw_bars(xr.DataArray([1.0, -2.0], dims="sample"), Figure().subplots(), left=np.array([0.0, -1.0]))
    >>> [float(bar.get_width()) for bar in bars]
    [1.0, -2.0]
    """
    bars = ax.barh(np.arange(da.size), da.values, left=left, **{"height": 0.72, "linewidth": 0, **style})
    for bar in bars:
        # Where a bar begins, the axis may not end: the mark of the output would be cut.
        bar.sticky_edges.x.clear()
    return bars
