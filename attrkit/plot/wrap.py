"""Small panels in rows one after the other: how many fit, how they are named, and their legend."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.ticker import NullLocator

from attrkit.plot.draw import draw_corner
from attrkit.plot.labels import shorten
from attrkit.plot.panels import Panels
from attrkit.plot.size import LEAST_WIDTH, FigSize, asked_width, fit
from attrkit.plot.style import DENSE, fold_to

MOST_PANELS = 240
MOST_IN_LEGEND = 12


def wrap(counts: Sequence[int], n_cols: int | None = None, figsize: FigSize | None = None) -> list[tuple[int, int]]:
    """Place panels row by row, each group of them from a new row on.

    Parameters
    ----------
    counts : sequence of int
        Number of panels in every group.
    n_cols : int, optional
        Panels in a row; if not given, about as many as there are rows.
    figsize : optional
        As the user gives it: no more panels in a row than its width has room for.

    Returns
    -------
    list of (int, int)
        Row and column of every panel.

    Examples
    --------
    >>> wrap([5])
    [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    >>> wrap([1, 2])
    [(0, 0), (1, 0), (1, 1)]
    """
    most = max(counts)
    # One group of up to three makes a row; a column of three would leave a page half empty.
    width = n_cols or (most if most <= 3 else int(np.ceil(np.sqrt(most))))
    wide = asked_width(figsize)
    if wide is not None and n_cols is None and sum(counts) <= DENSE:
        width = min(width, max(1, int(wide / LEAST_WIDTH)))
    cells = []
    row = 0
    for n in counts:
        cells += [(row + i // width, i % width) for i in range(n)]
        row += -(-n // width)
    return cells


def wrapped_size(cells: Sequence[tuple[int, int]], figsize: FigSize | None = None) -> tuple[float, float]:
    """Return a figure size in inches, no wider than a page unless the user asks for it."""
    rows, cols = 1 + max(r for r, _ in cells), 1 + max(c for _, c in cells)
    height = 0.5 if len(cells) > DENSE else 1.7 if rows == 1 else 1.2
    return fit(figsize, 4.2 if cols == 1 else 7.0, 0.55 + rows * height)


def below(cells: Sequence[tuple[int, int]], i: int) -> int | None:
    """Return which panel stands below the `i`-th, if any."""
    row, col = cells[i]
    return cells.index((row + 1, col)) if (row + 1, col) in cells else None


def name_panel(panels: Panels, i: int, words: str, style: Mapping[str, Any] | None) -> None:
    """Write the name of a panel above it, or inside where panels are many."""
    if style is None:
        return
    axes = panels.axes.values[i]
    if panels.axes.size > DENSE:
        paper = {"facecolor": panels.figure.get_facecolor(), "edgecolor": "none", "alpha": 0.7, "pad": 0.5}
        artist = draw_corner(shorten(words, 12), axes, **{"fontsize": 5, "zorder": 4, "bbox": paper, **style})
    else:
        artist = axes.set_title(fold_to(words, axes), **style)
    panels.keep("title", artist, (i,))


def hush(panels: Panels, *, x: str = "", up: bool = False) -> str:
    """Take the ticks off panels that are too small for them, and say in words what they would have said."""
    for axes in panels.axes.values:
        axes.xaxis.set_major_locator(NullLocator())
        axes.yaxis.set_major_locator(NullLocator())
    low, high = panels.axes.values[0].get_ylim()
    ranges = [f"{x} across" if x else "", f"{low:.2g} to {high:.2g} up" if up else ""]
    words = ", ".join(filter(None, ranges))
    return f"each panel: {words}".replace(" -", " \N{MINUS SIGN}") if words else ""


def add_legend(
    panels: Panels,
    handles: Sequence[Artist],
    names: Sequence[str],
    title: str,
    style: Mapping[str, Any],
    *,
    may_lie: bool = True,
) -> None:
    """Draw one legend outside the panels of a figure of attrkit's, or in the first of the user's axes.

    Of many curves, whose colours run from dark to light, some are named. Long names stand below the panels, where
    they take no width from them, if there is nothing else (`may_lie`).
    """
    step = -(-len(handles) // MOST_IN_LEGEND)
    shown = [shorten(name, 22) for name in names[::step]]
    settings: dict[str, Any] = {"title": title, "alignment": "left", "handlelength": 1.2, **style}
    if panels.own and panels.axes.size > DENSE:
        width = panels.figure.bbox.width / panels.figure.dpi
        panels.figure.subplots_adjust(right=1 - (0.5 + 0.055 * max(map(len, [title, *shown]))) / width)
        legend = panels.figure.legend(handles[::step], shown, **{"loc": "upper right", **settings})
    elif panels.own and may_lie and max(map(len, shown)) > 12:
        place = {"loc": "outside lower center", "ncols": min(4, len(shown)), "title": None}
        legend = panels.figure.legend(handles[::step], shown, **{**settings, **place, **style})
    elif panels.own:
        legend = panels.figure.legend(handles[::step], shown, **{"loc": "outside right upper", **settings})
    else:
        legend = panels.axes.values.ravel()[0].legend(handles[::step], shown, **settings)
    panels.keep("legend", legend)
