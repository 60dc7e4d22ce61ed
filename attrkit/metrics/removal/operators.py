"""What a removed value becomes: one function for each way, all of them over the rows of one sample."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from attrkit.errors import InputError, RefusedError


@dataclass(frozen=True)
class Background:
    """The data that removed values are replaced from.

    Attributes
    ----------
    values : ndarray of shape (donor, timestep, channel)
    mean, sd : ndarray of shape (channel,)
        Over all real timesteps of all donors; ``sd`` is that of the population (``ddof=0``).
    donors : ndarray of int of shape (donor, timestep)
        For each timestep the donors, those first that are real there.
    counts : ndarray of int of shape (timestep,)
        How many of them are.
    places : ndarray of int of shape (donor, timestep)
        Where a donor stands in ``donors``.
    explained : bool
        Whether the donors are the explained samples themselves, so that a sample is not to be its own donor.
    """

    values: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    donors: np.ndarray
    counts: np.ndarray
    places: np.ndarray
    explained: bool


def make_background(values: np.ndarray, real: np.ndarray, *, explained: bool) -> Background:
    """Look at data of shape (donor, timestep[, channel]) once; ``real`` is of shape (donor, timestep)."""
    values = values[..., None] if values.ndim == 2 else values
    kept = values[real].astype(float)
    if not len(kept):
        raise InputError("the background has no real timestep; give one that has, or leave background= out")
    donors = np.argsort(~real, axis=0, kind="stable")
    places = np.argsort(donors, axis=0, kind="stable")
    return Background(values, kept.mean(axis=0), kept.std(axis=0), donors, real.sum(axis=0), places, explained)


class Operator(Protocol):
    """Says what the removed values of one sample become.

    ``values`` are those of the sample, of shape (timestep, channel); ``removed`` is true where a row is to lose them,
    of shape (row, timestep, channel); ``real`` is false where padded, of shape (timestep,); ``rng`` is the sample's
    own; ``number`` is the sample's place. What is returned broadcasts to the shape of ``removed``; it is put down where
    ``removed`` is true, and nowhere else.
    """

    def __call__(
        self,
        values: np.ndarray,
        removed: np.ndarray,
        *,
        real: np.ndarray,
        background: Background,
        rng: np.random.Generator,
        number: int,
    ) -> np.ndarray:
        """Return what is put in the place of removed values."""
        ...


def zero(values: np.ndarray, removed: np.ndarray, **given: Any) -> np.ndarray:
    """Return 0, in the units of the input as it came."""
    return np.zeros_like(values)


def mean(values: np.ndarray, removed: np.ndarray, *, background: Background, **given: Any) -> np.ndarray:
    """Return each channel's mean over the real timesteps of the background."""
    return np.broadcast_to(background.mean, values.shape)


def sample(
    values: np.ndarray,
    removed: np.ndarray,
    *,
    background: Background,
    rng: np.random.Generator,
    number: int,
    **given: Any,
) -> np.ndarray:
    """Return what another sample has at the same timestep and channel.

    It is one donor for all timesteps, unless it is padded at some of them: there it is another that is not, by the same
    draw. Where there is none, it is the mean.
    """
    counts, steps = background.counts, np.arange(len(values))
    draw = rng.random()
    others = counts
    if background.explained:
        place = background.places[number]
        is_donor = place < counts
        others = counts - is_donor
    drawn = (draw * others).astype(int)
    if background.explained:
        # Places from the sample's own on move up by one.
        drawn = drawn + (is_donor & (drawn >= place))
    found = background.values[background.donors[np.minimum(drawn, len(background.values) - 1), steps], steps]
    return np.where((others > 0)[:, None], found, background.mean.astype(values.dtype))


def interpolate(
    values: np.ndarray, removed: np.ndarray, *, real: np.ndarray, background: Background, **given: Any
) -> np.ndarray:
    """Return the straight line between the nearest timesteps that are kept, of each channel by itself.

    Before the first and after the last that is kept, it is the value there; with none, it is the mean of the
    background. Padding is not kept: no line is drawn to it. Timesteps are taken to be equally far apart.
    """
    length = len(values)
    at = np.arange(length)[None, :, None]
    kept = real[None, :, None] & ~removed
    before = np.maximum.accumulate(np.where(kept, at, -1), axis=1)
    after = np.minimum.accumulate(np.where(kept, at, length)[:, ::-1], axis=1)[:, ::-1]
    has_before, has_after = before >= 0, after < length
    left, right = np.where(has_before, before, after), np.where(has_after, after, before)
    share = (at - left) / np.maximum(right - left, 1)
    channel = np.arange(values.shape[1])
    first, last = (values[np.clip(side, 0, length - 1), channel].astype(float) for side in (left, right))
    return np.where(has_before | has_after, first + share * (last - first), background.mean)


