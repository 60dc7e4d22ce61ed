"""What the output loses when a piece of the input is replaced."""

import warnings
from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.adapters.terms import LazyRows
from attrkit.checks import flag, whole_number
from attrkit.errors import AttrkitWarning, InputError
from attrkit.half import ROUNDING, way_out_of
from attrkit.method import OUTPUT, attribution
from attrkit.parts import Parts, by_name, each, keep_real, row_maxima, unnamed

SHARE_OF_ROUNDING = 0.05
"""Of the largest difference of outputs: by no more than this may half precision round them without a warning."""


def occlusion(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    prediction: np.ndarray,
    baseline: Parts,
    masks: Any = None,
    window: int = 1,
    stride: int | None = None,
    per_channel: bool = True,
) -> dict[str, Any]:
    """Return the output less the output with a window of timesteps replaced (Zeiler and Fergus 2014, section 4.2).

    Parameters
    ----------
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    prediction : ndarray of shape (sample, output)
        The model's outputs at `x`, laid flat.
    baseline : Parts of the dims of `x`, each of its length or 1
        What a replaced value becomes.
    masks : ndarray of bool of shape (sample, timestep), or dict of such by part, optional
        False where padded: nothing is put down there.
    window : int, default 1
        Timesteps replaced at once.
    stride : int, optional
        From one window to the next; `window` if not given. Where windows overlap, a timestep gets the mean of those
        that cover it.
    per_channel : bool, default True
        Replace one channel at a time; if false all at once, and the result has no channel dim.

    Returns
    -------
    dict
        ``attribution`` of shape (sample, timestep, channel), or (sample, timestep) if not `per_channel`, in units of
        the output. A window's effect stands at each of its timesteps, so it sums to nothing in particular.

    Raises
    ------
    InputError
        If `window` is not within the input's length, or `stride` would skip timesteps.

    Warns
    -----
    AttrkitWarning
        If the model computes in half precision, and differences of its outputs are of the size of their rounding.
    """
    named, starts_from = by_name(x), by_name(baseline)
    longest = max(array.shape[1] for array in named.values())
    window, per_channel = whole_number(window, "window", least=1), flag(per_channel, "per_channel")
    stride = window if stride is None else whole_number(stride, "stride", least=1)
    if window > longest or stride > window:
        raise InputError(
            f"window must be from 1 to {longest} and stride from 1 to window, got window={window} and stride={stride}"
        )
    kept = prediction[np.arange(len(prediction)), target]
    found = {
        name: _occlude(model, x, name, start, kept, target, min(window, array.shape[1]), stride, per_channel)
        for (name, array), start in zip(named.items(), starts_from.values(), strict=True)
    }
    values = unnamed(found)
    if model.half:
        _check_above_rounding(values, kept, model.half)
    if masks is not None:
        values = each(lambda array, mask: keep_real(array, 0, mask), values, masks)
    return {"attribution": attribution(values, long_name="occlusion", units=OUTPUT)}


def _check_above_rounding(values: Parts, kept: np.ndarray, half: str) -> None:
    """Warn where differences of outputs are of the size of their rounding."""
    lost = ROUNDING[half] * np.abs(kept) > SHARE_OF_ROUNDING * row_maxima(values)
    if lost.any():
        warnings.warn(
            f"occlusion: in {int(lost.sum())} of {len(lost)} samples, what outputs are rounded by is more than "
            f"{SHARE_OF_ROUNDING:.0%} of the largest difference that is found. {way_out_of(half)}",
            AttrkitWarning,
            stacklevel=4,
        )


def _occlude(
    model: Adapter,
    x: Parts,
    name: str,
    baseline: np.ndarray,
    kept: np.ndarray,
    target: np.ndarray,
    window: int,
    stride: int,
    per_channel: bool,
) -> np.ndarray:
    """Occlude one part; the others stay as they are."""
    own = by_name(x)[name]
    n_samples, length = own.shape[:2]
    by_channel = per_channel and own.ndim == 3
    n_channels = own.shape[2] if by_channel else 1
    starts = np.array([*range(0, length - window, stride), length - window])
    n_places = len(starts) * n_channels
    blank = np.broadcast_to(np.asarray(baseline, own.dtype), own.shape)
    # Padding, and what is at the baseline already, changes nothing: no pass is needed to know.
    differs = own != blank
    differs = differs if by_channel else differs.reshape(n_samples, length, -1).any(axis=2)
    # How many values differ before each timestep, so that a window's are one difference.
    before = np.zeros((n_samples, length + 1, n_channels), np.int32)
    np.cumsum(differs.reshape(n_samples, length, n_channels), axis=1, dtype=np.int32, out=before[:, 1:])
    needed = np.flatnonzero(before[:, starts + window] > before[:, starts])

    def changed(rows: np.ndarray) -> Parts:
        samples, at = np.divmod(needed[rows], n_places)
        out = own[samples]
        for row, (sample, place) in enumerate(zip(samples.tolist(), at.tolist(), strict=True)):
            start = starts[place // n_channels]
            piece = (slice(start, start + window), place % n_channels if by_channel else slice(None))[: own.ndim - 1]
            out[row][piece] = blank[sample][piece]
        return unnamed({other: out if other == name else values[samples] for other, values in by_name(x).items()})

    effect = np.zeros(n_samples * n_places, kept.dtype)
    if needed.size:
        samples = needed // n_places
        without = model.predict(LazyRows(needed.size, changed, lambda rows: samples[rows]))
        of_target = np.take_along_axis(without, target[samples][:, None], axis=1)[:, 0]
        effect[needed] = kept[samples] - of_target
    effect = effect.reshape(n_samples, len(starts), n_channels)

    sums = np.zeros((n_samples, length, n_channels), effect.dtype)
    covers = np.zeros(length, effect.dtype)
    for at_start, start in enumerate(starts):
        covers[start : start + window] += 1
        sums[:, start : start + window] += effect[:, at_start, None]
    values = sums / covers[None, :, None]
    return values if by_channel else values[..., 0]
