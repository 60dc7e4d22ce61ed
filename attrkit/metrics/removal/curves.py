"""Where curves have points, and numbers made of curves: arrays of shape (..., sample, point)."""

from collections.abc import Sequence
from dataclasses import dataclass
from reprlib import repr as short
from typing import Any

import numpy as np

from attrkit.checks import whole_number
from attrkit.errors import InputError

CLIP = 1e-6
"""Probabilities are kept this far from 0 and 1 before a logarithm."""


@dataclass(frozen=True)
class Points:
    """How many items are removed along a curve: ``labels`` of shape (point,), shares or numbers of items by ``dim``."""

    dim: str
    labels: np.ndarray

    def counts(self, totals: np.ndarray) -> np.ndarray:
        """Return numbers of items, of shape (sample, point), of samples with so many in all, of shape (sample,)."""
        if self.dim == "share":
            # Up, so that a small share of a short sample is one item; 0.1 of 30 is 3, though 0.1 * 30 is a little more.
            found = np.ceil(self.labels * totals[:, None] - 1e-9).astype(int)
        else:
            found = np.broadcast_to(self.labels, (len(totals), len(self.labels)))
        return np.minimum(found, totals[:, None])

    def exist(self, totals: np.ndarray) -> np.ndarray:
        """Return which points a sample has, of shape (sample, point)."""
        if self.dim == "share":
            return np.ones((len(totals), len(self.labels)), bool)
        return np.asarray(self.labels <= totals[:, None])

    def averaged(self, totals: np.ndarray) -> np.ndarray:
        """Return which points a plain mean is over, of shape (sample, point): not nothing, and not the share 1."""
        inner = self.labels > 0
        return self.exist(totals) & (inner & (self.labels < 1) if self.dim == "share" else inner)


def read_points(shares: Sequence[float], n_removed: Sequence[int] | None = None) -> Points:
    """Return the points of shares, with 0 and 1, or of numbers of items, with 0."""
    if n_removed is not None:
        if not isinstance(n_removed, Sequence | np.ndarray):
            raise InputError(f"n_removed={short(n_removed)} came; accepted are whole numbers, 0 or more")
        counts = np.array(sorted({0, *(whole_number(k, "n_removed", least=0) for k in n_removed)}))
        if len(counts) < 2:
            raise InputError(f"n_removed={n_removed!r} removes nothing; give one number of 1 or more")
        return Points("n_removed", counts)
    given = read_shares(shares, "numbers from 0 to 1, one of them between the two")
    inner = given[(given > 0) & (given < 1)]
    if not len(inner):
        raise InputError(f"shares={short(shares)}; accepted are numbers from 0 to 1, one of them between the two")
    return Points("share", np.array([0.0, *inner, 1.0]))


def read_shares(shares: Any, accepted: str) -> np.ndarray:
    """Return shares from 0 to 1 in their order, each once; refuse other numbers, and what is none.

    Examples
    --------
    >>> read_shares([0.5, 0.1, 0.5], "numbers from 0 to 1")
    array([0.1, 0.5])
    >>> read_shares("all", "numbers from 0 to 1")
    Traceback (most recent call last):
        ...
    attrkit.errors.InputError: shares='all'; accepted are numbers from 0 to 1
    """
    try:
        found = np.unique(np.array([*shares], float))
    except Exception as err:  # An object's own conversion may raise anything.
        raise InputError(f"shares={short(shares)}; accepted are {accepted}") from err
    if not ((found >= 0) & (found <= 1)).all():
        raise InputError(f"shares={short(shares)}; accepted are {accepted}")
    return found


def area(curve: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the mean height of curves, by trapezoids, over the items removed from the first to the last point."""
    widths = np.diff(counts.astype(float), axis=-1)
    heights = (curve[..., 1:] + curve[..., :-1]) / 2
    return ratio((heights * widths).sum(axis=-1), widths.sum(axis=-1))


def ratio(part: np.ndarray, whole: Any) -> np.ndarray:
    """Return quotients; NaN where the divisor is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(whole != 0, part / whole, np.nan))


def plain_mean(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return the mean over the points where `where` is true; NaN where none is."""
    return ratio(np.where(where, values, 0).sum(axis=-1), where.sum(axis=-1))


def loss_of(before: np.ndarray, after: np.ndarray, error: str) -> np.ndarray:
    """Return what is lost: f(x) - f(x') for ``"signed"``, its size, or its square."""
    change = before - after
    if error == "absolute":
        return np.abs(change)
    return change**2 if error == "squared" else change


def logit(p: np.ndarray) -> np.ndarray:
    """Return log(p / (1 - p)) of clipped probabilities."""
    p = np.clip(p, CLIP, 1 - CLIP)
    return np.asarray(np.log(p) - np.log1p(-p))


def first_flip(flipped: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the value of `at` at the first point where `flipped` is true; NaN where there is none."""
    place = flipped.argmax(axis=-1)[..., None]
    found = np.take_along_axis(np.broadcast_to(at, flipped.shape), place, axis=-1)[..., 0]
    return np.where(flipped.any(axis=-1), found, np.nan)


def mass_removed(scores: np.ndarray, places: np.ndarray, real: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the share of the absolute scores that the items removed first hold.

    ``scores`` and ``places`` are of shape (ranking, sample, item), ``counts`` of shape (sample, point); what comes back
    is of shape (ranking, sample, point), NaN where all scores are 0.
    """
    held = np.where(real, np.abs(scores), 0)
    sums = np.zeros((*held.shape[:2], held.shape[2] + 1))
    np.put_along_axis(sums, places.astype(int) + 1, held, axis=-1)
    sums = sums.cumsum(axis=-1)
    taken = np.take_along_axis(sums, np.broadcast_to(counts, (len(held), *counts.shape)), axis=-1)
    return ratio(taken, sums[..., -1:])
