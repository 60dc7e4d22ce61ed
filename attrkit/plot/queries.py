"""Self-attention as curves: what each query attends to, one thin curve over the keys."""

from collections.abc import Mapping
from typing import Any

import matplotlib
import xarray as xr
from matplotlib.colors import Normalize

from attrkit.errors import InputError
from attrkit.plot.draw import draw_bundle, draw_zero
from attrkit.plot.grid import Column, attention_columns, label_axes, label_columns, pick_samples
from attrkit.plot.labels import count, label_of
from attrkit.plot.panels import Panels, make_panels
from attrkit.plot.scale import Colors, draw_colorbar
from attrkit.plot.size import fit
from attrkit.plot.style import fold_to, settle
from attrkit.plot.theme import palette
from attrkit.plot.ticks import Steps, set_limits, set_ticks
from attrkit.plot.wrap import below, wrap, wrapped_size


def draw_queries(
    found: Mapping[str, xr.Dataset],
    *,
    samples: Any,
    max_timesteps: int | None,
    share_y: bool,
    n_cols: int | None,
    styles: Mapping[str, Any],
    ax: Any,
    figsize: Any,
) -> Panels:
    """Draw a panel for each layer and head of one sample, a curve for each query, coloured by when it is.

    Raises
    ------
    InputError
        If there are several extractors or samples.
    """
    if len(found) > 1:
        with_queries = [n for n, ds in found.items() if "attention" in ds and "query_timestep" in ds["attention"].dims]
        raise InputError(
            f"curves compare one value a timestep, and attention of {', '.join(map(repr, with_queries))} has queries; "
            'reduce it first, such as attrkit.reduce_attention(ds, "mean"), or draw it alone'
        )
    ((name, ds),) = found.items()
    columns, heads = attention_columns(ds, name)
    arrays, _ = pick_samples([column.data for column in columns], samples, 1)
    if arrays[0].sizes["sample"] > 1:
        raise InputError(
            f"curves of queries show one sample, and {arrays[0].sizes['sample']} came; "
            f"give one label, such as samples={arrays[0].get_index('sample').tolist()[0]!r}"
        )
    shown = label_of(arrays[0], "sample", arrays[0].get_index("sample")[0])
    n_keys = arrays[0].sizes["key_timestep"]
    short = "" if max_timesteps is None else count(min(max_timesteps, n_keys), n_keys, "key")
    arrays = [array.isel(key_timestep=slice(max_timesteps)) for array in arrays]
    columns = [column._replace(data=array) for column, array in zip(columns, arrays, strict=True)]
    labels, columns = label_columns(columns, show_name=False)
    cells = wrap([len(columns)], n_cols, figsize)
    width, height = wrapped_size(cells)
    size = fit(figsize, max(width, 4.8), height + 0.4)
    panels = make_panels({str(labels.name): labels}, ax=ax, figsize=size, cells=cells)
    _draw(panels, columns, cells, styles, share_y=share_y)
    panels.note([shown, heads, short], styles["note"])
    return panels


def _draw(
    panels: Panels,
    columns: list[Column],
    cells: list[tuple[int, int]],
    styles: Mapping[str, Any],
    *,
    share_y: bool,
) -> None:
    queries = columns[0].steps(0)[1]
    norm = Normalize(queries.edges[0], queries.edges[-1])
    own = dict(styles["curve"] or {})
    cmap = own.pop("cmap", palette().ordered)
    cmap = matplotlib.colormaps[cmap] if isinstance(cmap, str) else cmap
    top = max(float(column.data.max()) for column in columns)
    for i, (axes, column) in enumerate(zip(panels.axes.values, columns, strict=True)):
        x, y = column.steps(0)
        if styles["curve"] is not None:
            bundle = draw_bundle(column.matrix(0), axes, x=x, by=y.positions, norm=norm, cmap=cmap, **own)
            panels.keep("curve", bundle, (i,))
        set_limits(axes, x)
        set_ticks(axes.xaxis, x, show=(below(cells, i) is None))
        if share_y:
            axes.set_ylim(min(0.0, *(float(c.data.min()) for c in columns)), 1.05 * top or 1.0)
            axes.tick_params(axis="y", labelleft=cells[i][1] == 0)
        if styles["zero_line"] is not None:
            panels.keep("zero_line", draw_zero(axes, **styles["zero_line"]), (i,))
        if styles["title"] is not None:
            panels.keep("title", axes.set_title(fold_to(column.title, axes), **styles["title"]), (i,))
    labels = {(i,): column.steps(0)[0].label for i, column in enumerate(columns) if below(cells, i) is None}
    label_axes(panels, "x", labels, styles["xlabel"], common=True)
    words = str(columns[0].data.attrs.get("long_name", "attention weight"))
    label_axes(panels, "y", {(i,): words for i, cell in enumerate(cells) if not cell[1]}, styles["ylabel"], common=True)
    if styles["colorbar"] is not None and styles["curve"] is not None:
        _add_bar(panels, Colors(norm, cmap, queries.label, "neither"), queries, styles["colorbar"])


def _add_bar(panels: Panels, shades: Colors, queries: Steps, style: Mapping[str, Any]) -> None:
    """Draw the bar that tells which colour is which query, early ones on top as in the matrix."""
    bar = draw_colorbar(shades, list(panels.axes.values), **style)
    bar.set_label(shades.label)
    bar.ax.invert_yaxis()
    settle(bar.ax)
    set_ticks(bar.ax.yaxis, queries)
    panels.keep("colorbar", bar)
