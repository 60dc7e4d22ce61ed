"""How plots of attrkit look: sizes, colours, and the named visuals that a user may restyle or leave out."""

import functools
import re
import textwrap
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.mathtext import MathTextParser
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FuncFormatter

from attrkit.errors import InputError
from attrkit.plot.theme import drawn_on, page_parameters, palette

Visuals = Mapping[str, Mapping[str, Any] | bool]
_MATH: Any = MathTextParser("path")

P = ParamSpec("P")
R = TypeVar("R")

RC = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titlepad": 4,
    "axes.labelsize": 8,
    "axes.labelpad": 3,
    "axes.linewidth": 0.6,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.title_fontsize": 7,
    "legend.frameon": False,
    "figure.constrained_layout.h_pad": 0.035,
    "figure.constrained_layout.w_pad": 0.035,
}
"""For figures in a paper: a page's width is 7 inches, so these are the sizes in print."""

SAVE_RC = {
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "figure.autolayout": False,
    "figure.constrained_layout.use": False,
    "savefig.facecolor": "auto",
}
"""Text stays text in PDF and SVG, so that it can be searched and edited; no layout and no page but the figure's own."""

DENSE = 30
"""From so many panels on there is no room for ticks, and names go inside."""

# The parameters of matplotlib belong to the process: two threads that restore them out of turn would leave ours.
_LOCK = threading.RLock()


def styled(plot: Callable[P, R]) -> Callable[P, R]:
    """Run a plot function under the sizes of attrkit, unless it draws on the user's own axes."""

    @functools.wraps(plot)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        ax = kwargs.get("ax")
        with rc({**RC, **page_parameters()} if ax is None else {}), drawn_on(ax):
            panels = plot(*args, **kwargs)
            _as_it_is(panels.figure)  # type: ignore[attr-defined]
            return panels

    return wrapped


def _as_it_is(figure: Any) -> None:
    """Write text that is no formula as it is: dollars in a name would fail when the figure is drawn."""
    for axis in figure.findobj(Axis):
        form = axis.get_major_formatter()
        named = isinstance(form, FuncFormatter | FixedFormatter)
        if named and any("$" in form(at, i) for i, at in enumerate(axis.get_majorticklocs())):
            # Names of ticks are written when they are asked for.
            axis.get_ticklabels()
    for words in figure.findobj(Text):
        if words.get_text().count("$") > 1:
            try:
                _MATH.parse(words.get_text())
            except ValueError:
                words.set_parse_math(False)


class rc:
    """Context in which matplotlib has other parameters; one thread at a time."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        settings: Any = dict(parameters)
        self._context = matplotlib.rc_context(settings)

    def __enter__(self) -> None:
        _LOCK.acquire()
        self._context.__enter__()

    def __exit__(self, *error: Any) -> None:
        try:
            self._context.__exit__(*error)
        finally:
            _LOCK.release()


def settle(axes: Axes, *, labelsize: float = 7) -> None:
    """Fix the look of ticks now: matplotlib makes them when it draws, under the parameters of that time."""
    ink = palette().ink
    words = matplotlib.rcParams["xtick.labelcolor"]
    words = matplotlib.rcParams["xtick.color"] if words == "inherit" else words
    axes.tick_params(which="both", labelsize=labelsize, labelcolor=words, length=2.5, width=0.6, pad=2, color=ink)
    for spine in axes.spines.values():
        spine.set_edgecolor(ink)


def check_visuals(visuals: Visuals | None, known: Iterable[str]) -> dict[str, dict[str, Any] | None]:
    """Return the style of every visual of a plot, None for one to leave out.

    Parameters
    ----------
    visuals : mapping of str to mapping or bool, or None
        Style by name of visual; False leaves the visual out.
    known : iterable of str
        The visuals that the plot has.

    Returns
    -------
    dict of str to dict or None

    Raises
    ------
    InputError
        If a name is not known, or a value is neither a mapping nor a bool.

    Examples
    --------
    >>> check_visuals({"mesh": {"cmap": "PuOr"}, "title": False}, ["mesh", "title", "colorbar"])
    {'mesh': {'cmap': 'PuOr'}, 'title': None, 'colorbar': {}}
    >>> check_visuals({"mash": False}, ["mesh", "title"])
    Traceback (most recent call last):
        ...
    attrkit.errors.InputError: unknown visual 'mash'; this plot has mesh, title
    """
    known = tuple(known)
    styles: dict[str, dict[str, Any] | None] = {name: {} for name in known}
    if visuals is not None and not isinstance(visuals, Mapping):
        raise InputError(f"visuals={visuals!r}; accepted is a mapping of {', '.join(known)} to styles")
    for name, style in (visuals or {}).items():
        if name not in styles:
            raise InputError(f"unknown visual {name!r}; this plot has {', '.join(known)}")
        if not isinstance(style, Mapping | bool):
            raise InputError(
                f"visual {name!r} is a {type(style).__name__}; accepted are a dict of style, or False to omit it"
            )
        styles[name] = None if style is False else {} if style is True else dict(style)
    return styles


def colors(n: int) -> list[Any]:
    """Return `n` colours for curves: distinct ones as far as they go, then shades in their order."""
    cycle = palette().cycle
    return list(cycle[:n]) if n <= len(cycle) else list(palette().ordered(np.linspace(0, 1, n)))


def fold(words: str, points: float, *, size: float = 8, most: int = 4) -> str:
    r"""Break words into lines of about a length in points; names break after an underscore too.

    Examples
    --------
    >>> fold("integrated_gradients_adaptive", 60)
    'integrated_\ngradients_\nadaptive'
    """
    letters = max(8, int(points / (0.52 * size)))
    lines = textwrap.wrap(re.sub(r"_(?=\w{3})", "_ ", words), letters)
    text = "\n".join(line.replace("_ ", "_") for line in lines[:most])
    return text if len(lines) <= most else f"{text[:-1]}…"


def fold_to(words: str, ax: Axes, *, along: str = "width", size: float = 8) -> str:
    """Break words into lines no longer than a panel is wide (or high); a comma ends a line too."""
    points = getattr(ax.get_window_extent(), along) / ax.figure.dpi * 72
    return "\n".join(fold(part, 1.08 * points, size=size) for part in words.split(", "))
