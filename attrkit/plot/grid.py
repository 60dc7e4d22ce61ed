"""Grids of heat maps under one colour bar: what the plots of attribution and of attention share."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.colorbar import Colorbar

from attrkit.errors import InputError
from attrkit.plot.data import blank, only_dims, pick
from attrkit.plot.draw import draw_mesh
from attrkit.plot.labels import count, label_of, text
from attrkit.plot.panels import Panels, make_panels, title_rows
from attrkit.plot.pool import crowded, pooling_said
from attrkit.plot.scale import Colors, draw_colorbar
from attrkit.plot.size import fit
from attrkit.plot.style import fold, fold_to, settle
from attrkit.plot.ticks import OWN_LABELS, Steps, place, set_ticks, steps, twin_of
from attrkit.schema import COORDINATES

VISUALS = ("mesh", "title", "row_title", "xlabel", "ylabel", "colorbar", "note")
MOST_HEADS = 8
"""Layer and head combinations of one extractor that are drawn unless the user names some."""

Labelled = TypeVar("Labelled", xr.Dataset, xr.DataArray)

ATTENTION_DIMS = ("sample", "layer", "head", "query_timestep", "key_timestep")


class Column(NamedTuple):
    """One matrix a sample: its labels, the title, and values of shape (sample, y, x) or (sample, x)."""

    labels: dict[str, Any]
    title: str
    data: xr.DataArray

    @property
    def x(self) -> str:
        """Dim along x."""
        return next(str(dim) for dim in ("timestep", "key_timestep") if dim in self.data.dims)

    @property
    def y(self) -> str | None:
        """Dim along y, if there is one."""
        return next((str(dim) for dim in ("channel", "query_timestep") if dim in self.data.dims), None)

    def matrix(self, sample: int) -> xr.DataArray:
        """Values of one sample, of shape (y, x)."""
        one = self.data.isel(sample=sample)
        return one.transpose(self.y, self.x) if self.y else one.expand_dims("one")

    def steps(self, sample: int) -> tuple[Steps, Steps]:
        """Where the steps of x and of y lie for one sample."""
        if self.y == "query_timestep":
            return steps(self.data, self.x, sample=sample), steps(self.data, self.y, sample=sample)
        names = np.array(["all channels"])
        if self.y:
            names = np.array([text(label) for label in self.data.get_index(self.y)], dtype=object)
        return steps(self.data, self.x, sample=sample), place(names)


def attention_columns(
    ds: xr.Dataset, extractor: str, *, layer: Any = None, head: Any = None
) -> tuple[list[Column], str]:
    """Split attention into one matrix a layer and head, and say how many of them these are."""
    array = with_own_labels(only_dims(blank(ds["attention"], ds), ATTENTION_DIMS, extractor), ds)
    for dim, labels in {"layer": layer, "head": head}.items():
        if dim in array.dims:
            array = array.isel({dim: pick(array, dim, labels)})
        elif labels is not None:
            raise InputError(f"attention of {extractor!r} has no dim {dim!r}; its dims are {array.dims}")
    over = [dim for dim in ("layer", "head") if dim in array.dims]
    columns = []
    for at in np.ndindex(*(array.sizes[dim] for dim in over)):
        labels = {dim: array.get_index(dim)[i] for dim, i in zip(over, at, strict=True)}
        words = ", ".join(f"{dim} {text(label)}" for dim, label in labels.items())
        data = array.isel(dict(zip(over, at, strict=True)))
        columns.append(Column({"extractor": extractor, **labels}, words, data))
    most = len(columns) if head is not None or layer is not None else MOST_HEADS
    return columns[:most], count(min(most, len(columns)), len(columns), "attention head")


def with_own_labels(array: xr.DataArray, ds: xr.Dataset) -> xr.DataArray:
    """Give queries and keys the words, or time stamps, that each sample has of its own.

    Examples
    --------
    >>> ds = xr.Dataset({"attention": (("sample", "key_timestep"), [[0.25, 0.75]])},
    ...                 {"token": (("sample", "timestep"), [["so", "what"]])})
    >>> with_own_labels(ds["attention"], ds)["key_token"].values
    array([['so', 'what']], dtype='<U4')
    """
    for name in OWN_LABELS:
        for dim in ("query_timestep", "key_timestep"):
            own = ds.coords.get(name)
            if own is not None and own.dims == ("sample", "timestep") and own.sizes["timestep"] == array.sizes.get(dim):
                # "timestep attended to" becomes "token attended to".
                said = str(array[dim].attrs.get("long_name", COORDINATES[dim]))
                attrs = {**own.attrs, "long_name": said.replace("timestep", str(own.attrs.get("long_name", name)))}
                array = array.assign_coords({twin_of(name, dim): xr.Variable(("sample", dim), own.values, attrs)})
    return array


def label_columns(columns: Sequence[Column], *, show_name: bool) -> tuple[pd.Index, list[Column]]:
    """Name the columns by what differs between them: extractor, layer, head, or several of these."""
    rows = [{key: column.labels.get(key, "") for key in ("extractor", "layer", "head")} for column in columns]
    present = [key for key in ("extractor", "layer", "head") if any(key in column.labels for column in columns)]
    differ = [key for key in present if len({row[key] for row in rows}) > 1] or present[-1:]
    titled = []
    for column in columns:
        name = column.labels["extractor"] if show_name or not column.title else ""
        titled.append(column._replace(title=", ".join(part for part in (name, column.title) if part)))
    if len(differ) == 1:
        return pd.Index([row[differ[0]] for row in rows], name=differ[0]), titled
    index = pd.MultiIndex.from_tuples([tuple(row[key] for key in differ) for row in rows], names=differ)
    index.name = "column"
    return index, titled


def pick_samples(arrays: Sequence[Labelled], samples: Any, first: int | None) -> tuple[list[Labelled], str]:
    """Take the same samples of every array or dataset, and say how many of them these are."""
    labels = arrays[0].get_index("sample")[pick(arrays[0], "sample", samples, first=first)]
    taken = [array.isel(sample=pick(array, "sample", labels.tolist())) for array in arrays]
    return taken, count(len(labels), arrays[0].sizes["sample"], "sample")


def pick_channels(arrays: Sequence[xr.DataArray], channels: Any) -> list[xr.DataArray]:
    """Take channels of the arrays that have any."""
    resolved = [array for array in arrays if "channel" in array.dims]
    if channels is not None and not resolved:
        raise InputError(f"channels={channels!r}, but nothing here has a dim 'channel'; accepted is None")
    return [
        array.isel(channel=pick(array, "channel", channels)) if "channel" in array.dims else array for array in arrays
    ]


def grey_means(arrays: Sequence[xr.DataArray], *, masked: bool) -> str:
    """Say what blank cells are, if there are any."""
    if not any(bool(array.isnull().any()) for array in arrays):
        return ""
    return "grey: padding" if masked else "grey: no value"


def mesh_colors(style: dict[str, Any] | None) -> Any:
    """Take the colormap out of a user's style, for the colour bar needs it too; refuse a range."""
    for name in ("norm", "vmin", "vmax"):
        if style and name in style:
            raise InputError(f"{name!r} is no style: all panels share one range; choose it by scale and robust")
    return style.pop("cmap", None) if style else None


