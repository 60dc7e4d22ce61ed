"""How far two answers of a model are apart."""

import numpy as np

TOTAL_VARIATION = "total variation distance"
ABSOLUTE = "mean absolute difference of the outputs"


def are_shares(prediction: np.ndarray) -> bool:
    """Whether outputs, of shape (sample, output), are the probabilities of classes: not negative, and 1 together."""
    together = np.allclose(prediction.sum(axis=1), 1, atol=1e-3)
    return prediction.shape[1] > 1 and bool((prediction >= 0).all()) and together


def measure_of(prediction: np.ndarray) -> str:
    """Return by what outputs like these are compared."""
    return TOTAL_VARIATION if are_shares(prediction) else ABSOLUTE


def apart(one: np.ndarray, other: np.ndarray, measure: str) -> np.ndarray:
    """Return how far outputs of shape (..., output) are apart.

    Total variation is half of the sum of absolute differences: 1 for two classes that change places with certainty.
    """
    difference = np.abs(one.astype(float) - other)
    return difference.sum(-1) / 2 if measure == TOTAL_VARIATION else difference.mean(-1)
