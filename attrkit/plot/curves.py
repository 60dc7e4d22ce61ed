"""Curves over time, a small panel for each channel, however many there are."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from attrkit.checks import whole_number
from attrkit.errors import InputError
from attrkit.plot.data import Data, content, datasets, only_dims, pick
from attrkit.plot.draw import draw_curve, draw_zero
from attrkit.plot.grid import label_axes, pick_samples
from attrkit.plot.labels import channel_name, count, label_of, text
from attrkit.plot.panels import Panels, make_panels
from attrkit.plot.queries import draw_queries
from attrkit.plot.scale import divide
from attrkit.plot.size import FigSize
from attrkit.plot.style import DENSE, Visuals, check_visuals, colors, styled
from attrkit.plot.ticks import Steps, set_limits, set_ticks, steps
from attrkit.plot.wrap import MOST_PANELS, add_legend, below, hush, name_panel, wrap, wrapped_size

VISUALS = ("curve", "zero_line", "title", "xlabel", "ylabel", "legend", "colorbar", "note")
FIRST_CHOICE = ("attribution", "activation", "attention", "input")
MOST_SAMPLES = 6
FEW_PANELS = 60
"""Where not all channels can be shown: as many as are drawn in two seconds."""


class Curve(NamedTuple):
    """One curve: the labels of its panel, its name within it, and values of shape (x,)."""

    panel: tuple[Any, ...]
    name: Any
    x: Steps
    values: xr.DataArray


class Plan(NamedTuple):
    """What to draw: the curves, the dims that name panels and curves, and the words around."""

    curves: list[Curve]
    panel_dims: tuple[str, ...]
    by: str
    label: str
    notes: list[str]


@styled
def curves(
    data: Data,
    *,
    variable: str | None = None,
    samples: Any = None,
    channels: Any = None,
    scale: str | None = None,
    share_y: bool = True,
    zero_line: bool = True,
    max_timesteps: int | None = None,
    n_cols: int | None = None,
    visuals: Visuals | None = None,
    ax: Any = None,
    figsize: FigSize | None = None,
) -> Panels:
    """Draw values over time: a panel for each channel, a curve for each sample or extractor.

    One dataset gives a curve for each sample. Several extractors are compared on one sample, a curve each; those
    that do not resolve channels have a panel of their own. Several layers (``activation``) have panels each. Of
    self-attention there is a panel for each layer and head, and a curve for each query over its keys.

    Parameters
    ----------
    data : Dataset, DataTree, DataArray or mapping of str to Dataset
        One extractor, or several.
    variable : str, optional
        Which variable; if not given, of each entry the first that is there of attribution, activation, attention,
        input.
    samples : label or list of labels, optional
        The first six if not given; one where extractors or queries are compared.
    channels : label or list of labels, optional
        If not given, all that fit in 240 panels; of more channels, as many as fill 60.
    scale : {"extractor", "sample", "shared"}, optional
        As for `heatmap`: several extractors are each divided by their largest absolute value, for their units
        differ. Layers are left as they are.
    share_y : bool, optional
        Whether all panels have one y axis; of several layers, those of one layer.
    zero_line : bool, optional
        Draw a line at zero.
    max_timesteps : int, optional
        Draw no more than the first so many timesteps.
    n_cols : int, optional
        Panels in a row.
    visuals : mapping of str to mapping or bool, optional
        Style of curve, zero_line, title, xlabel, ylabel, legend, colorbar (of queries), note; False leaves one out.
    ax : Axes or array of Axes, optional
        Where to draw; as many as there are panels. The note is left out there.
    figsize : {"column", "page"}, float or (float, float), optional
        Width in print: of one column, 3.5 inches, of both, 7, or in inches, with the height that fits; or both sides.

    Returns
    -------
    Panels
        With the dim ``channel``; of several layers, ``panel`` with levels ``layer`` and ``channel``. Artists
        "curve" have the dim ``sample`` or ``extractor`` too.

    Raises
    ------
    InputError
        If a variable or label is not there, a dim is left to choose from, or more than one sample is asked for
        where one is shown.

    Examples
    --------
    >>> from attrkit.schema import build
    >>> ds = build({"attribution": np.random.default_rng(0).normal(size=(2, 8, 3))}, attrs={"method": "gradient"})
    >>> panels = curves(ds)
    >>> panels.artists["curve"].sel(channel=2, sample=1).item().get_ydata().shape
    (8,)
    """
    styles = check_visuals(visuals, VISUALS)
    if not zero_line:
        styles["zero_line"] = None
    for name, value in {"max_timesteps": max_timesteps, "n_cols": n_cols}.items():
        if value is not None:
            whole_number(value, name, least=1)
    found = datasets(data)
    wanted = FIRST_CHOICE if variable is None else (variable,)
    arrays = {name: content(ds, name, wanted) for name, ds in found.items()}
    if any("query_timestep" in array.dims for array in arrays.values()):
        return draw_queries(
            found,
            samples=samples,
            max_timesteps=max_timesteps,
            share_y=share_y,
            n_cols=n_cols,
            styles=styles,
            ax=ax,
            figsize=figsize,
        )
    arrays = {name: _series(array, name) for name, array in arrays.items()}
    arrays, note = _cap(arrays, max_timesteps)
    layers = len(arrays) > 1 and all(array.name == "activation" for array in arrays.values())
    if layers or len(arrays) == 1:
        plan = _by_sample(arrays, samples, channels, scale, layers=layers)
    else:
        plan = _by_extractor(arrays, samples, channels, scale)
    plan.notes.append(note)
    panels = _draw(plan, styles, share_y=share_y, n_cols=n_cols, ax=ax, figsize=figsize)
    panels.note(plan.notes, styles["note"])
    return panels


def _series(array: xr.DataArray, name: str) -> xr.DataArray:
    """Bring an array to dims (sample, timestep[, channel]), or (sample, unit) where there is no time."""
    array = only_dims(array, ("sample", "timestep", "key_timestep", "channel"), name)
    if "key_timestep" in array.dims:
        return array.rename(key_timestep="timestep")
    return array if "timestep" in array.dims else array.rename(channel="unit")


def _cap(arrays: Mapping[str, xr.DataArray], most: int | None) -> tuple[dict[str, xr.DataArray], str]:
    """Cut series after `most` timesteps, and say so."""
    cut = {name: a.isel(timestep=slice(most)) if "timestep" in a.dims else a for name, a in arrays.items()}
    longest = max((array.sizes.get("timestep", 0) for array in arrays.values()), default=0)
    return cut, "" if most is None else count(min(most, longest), longest, "timestep")


def _by_sample(
    arrays: Mapping[str, xr.DataArray], samples: Any, channels: Any, scale: str | None, *, layers: bool
) -> Plan:
    """Plan a curve for each sample, of one dataset or of several layers."""
    taken, note = pick_samples(list(arrays.values()), samples, MOST_SAMPLES)
    scaled = divide(taken, list(arrays), scale=scale or "shared")
    resolved = [array for array in taken if "channel" in array.dims]
    most = max(1, MOST_PANELS // len(arrays))
    longest = max((array.sizes["channel"] for array in resolved), default=0)
    most = most if longest <= most else min(most, max(1, FEW_PANELS // len(arrays)))
    found: list[Curve] = []
    notes = [note]
    for name, array in zip(arrays, scaled.arrays, strict=True):
        x_dim = "timestep" if "timestep" in array.dims else "unit"
        alone = 0 if array.sizes["sample"] == 1 else None
        # Windows from different dates lie over each other by their position, not by their dates.
        x = steps(array, x_dim, sample=alone)
        chosen: Sequence[int | None] = [None]
        if "channel" in array.dims:
            chosen = pick(array, "channel", channels, first=most).tolist()
            few = count(len(chosen), array.sizes["channel"], "channel")
            notes.append(f"{few} of {name}" if few and layers else few)
        elif channels is not None and not resolved:
            raise InputError(f"channels={channels!r}, but {name!r} has no dim 'channel'; accepted is None")
        for i in chosen:
            one = array if i is None else array.isel(channel=i)
            words = _whole(x_dim) if i is None else array.get_index("channel")[i]
            panel = (name, words) if layers else (words,)
            found += [Curve(panel, label, x, one.isel(sample=k)) for k, label in enumerate(array.get_index("sample"))]
    return Plan(found, ("layer", "channel") if layers else ("channel",), "sample", scaled.label, notes)


def _whole(x_dim: str) -> str:
    return "all channels" if x_dim == "timestep" else "units"


def _by_extractor(arrays: Mapping[str, xr.DataArray], samples: Any, channels: Any, scale: str | None) -> Plan:
    """Plan a curve for each extractor, of one sample."""
    for name, array in arrays.items():
        if "timestep" not in array.dims:
            raise InputError(f"{array.name} of {name!r} has no timesteps; draw it alone, or beside other layers")
    taken, _ = pick_samples(list(arrays.values()), samples, 1)
    if taken[0].sizes["sample"] > 1:
        raise InputError(
            f"curves of several extractors show one sample, and {taken[0].sizes['sample']} came; "
            f"give one label, such as samples={taken[0].get_index('sample').tolist()[0]!r}"
        )
    scaled = divide(taken, list(arrays), scale=scale)
    found: list[Curve] = []
    few = ""
    for name, array in zip(arrays, scaled.arrays, strict=True):
        if "channel" in array.dims:
            first = MOST_PANELS if array.sizes["channel"] <= MOST_PANELS else FEW_PANELS
            at = pick(array, "channel", channels, first=first)
            few = few or count(len(at), array.sizes["channel"], "channel")
            found += [
                Curve(
                    (array.get_index("channel")[i],), name, steps(array, "timestep", sample=0), array[0].isel(channel=i)
                )
                for i in at
            ]
    for name, array in zip(arrays, scaled.arrays, strict=True):
        if "channel" not in array.dims:
            found.append(Curve(("all channels",), name, steps(array, "timestep", sample=0), array[0]))
    shown = label_of(taken[0], "sample", taken[0].get_index("sample")[0])
    return Plan(found, ("channel",), "extractor", scaled.label, [shown, few])


def _index(plan: Plan) -> tuple[dict[str, pd.Index], list[tuple[Any, ...]], list[int]]:
    """Return the labels of the panels, as an index and as tuples, and how many each layer has."""
    keys = list(dict.fromkeys(curve.panel for curve in plan.curves))
    if len(plan.panel_dims) == 1:
        return {plan.panel_dims[0]: pd.Index([key[0] for key in keys])}, keys, [len(keys)]
    groups = pd.Series([key[0] for key in keys]).value_counts(sort=False).tolist()
    return {"panel": pd.MultiIndex.from_tuples(keys, names=plan.panel_dims)}, keys, groups


def _draw(plan: Plan, styles: Mapping[str, Any], *, share_y: bool, n_cols: int | None, ax: Any, figsize: Any) -> Panels:
    index, keys, groups = _index(plan)
    cells = wrap(groups, n_cols, figsize)
    panels = make_panels(index, ax=ax, figsize=wrapped_size(cells, figsize), cells=cells)
    names = list(dict.fromkeys(curve.name for curve in plan.curves))
    shades = dict(zip(names, colors(len(names)), strict=True))
    artists = np.full((len(keys), len(names)), None)
    for curve in plan.curves:
        i = keys.index(curve.panel)
        axes = panels.axes.values[i]
        set_limits(axes, curve.x)
        if styles["curve"] is not None:
            look = {"color": shades[curve.name], "linewidth": 0.5 if len(keys) > DENSE else 0.9, **styles["curve"]}
            artists[i, names.index(curve.name)] = draw_curve(curve.values, axes, x=curve.x, **look)
    if styles["curve"] is not None:
        coords = {**panels.axes.coords, plan.by: names}
        panels.artists["curve"] = xr.DataArray(artists, coords, (*panels.axes.dims, plan.by))
    if share_y:
        _share(panels, plan, keys)
    for axes in panels.axes.values if len(keys) > DENSE and panels.own else ():
        # Room for the name, which stands inside.
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + 0.35 * (high - low))
    firsts = {curve.panel: curve for curve in reversed(plan.curves)}
    _dress(panels, [firsts[key] for key in keys], cells, plan, styles, share_y=share_y)
    if len(names) > 1 and styles["legend"] is not None and styles["curve"] is not None:
        handles = [next(artist for artist in artists[:, k] if artist is not None) for k in range(len(names))]
        add_legend(panels, handles, [text(name) for name in names], plan.by, styles["legend"])
    return panels


def _share(panels: Panels, plan: Plan, keys: list[tuple[Any, ...]]) -> None:
    """Give panels one range of y: all of them, or those of each layer."""
    of = [key[0] if len(plan.panel_dims) > 1 else None for key in keys]
    for group in dict.fromkeys(of):
        members = [axes for axes, own in zip(panels.axes.values, of, strict=True) if own == group]
        limits = np.array([axes.get_ylim() for axes in members])
        for axes in members:
            axes.set_ylim(limits[:, 0].min(), limits[:, 1].max())


def _dress(
    panels: Panels,
    firsts: Sequence[Curve],
    cells: Sequence[tuple[int, int]],
    plan: Plan,
    styles: Mapping[str, Any],
    *,
    share_y: bool,
) -> None:
    """Write titles, labels and ticks, and lines at zero."""
    x_labels: dict[tuple[int, ...], str] = {}
    for i, (axes, curve) in enumerate(zip(panels.axes.values, firsts, strict=True)):
        under = below(cells, i)
        outer = under is None or not curve.x.same(firsts[under].x)
        low, high = axes.get_ylim()
        if styles["zero_line"] is not None and low <= 0 <= high:
            panels.keep("zero_line", draw_zero(axes, **styles["zero_line"]), (i,))
        *layer, channel = curve.panel
        name_panel(panels, i, ", ".join([*layer, channel_name(channel)]), styles["title"])
        if len(cells) > DENSE and panels.own:
            continue
        set_ticks(axes.xaxis, curve.x, show=outer)
        if share_y and cells[i][1]:
            axes.tick_params(axis="y", labelleft=False)
        if outer and curve.x.label:
            x_labels[i,] = curve.x.label
    label_axes(panels, "x", x_labels, styles["xlabel"], common=False)
    firsts_in_row: dict[tuple[int, ...], str] = {(i,): plan.label for i, cell in enumerate(cells) if cell[1] == 0}
    label_axes(panels, "y", firsts_in_row, styles["ylabel"], common=True)
    if len(cells) > DENSE and panels.own:
        plan.notes.append(hush(panels, x=firsts[0].x.span(), up=share_y and len(plan.panel_dims) == 1))
