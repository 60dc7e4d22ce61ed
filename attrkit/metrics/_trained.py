"""Data that models are trained on, and what a trained model gets right of it."""

from typing import Any

import numpy as np
import xarray as xr

from attrkit.adapters import adapt
from attrkit.errors import InputError
from attrkit.explained import explain_inputs
from attrkit.inputs import label_inputs, read_array


def read_labelled(name: str, split: Any) -> tuple[xr.DataArray, np.ndarray]:
    """Return inputs and labels of a pair of both, or refuse it by its name."""
    if not isinstance(split, tuple | list) or len(split) != 2:
        raise InputError(f"{name} is a {type(split).__name__}; accepted is a tuple of inputs and labels")
    array = label_inputs(split[0])
    labels = read_array(split[1], f"the labels of {name}", "accepted is an array with samples first")
    if labels.dtype.kind not in "iuf" or not labels.ndim or len(labels) != len(array):
        raise InputError(
            f"the labels of {name} have shape {labels.shape} and dtype {labels.dtype}; accepted are {len(array)} "
            "integers for classes, or floats"
        )
    if labels.dtype.kind in "iu" and labels.ndim > 1:
        raise InputError(
            f"the labels of {name} have shape {labels.shape}; of classes, one integer a sample is accepted"
        )
    return array, labels


def score_name(labels: np.ndarray) -> str:
    """Return what `scored` gives for labels like these."""
    return "correct" if labels.dtype.kind in "iu" else "absolute_error"


def scored(model: Any, inputs: np.ndarray, labels: np.ndarray, threshold: float, batch_size: int | None) -> np.ndarray:
    """Return what a model gets right of each sample, or by how much it is wrong."""
    adapter = adapt(model)
    explained = explain_inputs(adapter, inputs)
    own = adapter.configured(batch_size=batch_size, question=explained.question())
    with adapter.left_as_found():
        outputs = own.predict(explained.parts()).astype(float)
    if labels.dtype.kind in "iu":
        told = outputs.argmax(axis=1) if outputs.shape[1] > 1 else outputs[:, 0] > threshold
        return np.asarray(told == labels, float)
    wanted = labels.reshape(len(labels), -1)
    if wanted.shape != outputs.shape:
        raise InputError(f"the model gives {outputs.shape[1]} values a sample, the labels have {wanted.shape[1]}")
    return np.asarray(np.abs(outputs - wanted).mean(axis=1))
