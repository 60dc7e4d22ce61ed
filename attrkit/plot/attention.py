"""Attention weights as they are: queries by keys, a panel for each sample, layer and head."""

from typing import Any

import numpy as np
import pandas as pd

from attrkit.errors import InputError
from attrkit.plot.data import Data, datasets
from attrkit.plot.draw import draw_mesh
from attrkit.plot.grid import (
    VISUALS,
    Column,
    add_colorbar,
    attention_columns,
    draw_grid,
    grey_means,
    grid_panels,
    label_columns,
    mesh_colors,
    pick_samples,
)
from attrkit.plot.labels import text
from attrkit.plot.marginals import draw_marginals, marginals_said, read_marginals
from attrkit.plot.panels import Panels, make_panels
from attrkit.plot.pool import crowded, pooling_said
from attrkit.plot.scale import Colors, colors, divide
from attrkit.plot.size import FigSize, fit
from attrkit.plot.style import Visuals, check_visuals, fold_to, styled
from attrkit.plot.ticks import place, set_ticks, steps

MOST_ROWS = 40
"""Samples of weighted attention that are drawn unless the user names some: each is one row."""


@styled
def attention(
    data: Data,
    *,
    samples: Any = None,
    layer: Any = None,
    head: Any = None,
    robust: float | None = None,
    marginals: bool | str = False,
    visuals: Visuals | None = None,
    ax: Any = None,
    figsize: FigSize | None = None,
) -> Panels:
    """Draw attention weights on one scale that starts at zero.

    Self-attention is the matrix of queries (down) by keys (across), a row for each sample and a column for each
    layer and head. Weighted attention, which has no queries, is one matrix of samples by keys. Padding is grey.

    Parameters
    ----------
    data : Dataset, DataTree, DataArray or mapping of str to Dataset
        Groups that hold no ``attention`` are left out.
    samples : label or list of labels, optional
        The first three if not given; the first 40 of weighted attention.
    layer, head : label or list of labels, optional
        If neither is given, the first eight combinations.
    robust : float, optional
        Percentile of the weights at which colours end, such as 99, in place of their maximum.
    marginals : bool or {"mean", "max"}, default False
        Draw, above each matrix of self-attention, the mean over its queries, which is how much each timestep is
        attended to, and at its right the mean over its keys, the same for all queries where rows sum to one; or
        the largest weight in place of the mean. Padding is in neither.
    visuals : mapping of str to mapping or bool, optional
        Style of mesh, marginals, title, row_title, xlabel, ylabel, colorbar, note; False leaves one out.
    ax : Axes or array of Axes, optional
        Where to draw; as many as there are panels. The note is left out there.
    figsize : {"column", "page"}, float or (float, float), optional
        Width in print: of one column, 3.5 inches, of both, 7, or in inches, with the height that fits; or both sides.

    Returns
    -------
    Panels
        With dims ``sample`` and the one of ``extractor``, ``layer``, ``head`` that there is more than one of; if
        there are several such, they are levels of the dim ``column``. Weighted attention: ``extractor`` alone.

    Raises
    ------
    InputError
        If `data` holds no attention, a label is unknown, or `marginals` are asked for where there are no queries.

    Examples
    --------
    >>> from attrkit.schema import build
    >>> ds = build({"attention": np.full((1, 2, 5, 5), 0.2)}, attrs={"method": "attention"})
    >>> panels = attention(ds)
    >>> panels.axes.sizes
    Frozen({'sample': 1, 'head': 2})
    >>> panels.artists["mesh"].sel(sample=0, head=1).item().norm.vmin
    0.0
    """
    styles = check_visuals(visuals, (*VISUALS, "marginals"))
    how = read_marginals(marginals)
    cmap = mesh_colors(styles["mesh"])
    everything = datasets(data)
    found = {name: ds for name, ds in everything.items() if "attention" in ds}
    if not found:
        held = {name: sorted(map(str, ds.data_vars)) for name, ds in everything.items()}
        raise InputError(f"no attention to draw; the variables are {held}; accepted is data that holds 'attention'")
    columns: list[Column] = []
    notes = []
    for name, ds in found.items():
        heads, note = attention_columns(ds, name, layer=layer, head=head)
        columns += heads
        notes.append(note)
    weighted = {column.y is None for column in columns}
    if len(weighted) > 1:
        kinds = {column.labels["extractor"]: "without" if column.y is None else "with" for column in columns}
        raise InputError(f"attention with queries and without does not fit one figure: {kinds}; draw one at a time")
    arrays, note = pick_samples([column.data for column in columns], samples, MOST_ROWS if True in weighted else 3)
    scaled = divide(arrays, ["attention"] * len(arrays), scale="shared", robust=robust)
    columns = [column._replace(data=array) for column, array in zip(columns, scaled.arrays, strict=True)]
    labels, columns = label_columns(columns, show_name=len(found) > 1)
    shades = colors(scaled, robust=robust, cmap=cmap)
    if True in weighted:
        if how is not None:
            raise InputError(f"marginals={marginals!r}, but this attention has no queries; accepted is False")
        panels, pooled = _draw_rows(columns, labels, shades, styles, ax=ax, figsize=figsize)
    else:
        panels = grid_panels(columns, row="sample", col=str(labels.name), labels=labels, ax=ax, figsize=figsize)
        edges = None
        if how is not None and styles["marginals"] is not None:
            edges = draw_marginals(panels, columns, how, styles["marginals"])
            notes.append(marginals_said(how))
        pooled = draw_grid(panels, columns, shades, styles, edges=edges)
    grey = grey_means(arrays, masked=any("mask" in ds for ds in found.values()))
    panels.note([note, *notes, grey, pooled], styles["note"])
    return panels


