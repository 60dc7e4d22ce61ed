"""Where the steps of one dim lie on an axis, and how many of their labels fit."""

import math
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.ticker import FuncFormatter, Locator, MaxNLocator, NullLocator

from attrkit.plot.labels import shorten, text, with_unit
from attrkit.schema import COORDINATES

OWN_LABELS = ("time", "token")
"""Coordinates of dims (sample, timestep) that label the steps of each sample in their own way."""


NARROW = 4.0
"""Inches of a figure that has no room for long names."""


class Steps(NamedTuple):
    """The steps along one dim: positions and edges as numbers on an axis, their kind, and the axis label."""

    positions: np.ndarray
    edges: np.ndarray
    kind: str
    texts: tuple[str, ...]
    label: str

    def same(self, other: "Steps") -> bool:
        """Whether an axis of these steps would look like one of the other's."""
        return (self.kind, self.texts) == (other.kind, other.texts) and np.array_equal(self.edges, other.edges)

    def span(self) -> str:
        """Say from where to where the steps go."""
        if self.kind == "text":
            return f"{self.texts[0]} to {self.texts[-1]}"
        first, last = self.positions[[0, -1]]
        if self.kind == "date":
            return " to ".join(text(np.datetime64(dates.num2date(at).replace(tzinfo=None))) for at in (first, last))
        return f"{self.label} {first:g} to {last:g}".strip()


def steps(array: xr.DataArray | xr.Dataset, dim: str, *, sample: int | None = None) -> Steps:
    """Read where the steps of a dim lie.

    Parameters
    ----------
    array : DataArray or Dataset
    dim : str
    sample : int, optional
        Position of the sample whose own labels count, where the data has a coordinate ``time`` or ``token`` of
        dims (sample, timestep), or ``key_token`` of dims (sample, key_timestep) and the like.

    Returns
    -------
    Steps
        Of kind "number", "date" or "text".

    Examples
    --------
    >>> array = xr.DataArray([1.0, 2.0, 4.0], coords={"timestep": [0, 1, 3]}, dims="timestep")
    >>> steps(array, "timestep").edges
    array([-0.5,  0.5,  2. ,  4. ])
    """
    coordinate = array[dim]
    values, attrs = array.get_index(dim).values, coordinate.attrs
    own = _own_labels(array, dim) if sample is not None and dim.endswith("timestep") else None
    if own is not None:
        values, attrs = own.values[sample], {"long_name": attrs.get("long_name", dim), **own.attrs}
    return place(values, label=_axis_label(attrs, dim, is_date=values.dtype.kind == "M"))


def _own_labels(array: xr.DataArray | xr.Dataset, dim: str) -> xr.DataArray | None:
    """Return the labels that each sample has of its own along a dim; those of timesteps are those of its twins."""
    for name in OWN_LABELS:
        for key, axis in ((twin_of(name, dim), dim), (name, "timestep")):
            own = array.coords.get(key)
            if own is not None and own.dims == ("sample", axis) and own.sizes[axis] == array.sizes[dim]:
                return own
    return None


def twin_of(name: str, dim: str) -> str:
    """Return what the coordinate `name` of timesteps is called along another dim of timesteps.

    Examples
    --------
    >>> twin_of("token", "key_timestep"), twin_of("token", "timestep")
    ('key_token', 'token')
    """
    return dim.replace("timestep", name)


def place(values: np.ndarray, *, label: str = "") -> Steps:
    """Place labels on an axis: dates and rising numbers where they belong, any others one after the other.

    Parameters
    ----------
    values : ndarray of shape (n,)
    label : str, optional

    Returns
    -------
    Steps

    Examples
    --------
    >>> place(np.array(["rain", "wind"])).kind, place(np.array([0, 1])).kind
    ('text', 'number')
    """
    kind = {"M": "date", "i": "number", "u": "number", "f": "number", "m": "number"}.get(values.dtype.kind, "text")
    where = np.arange(len(values), dtype=float)
    if values.dtype.kind == "m":
        values, unit = _durations(values)
        label = f"{label} [{unit}]"
    if kind == "date":
        where = dates.date2num(_filled(values))
    elif kind == "number":
        where = values.astype(float)
    if not (np.isfinite(where).all() and (np.diff(where) > 0).all()):
        kind, where = "text", np.arange(len(values), dtype=float)
    middle = (where[1:] + where[:-1]) / 2
    first, last = (1.0, 1.0) if len(where) == 1 else (where[1] - where[0], where[-1] - where[-2])
    edges = np.concatenate([[where[0] - first / 2], middle, [where[-1] + last / 2]])
    return Steps(where, edges, kind, tuple(map(text, values)) if kind == "text" else (), label)


def _filled(stamps: np.ndarray) -> np.ndarray:
    """Carry time stamps on over padded steps, which have none, so that the axis keeps its length."""
    missing = np.isnat(stamps)
    known = np.flatnonzero(~missing)
    if not missing.any() or len(known) < 2:
        return stamps
    number = stamps.astype("datetime64[ns]").astype(np.int64)
    step = np.median(np.diff(number[known]) / np.diff(known))
    nearest = known[np.abs(np.arange(len(stamps))[:, None] - known).argmin(axis=1)]
    filled = number[nearest] + ((np.arange(len(stamps)) - nearest) * step).astype(np.int64)
    return filled.astype("datetime64[ns]")


