"""How the values of an extractor or of a layer are distributed."""

from collections.abc import Mapping, Sequence
from reprlib import repr as short
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from attrkit.checks import one_of, whole_number
from attrkit.errors import InputError
from attrkit.plot.data import Data, content, datasets, pick
from attrkit.plot.draw import draw_corner, draw_hist, draw_zero
from attrkit.plot.grid import label_axes, pick_samples
from attrkit.plot.labels import channel_name, count, with_unit
from attrkit.plot.panels import Panels, make_panels
from attrkit.plot.scale import divide
from attrkit.plot.size import FigSize
from attrkit.plot.style import DENSE, Visuals, check_visuals, colors, styled
from attrkit.plot.wrap import MOST_PANELS, add_legend, below, hush, name_panel, wrap, wrapped_size
from attrkit.schema import CONTENT

VISUALS = ("hist", "zero_line", "title", "n", "xlabel", "ylabel", "legend", "note")
WAYS = ("extractor", "channel")


@styled
def hist(
    data: Data,
    *,
    variable: str | None = None,
    samples: Any = None,
    channels: Any = None,
    by: str = "extractor",
    bins: Any = 50,
    log: bool = False,
    scale: str | None = None,
    visuals: Visuals | None = None,
    ax: Any = None,
    figsize: FigSize | None = None,
) -> Panels:
    """Draw histograms of values: a panel for each extractor or layer, or for each channel.

    Signed values have a range symmetric about zero. Padding and missing values do not count; each panel says how
    many values do.

    Parameters
    ----------
    data : Dataset, DataTree, DataArray or mapping of str to Dataset
        One extractor, or several.
    variable : str, optional
        Which variable; if not given, of each entry the first that is there of attribution, attention, activation,
        input.
    samples : label or list of labels, optional
        All if not given.
    channels : label or list of labels, optional
        All if not given; by channel, the first 240.
    by : {"extractor", "channel"}, optional
        What a panel is. By channel, extractors are outlines over each other.
    bins : int or array_like, optional
        Number of bins, or their edges.
    log : bool, optional
        Whether counts have a logarithmic axis.
    scale : {"extractor", "sample", "shared"}, optional
        As for `heatmap`. By extractor, panels have axes of their own, and values stay as they are if not given.
    visuals : mapping of str to mapping or bool, optional
        Style of hist, zero_line, title, n, xlabel, ylabel, legend, note; False leaves one out.
    ax : Axes or array of Axes, optional
        Where to draw; as many as there are panels. The note is left out there.
    figsize : {"column", "page"}, float or (float, float), optional
        Width in print: of one column, 3.5 inches, of both, 7, or in inches, with the height that fits; or both sides.

    Returns
    -------
    Panels
        With one dim, `by`; artists "hist" have the dim ``extractor`` too.

    Raises
    ------
    InputError
        If the variable or a label is not there, or there is no value to count.

    Examples
    --------
    >>> from attrkit.schema import build
    >>> ds = build({"attribution": np.random.default_rng(0).normal(size=(2, 8, 3))}, attrs={"method": "gradient"})
    >>> panels = hist(ds, bins=10)
    >>> panels.artists["n"].sel(extractor="gradient").item().get_text()
    'n = 48'
    """
    styles = check_visuals(visuals, VISUALS)
    one_of(by, "by", WAYS)
    wanted = (*CONTENT, "input") if variable is None else (variable,)
    found = {name: content(ds, name, wanted) for name, ds in datasets(data).items()}
    taken, note = pick_samples(list(found.values()), samples, None)
    if by == "extractor" and scale is None:
        scale = "shared"
    scaled = divide(taken, list(found), scale=scale)
    arrays = dict(zip(found, scaled.arrays, strict=True))
    labels = {name: _unit(array) if scale == "shared" else scaled.label for name, array in arrays.items()}
    notes = [note]
    if by == "extractor":
        parts: dict[Any, dict[str, np.ndarray]] = {
            name: {name: _values(array, channels)} for name, array in arrays.items()
        }
    else:
        parts, few = _by_channel(arrays, channels)
        labels = dict.fromkeys(labels, scaled.label)
        notes.append(few)
    panels = _draw(parts, labels, by=by, bins=bins, styles=styles, ax=ax, figsize=figsize)
    if log:
        for axes in panels.axes.values:
            axes.set_yscale("log")
    if panels.own and panels.axes.size > DENSE:
        low, high = panels.axes.values[0].get_xlim()
        sizes = {len(values) for part in parts.values() for values in part.values()}
        notes.append(f"n = {min(sizes):,}" + (f" to {max(sizes):,}" if len(sizes) > 1 else "") + " in each")
        notes.append(hush(panels, x=f"{low:.2g} to {high:.2g}" if by == "channel" else ""))
    panels.note(notes, styles["note"])
    return panels


def _unit(array: xr.DataArray) -> str:
    name = str(array.attrs.get("long_name", array.name))
    return with_unit(name, array.attrs)


def _values(array: xr.DataArray, channels: Any) -> np.ndarray:
    """Flatten an array to the values that count."""
    if channels is not None and "channel" in array.dims:
        array = array.isel(channel=pick(array, "channel", channels))
    flat = array.values.ravel()
    return flat[~np.isnan(flat)]


