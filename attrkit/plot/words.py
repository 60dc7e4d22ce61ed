"""Words set in lines, each in a coloured cell of its own."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import Colormap, Normalize
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.textpath import text_to_path

from attrkit.plot.labels import shorten
from attrkit.plot.theme import readable_on

SIZE = 7.5
"""Points of a letter."""

LINE = 1.75
PAD = 0.3
GAP = 0.16
"""From line to line, beside a word inside its cell, and between cells, in sizes of a letter."""


class Place(NamedTuple):
    """Where a word stands: left end and width in points, and its line."""

    left: float
    width: float
    line: int


def break_lines(words: Sequence[str], font: FontProperties, room: float) -> tuple[list[str], list[Place]]:
    r"""Set words in lines of so many points; a word that no line holds is cut in its middle.

    Parameters
    ----------
    words : sequence of str
    font : FontProperties
    room : float
        Length of a line in points.

    Returns
    -------
    words : list of str
        As they are written: what is not printable is escaped.
    places : list of Place

    Examples
    --------
    >>> words, places = break_lines(["not", "bad", "\n"], FontProperties(size=10), room=50)
    >>> words, [place.line for place in places]
    (['not', 'bad', '\\n'], [0, 0, 1])
    """
    size = font.get_size_in_points()
    pad, gap = 2 * PAD * size, GAP * size
    shown: list[str] = []
    places: list[Place] = []
    left, line = 0.0, 0
    for word in words:
        written = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in word)
        width = _width(written, font) + pad
        while width > room and len(written) > 3:
            written = shorten(written, len(written) - 1)
            width = _width(written, font) + pad
        if places and left + width > room:
            left, line = 0.0, line + 1
        shown.append(written)
        places.append(Place(left, width, line))
        left += width + gap
    return shown, places


def _width(word: str, font: FontProperties) -> float:
    return float(text_to_path.get_text_width_height_descent(word or " ", font, False)[0])


def draw_cells(
    da: xr.DataArray, ax: Axes, *, places: Sequence[Place], norm: Normalize, cmap: Colormap, **style: Any
) -> PolyCollection:
    """Draw the ground of words as cells coloured by values of shape (word,), NaN blank.

    Examples
    --------
    >>> from matplotlib import colormaps
    >>> from matplotlib.figure import Figure
    >>> da = xr.DataArray([0.5, 1.0], dims="timestep")
    >>> cells = draw_cells(da, Figure().subplots(), places=[Place(0, 20, 0), Place(22, 9, 0)], norm=Normalize(0, 1),
    ...                    cmap=colormaps["Blues"])
    >>> cells.get_array().data, len(cells.get_paths())
    (array([0.5, 1. ]), 2)
    """
    boxes = [
        [(left, line + 0.07), (left + width, line + 0.07), (left + width, line + 0.93), (left, line + 0.93)]
        for left, width, line in places
    ]
    cells = PolyCollection(boxes, norm=norm, cmap=cmap, **{"linewidths": 0, **style})
    cells.set_array(np.ma.masked_invalid(da.values))
    ax.add_collection(cells, autolim=False)
    return cells


def draw_words(
    words: Sequence[str], ax: Axes, *, places: Sequence[Place], paper: np.ndarray, **style: Any
) -> list[Text]:
    """Write words at their places, black or white, whichever stands out more from the colour `paper` behind each.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> paper = np.array([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.4, 1.0]])
    >>> places = [Place(0, 20, 0), Place(22, 20, 0)]
    >>> [word.get_color() for word in draw_words(["so", "what"], Figure().subplots(), places=places, paper=paper)]
    ['black', 'white']
    """
    settings = {"fontsize": SIZE, "ha": "center", "va": "center_baseline", "parse_math": False, **style}
    inks = [readable_on(color) for color in np.reshape(paper, (-1, 4))]
    artists = []
    for word, (left, width, line), ink in zip(words, places, inks, strict=True):
        artist = ax.text(left + width / 2, line + 0.5, word, **{"color": ink, **settings})
        # The layout of a figure need not ask hundreds of words how large they are.
        artist.set_in_layout(False)
        artists.append(artist)
    return artists
