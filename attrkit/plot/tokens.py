"""Text with the relevance of its tokens: words in reading order, each on a ground of its colour."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from attrkit.checks import whole_number
from attrkit.errors import InputError
from attrkit.plot.data import Data, datasets, enumerate_labels, one_value_a_step, only_dims, pick
from attrkit.plot.grid import add_colorbar, mesh_colors
from attrkit.plot.labels import count, label_of
from attrkit.plot.panels import Panels, make_panels
from attrkit.plot.scale import Colors, colors, divide, draw_colorbar
from attrkit.plot.size import FigSize, fit
from attrkit.plot.style import Visuals, check_visuals, fold, settle, styled
from attrkit.plot.ticks import steps
from attrkit.plot.words import LINE, SIZE, break_lines, draw_cells, draw_words

VISUALS = ("cells", "text", "title", "colorbar", "note")
MOST_SAMPLES = 3
MOST_TOKENS = 128
"""Tokens of a sample that are drawn unless the user says how many: some eight lines as wide as a page."""

WIDTH = 7.0
# Inches of what stands around the strips.
MARGIN, NOTE, TITLE, BETWEEN, BAR = 0.07, 0.17, 0.2, 0.05, 0.46


class Strip(NamedTuple):
    """The words of one sample, with the values of one extractor, of shape (timestep,)."""

    sample: str
    extractor: str
    words: list[str]
    values: xr.DataArray


@styled
def tokens(
    data: Data,
    *,
    samples: Any = None,
    scale: str | None = None,
    robust: float | None = None,
    max_timesteps: int | None = None,
    visuals: Visuals | None = None,
    ax: Any = None,
    figsize: FigSize | None = None,
) -> Panels:
    r"""Draw text with the relevance of its tokens behind them, a strip for each sample and extractor.

    Tokens stand in reading order and as the tokenizer has them, with its marks of subwords; a new line is written as
    ``\n``. Padding is left out.

    Parameters
    ----------
    data : Dataset, DataTree, DataArray or mapping of str to Dataset
        With ``attribution`` of dims (sample, timestep), or weighted ``attention`` of dims (sample, key_timestep). Words
        are the coordinate ``token`` of dims (sample, timestep), or labels of ``timestep`` that are text. An extractor
        without words has those of another.
    samples : label or list of labels, optional
        The first three if not given.
    scale : {"extractor", "sample", "shared"}, optional
        As for `heatmap`.
    robust : float, optional
        Percentile of absolute values at which colours end, such as 99, in place of their maximum.
    max_timesteps : int, optional
        Draw no more than the first so many tokens of a sample; 128 if not given.
    visuals : mapping of str to mapping or bool, optional
        Style of cells, text, title, colorbar, note; False leaves one out.
    ax : Axes or array of Axes, optional
        Where to draw; as many as there are strips, sample by sample. The note is left out there.
    figsize : {"column", "page"}, float or (float, float), optional
        Width in print: of one column, 3.5 inches, of both, 7, or in inches, with the height that fits; or both sides.

    Returns
    -------
    Panels
        With dims ``sample`` and ``extractor``. Artists "cells" hold the values of all tokens of a strip, artists "text"
        are lists of words.

    Raises
    ------
    InputError
        If there is no attribution or no text, a token has more values than one, or a label is unknown.

    Examples
    --------
    >>> from attrkit.schema import build
    >>> words = np.array([["not", "bad", "at", "all"], ["bad", "[PAD]", "[PAD]", "[PAD]"]], dtype=object)
    >>> ds = build(
    ...     {"attribution": np.arange(8.0).reshape(2, 4), "mask": words != "[PAD]"},
    ...     coords={"token": (("sample", "timestep"), words)},
    ...     attrs={"method": "lrp"},
    ... )
    >>> panels = tokens(ds)
    >>> [word.get_text() for word in panels.artists["text"].sel(sample=0, extractor="lrp").item()]
    ['not', 'bad', 'at', 'all']
    >>> panels.artists["cells"].sel(sample=1, extractor="lrp").item().get_array().data
    array([4.])
    """
    styles = check_visuals(visuals, VISUALS)
    cmap = mesh_colors(styles["cells"])
    most = MOST_TOKENS if max_timesteps is None else whole_number(max_timesteps, "max_timesteps", least=1)
    found = datasets(data)
    whole = {name: _one_value(ds, name) for name, ds in found.items()}
    first = next(iter(whole.values()))
    labels = first.get_index("sample")[pick(first, "sample", samples, first=MOST_SAMPLES)]
    rows = {name: pick(array, "sample", labels.tolist()) for name, array in whole.items()}
    words = _words(found, whole, rows)
    real = {name: _real(found[name], array)[rows[name]] for name, array in whole.items()}
    kept = {name: own & (own.cumsum(axis=1) <= most) for name, own in real.items()}
    arrays = [
        array.isel(sample=rows[name]).where(xr.DataArray(kept[name], dims=("sample", "timestep")))
        for name, array in whole.items()
    ]
    scaled = divide(arrays, list(whole), scale=scale, robust=robust)
    strips = [
        Strip(label_of(first, "sample", labels[i]), name, words[name][i][at].tolist(), array[i].isel(timestep=at))
        for i in range(len(labels))
        for name, array in zip(whole, scaled.arrays, strict=True)
        for at in [np.flatnonzero(kept[name][i])]
    ]
    longest = max(int(own.sum(axis=1).max()) for own in real.values())
    notes = [
        strips[0].sample if len(labels) == 1 else count(len(labels), first.sizes["sample"], "sample"),
        count(min(most, longest), longest, "token"),
        "grey: no value" if any(bool(strip.values.isnull().any()) for strip in strips) else "",
    ]
    index = {"sample": labels, "extractor": pd.Index(list(whole))}
    cells = [(row, 0) for row in range(len(strips))]
    panels = make_panels(index, ax=ax, figsize=fit(figsize, WIDTH, WIDTH), cells=cells)
    _draw(panels, strips, colors(scaled, robust=robust, cmap=cmap), styles, notes, figsize)
    return panels


def _one_value(ds: xr.Dataset, name: str) -> xr.DataArray:
    """Return one value a token, of dims (sample, timestep)."""
    array = one_value_a_step(ds, name)
    if array.sizes.get("channel", 1) > 1:
        raise InputError(
            f"{array.name} of {name!r} has {array.sizes['channel']} channels, and a token is drawn in one colour; let "
            'embedding_reduction= of attrkit.extract reduce them, or ds["attribution"].sum("channel")'
        )
    return only_dims(array, ("sample", "timestep"), name)


def _real(ds: xr.Dataset, array: xr.DataArray) -> np.ndarray:
    """Return which tokens are not padding, of shape (sample, timestep)."""
    if "mask" in ds and ds["mask"].shape == array.shape:
        return ds["mask"].values
    return np.ones(array.shape, dtype=bool)


def _words(
    found: Mapping[str, xr.Dataset], whole: Mapping[str, xr.DataArray], rows: Mapping[str, np.ndarray]
) -> dict[str, list[np.ndarray]]:
    """Return the words of each extractor and sample; those of another extractor where it has none."""
    own = {name: [_own_words(found[name], array, row) for row in rows[name]] for name, array in whole.items()}
    for name, by_sample in own.items():
        for i, words in enumerate(by_sample):
            size = whole[name].sizes["timestep"]
            others = (other[i] for other in own.values() if other[i] is not None and len(other[i]) == size)
            by_sample[i] = next(others, None) if words is None else words
        if any(words is None for words in by_sample):
            labels = whole[name].get_index("timestep")
            raise InputError(
                f"timesteps of {name!r} are no text, but {enumerate_labels(labels, most=3)}; name the tokens: "
                'ds.assign_coords(token=(("sample", "timestep"), words))'
            )
    return own


def _own_words(ds: xr.Dataset, array: xr.DataArray, row: int) -> Any:
    of_input = ds.sizes.get("timestep") == array.sizes["timestep"]
    where = steps(ds, "timestep" if of_input else "key_timestep", sample=row)
    return np.array(where.texts, dtype=object) if where.kind == "text" else None


def _draw(
    panels: Panels,
    strips: Sequence[Strip],
    shades: Colors,
    styles: Mapping[str, Any],
    notes: Sequence[str],
    figsize: FigSize | None,
) -> None:
    if styles["colorbar"] is not None and not panels.own:
        # It takes room from the user's axes, so it comes before the lines are broken.
        add_colorbar(panels, shades, styles["colorbar"])
        panels.figure.canvas.figure.draw_without_rendering()
    style = {"fontsize": SIZE, **(styles["text"] or {})}
    font = Text(0, 0, "", **style).get_fontproperties()
    size = font.get_size_in_points()
    room = [_points(panels, axes, "width") for axes in panels.axes.values.ravel()]
    broken = [break_lines(strip.words, font, width) for strip, width in zip(strips, room, strict=True)]
    lines = [1 + max((place.line for place in places), default=0) for _, places in broken]
    if panels.own:
        _lay_out(panels, lines, LINE * size / 72, shades, styles, noted=any(notes), figsize=figsize)
        if styles["note"] is not None:
            height = panels.figure.bbox.height / panels.figure.dpi
            panels.note(notes, {"y": 1 - MARGIN / height, **styles["note"]})
    several = panels.axes.shape[0] > 1
    for k, at in enumerate(np.ndindex(*panels.axes.shape)):
        strip, (words, places), n_lines = strips[k], broken[k], lines[k]
        axes: Any = panels.axes.values[at]
        axes.set_axis_off()
        axes.set_xlim(0, room[k])
        axes.set_ylim(n_lines if panels.own else max(n_lines, _points(panels, axes, "height") / (LINE * size)), 0)
        if styles["cells"] is not None:
            artist = draw_cells(
                strip.values, axes, places=places, norm=shades.norm, cmap=shades.cmap, **styles["cells"]
            )
            panels.keep("cells", artist, at)
        if styles["text"] is not None:
            paper = shades.cmap(shades.norm(np.ma.masked_invalid(strip.values.values)))
            panels.keep("text", draw_words(words, axes, places=places, paper=paper, **style), at)
        if styles["title"] is not None:
            title = f"{strip.sample}, {strip.extractor}" if several else strip.extractor
            panels.keep("title", axes.set_title(title, **{"loc": "left", "pad": 2.5, **styles["title"]}), at)


def _points(panels: Panels, axes: Axes, along: str) -> float:
    """Return how wide or high a strip is; one of attrkit's own is as wide as its figure."""
    if panels.own:
        return 72 * (panels.figure.bbox.width / panels.figure.dpi - 2 * MARGIN)
    return 72 * getattr(axes.get_window_extent(), along) / axes.figure.dpi


