"""Two extractors against each other, value by value."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import ListedColormap, LogNorm

from attrkit.checks import one_of
from attrkit.errors import InputError
from attrkit.metrics import agreement, interval
from attrkit.metrics.scores import read_scores
from attrkit.plot.data import Data, datasets, two_of
from attrkit.plot.draw import draw_zero
from attrkit.plot.grid import add_colorbar, label_axes, pick_samples
from attrkit.plot.labels import label_of
from attrkit.plot.panels import Panels, make_panels
from attrkit.plot.scale import Colors, divide
from attrkit.plot.size import FigSize, fit
from attrkit.plot.style import Visuals, check_visuals, styled
from attrkit.plot.theme import palette
from attrkit.plot.weights import draw_cloud
from attrkit.plot.wrap import below, wrap

VISUALS = ("dots", "hexbin", "zero_line", "title", "xlabel", "ylabel", "colorbar", "note")
KINDS = ("dots", "hexbin")
MOST_DOTS = 2000
"""Values in a panel that are drawn as dots; of more, hexagons say how many there are."""

MOST_SAMPLES = 6
SYMBOLS = {"kendall_tau": "\N{GREEK SMALL LETTER TAU}", "spearman": "\N{GREEK SMALL LETTER RHO}"}


@styled
def scatter(
    data: Data,
    x: str | None = None,
    y: str | None = None,
    *,
    channels: str | None = None,
    attention: Any = None,
    layer: Any = None,
    head: Any = None,
    absolute: bool = True,
    samples: Any = None,
    pooled: bool = False,
    metric: str | Sequence[str] = ("kendall_tau", "spearman"),
    kind: str | None = None,
    scale: str = "shared",
    visuals: Visuals | None = None,
    ax: Any = None,
    figsize: FigSize | None = None,
) -> Panels:
    """Draw what two extractors say of the same items, a panel a sample, with how far they agree.

    Items are what `attrkit.metrics.agreement` compares: timesteps, or channels at timesteps where both resolve them.
    Padding is none. The numbers in the titles are of the items within one sample, whatever is drawn together.

    Parameters
    ----------
    data : DataTree, or mapping of str to Dataset
        Two extractors, or more of which two are named.
    x, y : str, optional
        Names of the two extractors; the first two if not given.
    channels : {"sum", "abs_sum"}, optional
        How to bring attributions with channels to those without, as `attrkit.stack` takes it; needed where only one has
        channels.
    attention, layer, head : optional
        How to reduce attention of queries by keys, as `attrkit.stack` takes it.
    absolute : bool, default True
        Draw and compare magnitudes; if false the values as they are.
    samples : label or list of labels, optional
        The first six if not given; all if they are pooled.
    pooled : bool, default False
        One panel for all samples; then the numbers are means over samples with their 95% intervals.
    metric : str or sequence of str, default ("kendall_tau", "spearman")
        Of `attrkit.metrics.agreement`.
    kind : {"dots", "hexbin"}, optional
        If not given, dots up to 2,000 values in a panel, else hexagons coloured by how many values they hold.
    scale : {"shared", "extractor", "sample"}, default "shared"
        Draw values in their units, or divided by the largest magnitude of the extractor, or of each of its samples.
    visuals : mapping of str to mapping or bool, optional
        Style of dots, hexbin, zero_line, title, xlabel, ylabel, colorbar, note; False leaves one out.
    ax : Axes or array of Axes, optional
        Where to draw; as many as there are panels. The note is left out there.
    figsize : {"column", "page"}, float or (float, float), optional
        Width in print: of one column, 3.5 inches, of both, 7, or in inches, with the height that fits; or both sides.

    Returns
    -------
    Panels
        With the dim ``sample``, of the label ``"all"`` if pooled.

    Raises
    ------
    InputError
        If an extractor, a metric or a label is not there, extractors cannot be compared without `channels` or
        `attention`, or there is no value to draw.
    MissingDependencyError
        If scipy is not installed, for intervals and for ``kendall_tau`` of more than 600 items.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> slope = rng.normal(size=(3, 40))
    >>> tree = attrkit.from_arrays({"gradient": slope, "noisy": slope + rng.normal(size=slope.shape)})
    >>> panels = attrkit.plot.scatter(tree, "gradient", "noisy")
    >>> panels.artists["dots"].sel(sample=1).item().get_offsets().shape
    (40, 2)
    """
    styles = check_visuals(visuals, VISUALS)
    if kind is not None:
        one_of(kind, "kind", KINDS)
    found = datasets(data)
    names = two_of(list(found), x=x, y=y)
    shown, _ = pick_samples([found[name] for name in names], samples, None if pooled else MOST_SAMPLES)
    pair = dict(zip(names, shown, strict=True))
    how = {"channels": channels, "attention": attention, "layer": layer, "head": head}
    scores, real = read_scores(pair, **how)
    scores = scores.where(np.isfinite(scores) & real)
    agreed = agreement(pair, metrics=metric, absolute=absolute, **how).sel(extractor=names[0], other=names[1])
    arrays, labels = [], []
    for name in names:
        array, label = _in_unit(scores.sel(extractor=name), pair[name], scale=scale, absolute=absolute)
        arrays.append(array)
        labels.append(label)
    parts = _parts(arrays, pooled=pooled)
    if kind is None:
        kind = "dots" if max(map(len, parts.values())) <= MOST_DOTS else "hexbin"
    cells = wrap([len(parts)], None, figsize)
    rows, cols = (1 + max(at) for at in zip(*cells, strict=True))
    size = fit(figsize, 3.5 if cols == 1 else 7.0, lambda width: 0.7 + rows * (0.85 * (width - 0.6) / cols + 0.35))
    panels = make_panels({"sample": pd.Index(list(parts))}, ax=ax, figsize=size, cells=cells)
    _draw(panels, parts, kind, styles)
    _label(panels, cells, labels, styles)
    if styles["title"] is not None:
        for i, label in enumerate(parts):
            words = _numbers(agreed if pooled else agreed.isel(sample=i))
            title = words if pooled else f"{label_of(scores, 'sample', label)}\n{words}"
            panels.keep("title", panels.axes.values[i].set_title(title, **styles["title"]), (i,))
    total = found[names[0]].sizes["sample"]
    items = "channels at timesteps" if "channel" in scores.dims else "timesteps"
    notes = _notes(agreed, how, total=total, pooled=pooled, absolute=absolute, items=items)
    panels.note(notes, styles["note"])
    return panels


def _in_unit(array: xr.DataArray, ds: xr.Dataset, *, scale: str, absolute: bool) -> tuple[xr.DataArray, str]:
    """Return the values of an extractor in the unit to draw, and the words for it."""
    name = str(array["extractor"].item())
    units = ds["attribution"].attrs.get("units", "") if "attribution" in ds else ""
    named = array.drop_vars("extractor").assign_attrs(long_name=name, units=units)
    ((values,), label, _) = divide([named], [name], scale=scale)
    return (abs(values), label.replace(name, f"|{name}|", 1)) if absolute else (values, label)


def _parts(arrays: Sequence[xr.DataArray], *, pooled: bool) -> dict[Any, np.ndarray]:
    """Return pairs of values that are both there, of shape (item, 2), by panel."""
    both = np.stack([array.transpose("sample", ...).values for array in arrays], axis=-1)
    both = both.reshape(len(both), -1, 2)
    known = np.isfinite(both).all(axis=-1)
    if not known.any():
        raise InputError("no value to draw: all are padding or missing; at least one is needed")
    if pooled:
        return {"all": both[known]}
    labels = arrays[0].get_index("sample")
    return {label: own[there] for label, own, there in zip(labels, both, known, strict=True)}


def _draw(panels: Panels, parts: Mapping[Any, np.ndarray], kind: str, styles: Mapping[str, Any]) -> None:
    """Draw all panels with the same axes, and hexagons with the same colours."""
    whole = np.concatenate(list(parts.values()))
    low, high = whole.min(axis=0), whole.max(axis=0)
    room = np.where(high > low, 0.04 * (high - low), 0.5)
    signed = low < 0
    (left, bottom), (right, top) = low - room, high + room
    artists = []
    for i, values in enumerate(parts.values()):
        axes = panels.axes.values[i]
        axes.set_xlim(left, right)
        axes.set_ylim(bottom, top)
        if styles["zero_line"] is not None:
            lines = [draw_zero(axes, vertical=way, **styles["zero_line"]) for way in (True, False) if signed[1 - way]]
            panels.keep("zero_line", lines, (i,))
        if styles[kind] is None or not len(values):
            continue
        if kind == "dots":
            artist: Any = draw_cloud(values[:, 0], values[:, 1], axes, **styles["dots"])
        else:
            artist = draw_hexbin(values[:, 0], values[:, 1], axes, extent=(left, right, bottom, top), **styles[kind])
        artists.append(artist)
        panels.keep(kind, artist, (i,))
    if kind == "hexbin" and artists:
        norm = LogNorm(1, max(2, *(int(artist.get_array().max()) for artist in artists)))
        for artist in artists:
            artist.set_norm(norm)
        if styles["colorbar"] is not None:
            colors = Colors(norm, artists[0].get_cmap(), "number of values", "neither")
            add_colorbar(panels, colors, styles["colorbar"])


def draw_hexbin(
    x: np.ndarray, y: np.ndarray, ax: Axes, *, extent: tuple[float, float, float, float], **style: Any
) -> PolyCollection:
    """Draw how many values lie where, as coloured hexagons; those without any are left out.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> hexagons = draw_hexbin(np.zeros(9), np.zeros(9), Figure().subplots(), extent=(-1, 1, -1, 1))
    >>> hexagons.get_array().data
    array([9.])
    """
    # From a quarter on, for the colour of one value has to stand out from the page.
    shades = ListedColormap(palette().sequential(np.linspace(0.25, 1, 256)), name="counts")
    return ax.hexbin(
        x, y, **{"gridsize": 30, "mincnt": 1, "extent": extent, "linewidths": 0.1, "cmap": shades, **style}
    )


def _label(panels: Panels, cells: Sequence[tuple[int, int]], labels: Sequence[str], styles: Mapping[str, Any]) -> None:
    outer_x = [i for i in range(len(cells)) if below(cells, i) is None]
    outer_y = [i for i, cell in enumerate(cells) if cell[1] == 0]
    label_axes(panels, "x", {(i,): labels[0] for i in outer_x}, styles["xlabel"], common=True)
    label_axes(panels, "y", {(i,): labels[1] for i in outer_y}, styles["ylabel"], common=True)
    for i, axes in enumerate(panels.axes.values if panels.own else ()):
        axes.tick_params(labelbottom=i in outer_x, labelleft=i in outer_y)


def _numbers(agreed: xr.Dataset) -> str:
    """Write how far two extractors agree: on one sample, or the mean over samples with its interval."""
    words = []
    for name in agreed["metric"].values:
        values = agreed[name]
        said = f"{SYMBOLS.get(name, name)} = "
        if not values.notnull().any():
            words.append(f"{said}n/a")
        elif not values.ndim:
            words.append(f"{said}{float(values):.2f}")
        else:
            mean, low, high = (float(interval(values)[end]) for end in ("estimate", "low", "high"))
            words.append(f"{said}{mean:.2f}" + ("" if np.isnan(low) else f" [{low:.2f}, {high:.2f}]"))
    return ", ".join(words).replace("-", "\N{MINUS SIGN}")


def _notes(
    agreed: xr.Dataset, how: Mapping[str, Any], *, total: int, pooled: bool, absolute: bool, items: str
) -> list[str]:
    names = [f"{SYMBOLS[n]}: {agreed[n].attrs['long_name']}" for n in agreed["metric"].values if n in SYMBOLS]
    n = agreed.sizes["sample"]
    what = "magnitudes" if absolute else "values"
    means = f", mean over {n} samples with 95% interval" if pooled else ""
    chosen = [f"{key}: {value}" for key, value in how.items() if value is not None]
    few = "" if n == total else f"{n:,} of {total:,} samples"
    numbers = f"{', '.join(names)}, of {what} within a sample{means}" if names else ""
    return [few, f"items: {items}", numbers, *chosen]