def noise(
    values: np.ndarray, removed: np.ndarray, *, background: Background, rng: np.random.Generator, **given: Any
) -> np.ndarray:
    """Return Gaussian noise with the mean and standard deviation that each channel has in the background."""
    return background.mean + background.sd * rng.standard_normal(values.shape)


OPERATORS: dict[str, Operator] = {
    "zero": zero,
    "mean": mean,
    "sample": sample,
    "interpolate": interpolate,
    "noise": noise,
}


def find_operators(operator: Any, values: np.ndarray, background: Background) -> dict[str, Operator]:
    """Return operators by name, of a name, a function, or a list of such; those that do not fit are refused."""
    chosen = list(operator) if isinstance(operator, list | tuple) else [operator]
    found: dict[str, Operator] = {}
    for one in chosen:
        own = OPERATORS.get(one) if isinstance(one, str) else one
        if not callable(own):
            raise InputError(f"operator={one!r} is not known; accepted are {', '.join(OPERATORS)} or a function")
        if not isinstance(one, str):
            _check_callable(one)
        name = one if isinstance(one, str) else str(getattr(one, "__name__", type(one).__name__))
        if name in found:
            raise InputError(f"two operators are named {name!r}; name each once")
        if values.dtype.kind in "iu" and own in (mean, interpolate, noise):
            raise RefusedError(
                f"operator {name!r} makes numbers between the inputs', which are {values.dtype}, such as token ids; "
                "use 'zero', 'sample' or a function of your own"
            )
        if own is sample and background.explained and len(background.values) < 2:
            raise InputError(
                "operator 'sample' takes values of another sample, and there is one only; give background="
            )
        found[name] = own
    if not found:
        raise InputError(f"no operator was given; accepted are {', '.join(OPERATORS)} or a function")
    return found


def _check_callable(operator: Callable[..., Any]) -> None:
    """Refuse a function that cannot be called as an operator."""
    try:
        words = dict.fromkeys(("real", "background", "rng", "number"))
        inspect.signature(operator).bind(None, None, **words)
    except (TypeError, ValueError) as err:
        raise InputError(
            f"operator={operator!r} cannot be called with what one is given: {err}; accepted is a function f(values, "
            "removed, *, real, background, rng, number)"
        ) from err


def replaced(
    operator: Operator,
    values: np.ndarray,
    removed: np.ndarray,
    numbers: np.ndarray,
    *,
    real: np.ndarray,
    background: Background,
    generator: Callable[[int], np.random.Generator],
) -> np.ndarray:
    """Return rows with values removed.

    Parameters
    ----------
    operator : callable
    values : ndarray of shape (sample, timestep[, channel])
    removed : ndarray of bool of shape (row, timestep, 1 or channel)
    numbers : ndarray of int of shape (row,)
        Which sample each row is of; rows of one sample stand side by side.
    real : ndarray of bool of shape (sample, timestep)
    background : Background
    generator : callable
        Maps the number of a sample to a generator of its own, at its start.

    Returns
    -------
    ndarray of shape (row, timestep[, channel])
        In the type of `values`.
    """
    out = values[numbers]
    cuts = np.flatnonzero(np.diff(numbers)) + 1
    for rows in np.split(np.arange(len(numbers)), cuts):
        number = int(numbers[rows[0]])
        own = values[number].reshape(values.shape[1], -1)
        lost = np.broadcast_to(removed[rows], (len(rows), *own.shape)) & real[number][:, None]
        filled = np.asarray(
            operator(own, lost, real=real[number], background=background, rng=generator(number), number=number)
        )
        try:
            changed = np.where(lost, filled, own).astype(values.dtype)
        except ValueError as err:
            raise InputError(
                f"the operator returns shape {filled.shape}; accepted is (row, timestep, channel), here {lost.shape}"
            ) from err
        out[rows] = changed.reshape(out[rows].shape)
    return out