def _by_channel(arrays: Mapping[str, xr.DataArray], channels: Any) -> tuple[dict[Any, dict[str, np.ndarray]], str]:
    """Collect values by channel, then extractor; those that resolve no channels come last, in a panel of their own."""
    parts: dict[Any, dict[str, np.ndarray]] = {}
    note = ""
    for name, array in arrays.items():
        if "channel" in array.dims:
            at = pick(array, "channel", channels, first=MOST_PANELS)
            note = note or count(len(at), array.sizes["channel"], "channel")
            for i in at:
                label = array.get_index("channel")[i]
                parts.setdefault(label, {})[name] = _values(array.isel(channel=i), None)
    for name, array in arrays.items():
        if "channel" not in array.dims:
            parts.setdefault("all channels", {})[name] = _values(array, None)
    return parts, note


def _read_edges(bins: Any) -> np.ndarray:
    try:
        edges = np.asarray(bins, dtype=float)
    except (TypeError, ValueError):
        edges = np.empty(0)
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all() or not np.isfinite(edges).all():
        raise InputError(f"bins={short(bins)}; accepted are a whole number of bins above 0, or their rising edges")
    return edges


def _edges(values: np.ndarray, bins: Any) -> np.ndarray:
    """Choose bin edges, symmetric about zero if any value is negative."""
    if isinstance(bins, list | tuple | np.ndarray):
        return _read_edges(bins)
    bins = whole_number(bins, "bins", least=1)
    low, high = float(values.min()), float(values.max())
    if low < 0:
        low, high = -max(-low, high), max(-low, high)
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, bins + 1)


def _draw(
    parts: Mapping[Any, Mapping[str, np.ndarray]],
    labels: Mapping[str, str],
    *,
    by: str,
    bins: Any,
    styles: Mapping[str, Any],
    ax: Any,
    figsize: Any,
) -> Panels:
    cells = wrap([len(parts)], None, figsize)
    panels = make_panels({by: pd.Index(list(parts))}, ax=ax, figsize=wrapped_size(cells, figsize), cells=cells)
    names = list(dict.fromkeys(name for part in parts.values() for name in part))
    shades = colors(len(names)) if by == "channel" else colors(1) * len(names)
    artists = np.full((len(parts), len(names)), None)
    whole = np.concatenate([values for part in parts.values() for values in part.values()])
    for i, (key, part) in enumerate(parts.items()):
        axes = panels.axes.values[i]
        every = np.concatenate(list(part.values()))
        if not every.size:
            raise InputError(f"no value to count in {key!r}: all are padding or missing; at least one is needed")
        edges = _edges(every if by == "extractor" else whole, bins)
        for name, values in part.items() if styles["hist"] is not None else ():
            k = names.index(name)
            look = {"color": shades[k], "fill": by == "extractor" or len(names) == 1, **styles["hist"]}
            artists[i, k] = draw_hist(np.histogram(values, edges)[0], axes, edges=edges, **look)
        if styles["zero_line"] is not None and every.min() < 0:
            line = draw_zero(axes, vertical=True, **{"zorder": 3, **styles["zero_line"]})
            panels.keep("zero_line", line, (i,))
        # Room above the bars for the number of values.
        axes.margins(x=0, y=0.22)
        _words(panels, i, key, sorted({len(values) for values in part.values()}), styles)
    words = [labels[next(iter(part))] for part in parts.values()]
    differ = len(set(words)) > 1
    shown = {(i,): label for i, label in enumerate(words) if differ or below(cells, i) is None}
    label_axes(panels, "x", shown, styles["xlabel"], common=True)
    _keep(panels, artists, names, by, styles)
    return panels


def _words(panels: Panels, i: int, key: Any, counts: Sequence[int], styles: Mapping[str, Any]) -> None:
    """Write the name of one panel and the number of values behind each of its outlines."""
    axes = panels.axes.values[i]
    dense = panels.axes.size > DENSE
    name_panel(panels, i, channel_name(key), styles["title"])
    if styles["n"] is not None and not dense:
        panels.keep("n", draw_corner(f"n = {' or '.join(f'{n:,}' for n in counts)}", axes, **styles["n"]), (i,))
    if styles["ylabel"] is not None and i == 0 and not dense:
        panels.keep("ylabel", axes.set_ylabel("count", **styles["ylabel"]), (i,))


def _keep(panels: Panels, artists: np.ndarray, names: list[str], by: str, styles: Mapping[str, Any]) -> None:
    """Hold the histograms by label, with a legend where they lie over each other."""
    if styles["hist"] is None:
        return
    if by == "extractor":
        panels.artists["hist"] = xr.DataArray(np.diag(artists), panels.axes.coords, panels.axes.dims)
        return
    coords = {**panels.axes.coords, "extractor": names}
    panels.artists["hist"] = xr.DataArray(artists, coords, ("channel", "extractor"))
    if len(names) > 1 and styles["legend"] is not None:
        handles = [next(artist for artist in artists[:, k] if artist is not None) for k in range(len(names))]
        add_legend(panels, handles, names, "extractor", styles["legend"], may_lie=False)
