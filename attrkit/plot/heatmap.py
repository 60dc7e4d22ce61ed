"""Heat maps of samples by extractors: when, and in which channel."""

from typing import Any

import pandas as pd

from attrkit.checks import one_of
from attrkit.errors import InputError
from attrkit.plot.data import Data, content, datasets, only_dims
from attrkit.plot.grid import (
    VISUALS,
    Column,
    attention_columns,
    draw_grid,
    grey_means,
    grid_panels,
    mesh_colors,
    pick_channels,
    pick_samples,
)
from attrkit.plot.panels import Panels
from attrkit.plot.scale import colors, divide
from attrkit.plot.size import FigSize, asked_width
from attrkit.plot.style import Visuals, check_visuals, styled

LEAST_COLUMN = 1.2
"""Inches of an extractor beside others, with its share of names and colour bar."""


@styled
def heatmap(
    data: Data,
    *,
    samples: Any = None,
    channels: Any = None,
    scale: str | None = None,
    robust: float | None = None,
    row: str | None = None,
    col: str | None = None,
    visuals: Visuals | None = None,
    ax: Any = None,
    figsize: FigSize | None = None,
) -> Panels:
    """Draw what each extractor found, timestep by channel, samples by extractors.

    An extractor that does not resolve channels has one row for all of them; attention that was not reduced
    is the matrix of queries by keys itself, a panel for each layer and head. Outputs of layers are drawn
    timestep by unit. Padding is grey.

    Parameters
    ----------
    data : Dataset, DataTree, DataArray or mapping of str to Dataset
        One extractor, or several.
    samples : label or list of labels, optional
        The first three if not given.
    channels : label or list of labels, optional
        All if not given.
    scale : {"extractor", "sample", "shared"}, optional
        What is one unit of colour: each extractor's largest absolute value over the samples drawn (the default
        for several, whose units differ), that of each extractor and sample, or the values themselves (the
        default for one).
    robust : float, optional
        Percentile of absolute values at which colours end, such as 99, in place of their maximum.
    row, col : {"sample", "extractor"}, optional
        If not given, extractors stand side by side; below each other if there are more of them than samples and
        `figsize` has no room for them.
    visuals : mapping of str to mapping or bool, optional
        Style of mesh, title, row_title, xlabel, ylabel, colorbar, note; False leaves one out.
    ax : Axes or array of Axes, optional
        Where to draw; as many as there are panels. The note is left out there.
    figsize : {"column", "page"}, float or (float, float), optional
        Width in print: of one column, 3.5 inches, of both, 7, or in inches, with the height that fits; or both sides.

    Returns
    -------
    Panels
        With dims `row` and `col`.

    Raises
    ------
    InputError
        If `data` holds no attribution, layer output or attention, has an output to choose, or a label is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from attrkit.schema import build
    >>> ds = build({"attribution": np.random.default_rng(0).normal(size=(2, 8, 3))}, attrs={"method": "gradient"})
    >>> panels = heatmap(ds)
    >>> panels
    <Panels (sample: 2, extractor: 1); artists: mesh, title, xlabel, ylabel, row_title, colorbar>
    >>> panels.artists["mesh"].sel(sample=1, extractor="gradient").item().get_array().shape
    (3, 8)
    """
    for name, side in (("row", row), ("col", col)):
        if side is not None:
            one_of(side, name, ("sample", "extractor"))
    styles = check_visuals(visuals, VISUALS)
    cmap = mesh_colors(styles["mesh"])
    found = datasets(data)
    columns: list[Column] = []
    notes = []
    for name, ds in found.items():
        if "attention" not in ds or "attribution" in ds:
            array = content(ds, name, ("attribution", "activation", "attention"))
            array = only_dims(array, ("sample", "timestep", "channel"), name)
            if "timestep" not in array.dims:
                raise InputError(
                    f"{array.name} of {name!r} has no timesteps, only {array.dims}; draw it with curves or hist"
                )
            columns.append(Column({"extractor": name}, name, array))
        else:
            heads, note = attention_columns(ds, name)
            notes.append(note)
            columns += [head._replace(title=f"{name}, {head.title}" if head.title else name) for head in heads]
    arrays, note = pick_samples([column.data for column in columns], samples, 3)
    arrays = pick_channels(arrays, channels)
    scaled = divide(arrays, [column.labels["extractor"] for column in columns], scale=scale, robust=robust)
    columns = [column._replace(data=array) for column, array in zip(columns, scaled.arrays, strict=True)]
    titles = pd.Index([column.title for column in columns], name="extractor")
    wide = asked_width(figsize)
    across = wide is None or wide / len(titles) >= LEAST_COLUMN or len(titles) <= arrays[0].sizes["sample"]
    if row is None:
        row = "extractor" if col == "sample" or (col is None and not across) else "sample"
    if col is None:
        col = "sample" if row == "extractor" else "extractor"
    panels = grid_panels(columns, row=row, col=col, labels=titles, ax=ax, figsize=figsize)
    pooled = draw_grid(panels, columns, colors(scaled, robust=robust, cmap=cmap), styles)
    masked = any("mask" in ds for ds in found.values())
    panels.note([note, *notes, grey_means(arrays, masked=masked), pooled], styles["note"])
    return panels
