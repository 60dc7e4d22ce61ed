"""Scores against what is known to be salient: arrays without padding, whatever dims stand before the items."""

from typing import Any, NamedTuple

import numpy as np

from attrkit.metrics.comparison.similarity import tie_bounds

# Both are of Crabbe and van der Schaar's code, where 1 - score and score are taken to be at least this.
_EPSILON = 1e-5

# Shares of the sum of scores, as Ismail et al. take them.
MASSES = np.linspace(0.1, 0.9, 9)


def min_max(values: np.ndarray, axes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Bring values to 0 at the lowest and 1 at the highest, and say where these differ; where not, all are 0."""
    # Halves, as between the lowest and the highest double there is no number for the width.
    lowest = values.min(axis=axes, keepdims=True) / 2
    width = values.max(axis=axes, keepdims=True) / 2 - lowest
    return np.divide(values / 2 - lowest, width, out=np.zeros_like(values), where=width > 0), width.squeeze(axes) > 0


class Ordered(NamedTuple):
    """Items from the highest score to the lowest, in arrays of shape (..., item).

    ``above`` counts the items of a higher score, ``down_to`` those of this score too; ``hits_above`` and
    ``hits_down_to`` count the salient ones among them. ``n_salient`` is of shape (...).
    """

    score: np.ndarray
    salient: np.ndarray
    above: np.ndarray
    down_to: np.ndarray
    hits_above: np.ndarray
    hits_down_to: np.ndarray
    n_salient: np.ndarray

    @property
    def precision(self) -> np.ndarray:
        """Of the items down to each, the share that is salient."""
        return self.hits_down_to / self.down_to

    @property
    def recall(self) -> np.ndarray:
        """Of the salient items, the share that is found down to each."""
        # Where nothing is salient the caller says that it is not defined.
        return self.hits_down_to / np.maximum(self.n_salient, 1)[..., None]


def ordered(scores: np.ndarray, salient: np.ndarray) -> Ordered:
    """Order scores, and what of them is salient, both of shape (..., item)."""
    order = np.argsort(-scores, axis=-1)
    score = np.take_along_axis(scores, order, axis=-1)
    hit = np.take_along_axis(np.broadcast_to(salient, scores.shape), order, axis=-1)
    above, down_to = tie_bounds(score)
    hits = np.concatenate([np.zeros((*hit.shape[:-1], 1), int), hit.cumsum(axis=-1)], axis=-1)
    at = [np.take_along_axis(hits, place, axis=-1) for place in (above, down_to)]
    return Ordered(score, hit, above, down_to, at[0], at[1], hits[..., -1])


def average_precision(items: Ordered) -> np.ndarray:
    """Sum precision times the step in recall, over thresholds: `sklearn.metrics.average_precision_score`."""
    return (items.precision * items.salient).sum(axis=-1) / np.maximum(items.n_salient, 1)


def chance_of_precision(n_salient: np.ndarray, n_items: np.ndarray) -> np.ndarray:
    """Return the mean average precision over all orders of the items, by the chance of a hit at every rank.

    Examples
    --------
    >>> chance_of_precision(np.array([1]), np.array([2]))  # A half of 1, and a half of 1 / 2.
    array([0.75])
    """
    harmonic = np.concatenate([[0.0], (1 / np.arange(1, n_items.max(initial=0) + 1)).cumsum()])[n_items]
    others = (n_salient - 1) / np.maximum(n_items - 1, 1)
    return (harmonic + others * (n_items - harmonic)) / np.maximum(n_items, 1)


def roc_area(items: Ordered) -> np.ndarray:
    """Return how likely a salient item scores above another, ties counting half: `sklearn.metrics.roc_auc_score`."""
    n_others = items.score.shape[-1] - items.n_salient
    others_above = items.above - items.hits_above
    others_down_to = items.down_to - items.hits_down_to
    beaten = n_others[..., None] - (others_above + others_down_to) / 2
    return (beaten * items.salient).sum(axis=-1) / np.maximum(items.n_salient * n_others, 1)


def over_thresholds(thresholds: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Integrate precision or recall over falling thresholds, by trapezoids."""
    steps = thresholds[..., :-1] - thresholds[..., 1:]
    return (steps * (values[..., :-1] + values[..., 1:]) / 2).sum(axis=-1)


def information(scores: np.ndarray, salient: np.ndarray) -> np.ndarray:
    """Sum what scores of 0 to 1 tell of salient items, in bits."""
    return (np.abs(np.log2(1 - scores + _EPSILON)) * salient).sum(axis=-1)


def entropy(scores: np.ndarray, salient: np.ndarray) -> np.ndarray:
    """Sum how undecided scores of 0 to 1 are about salient items, in bits."""
    each = scores * np.abs(np.log2(scores + _EPSILON)) + (1 - scores) * np.abs(np.log2(1 - scores + _EPSILON))
    return (each * salient).sum(axis=-1)


def thresholds_of_mass(scores: np.ndarray) -> np.ndarray:
    """Return the score down to which items hold each of `MASSES`, of shape (..., mass), of scores of 0 and more."""
    falling = -np.sort(-scores, axis=-1)
    held = falling.cumsum(axis=-1)
    # Sums in another order differ by what rounding makes of them.
    wanted = held[..., -1:] * (MASSES - 1e-12)
    place = (held[..., None, :] < wanted[..., None]).sum(axis=-1)
    return np.take_along_axis(falling, place, axis=-1)


def along(scores: np.ndarray, salient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return precision and recall of whole timesteps, means over masses (after Ismail et al. 2020).

    Parameters
    ----------
    scores : ndarray of shape (sample, extractor, timestep, channel)
        0 and more.
    salient : ndarray of bool of shape (sample, 1, timestep, channel)

    Returns
    -------
    precision, recall : ndarray of shape (sample, extractor)
    """
    flat = scores.reshape(*scores.shape[:2], -1)
    low = thresholds_of_mass(flat)[..., None]
    found = scores.max(axis=-1)[..., None, :] >= low
    truth = np.any(salient, axis=-1)[..., None, :]
    n_channels = np.any(salient, axis=-2).sum(axis=-1)
    weight = _mean_of_largest(scores, n_channels)[..., None, :]
    hit = (weight * (found & truth)).sum(axis=-1)
    precision = _ratio(hit, (weight * found).sum(axis=-1))
    recall = _ratio(hit, (weight * truth).sum(axis=-1))
    return _mean_over_masses(precision), _mean_over_masses(recall)


def _mean_of_largest(scores: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Average the `count` largest along the last axis; it is of shape (sample, 1), 0 as good as 1."""
    count = np.maximum(count, 1)[..., None, None]
    sums = (-np.sort(-scores, axis=-1)).cumsum(axis=-1)
    return np.take_along_axis(sums, np.broadcast_to(count - 1, (*sums.shape[:-1], 1)), axis=-1)[..., 0] / count[..., 0]


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    # Nothing of nothing found is as bad as nothing of something.
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _mean_over_masses(values: np.ndarray) -> Any:
    # The trapezoids' sum over the width, so that 1 all along is 1; Ismail et al. do not divide, and have 0.8.
    return ((values[..., 1:] + values[..., :-1]) / 2).mean(axis=-1)