def draw_grid(
    panels: Panels,
    columns: Sequence[Column],
    colors: Colors | Sequence[Colors],
    styles: dict[str, Any],
    *,
    edges: tuple[np.ndarray, np.ndarray] | None = None,
) -> str:
    """Draw the matrices of all columns and samples with titles and labels.

    Parameters
    ----------
    panels : Panels
        With two dims; one of them is ``sample``.
    columns : sequence of Column
    colors : Colors or sequence of Colors
        One for all, or one a column; neighbours that share theirs share a colour bar.
    styles : dict
        By visual, see `VISUALS`.
    edges : pair of ndarray of Axes, optional
        Of the shape of `panels`: what stands above the panels, and beside them, and has their titles.

    Returns
    -------
    str
        What to note of panels with more cells than dots.
    """
    samples = columns[0].data.get_index("sample")
    names = [label_of(columns[0].data, "sample", label) for label in samples]
    titles = [column.title for column in columns]
    upright = panels.axes.dims[0] == "sample"
    shades = [colors] * len(columns) if isinstance(colors, Colors) else list(colors)
    above: Any
    above, beside = edges or (panels.axes.values, panels.axes.values)
    last_row = panels.axes.shape[0] - 1
    places = {}
    pooled: dict[str, None] = {}
    for row, col in np.ndindex(*panels.axes.shape):
        sample, column = (row, columns[col]) if upright else (col, columns[row])
        places[row, col] = (column, *column.steps(sample))
        if styles["mesh"] is not None:
            x, y = places[row, col][1:]
            ax: Any = panels.axes.values[row, col]
            own = shades[col if upright else row]
            artist = draw_mesh(column.matrix(sample), ax, x=x, y=y, norm=own.norm, cmap=own.cmap, **styles["mesh"])
            panels.keep("mesh", artist, (row, col))
            y_sizes = {column.y: len(y.positions)} if column.y else {}
            pooled |= crowded(ax, x={column.x: len(x.positions)}, y=y_sizes)
    x_labels: dict[tuple[int, int], str] = {}
    y_labels: dict[tuple[int, int], str] = {}
    for (row, col), (column, x, y) in places.items():
        ax = panels.axes.values[row, col]
        below, left = places.get((row + 1, col)), places.get((row, col - 1))
        outer_x = row == last_row or below is None or not below[1].same(x)
        outer_y = left is None or not left[2].same(y)
        set_ticks(ax.xaxis, x, show=outer_x)
        set_ticks(ax.yaxis, y, show=outer_y)
        if column.y is None:
            ax.tick_params(axis="y", length=0, labelrotation=90)
            for label in ax.get_yticklabels():
                label.set_va("center")
        if row == last_row and x.label:
            x_labels[row, col] = x.label
        if outer_y and _needs_label(column):
            y_labels[row, col] = y.label or str(column.data[column.y].attrs.get("long_name", column.y))
        if styles["title"] is not None and row == 0:
            words = titles[col] if upright else names[col]
            panels.keep("title", above[row, col].set_title(fold_to(words, ax), **styles["title"]), (row, col))
    label_axes(panels, "x", x_labels, styles["xlabel"], common=len(x_labels) == panels.axes.shape[1])
    label_axes(panels, "y", y_labels, styles["ylabel"], common={col for _, col in y_labels} == {0})
    if styles["row_title"] is not None:
        title_rows(panels, names if upright else titles, styles["row_title"], beside=beside[:, -1])
    if styles["colorbar"] is not None:
        _add_colorbars(panels, shades, styles["colorbar"], upright=upright)
    return pooling_said(pooled)