def _durations(values: np.ndarray) -> tuple[np.ndarray, str]:
    """Turn durations into numbers of the largest unit that fits the longest."""
    longest = np.abs(values).max()
    units = {"days": "D", "hours": "h", "minutes": "m", "seconds": "s"}
    unit = next((name for name, code in units.items() if longest >= np.timedelta64(2, code)), "seconds")  # type: ignore[call-overload]
    return values / np.timedelta64(1, units[unit]), unit  # type: ignore[call-overload]


def _axis_label(attrs: dict[Any, Any], dim: str, *, is_date: bool) -> str:
    label = str(attrs.get("long_name", COORDINATES.get(dim, dim)))
    if is_date and label == COORDINATES["timestep"]:
        # Dates speak for themselves; the axes of attention still need to say which of the two they are.
        label = ""
    return label if is_date else with_unit(label, attrs)


def set_ticks(axis: Axis, where: Steps, *, show: bool = True) -> None:
    """Put ticks and labels on an axis, as many as fit its length whenever the figure is drawn.

    Parameters
    ----------
    axis : Axis
        ``ax.xaxis`` or ``ax.yaxis``.
    where : Steps
    show : bool, optional
        False keeps the ticks and drops their labels, for an inner panel of a grid.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = Figure().subplots()
    >>> set_ticks(ax.yaxis, place(np.array(["rain", "wind"])))
    """
    is_x = isinstance(axis, XAxis)
    if where.kind == "date":
        locator = FittingDateLocator(where.positions)
        axis.set_major_locator(locator)
        # Above a y axis the year would run into the title of the panel; the x axis has it.
        axis.set_major_formatter(dates.ConciseDateFormatter(locator, show_offset=is_x and show))
    elif where.kind == "text":
        figure: Any = axis.axes.figure
        most = 20 if figure.bbox.width / figure.dpi > NARROW else 12
        texts = [shorten(label, most) for label in where.texts]
        axis.set_major_locator(TextLocator(len(texts)))
        axis.set_major_formatter(FuncFormatter(lambda at, _: texts[round(at)] if 0 <= at < len(texts) else ""))
        if is_x:
            axis.set_tick_params(labelrotation=90)
    else:
        whole = bool(np.equal(np.mod(where.positions, 1), 0).all())
        letters = max(len(f"{end:.6g}") for end in where.positions[[0, -1]])
        axis.set_major_locator(FittingNumberLocator(letters, integer=whole, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axis.set_minor_locator(NullLocator())
    if not show:
        axis.set_tick_params(labelbottom=False) if is_x else axis.set_tick_params(labelleft=False)


def set_limits(ax: Axes, x: Steps, y: Steps | None = None) -> None:
    """Let the axes end where the steps end; y runs downwards, so that the first channel is on top."""
    ax.set_xlim(x.edges[0], x.edges[-1])
    if y is not None:
        ax.set_ylim(y.edges[-1], y.edges[0])


def _room(axis: Axis, *, per_label: float) -> int:
    """How many labels fit along an axis, if each takes `per_label` times the height of a letter."""
    box = axis.axes.get_window_extent()
    length = box.width if isinstance(axis, XAxis) else box.height
    points = length / axis.axes.figure.dpi * 72
    size = axis.get_tick_params().get("labelsize", 8)
    return max(1, int(points // (per_label * (size if isinstance(size, int | float) else 8))))


class TextLocator(Locator):
    """Ticks at every, every second, fifth, tenth ... text, so that the labels do not touch."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self) -> Any:
        """Return the positions of the texts to show."""
        least = math.ceil(self.n / _room(self.axis, per_label=1.25))  # type: ignore[arg-type]
        size = 10 ** max(0, math.floor(math.log10(least)))
        step = next(nice * size for nice in (1, 2, 5, 10) if nice * size >= least)
        return self.tick_values(0, self.n)[::step]

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """Return the position of every text in a range."""
        return np.arange(math.ceil(vmin), vmax)


class FittingNumberLocator(MaxNLocator):
    """Round numbers, as many as fit the length of the axis with labels of so many letters."""

    def __init__(self, letters: int, **kwargs: Any) -> None:
        super().__init__(nbins="auto", **kwargs)
        self.letters = letters

    def __call__(self) -> Any:
        """Return the numbers to show."""
        is_x = isinstance(self.axis, XAxis)
        per_label = max(3.0, 0.7 * self.letters + 1.0) if is_x else 2.0
        self.set_params(nbins=min(9, _room(self.axis, per_label=per_label)))  # type: ignore[arg-type]
        return super().__call__()


class FittingDateLocator(dates.AutoDateLocator):
    """The dates matplotlib would choose, but no more than fit the length of the axis, and two at least."""

    def __init__(self, positions: np.ndarray) -> None:
        super().__init__(minticks=2)
        self.positions = positions

    def __call__(self) -> Any:
        """Return the dates to show."""
        is_x = isinstance(self.axis, XAxis)
        fit = _room(self.axis, per_label=3.6 if is_x else 1.8)  # type: ignore[arg-type]
        # Below four, matplotlib finds no step between three weeks and a month and warns.
        self.maxticks = dict.fromkeys(self.maxticks, min(max(fit, 4), 9))
        low, high = sorted(self.axis.get_view_interval())  # type: ignore[union-attr]
        ticks = [tick for tick in super().__call__() if low <= tick <= high]
        if len(ticks) < 2:
            # No round date falls often enough into a short window, and one alone is labelled by its hour.
            seen = self.positions[(self.positions >= low) & (self.positions <= high)]
            return seen[:: math.ceil(len(seen) / max(fit, 2))] if len(seen) else ticks
        # One date alone would be labelled by its hour.
        return ticks[:: math.ceil(len(ticks) / max(fit, 2))] if len(ticks) > fit else ticks
