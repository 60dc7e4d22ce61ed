"""Perturbations of inputs, drawn for each sample by its number: nothing depends on batches, and padding stays."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from attrkit.checks import one_of, real_number
from attrkit.errors import InputError
from attrkit.inputs import read_array
from attrkit.parts import keep_real


class Drawn(NamedTuple):
    """What is taken off one sample: ``x - change`` is the perturbed input.

    ``share`` is how much of the way from the input to the baseline that is, 1 where a value becomes the baseline.
    """

    change: np.ndarray
    share: np.ndarray


class Sample(NamedTuple):
    """One sample as perturbations see it, in double precision: arrays of shape (timestep[, channel]).

    ``scale`` is the standard deviation of noise, ``real`` of shape (timestep,) false where padded.
    """

    x: np.ndarray
    baseline: np.ndarray
    scale: np.ndarray
    real: np.ndarray


Perturbation = Callable[[Sample, np.random.Generator], Drawn]


def gaussian(sample: Sample, rng: np.random.Generator) -> Drawn:
    """Add noise."""
    return _drawn(sample, rng.standard_normal(sample.x.shape) * sample.scale)


def noisy_baseline(sample: Sample, rng: np.random.Generator) -> Drawn:
    """Put the baseline and noise in place of the input."""
    return _drawn(sample, sample.x - sample.baseline - rng.standard_normal(sample.x.shape) * sample.scale)


def square(sample: Sample, rng: np.random.Generator) -> Drawn:
    """Put the baseline in place of a window of timesteps in some channels."""
    inside = _window(sample, rng)
    if sample.x.ndim == 1:
        return Drawn((sample.x - sample.baseline) * inside, inside)
    n_channels = sample.x.shape[1]
    chosen = rng.permutation(n_channels) < rng.integers(1, n_channels, endpoint=True)
    inside = inside[:, None] * chosen
    return Drawn((sample.x - sample.baseline) * inside, inside)


def window(sample: Sample, rng: np.random.Generator) -> Drawn:
    """Put the baseline in place of a window of timesteps in all channels."""
    inside = np.broadcast_to(_window(sample, rng).reshape(-1, *[1] * (sample.x.ndim - 1)), sample.x.shape)
    return Drawn((sample.x - sample.baseline) * inside, inside)


def of_function(function: Callable[..., Any]) -> Perturbation:
    """Return the perturbation that a user's function of the input and a generator draws."""

    def draw(sample: Sample, rng: np.random.Generator) -> Drawn:
        change = read_array(function(sample.x.copy(), rng), "what perturbation= returns", "accepted is an array")
        if change.shape != sample.x.shape or change.dtype.kind not in "iuf" or not np.isfinite(change).all():
            raise InputError(
                f"perturbation= returns shape {change.shape} of {change.dtype}; accepted are finite numbers of the "
                f"shape of a sample, {sample.x.shape}: what is taken off it"
            )
        return _drawn(sample, keep_real(change[None], 0, sample.real[None])[0])

    return draw


PERTURBATIONS: dict[str, Perturbation] = {
    "gaussian": gaussian,
    "noisy_baseline": noisy_baseline,
    "square": square,
    "window": window,
}


def find_perturbation(perturbation: Any) -> tuple[str, Perturbation]:
    """Return the name of a perturbation and what draws it."""
    if callable(perturbation):
        return f"function {getattr(perturbation, '__name__', type(perturbation).__name__)}", of_function(perturbation)
    if not isinstance(perturbation, str) or perturbation not in PERTURBATIONS:
        raise InputError(
            f"perturbation={perturbation!r} is not known; accepted are {', '.join(map(repr, PERTURBATIONS))} and a "
            "function f(x, rng) of one sample that returns what is taken off it"
        )
    return perturbation, PERTURBATIONS[perturbation]


def noise_scale_of(size: Any, name: str, unit: str, x: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Return the size of noise in units of the input, of the shape of `x`: 0 at padding.

    Parameters
    ----------
    size : float
    name : str
        What the user calls it.
    unit : {"std", "input"}
        Of `size`: the standard deviation of each channel over all samples and real timesteps, or the input's own unit.
    x : ndarray of shape (sample, timestep[, channel])
    real : ndarray of bool of shape (sample, timestep)
    """
    size = real_number(size, name, above=0)
    one_of(unit, "unit", ("std", "input"))
    each = x[real].std(axis=0, dtype=np.float64) if unit == "std" and real.any() else np.float64(1)
    return keep_real(np.broadcast_to(size * each, x.shape), 0.0, real)


def _drawn(sample: Sample, change: np.ndarray) -> Drawn:
    way = sample.x - sample.baseline
    return Drawn(change, np.divide(change, way, out=np.zeros_like(way), where=way != 0))


def _window(sample: Sample, rng: np.random.Generator) -> np.ndarray:
    """Return 1 in a window of real timesteps of any length and place, else 0."""
    places = np.flatnonzero(sample.real)
    inside = np.zeros(len(sample.real))
    if len(places):
        length = rng.integers(1, len(places), endpoint=True)
        start = rng.integers(len(places) - length, endpoint=True)
        inside[places[start : start + length]] = 1
    return inside
