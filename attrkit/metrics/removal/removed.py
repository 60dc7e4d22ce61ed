"""Items removed from samples, and what the model says then: each set of items is asked about once."""

import warnings

import numpy as np

from attrkit.adapters.terms import LazyRows
from attrkit.errors import AttrkitWarning
from attrkit.metrics.draws import OPERATOR, TIES, generator
from attrkit.metrics.removal.case import Case, probabilities
from attrkit.metrics.removal.operators import Operator, replaced
from attrkit.parts import Parts, by_name, unnamed

CHUNK = 2**24
"""Values, of removals and of outputs, that are held at once."""


def rankings(scores: np.ndarray, real: np.ndarray, ties: np.ndarray) -> np.ndarray:
    """Return the place of each item, 0 for the largest score, ties in the order of `ties`; padding comes last.

    All arrays are of shape (..., item).
    """
    order = np.lexsort(np.broadcast_arrays(ties, -scores, ~real), axis=-1)
    places = np.empty(order.shape, np.int32)
    np.put_along_axis(places, order, np.broadcast_to(np.arange(order.shape[-1], dtype=np.int32), order.shape), axis=-1)
    return places


class Ranked:
    """The rankings of all samples: those of the extractors, then the random ones.

    Attributes
    ----------
    scores : ndarray of shape (extractor, sample, item)
    items : ndarray of bool of shape (sample, item)
        Which items are real.
    count : int
        Rankings of each sample.
    undefined : ndarray of bool of shape (ranking, sample)
        Where a score is no number, or nothing is real.
    constant : ndarray of bool of shape (ranking, sample)
        Where all scores are equal, so that the order is by chance.
    """

    def __init__(self, scores: np.ndarray, items: np.ndarray, *, seed: int, n_random: int) -> None:
        self.scores, self.items, self.seed, self.n_random = scores, items, seed, n_random
        self.n_extractors = len(scores)
        self.count = self.n_extractors + n_random
        never = np.zeros((n_random, len(items)), bool)
        unknown = ~(np.isfinite(scores) | ~items).all(axis=2)
        self.undefined = np.concatenate([unknown, never]) | ~items.any(axis=1)
        equal = np.where(items, scores, -np.inf).max(axis=2) == np.where(items, scores, np.inf).min(axis=2)
        self.constant = np.concatenate([equal, never]) & ~self.undefined

    def places(self, numbers: np.ndarray) -> np.ndarray:
        """Return places of items, 0 for the first, of shape (ranking, sample, item), of some samples."""
        shape = (self.n_random + 1, len(numbers), self.items.shape[1])
        drawn = np.array(
            [
                [generator(self.seed, TIES, number, draw).random(shape[2]) for number in numbers.tolist()]
                for draw in range(shape[0])
            ]
        ).reshape(shape)
        every = np.concatenate([np.nan_to_num(self.scores[:, numbers]), drawn[1:]])
        return rankings(every, self.items[numbers], drawn[0])


def remove(
    case: Case, removed: np.ndarray, numbers: np.ndarray, operator: Operator, *, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ask the model about rows with values removed; rows that are alike are asked once.

    Parameters
    ----------
    case : Case
    removed : ndarray of bool of shape (row, item)
        Items are timesteps, or cells: timesteps by channels, laid flat.
    numbers : ndarray of int of shape (row,)
        Which sample each row is of.
    operator : callable
    seed : int

    Returns
    -------
    explained : ndarray of shape (row,)
        The explained output.
    predicted : ndarray of shape (row,)
        The output that is largest where nothing is removed.
    decided : ndarray of int of shape (row,)
        Which output is largest now.
    """
    width = removed.shape[1]
    packed = np.packbits(removed, axis=1)
    # Sorting by these bytes sorts by sample.
    keys = np.concatenate([numbers.astype(">u4")[:, None].view(np.uint8), packed], axis=1)
    voids = np.ascontiguousarray(keys).view(f"V{keys.shape[1]}")[:, 0]
    _, firsts, inverse = np.unique(voids, return_index=True, return_inverse=True)
    packed, numbers = packed[firsts], numbers[firsts]
    found = case.prediction[numbers].copy()
    needed = np.flatnonzero(packed.any(axis=1))
    values, length = case.values, case.values.shape[1]

    def make(rows: np.ndarray) -> Parts:
        own = needed[rows]
        lost = np.unpackbits(packed[own], axis=1, count=width).astype(bool).reshape(len(own), length, -1)
        changed = replaced(
            *(operator, values, lost, numbers[own]),
            real=case.real,
            background=case.background,
            generator=lambda number: generator(seed, OPERATOR, number),
        )
        return with_primary(case, changed, numbers[own])

    if needed.size:
        outputs = case.model.predict(LazyRows(needed.size, make, lambda rows: numbers[needed[rows]]))
        found[needed] = probabilities(outputs, case.kind)
    at = np.arange(len(numbers))
    each_row = (found[at, case.target.index[numbers]], found[at, case.predicted[numbers]], found.argmax(axis=1))
    inverse = inverse.reshape(-1)
    return each_row[0][inverse], each_row[1][inverse], each_row[2][inverse]


def with_primary(case: Case, changed: np.ndarray, numbers: np.ndarray) -> Parts:
    """Return what the model takes: the primary input changed, the others those of the samples."""
    named = by_name(case.x)
    primary = case.explained.primary if len(named) > 1 else ""
    parts: Parts = unnamed({name: changed if name == primary else a[numbers] for name, a in named.items()})
    return parts


def check_padding(case: Case, name: str, operator: Operator, *, seed: int) -> None:
    """Warn where the model takes removed timesteps for padding, which shortens a sample instead."""
    # The model's other inputs are those of all samples.
    numbers = np.arange(len(case.real) if case.model.question.context else min(len(case.real), 64))
    removed = np.ones((len(numbers), case.values.shape[1], 1), bool)
    changed = replaced(
        *(operator, case.values, removed, numbers),
        real=case.real,
        background=case.background,
        generator=lambda number: generator(seed, OPERATOR, number),
    )
    masks = case.model.masks(with_primary(case, changed, numbers))
    left = masks.get(case.explained.primary, masks.get(""))
    real = case.real[numbers]
    lost = 0 if left is None else int((real & ~left).sum())
    if lost:
        warnings.warn(
            f"operator {name!r}: with all removed, the model masks {lost} of {int(real.sum())} real timesteps, because "
            "what they become is its mask value: samples get shorter, instead of losing what a timestep says. Pass an "
            "operator that is not masked, such as 'mean'",
            AttrkitWarning,
            stacklevel=4,
        )


def chunks(n_samples: int, values_a_sample: int) -> list[np.ndarray]:
    """Split samples into groups of which each holds no more than `CHUNK` values."""
    size = max(1, CHUNK // max(values_a_sample, 1))
    return [np.arange(first, min(first + size, n_samples)) for first in range(0, n_samples, size)]