def _draw_rows(
    columns: list[Column], labels: pd.Index, shades: Colors, styles: dict[str, Any], *, ax: Any, figsize: Any
) -> tuple[Panels, str]:
    """Draw weighted attention: a panel for each layer and head, samples down, keys across; say what was pooled."""
    pooled: dict[str, None] = {}
    n_rows = columns[0].data.sizes["sample"]
    size = fit(figsize, max(4.8, 2.2 * len(columns)), 1.1 + min(4.5, max(0.8, 0.16 * n_rows)))
    cells = [(0, col) for col in range(len(columns))]
    panels = make_panels({str(labels.name): labels}, ax=ax, figsize=size, cells=cells)
    for col, column in enumerate(columns):
        axes = panels.axes.values[col]
        # Samples with time stamps of their own share no axis of dates: theirs is the position in the window.
        x = steps(column.data, column.x, sample=0 if n_rows == 1 else None)
        y = place(np.array([text(label) for label in column.data.get_index("sample")], dtype=object))
        if styles["mesh"] is not None:
            artist = draw_mesh(
                column.data.transpose("sample", column.x),
                axes,
                x=x,
                y=y,
                norm=shades.norm,
                cmap=shades.cmap,
                **styles["mesh"],
            )
            panels.keep("mesh", artist, (col,))
            pooled |= crowded(axes, x={column.x: len(x.positions)}, y={"sample": n_rows})
        set_ticks(axes.xaxis, x)
        set_ticks(axes.yaxis, y, show=col == 0)
        if styles["xlabel"] is not None and x.label:
            panels.keep("xlabel", axes.set_xlabel(x.label, **styles["xlabel"]), (col,))
        if styles["ylabel"] is not None and col == 0:
            words = str(column.data["sample"].attrs.get("long_name", "sample"))
            panels.keep("ylabel", axes.set_ylabel(words, **styles["ylabel"]), (col,))
        if styles["title"] is not None:
            panels.keep("title", axes.set_title(fold_to(column.title, axes), **styles["title"]), (col,))
    if styles["colorbar"] is not None:
        add_colorbar(panels, shades, styles["colorbar"])
    return panels, pooling_said(pooled)
