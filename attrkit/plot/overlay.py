"""The series a model saw, with the relevance of every step laid over it."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import xarray as xr
from matplotlib.patheffects import withStroke

from attrkit.checks import one_of
from attrkit.errors import InputError
from attrkit.plot.data import Data, content, datasets, one_value_a_step, only_dims, pick
from attrkit.plot.draw import STEPS_IN_A_DOT, draw_background, draw_curve, draw_relevance_line
from attrkit.plot.grid import add_colorbar, grey_means, label_axes, mesh_colors
from attrkit.plot.labels import channel_name, count, label_of, shorten
from attrkit.plot.panels import Panels, make_panels
from attrkit.plot.pool import crowded, pooling_said
from attrkit.plot.scale import Colors, colors, divide
from attrkit.plot.size import FigSize, fit
from attrkit.plot.style import Visuals, check_visuals, fold, fold_to, styled
from attrkit.plot.theme import palette
from attrkit.plot.ticks import set_limits, set_ticks, steps

VISUALS = ("relevance", "series", "title", "xlabel", "ylabel", "colorbar", "note")
KINDS = ("line", "background")
MOST_CHANNELS = 12
MOST_PANELS = 24
"""Channels, and panels, that are drawn unless the user names some: each channel is a row of the figure."""


@styled
def overlay(
    data: Data,
    *,
    samples: Any = None,
    channels: Any = None,
    kind: str = "line",
    scale: str | None = None,
    robust: float | None = None,
    visuals: Visuals | None = None,
    ax: Any = None,
    figsize: FigSize | None = None,
) -> Panels:
    """Draw the input series of one sample with the relevance of its steps, channels by extractors.

    An extractor that does not resolve channels shades the background of every channel in the same way, and says
    so; it never colours a line, for it tells nothing about that channel.

    Parameters
    ----------
    data : Dataset, DataTree, DataArray or mapping of str to Dataset
        With ``input``, and with ``attribution`` or weighted ``attention`` of shape (sample, key_timestep).
    samples : label, optional
        The sample; the first if not given.
    channels : label or list of labels, optional
        The first twelve if not given, or as many as fill 24 panels.
    kind : {"line", "background"}, optional
        Colour the line itself, or what is behind it.
    scale : {"extractor", "sample", "shared"}, optional
        As for `heatmap`.
    robust : float, optional
        Percentile of absolute values at which colours end, such as 99, in place of their maximum.
    visuals : mapping of str to mapping or bool, optional
        Style of relevance, series (the line behind a coloured line or before a background), title, xlabel, ylabel,
        colorbar, note; False leaves one out.
    ax : Axes or array of Axes, optional
        Where to draw; as many as there are panels. The note is left out there.
    figsize : {"column", "page"}, float or (float, float), optional
        Width in print: of one column, 3.5 inches, of both, 7, or in inches, with the height that fits; or both sides.

    Returns
    -------
    Panels
        With dims ``channel`` and ``extractor``.

    Raises
    ------
    InputError
        If the series is not there, attention still has queries, or more than one sample is asked for.

    Examples
    --------
    >>> import numpy as np
    >>> from attrkit.schema import build
    >>> x = xr.DataArray(np.random.default_rng(0).normal(size=(2, 8, 3)), dims=("sample", "timestep", "channel"))
    >>> panels = overlay(build({"attribution": 2 * x.values}, inputs=x, attrs={"method": "gradient"}))
    >>> panels.artists["relevance"].sel(channel=1, extractor="gradient").item().get_array().shape
    (8,)
    """
    one_of(kind, "kind", KINDS)
    styles = check_visuals(visuals, VISUALS)
    cmap = mesh_colors(styles["relevance"])
    found = datasets(data)
    series = _series(found)
    found = {name: ds for name, ds in found.items() if _explains(ds)}
    most = min(MOST_CHANNELS, max(1, MOST_PANELS // len(found)))
    at = pick(series, "sample", samples, first=1)
    if len(at) > 1:
        one = series.get_index("sample").tolist()[at[0]]
        raise InputError(f"an overlay shows one sample, and {len(at)} came; give one label, such as samples={one!r}")
    label = series.get_index("sample")[at[0]]
    total = series.sizes["channel"] if "channel" in series.dims else 1
    if "channel" in series.dims:
        series = series.isel(channel=pick(series, "channel", channels, first=most))
    series = series.isel(sample=at)
    arrays = [_relevance(ds, name, series, label) for name, ds in found.items()]
    scaled = divide(arrays, list(found), scale=scale, robust=robust)
    shades = colors(scaled, robust=robust, cmap=cmap)
    values = dict(zip(found, scaled.arrays, strict=True))
    panels = _draw(series, values, shades, kind=kind, styles=styles, ax=ax, figsize=figsize)
    if styles["colorbar"] is not None:
        add_colorbar(panels, shades, styles["colorbar"])
    notes = [label_of(series, "sample", label)]
    if "channel" in series.dims:
        notes.append(count(series.sizes["channel"], total, "channel"))
    masked = any("mask" in ds for ds in found.values())
    grey = grey_means(arrays, masked=masked) if kind == "background" else ""
    n = series.sizes["timestep"] // (STEPS_IN_A_DOT if kind == "line" else 1)
    pooled = crowded(panels.axes.values[0, 0], x={"timestep": n}, y={})
    panels.note([*notes, grey, pooling_said(pooled)], styles["note"])
    return panels


def _explains(ds: xr.Dataset) -> bool:
    return "attribution" in ds or "attention" in ds


def _series(found: Mapping[str, xr.Dataset]) -> xr.DataArray:
    """Return the series that was explained, blank where padded."""
    if not any(_explains(ds) for ds in found.values()):
        held = {name: sorted(map(str, ds.data_vars)) for name, ds in found.items()}
        raise InputError(f"nothing to lay over the series; the variables are {held}; 'attribution' is needed")
    for name, ds in found.items():
        if "input" in ds:
            return only_dims(content(ds, name, ["input"]), ("sample", "timestep", "channel"), name)
    raise InputError(
        f"no series to draw: {', '.join(map(repr, found))} hold no 'input'; "
        "build them with inputs=, or pass heatmap, which needs none"
    )


def _relevance(ds: xr.Dataset, name: str, series: xr.DataArray, label: Any) -> xr.DataArray:
    """Return the relevance of one extractor for the sample and channels of the series."""
    array = one_value_a_step(ds, name)
    if array.sizes["timestep"] != series.sizes["timestep"]:
        raise InputError(
            f"{name!r} has {array.sizes['timestep']} timesteps and the series {series.sizes['timestep']}; "
            "an overlay needs one value a timestep"
        )
    array = array.isel(sample=pick(array, "sample", [label]))
    if "channel" in array.dims and "channel" in series.dims:
        array = array.isel(channel=pick(array, "channel", series.get_index("channel").tolist()))
    return array


def _draw(
    series: xr.DataArray,
    values: Mapping[str, xr.DataArray],
    shades: Colors,
    *,
    kind: str,
    styles: Mapping[str, Any],
    ax: Any,
    figsize: Any,
) -> Panels:
    rows = series.get_index("channel") if "channel" in series.dims else pd.Index(["all channels"])
    height = 0.9 + max(0.95, len(rows) * (0.85 if len(rows) < 7 else 0.6))
    size = fit(figsize, 7.0 if len(values) > 1 else 4.8, height)
    index = {"channel": rows, "extractor": pd.Index(list(values))}
    panels = make_panels(index, ax=ax, figsize=size)
    x = steps(series, "timestep", sample=0)
    for row, channel in enumerate(rows):
        one = series.isel(sample=0, channel=row) if "channel" in series.dims else series.isel(sample=0)
        for col, (name, array) in enumerate(values.items()):
            axes = panels.axes.values[row, col]
            resolved = "channel" in array.dims
            relevance = array.isel(sample=0, channel=row) if resolved else array.isel(sample=0)
            _draw_panel(panels, (row, col), one, relevance, x, shades, resolved and kind == "line", styles)
            set_limits(axes, x)
            set_ticks(axes.xaxis, x, show=row == len(rows) - 1)
            axes.margins(y=0.12)
            if col:
                axes.tick_params(axis="y", labelleft=False)
            if row == 0 and styles["title"] is not None:
                words = name if resolved or "channel" not in series.dims else f"{name}, over all channels"
                panels.keep("title", axes.set_title(fold_to(words, axes), **styles["title"]), (row, col))
        if styles["ylabel"] is not None and "channel" in series.dims:
            words = fold(shorten(channel_name(channel), 26), 56, most=3)
            settings = {"rotation": 0, "ha": "right", "va": "center", **styles["ylabel"]}
            panels.keep("ylabel", panels.axes.values[row, 0].set_ylabel(words, **settings), (row, 0))
    x_labels = {(len(rows) - 1, col): x.label for col in range(len(values)) if x.label}
    label_axes(panels, "x", x_labels, styles["xlabel"], common=True)
    # Each label asks where all others are: of many rows, that takes longer than all else.
    if panels.own and len(rows) <= MOST_CHANNELS:
        panels.figure.align_ylabels(list(panels.axes.values[:, 0]))
    return panels


def _draw_panel(
    panels: Panels,
    at: tuple[int, int],
    series: xr.DataArray,
    relevance: xr.DataArray,
    x: Any,
    shades: Colors,
    on_line: bool,
    styles: Mapping[str, Any],
) -> None:
    """Draw the series of one panel, coloured itself or before its relevance."""
    axes = panels.axes.values[at]
    look = {"x": x, "norm": shades.norm, "cmap": shades.cmap}
    if styles["series"] is not None:
        # Behind a coloured line as its outline, for the colour of zero is nearly that of paper.
        line: dict[str, Any] = {"color": palette().pale, "linewidth": 2.8}
        if not on_line:
            # With a rim of the page's colour it is seen on every shade.
            rim = withStroke(linewidth=2.2, foreground=palette().page, alpha=0.75)
            line = {"color": palette().ink, "path_effects": [rim]}
        panels.keep("series", draw_curve(series, axes, x=x, **{**line, **styles["series"]}), at)
    if styles["relevance"] is not None:
        if on_line:
            artist: Any = draw_relevance_line(relevance, axes, of=series, **look, **styles["relevance"])
        else:
            artist = draw_background(relevance, axes, **look, **styles["relevance"])
        panels.keep("relevance", artist, at)
