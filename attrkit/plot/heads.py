"""All attention heads of a model at a glance: a small matrix each, layers down, heads across."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

import numpy as np
import xarray as xr

from attrkit.errors import InputError
from attrkit.plot.data import Data, blank, datasets, only_dims, pick
from attrkit.plot.draw import draw_mesh
from attrkit.plot.grid import ATTENTION_DIMS, VISUALS, add_colorbar, label_axes, mesh_colors, with_own_labels
from attrkit.plot.labels import count, label_of, shorten, text
from attrkit.plot.panels import Panels, make_panels, title_rows
from attrkit.plot.scale import Colors, colors, divide
from attrkit.plot.size import FigSize, fit
from attrkit.plot.style import DENSE, Visuals, check_visuals, styled
from attrkit.plot.ticks import Steps, set_ticks, steps

MOST = 16
"""Layers, and heads, that are drawn unless the user names some: more would be smaller than a fingernail."""

MOST_WITH_TICKS = 8
"""Heads beside each other that leave room for ticks."""

WIDTH, HEIGHT = 7.0, 8.5
"""Inches of a page."""


@styled
def heads(
    data: Data,
    *,
    samples: Any = None,
    layer: Any = None,
    head: Any = None,
    robust: float | None = None,
    visuals: Visuals | None = None,
    ax: Any = None,
    figsize: FigSize | None = None,
) -> Panels:
    """Draw the attention of all layers and heads for one sample, a small matrix of queries by keys each.

    Layers are rows and heads are columns, on one scale that starts at zero. Padding is left out. Ticks are drawn where
    panels are large enough; else the note above says from where to where they go.

    Parameters
    ----------
    data : Dataset, DataTree, DataArray or mapping of str to Dataset
        One extractor with ``attention`` of dims (sample[, layer][, head], query_timestep, key_timestep); groups of a
        tree that hold none are left out.
    samples : label, optional
        The sample; the first if not given.
    layer, head : label or list of labels, optional
        The first 16 if not given.
    robust : float, optional
        Percentile of the weights at which colours end, such as 99, in place of their maximum.
    visuals : mapping of str to mapping or bool, optional
        Style of mesh, title (the heads), row_title (the layers), xlabel, ylabel, colorbar, note; False leaves one out.
    ax : Axes or array of Axes, optional
        Where to draw; as many as there are heads, layer by layer. The note is left out there.
    figsize : {"column", "page"}, float or (float, float), optional
        Width in print: of one column, 3.5 inches, of both, 7, or in inches, with the height that fits; or both sides.

    Returns
    -------
    Panels
        With dims ``layer`` and ``head``.

    Raises
    ------
    InputError
        If no attention with queries is there or that of several extractors, more than one sample is asked for, or a
        label is unknown.

    Examples
    --------
    >>> from attrkit.schema import build
    >>> ds = build({"attention": np.full((2, 3, 4, 5, 5), 0.2)}, attrs={"method": "attention"})
    >>> panels = heads(ds, samples=1)
    >>> panels.axes.sizes
    Frozen({'layer': 3, 'head': 4})
    >>> panels.artists["mesh"].sel(layer=2, head=3).item().get_array().shape
    (5, 5)
    """
    styles = check_visuals(visuals, VISUALS)
    cmap = mesh_colors(styles["mesh"])
    name, ds = _only_one(datasets(data))
    at = pick(ds, "sample", samples, first=1)
    if len(at) > 1:
        one = ds.get_index("sample").tolist()[at[0]]
        raise InputError(f"heads are drawn of one sample, and {len(at)} came; give one label, such as samples={one!r}")
    sample = label_of(ds, "sample", ds.get_index("sample")[at[0]])
    ds = _real(ds.isel(sample=at), name)
    array = with_own_labels(only_dims(blank(ds["attention"], ds), ATTENTION_DIMS, name), ds)
    x, y = steps(array, "key_timestep", sample=0), steps(array, "query_timestep", sample=0)
    notes = [sample]
    for dim, labels in {"layer": layer, "head": head}.items():
        if dim in array.dims:
            chosen = pick(array, dim, labels, first=MOST)
            notes.append("" if labels is not None else count(len(chosen), array.sizes[dim], dim))
            array = array.isel({dim: chosen})
        elif labels is not None:
            raise InputError(f"attention of {name!r} has no dim {dim!r}; its dims are {array.dims}")
        else:
            array = array.expand_dims({dim: [array.attrs.get(dim, "")]})
    array = array.isel(sample=0).transpose("layer", "head", "query_timestep", "key_timestep")
    index = {dim: array.get_index(dim) for dim in ("layer", "head")}
    panels = make_panels(index, ax=ax, figsize=_size(len(index["layer"]), len(index["head"]), figsize))
    ticks = panels.axes.size <= DENSE and len(index["head"]) <= MOST_WITH_TICKS
    names, pattern = tell_apart(index["layer"])
    notes.append(pattern)
    if not ticks:
        notes.append(f"each panel: queries down, {y.span()}; keys across, {x.span()}")
    scaled = divide([array], [name], scale="shared", robust=robust)
    shades = colors(scaled, robust=robust, cmap=cmap)
    _draw(panels, array, x, y, shades, styles, ticks=ticks)
    panels.note(notes, styles["note"])
    _frame(panels, shades, styles)
    _name(panels, [text(label) for label in index["head"]], names, styles)
    return panels


def _only_one(found: Mapping[str, xr.Dataset]) -> tuple[str, xr.Dataset]:
    """Return the one extractor that holds attention of queries by keys."""
    held = {name: ds for name, ds in found.items() if "attention" in ds}
    if not held:
        variables = {name: sorted(map(str, ds.data_vars)) for name, ds in found.items()}
        raise InputError(f"no attention to draw; the variables are {variables}; 'attention' is needed")
    if len(held) > 1:
        raise InputError(f"heads are drawn of one extractor, and {', '.join(map(repr, held))} hold attention; pass one")
    ((name, ds),) = held.items()
    if "query_timestep" not in ds["attention"].dims:
        raise InputError(
            f"attention of {name!r} has no queries, only {ds['attention'].dims}; attrkit.plot.attention draws it"
        )
    return name, ds


def _real(ds: xr.Dataset, name: str) -> xr.Dataset:
    """Leave the padding of one sample out."""
    if "mask" not in ds:
        return ds
    real = np.flatnonzero(ds["mask"].values[0])
    if not len(real):
        raise InputError(f"all timesteps of this sample of {name!r} are padding; there is nothing to draw")
    dims = ("timestep", "query_timestep", "key_timestep")
    return ds.isel({dim: real for dim in dims if ds.sizes.get(dim) == ds["mask"].shape[1]})


def tell_apart(labels: Iterable[Any]) -> tuple[list[str], str]:
    """Write of each label what the others do not have, and what they have in common.

    Examples
    --------
    >>> tell_apart(["encoder.layer.0.attention", "encoder.layer.1.attention"])
    (['0', '1'], 'layers: encoder.layer.*.attention')
    >>> tell_apart([0, 1])
    (['0', '1'], '')
    """
    names = [text(label) for label in labels]
    parts = [re.findall(r"[./_]|[^./_]+", name) for name in names]
    # One part at least is left of each.
    room = min(map(len, parts)) - 1
    first = _alike(parts)[:room]
    last = _alike([part[::-1] for part in parts])[: room - len(first)][::-1]
    rests = ["".join(part[len(first) : len(part) - len(last)]) for part in parts]
    if len(names) == 1 or not first + last:
        return [shorten(name) for name in names], ""
    return [shorten(rest) for rest in rests], f"layers: {''.join(first)}*{''.join(last)}"


def _alike(parts: Sequence[Sequence[str]]) -> list[str]:
    """Return the parts that all begin with."""
    return [column[0] for column in takewhile(lambda column: len(set(column)) == 1, zip(*parts, strict=False))]


def _size(n_rows: int, n_cols: int, figsize: FigSize | None) -> tuple[float, float]:
    side = min(1.9, (WIDTH - 1.3) / n_cols, (HEIGHT - 0.75) / n_rows)

    def height(width: float) -> float:
        return max(1.55, 0.75 + n_rows * min(side, (width - 1.3) / n_cols))

    return fit(figsize, max(3.2, 1.3 + n_cols * side), height)


def _draw(
    panels: Panels,
    array: xr.DataArray,
    x: Steps,
    y: Steps,
    shades: Colors,
    styles: Mapping[str, Any],
    *,
    ticks: bool,
) -> None:
    n_rows, n_cols = panels.axes.shape
    x_labels: dict[tuple[int, int], str] = {}
    y_labels: dict[tuple[int, int], str] = {}
    for row, col in np.ndindex(n_rows, n_cols):
        axes: Any = panels.axes.values[row, col]
        if styles["mesh"] is not None:
            look = {"norm": shades.norm, "cmap": shades.cmap, **styles["mesh"]}
            panels.keep("mesh", draw_mesh(array[row, col], axes, x=x, y=y, **look), (row, col))
        if not ticks:
            axes.set_xticks([])
            axes.set_yticks([])
            continue
        axes.tick_params(labelsize=6)
        set_ticks(axes.xaxis, x, show=row == n_rows - 1)
        set_ticks(axes.yaxis, y, show=col == 0)
        if row == n_rows - 1:
            x_labels[row, col] = x.label
        if col == 0:
            y_labels[row, col] = y.label
    label_axes(panels, "x", x_labels, styles["xlabel"], common=True)
    label_axes(panels, "y", y_labels, styles["ylabel"], common=True)


def _frame(panels: Panels, shades: Colors, styles: Mapping[str, Any]) -> None:
    """Set the colour bar, and of many panels, which no layout engine sets, the room around them."""
    look = styles["colorbar"]
    if panels.own and panels.figure.get_layout_engine() is None:
        width, height = panels.figure.bbox.width / panels.figure.dpi, panels.figure.bbox.height / panels.figure.dpi
        lines = panels.artists["note"].item().get_text().count("\n") + 1 if "note" in panels.artists else 0
        above = 0.08 + 0.13 * lines + (0.2 if styles["title"] is not None else 0.0)
        beside = 0.22 if styles["row_title"] is not None else 0.06
        right = beside if look is None else 0.5
        panels.figure.subplots_adjust(0.1 / width, 0.1 / height, 1 - right / width, 1 - above / height)
        look = look if look is None else {"pad": beside / (width - right), **look}
        if lines:
            panels.artists["note"].item().set_y(1 - 0.06 / height)
    if look is not None:
        add_colorbar(panels, shades, look)


def _name(panels: Panels, heads: Sequence[str], layers: Sequence[str], styles: Mapping[str, Any]) -> None:
    """Write heads above the first row and layers beside the last column, small where panels are."""
    small = {"fontsize": 6.5} if panels.axes.size > DENSE else {}
    if styles["title"] is not None:
        for col, name in enumerate(heads):
            axes = panels.axes.values[0, col]
            words = f"head {name}" if name else ""
            fits = 3.6 * len(words) <= 72 * axes.get_window_extent().width / axes.figure.dpi
            panels.keep("title", axes.set_title(words if fits else name, **{**small, **styles["title"]}), (0, col))
    if styles["row_title"] is not None:
        title_rows(panels, [f"layer {name}" if name else "" for name in layers], {**small, **styles["row_title"]})
