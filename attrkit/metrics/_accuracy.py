"""What a model gets right of each sample, or by how much it is wrong."""

from typing import Any

import numpy as np

from attrkit.adapters import adapt
from attrkit.errors import InputError
from attrkit.explained import explain_inputs


def predictions_of(model: Any, inputs: Any, batch_size: int | None) -> np.ndarray:
    """Return what a model, or an adapter of it, says of inputs: float64 of shape (sample, output)."""
    adapter = adapt(model)
    explained = explain_inputs(adapter, inputs)
    own = adapter.configured(batch_size=batch_size, question=explained.question())
    with adapter.left_as_found():
        return own.predict(explained.parts()).astype(float)


def scores_of(outputs: np.ndarray, labels: np.ndarray, threshold: float) -> np.ndarray:
    """Return 1 where the class is right and 0 where it is not; of numbers the mean absolute error over outputs.

    Parameters
    ----------
    outputs : ndarray of shape (sample, output)
    labels : ndarray of shape (sample,), or, of numbers, (sample[, output])
        Integers for classes, floats for numbers.
    threshold : float
        For classes and one output: what is above it is class 1.

    Raises
    ------
    InputError
        If numbers are not as many as outputs.
    """
    if labels.dtype.kind in "iu":
        told = outputs.argmax(axis=1) if outputs.shape[1] > 1 else outputs[:, 0] > threshold
        return np.asarray(told == labels, float)
    wanted = labels.reshape(len(labels), -1)
    if wanted.shape != outputs.shape:
        raise InputError(f"the model gives {outputs.shape[1]} values a sample, the labels have {wanted.shape[1]}")
    return np.asarray(np.abs(outputs - wanted).mean(axis=1))
