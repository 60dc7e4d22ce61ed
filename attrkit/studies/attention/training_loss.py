"""The loss of adversarially trained attention, and its slopes, in closed form."""

from typing import NamedTuple

import numpy as np

from attrkit.studies.attention.outputs import TOTAL_VARIATION, apart

FLOOR = 1e-10
"""A share below this has its logarithm."""


class Loss(NamedTuple):
    """Of each sample: how far the answer is, how far the weights are, in nats, and slopes of what is asked for."""

    distance: np.ndarray
    divergence: np.ndarray
    by_output: np.ndarray
    by_weights: np.ndarray


def loss_of(
    prediction: np.ndarray,
    weights: np.ndarray,
    *,
    base_prediction: np.ndarray,
    base_weights: np.ndarray,
    real: np.ndarray,
    rows: np.ndarray,
    measure: str,
    penalty: float,
) -> Loss:
    """Return distance and divergence, and the slopes of ``distance - penalty * divergence`` of each sample.

    Parameters
    ----------
    prediction, base_prediction : ndarray of shape (sample, output)
    weights, base_weights : ndarray of shape (sample[, head][, query], key)
    real : ndarray of bool of the shape of the weights
        Which are on real keys.
    rows : ndarray of shape (sample[, head][, query])
        What each row of weights counts in the mean over rows, as `shares_of_rows` gives it.
    """
    difference = prediction.astype(float) - base_prediction
    per_output = 2 if measure == TOTAL_VARIATION else prediction.shape[1]
    by_row, slope = kullback_leibler(weights, base_weights, real)
    axes = tuple(range(1, by_row.ndim))
    return Loss(
        apart(prediction, base_prediction, measure),
        (by_row * rows).sum(axes),
        np.sign(difference) / per_output,
        -penalty * slope * rows[..., None],
    )


def real_shares(weights: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which share of the weight on real keys each key has, and that weight, of shape (..., 1)."""
    kept = np.where(real, weights, 0.0)
    mass = kept.sum(-1, keepdims=True)
    return np.divide(kept, mass, out=np.zeros_like(kept), where=mass > 0), mass


def kullback_leibler(weights: np.ndarray, base: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the divergence of each row of weights from the base's over real keys, in nats, and its slope.

    It is the mean over the weights, KL(weights || base), as Wiegreffe and Pinter have it.
    """
    (p, mass), (q, _) = real_shares(weights, real), real_shares(base, real)
    ratio = np.log(np.maximum(p, FLOOR)) - np.log(np.maximum(q, FLOOR))
    slope = ratio + (p > FLOOR)
    slope = np.where(real, slope - (slope * p).sum(-1, keepdims=True), 0.0)
    return (p * ratio).sum(-1), np.divide(slope, mass, out=np.zeros_like(slope), where=mass > 0)


def shares_of_rows(weights: np.ndarray, queries: np.ndarray | None) -> np.ndarray:
    """Return what each row counts in the mean over heads and real queries, of shape (sample[, head][, query])."""
    shape = weights.shape[:-1]
    counted = np.ones(shape)
    if len(shape) > 1 and queries is not None:
        counted = counted * queries.reshape(len(queries), *[1] * (len(shape) - 2), queries.shape[-1])
    total = counted.sum(axis=tuple(range(1, len(shape))), keepdims=True)
    return np.divide(counted, total, out=np.zeros_like(counted), where=total > 0)