def _add_colorbars(panels: Panels, shades: Sequence[Colors], style: dict[str, Any], *, upright: bool) -> None:
    """Draw a colour bar beside each group of columns that share their colours."""
    if all(own is shades[0] for own in shades):
        add_colorbar(panels, shades[0], style)
        return
    held = np.full(len(shades), None)
    for own in dict.fromkeys(map(id, shades)):
        members = [i for i, one in enumerate(shades) if id(one) == own]
        axes = panels.axes.values[:, members] if upright else panels.axes.values[members]
        held[members] = add_colorbar(panels, shades[members[0]], style, axes=axes)
    dim = panels.axes.dims[1 if upright else 0]
    panels.artists["colorbar"] = xr.DataArray(held, {dim: panels.axes[dim]}, (dim,))


def label_axes(
    panels: Panels,
    axis: str,
    labels: Mapping[Any, str],
    style: Mapping[str, Any] | None,
    *,
    common: bool,
) -> None:
    """Label the x or y axes of panels: once for the figure if they have one label in `common`, else each."""
    if style is None or not labels:
        return
    figure = panels.figure
    if panels.own and common and len(labels) > 1 and len(set(labels.values())) == 1:
        words = next(iter(labels.values()))
        length = (figure.bbox.width if axis == "x" else figure.bbox.height) / figure.dpi * 72
        write = figure.supxlabel if axis == "x" else figure.supylabel
        panels.keep(f"{axis}label", write(fold(words, 0.9 * length), **{"fontsize": 8, **style}))
        return
    for at, words in labels.items():
        ax: Any = panels.axes.values[at]
        folded = fold_to(words, ax, along="width" if axis == "x" else "height")
        write = ax.set_xlabel if axis == "x" else ax.set_ylabel
        panels.keep(f"{axis}label", write(folded, **style), at)


def _needs_label(column: Column) -> bool:
    """Names of channels speak for themselves; numbers do not."""
    if column.y is None:
        return False
    labels = column.data.get_index(column.y)
    return column.y == "query_timestep" or pd.api.types.is_numeric_dtype(labels.dtype)


def add_colorbar(panels: Panels, colors: Colors, style: dict[str, Any], *, axes: np.ndarray | None = None) -> Colorbar:
    """Draw the colour bar of the figure, or of some of its axes, its label in as many lines as its height needs."""
    bar = draw_colorbar(colors, list((panels.axes.values if axes is None else axes).ravel()), **style)
    settle(bar.ax)
    figure = panels.figure
    bar.set_label(fold(colors.label, 0.8 * figure.bbox.height / figure.dpi * 72))
    panels.keep("colorbar", bar)
    return bar


def grid_panels(columns: Sequence[Column], *, row: str, col: str, labels: pd.Index, ax: Any, figsize: Any) -> Panels:
    """Lay out a grid with room for as many channels as the columns have."""
    if "sample" not in (row, col) or row == col:
        raise InputError(f"row={row!r}, col={col!r}; accepted are 'sample' and '{labels.name}', one each")
    samples = columns[0].data.get_index("sample")
    index: dict[str, pd.Index] = {dim: samples if dim == "sample" else labels for dim in (row, col)}
    n_rows, n_cols = (len(index[dim]) for dim in (row, col))
    squares = any(column.y == "query_timestep" for column in columns)
    # Matrices of queries by keys are about square, and no larger than they need be.
    width = max(min(7.0, 1.2 + 2.5 * n_cols) if squares else 4.8 if n_cols == 1 else 7.0, 0.87 * n_cols)
    lines = max((column.data.sizes["channel"] for column in columns if column.y == "channel"), default=1)
    least = float(np.clip(0.13 * lines, 0.75, 3.0))

    def height(width: float) -> float:
        each = max(least, (width - 1.2) / n_cols) if squares else least
        return max(1.9, 0.75 + n_rows * (each + 0.08))

    return make_panels(index, ax=ax, figsize=fit(figsize, width, height))
