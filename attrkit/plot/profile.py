"""When, and in which channels, extractors find what matters: means over samples, with intervals."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from attrkit.checks import one_of, some_of
from attrkit.errors import InputError
from attrkit.metrics import interval
from attrkit.plot.data import Data, datasets, one_value_a_step
from attrkit.plot.draw import draw_curve, draw_zero
from attrkit.plot.grid import label_axes
from attrkit.plot.labels import channel_name, with_unit
from attrkit.plot.panels import Panels, make_panels, title_rows
from attrkit.plot.pool import dots, pool_steps
from attrkit.plot.ranking import draw_intervals
from attrkit.plot.removal import draw_band
from attrkit.plot.size import FigSize, fit
from attrkit.plot.style import Visuals, check_visuals, fold_to, styled
from attrkit.plot.theme import palette
from attrkit.plot.ticks import NARROW, Steps, place, set_limits, set_ticks, steps

VISUALS = ("mean", "interval", "zero_line", "title", "row_title", "xlabel", "ylabel", "note")
PROFILES = ("timestep", "channel")
NORMALISED = ("sample", "none")
MOST_STEPS = 1000
"""Of longer series, means of neighbours are drawn."""

MOST_CHANNELS = 40
"""Of more channels than this, those with the largest means are drawn: each is a line of the figure."""


class Profile(NamedTuple):
    """One panel: where values lie, of dims (x,) their ``estimate``, ``low``, ``high``, their label and unit."""

    x: Steps
    found: xr.Dataset
    label: str
    unit: str


@styled
def profile(
    data: Data,
    *,
    over: str | Sequence[str] = "sample",
    profiles: str | Sequence[str] | None = None,
    signed: bool = False,
    normalise: str = "sample",
    confidence: float = 0.95,
    method: str = "auto",
    n_resamples: int = 2000,
    seed: int = 0,
    visuals: Visuals | None = None,
    ax: Any = None,
    figsize: FigSize | None = None,
) -> Panels:
    """Draw what each extractor gives to timesteps and to channels, as a mean over samples with its interval.

    By timestep, values are summed over channels; by channel, over the real timesteps. A sample counts at the timesteps
    that are no padding of its own.

    Parameters
    ----------
    data : Dataset, DataTree, DataArray or mapping of str to Dataset
        With ``attribution``, or weighted ``attention`` of shape (sample, key_timestep).
    over : str or pair of str, default "sample"
        The cases that intervals are over, as `attrkit.metrics.interval` takes them.
    profiles : {"timestep", "channel"} or a sequence of both, optional
        A column of panels each; both if not given, where any extractor resolves channels.
    signed : bool, default False
        Take values as they are, so that those of both signs cancel, in place of their magnitudes.
    normalise : {"sample", "none"}, default "sample"
        Divide by the sum of the magnitudes of each sample, so that each counts alike and extractors share their axes;
        or leave values in their units.
    confidence, method, n_resamples, seed : optional
        As `attrkit.metrics.interval` takes them; ``"auto"`` is Student's t below 30 samples, else the bootstrap.
    visuals : mapping of str to mapping or bool, optional
        Style of mean (of timesteps), interval (of channels with their means), zero_line, title, row_title, xlabel,
        ylabel, note; False leaves one out.
    ax : Axes or array of Axes, optional
        Where to draw; as many as there are panels. The note is left out there.
    figsize : {"column", "page"}, float or (float, float), optional
        Width in print: of one column, 3.5 inches, of both, 7, or in inches, with the height that fits; or both sides.

    Returns
    -------
    Panels
        With dims ``extractor`` and ``profile``.

    Raises
    ------
    InputError
        If there is nothing to draw, attention still has queries, channels are asked for that nothing resolves, or an
        option is not known.
    MissingDependencyError
        If scipy is not installed, for intervals.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> tree = attrkit.from_arrays({"gradient": rng.normal(size=(20, 8, 3)), "saliency": rng.random((20, 8))})
    >>> panels = attrkit.plot.profile(tree)
    >>> panels.axes.sizes
    Frozen({'extractor': 2, 'profile': 2})
    >>> float(panels.artists["mean"].sel(extractor="gradient", profile="timestep").item().get_ydata().sum().round(6))
    1.0
    """
    styles = check_visuals(visuals, VISUALS)
    one_of(normalise, "normalise", NORMALISED)
    cases = (over,) if isinstance(over, str) else tuple(over)
    found = datasets(data)
    arrays = {name: one_value_a_step(ds, name, cases=cases) for name, ds in found.items()}
    asked = _asked(profiles, arrays)
    arrays = {name: _normalised(array, cases, normalise=normalise, signed=signed) for name, array in arrays.items()}
    options = {"over": over, "confidence": confidence, "method": method, "n_resamples": n_resamples, "seed": seed}
    each: dict[tuple[str, str], Profile] = {}
    notes: list[str] = []
    if "timestep" in asked:
        for name, array in arrays.items():
            summed = array.sum("channel", min_count=1, keep_attrs=True) if "channel" in array.dims else array
            each[name, "timestep"], note = _by_timestep(summed, options)
            notes.append(note)
    if "channel" in asked:
        sums = {name: a.sum("timestep", min_count=1, keep_attrs=True) for name, a in arrays.items() if _resolves(a)}
        by_channel, note = _by_channel(sums, options)
        each |= {(name, "channel"): one for name, one in by_channel.items()}
        notes.append(note)
    panels = _panels(list(arrays), asked, each, ax=ax, figsize=figsize)
    _draw(panels, each, styles)
    _share(panels, each, signed=signed)
    _label(panels, each, styles)
    first = next(iter(each.values())).found
    panels.note([_cases_said(first, cases), *dict.fromkeys(notes)], styles["note"])
    return panels


def _resolves(array: xr.DataArray) -> bool:
    return "channel" in array.dims


def _asked(profiles: str | Sequence[str] | None, arrays: Mapping[str, xr.DataArray]) -> list[str]:
    """Return which profiles to draw."""
    resolved = any(map(_resolves, arrays.values()))
    if profiles is None:
        return list(PROFILES) if resolved else ["timestep"]
    asked = some_of(profiles, "profiles", PROFILES)
    if "channel" in asked and not resolved:
        raise InputError(f"no channels to draw: {', '.join(arrays)} tell timesteps apart only; accepted is 'timestep'")
    return asked


def _normalised(array: xr.DataArray, cases: tuple[str, ...], *, normalise: str, signed: bool) -> xr.DataArray:
    """Divide each case by the sum of its magnitudes, and name the values for what they are then."""
    name = str(array.attrs.get("long_name", array.name))
    values = array if signed else abs(array)
    said = name if signed else f"|{name}|"
    if normalise == "none":
        return values.assign_attrs(long_name=said, units=array.attrs.get("units", ""))
    total = abs(array).sum([dim for dim in array.dims if dim not in cases])
    share = f"share of |{name}|" if not signed else f"{name} / sum of |{name}|"
    # A sample without any relevance has no shares.
    return (values / total.where(total > 0)).assign_attrs(long_name=f"{share} of each sample", units="1")


def _by_timestep(array: xr.DataArray, options: Mapping[str, Any]) -> tuple[Profile, str]:
    x = steps(array, "timestep")
    n = array.sizes["timestep"]
    note = ""
    if n > MOST_STEPS:
        array, x = _means(array, MOST_STEPS), pool_steps(x, MOST_STEPS)
        note = f"each point: the mean of {n / MOST_STEPS:.3g} timesteps"
    return Profile(x, interval(array, **options), *_unit(array)), note


def _means(array: xr.DataArray, n: int) -> xr.DataArray:
    """Return means of `n` bins of timesteps, over what is there."""
    values = array.transpose(..., "timestep")
    size = values.sizes["timestep"]
    starts = np.arange(n) * size // n
    sums = np.add.reduceat(np.nan_to_num(values.values), starts, axis=-1)
    counts = np.add.reduceat(values.notnull().values.astype(float), starts, axis=-1)
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return xr.DataArray(means, dims=values.dims, attrs=array.attrs, name=array.name)


def _by_channel(arrays: Mapping[str, xr.DataArray], options: Mapping[str, Any]) -> tuple[dict[str, Profile], str]:
    """Return profiles of the same channels for all extractors, those with the largest means where there are many."""
    found = {name: interval(array, **options) for name, array in arrays.items()}
    labels = next(iter(arrays.values())).get_index("channel")
    note = ""
    if len(labels) > MOST_CHANNELS:
        means = [abs(one["estimate"]) / float(abs(one["estimate"]).max() or 1.0) for one in found.values()]
        largest = np.nanmax([mean.values for mean in means], axis=0)
        kept = np.sort(np.argsort(-largest, kind="stable")[:MOST_CHANNELS])
        note = f"the {MOST_CHANNELS} of {len(labels):,} channels with the largest means"
        labels, found = labels[kept], {name: one.isel(channel=kept) for name, one in found.items()}
    x = place(np.array([channel_name(label) for label in labels], dtype=object))
    return {name: Profile(x, found[name], *_unit(arrays[name])) for name in found}, note


def _unit(array: xr.DataArray) -> tuple[str, str]:
    return with_unit(str(array.attrs["long_name"]), array.attrs), str(array.attrs["units"])


def _cases_said(found: xr.Dataset, cases: tuple[str, ...]) -> str:
    """Say of how many cases the means are, and what the intervals are."""
    low, high = int(found["n"].min()), int(found["n"].max())
    n = f"{high:,}" if low == high else f"{low:,} to {high:,}"
    means = f"means over {n} {' and '.join(f'{case}s' for case in cases)}"
    if high < 2:
        return means
    return (
        f"{means} with {100 * float(found.attrs['confidence']):g}% intervals ({found.attrs['interval'].split(',')[0]})"
    )


def _panels(
    names: Sequence[str], asked: Sequence[str], each: Mapping[tuple[str, str], Profile], *, ax: Any, figsize: Any
) -> Panels:
    lines = max((len(one.x.positions) for (_, kind), one in each.items() if kind == "channel"), default=1)
    height = float(np.clip(0.14 * lines, 1.0, max(1.0, min(4.5, 8.5 / len(names)))))
    size = fit(figsize, 7.0 if len(asked) > 1 else 4.8, 0.8 + len(names) * (height + 0.12))
    index = {"extractor": pd.Index(names), "profile": pd.Index(asked)}
    ratios = [(2.2 if size[0] > NARROW else 1.5) if kind == "timestep" else 1.0 for kind in asked]
    return make_panels(index, ax=ax, figsize=size, width_ratios=ratios)


def _draw(panels: Panels, each: Mapping[tuple[str, str], Profile], styles: Mapping[str, Any]) -> None:
    color = palette().cycle[0]
    for row, name in enumerate(panels.axes["extractor"].values):
        for col, kind in enumerate(panels.axes["profile"].values):
            at, axes = (row, col), panels.axes.values[row, col]
            if (name, kind) not in each:
                axes.set_axis_off()
                words = fold_to("does not resolve channels", axes, size=7)
                place_at = {"transform": axes.transAxes, "ha": "center", "va": "center"}
                axes.text(0.5, 0.5, words, fontsize=7, color=palette().note, **place_at)
                continue
            x, found = each[name, kind][:2]
            if styles["zero_line"] is not None:
                panels.keep("zero_line", draw_zero(axes, vertical=kind == "channel", **styles["zero_line"]), at)
            if kind == "channel":
                if styles["interval"] is not None:
                    look = {"color": color, "markersize": 3, "linewidth": 1.0, **styles["interval"]}
                    panels.keep("interval", draw_intervals(found, axes, **look), at)
                axes.set_ylim(x.edges[-1], x.edges[0])
                continue
            if styles["interval"] is not None:
                low, high = (xr.DataArray(found[end].values, {"x": x.positions}, "x") for end in ("low", "high"))
                look = {"color": color, "alpha": 0.25, **styles["interval"]}
                panels.keep("interval", draw_band(low, high, axes, x="x", **look), at)
            if styles["mean"] is not None:
                panels.keep("mean", draw_curve(found["estimate"], axes, x=x, **{"color": color, **styles["mean"]}), at)
            set_limits(axes, x)


def _share(panels: Panels, each: Mapping[tuple[str, str], Profile], *, signed: bool) -> None:
    """Give panels of one kind and one unit one range of values, from zero if they are magnitudes."""
    for col, kind in enumerate(panels.axes["profile"].values):
        units: dict[str, list[Axes]] = {}
        for row, name in enumerate(panels.axes["extractor"].values):
            if (name, kind) in each:
                # Nobody knows whether two that have no unit have the same.
                unit = each[name, kind].unit or f"that of {name}"
                units.setdefault(unit, []).append(panels.axes.values[row, col])
        for members in units.values():
            ranges = np.array([ax.get_xlim() if kind == "channel" else ax.get_ylim() for ax in members])
            low, high = ranges[:, 0].min(), ranges[:, 1].max()
            # Of few samples, limits of what cannot be negative may be.
            low = low if signed else max(low, -0.04 * high)
            for ax in members:
                (ax.set_xlim if kind == "channel" else ax.set_ylim)(low, high)


def _label(panels: Panels, each: Mapping[tuple[str, str], Profile], styles: Mapping[str, Any]) -> None:
    """Write titles, labels and ticks."""
    names, kinds = panels.axes["extractor"].values, panels.axes["profile"].values
    for col, kind in enumerate(kinds):
        x_labels: dict[tuple[int, ...], str] = {}
        y_labels: dict[tuple[int, ...], str] = {}
        rows = [row for row, name in enumerate(names) if (name, kind) in each]
        for row in rows:
            axes, one = panels.axes.values[row, col], each[names[row], kind]
            under = each.get((names[row + 1], kind)) if row + 1 < len(names) else None
            if kind == "timestep":
                outer = under is None or not one.x.same(under.x)
                set_ticks(axes.xaxis, one.x, show=outer)
                if outer and one.x.label:
                    x_labels[row, col] = one.x.label
                y_labels[row, col] = one.label
            else:
                set_ticks(axes.yaxis, one.x)
                axes.xaxis.set_major_locator(MaxNLocator(3 if dots(axes)[0] > 200 else 2))
                outer = under is None or under.label != one.label
                axes.tick_params(axis="x", labelbottom=outer)
                if outer:
                    x_labels[row, col] = one.label
        label_axes(panels, "x", x_labels, styles["xlabel"], common=False)
        label_axes(panels, "y", y_labels, styles["ylabel"], common=len(kinds) == 1 or len(set(y_labels.values())) == 1)
        if styles["title"] is not None:
            words = "by timestep" if kind == "timestep" else "by channel"
            panels.keep("title", panels.axes.values[0, col].set_title(words, **styles["title"]), (0, col))
    if styles["row_title"] is not None:
        title_rows(panels, list(map(str, names)), styles["row_title"])