def _lay_out(
    panels: Panels,
    lines: Sequence[int],
    line: float,
    shades: Colors,
    styles: Mapping[str, Any],
    *,
    noted: bool,
    figsize: FigSize | None,
) -> None:
    """Make the figure as high as its lines, each `line` inches, and set the strips and the colour bar."""
    figure: Any = panels.figure
    width = figure.get_figwidth()
    label = fold(shades.label, 72 * 0.9 * width)
    bar = 0.0 if styles["colorbar"] is None else BAR + 0.13 * label.count("\n")
    note = NOTE if noted and styles["note"] is not None else 0.0
    title = TITLE if styles["title"] is not None else 0.0
    n_samples, n_extractors = panels.axes.shape
    # Strips of one text stand closer together than texts.
    apart = 2 * BETWEEN if n_extractors > 1 else 0.0
    around = 2 * MARGIN + note + bar + len(lines) * (title + BETWEEN) + n_samples * apart
    height = figsize[1] if isinstance(figsize, tuple | list) else around + line * sum(lines)
    line = max((height - around) / sum(lines), 0.01)
    figure.set_layout_engine("none")
    figure.set_size_inches(width, height)
    top = height - MARGIN - note
    for k, (axes, n) in enumerate(zip(panels.axes.values.ravel(), lines, strict=True)):
        top -= title + n * line + (apart if k and k % n_extractors == 0 else 0.0)
        axes.set_position([MARGIN / width, top / height, 1 - 2 * MARGIN / width, n * line / height])
        top -= BETWEEN
    if bar:
        length = min(2.8, 0.6 * width)
        box = [(width - length) / 2 / width, (MARGIN + bar - 0.15) / height, length / width, 0.09 / height]
        look = {"cax": figure.add_axes(box), "orientation": "horizontal", **styles["colorbar"]}
        artist = draw_colorbar(shades, list(panels.axes.values.ravel()), **look)
        settle(artist.ax)
        artist.set_label(label)
        artist.locator = MaxNLocator(5, steps=[1, 2, 5, 10])
        artist.update_ticks()
        panels.keep("colorbar", artist)
