"""What makes panels comparable: one norm, one colormap, one unit, and a label that says how they were made."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, Normalize, to_hex
from matplotlib.transforms import Bbox

from attrkit.checks import is_number, one_of
from attrkit.errors import InputError
from attrkit.plot.labels import with_unit
from attrkit.plot.theme import LIGHT, palette

SCALES = ("extractor", "sample", "shared")


class Scaled(NamedTuple):
    """Arrays in one unit, the words for it, and the end of its range if it is fixed."""

    arrays: list[xr.DataArray]
    label: str
    limit: float | None


class Colors(NamedTuple):
    """One norm and colormap for all panels that are compared, and what the colour bar has to say."""

    norm: Normalize
    cmap: Colormap
    label: str
    extend: str


def divide(
    arrays: Sequence[xr.DataArray],
    extractors: Sequence[str],
    *,
    scale: str | None = None,
    robust: float | None = None,
) -> Scaled:
    """Bring the values of several extractors into one unit.

    Parameters
    ----------
    arrays : sequence of DataArray
        All that will be drawn and nothing else; NaN where blank, with a dim ``sample``.
    extractors : sequence of str
        The extractor of each array; arrays of one extractor, such as its heads, are divided by one number.
    scale : {"extractor", "sample", "shared"}, optional
        Divide the arrays of each extractor by their largest absolute value, those of each extractor and sample,
        or leave all as they are. None stands for "extractor" if there are several and "shared" if there is one.
    robust : float, optional
        Percentile of the absolute values that stands in for their maximum.

    Returns
    -------
    Scaled

    Raises
    ------
    InputError
        If `scale` is another word, or `robust` is not a percentile.

    Examples
    --------
    >>> small = xr.DataArray([[1.0, -2.0]], dims=("sample", "timestep"), name="attribution")
    >>> arrays, label, limit = divide([small, 100 * small], ["a", "b"])
    >>> np.array_equal(arrays[0], arrays[1]), label
    (True, 'attribution / max |attribution| of each extractor')
    """
    if scale is None:
        scale = "extractor" if len(set(extractors)) > 1 else "shared"
    one_of(scale, "scale", SCALES)
    if robust is not None and not (is_number(robust) and 50 < robust < 100):
        raise InputError(f"robust={robust!r} is no percentile to clip at; accepted are numbers between 50 and 100")
    name, units = _common_name(arrays)
    ordinal = "" if robust is None else f"percentile {robust:g} of "
    if scale == "shared":
        label = with_unit(name, {"units": units})
        return Scaled(list(arrays), f"{label}, clipped at {ordinal}|{name}|" if ordinal else label, None)
    over = ["sample"] if scale == "sample" else []
    tops = {
        key: _top([a for a, e in zip(arrays, extractors, strict=True) if e == key], over, robust)
        for key in dict.fromkeys(extractors)
    }
    scaled = [array / tops[extractor] for array, extractor in zip(arrays, extractors, strict=True)]
    top = f"{ordinal}|{name}|" if ordinal else f"max |{name}|"
    each = (["extractor"] if len(tops) > 1 else []) + over
    whose = f" of each {' and '.join(each)}" if each else ""
    return Scaled(scaled, f"{name} / {top}{whose}" + (", clipped" if ordinal else ""), 1.0)


def _common_name(arrays: Sequence[xr.DataArray]) -> tuple[str, str]:
    """Name what all arrays hold, and its units, where they agree."""
    names = {str(a.attrs.get("long_name", a.name or "value")) for a in arrays}
    units = {str(a.attrs.get("units", "")) for a in arrays}
    return names.pop() if len(names) == 1 else "value", units.pop() if len(units) == 1 else ""


def _top(arrays: Sequence[xr.DataArray], keep: Sequence[str], robust: float | None) -> xr.DataArray:
    """Largest absolute value of several arrays, over all dims but `keep`; one where all is zero or blank."""
    kept = [str(dim) for dim in keep]
    shape = [arrays[0].sizes[dim] for dim in kept]
    flat = np.concatenate([abs(a).transpose(*kept, ...).values.reshape(*shape, -1) for a in arrays], axis=-1)
    flat = np.where(np.isnan(flat), 0.0 if robust is None else np.nan, flat)
    top = flat.max(axis=-1)
    if robust is not None:
        blank = np.isnan(flat).all(axis=-1, keepdims=True)
        quantile = np.nanpercentile(np.where(blank, 0.0, flat), robust, axis=-1)
        top = np.where(quantile > 0, quantile, np.nanmax(np.where(blank, 0.0, flat), axis=-1))
    return xr.DataArray(np.where(top > 0, top, 1.0), dims=kept)


def colors(
    scaled: Scaled,
    *,
    robust: float | None = None,
    cmap: str | Colormap | None = None,
    signed: bool | None = None,
) -> Colors:
    """Choose one norm and one colormap for all arrays.

    Parameters
    ----------
    scaled : Scaled
        From `divide`.
    robust : float, optional
        As for `divide`.
    cmap : str or Colormap, optional
        In place of the one that fits the sign of the values.
    signed : bool, optional
        Whether values can have both signs; if not given, whether any that came is negative.

    Returns
    -------
    Colors
        Diverging and symmetric about zero if values are signed, else sequential from zero.

    Examples
    --------
    >>> signed = xr.DataArray([[1.0, -2.0]], dims=("sample", "timestep"))
    >>> norm = colors(divide([signed], ["a"])).norm
    >>> float(norm.vmin), float(norm.vmax)
    (-2.0, 2.0)
    """
    if signed is None:
        signed = any(float(array.min()) < 0 for array in scaled.arrays)
    limit = scaled.limit
    if limit is None:
        limit = float(_top([array.drop_vars("sample", errors="ignore") for array in scaled.arrays], (), robust))
    chosen = cmap if cmap is not None else palette().diverging if signed else palette().sequential
    shades = matplotlib.colormaps[chosen] if isinstance(chosen, str) else chosen
    extend = "neither" if robust is None else "both" if signed else "max"
    norm = Normalize(-limit if signed else 0.0, limit)
    return Colors(norm, shades.with_extremes(bad=palette().blank), scaled.label, extend)


def shades(*, signed: bool) -> list[str]:
    """Return the colours from one end of a scale to the other, for what draws without matplotlib.

    Examples
    --------
    >>> shades(signed=True)[0], shades(signed=False)[0]
    ('#053061', '#f7fbff')
    """
    cmap = LIGHT.diverging if signed else LIGHT.sequential
    return [to_hex(shade) for shade in cmap(np.arange(cmap.N))]


def draw_colorbar(colors: Colors, axes: Sequence[Axes], **style: Any) -> Colorbar:
    """Draw the one colour bar of a figure beside its panels."""
    figure = axes[0].figure
    # A bar as tall as the panels and of one width in inches, whatever the size of the figure.
    panels = Bbox.union([ax.get_window_extent() for ax in axes])
    width, height = panels.width / figure.dpi, panels.height / figure.dpi
    look = {"fraction": min(0.4, 0.22 / width), "pad": 0.02, "aspect": max(8.0, 10 * height)}
    settings = {"extend": colors.extend, **look, **style}
    bar = figure.colorbar(ScalarMappable(colors.norm, colors.cmap), ax=list(axes), **settings)
    bar.outline.set_linewidth(0.6)
    return bar
