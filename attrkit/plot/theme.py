"""Light and dark pages: the colours of all that is no data, and the colormaps whose zero is the page."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, ListedColormap, to_rgba

from attrkit.checks import one_of


class Palette(NamedTuple):
    """The colours of one kind of page.

    ``text`` is for words, ``ink`` for frames, ticks and marks, ``note`` for small print, ``pale`` for what stands
    behind, ``blank`` for padding and missing values. ``diverging``, ``sequential`` and ``difference`` are colormaps
    whose zero is the page; ``ordered`` runs from the first to the last of many.
    """

    page: str
    text: str
    ink: str
    note: str
    pale: str
    blank: str
    cycle: tuple[str, ...]
    diverging: Colormap
    sequential: Colormap
    difference: Colormap
    ordered: Colormap


def _part_of(name: str, first: float, last: float) -> Colormap:
    """Cut the ends that a page hides off a colormap."""
    return ListedColormap(matplotlib.colormaps[name](np.linspace(first, last, 256)), name=name)


LIGHT = Palette(
    page="white",
    text="black",
    ink="0.25",
    note="0.45",
    pale="0.6",
    # White would read as zero in a diverging colormap.
    blank="0.86",
    # Colours of Okabe and Ito, which the colour-blind tell apart.
    cycle=("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"),
    diverging=matplotlib.colormaps["RdBu_r"],
    sequential=matplotlib.colormaps["Blues"],
    difference=matplotlib.colormaps["PuOr_r"],
    ordered=_part_of("viridis", 0, 0.92),
)

_NIGHT = "#15181c"

DARK = Palette(
    page=_NIGHT,
    text="0.92",
    ink="0.72",
    note="0.65",
    pale="0.5",
    blank="0.36",
    # The same hues, the bright ones first.
    cycle=("#56B4E9", "#E69F00", "#00B98A", "#CC79A7", "#F0E442", "#E8743B", "#FFFFFF"),
    diverging=LinearSegmentedColormap.from_list(
        "RdBu_night", ["#d3e9ff", "#55a6f2", "#1f4b7c", _NIGHT, "#7a2a1c", "#f2704a", "#ffdccb"]
    ),
    sequential=LinearSegmentedColormap.from_list("Blues_night", [_NIGHT, "#1f4b7c", "#55a6f2", "#d3e9ff"]),
    difference=LinearSegmentedColormap.from_list(
        "PuOr_night", ["#e6dcff", "#a58be8", "#493a7d", _NIGHT, "#6b4510", "#e59a2f", "#ffe9c2"]
    ),
    ordered=_part_of("viridis", 0.3, 1),
)

THEMES = {"light": LIGHT, "dark": DARK}

_CHOSEN: ContextVar[str | None] = ContextVar("theme", default=None)
_DRAWN_ON: ContextVar[Palette | None] = ContextVar("palette", default=None)


@contextmanager
def theme(name: str) -> Iterator[None]:
    """Draw figures for a light or a dark page.

    Without it, attrkit follows matplotlib: figures are for a dark page where ``figure.facecolor`` is dark, such as
    after ``pyplot.style.use("dark_background")``, and so are axes of the user's whose background is dark.

    Parameters
    ----------
    name : {"light", "dark"}
        Holds for the plots of this thread that are drawn inside the ``with`` block; they stay as they are after it.

    Yields
    ------
    None
        Until the block ends.

    Raises
    ------
    InputError
        If `name` is another word.

    Examples
    --------
    >>> from attrkit.schema import build
    >>> ds = build({"attribution": np.random.default_rng(0).normal(size=(2, 8, 3))}, attrs={"method": "gradient"})
    >>> with attrkit.plot.theme("dark"):
    ...     panels = attrkit.plot.heatmap(ds)
    >>> panels.artists["mesh"].values[0, 0].cmap.name
    'RdBu_night'
    """
    one_of(name, "name", tuple(THEMES))
    before = _CHOSEN.set(name)
    try:
        yield
    finally:
        _CHOSEN.reset(before)


def palette() -> Palette:
    """Return the colours to draw with: those of the page that a plot is drawn on, or of matplotlib's parameters."""
    return _DRAWN_ON.get() or _palette_for(matplotlib.rcParams["figure.facecolor"])


def _palette_for(background: Any) -> Palette:
    chosen = _CHOSEN.get()
    return THEMES[chosen] if chosen else DARK if luminance(background) < 0.25 else LIGHT


def luminance(color: Any) -> float:
    """Return how light a colour is on white paper, from 0 to 1, as the eye sees it.

    Examples
    --------
    >>> round(luminance("white"), 3), round(luminance("black"), 3), round(luminance("none"), 3)
    (1.0, 0.0, 1.0)
    """
    *rgb, alpha = to_rgba(color)
    linear = (alpha * np.array(rgb) + 1 - alpha) ** 2.2
    return float(linear @ [0.2126, 0.7152, 0.0722])


def readable_on(color: Any) -> str:
    """Return the colour of words on a coloured cell: black or white, whichever stands out more."""
    # At this luminance both stand out alike.
    return "black" if luminance(color) > 0.179 else "white"


@contextmanager
def drawn_on(axes: Any) -> Iterator[None]:
    """Take the page of the user's axes, or of a figure to come, for all that is drawn inside the block."""
    background = matplotlib.rcParams["figure.facecolor"]
    if axes is not None:
        first = np.asarray(getattr(axes, "values", axes), dtype=object).ravel()[:1]
        # What is no Axes is refused where the panels are made.
        background = first[0].get_facecolor() if first.size and isinstance(first[0], Axes) else background
    before = _DRAWN_ON.set(_palette_for(background))
    try:
        yield
    finally:
        _DRAWN_ON.reset(before)


def page_parameters() -> dict[str, Any]:
    """Return matplotlib's parameters for the page that the user chose; none if matplotlib's own hold."""
    chosen = _CHOSEN.get()
    if chosen is None:
        return {}
    own = THEMES[chosen]
    words = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "xtick.labelcolor", "ytick.labelcolor")
    pages = ("figure.facecolor", "axes.facecolor")
    return {**dict.fromkeys(words, own.text), **dict.fromkeys(pages, own.page), "axes.edgecolor": own.ink}
