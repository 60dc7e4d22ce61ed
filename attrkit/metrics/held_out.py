"""Data to train on and data held out, and what a model that was trained gets right of the latter."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from attrkit.adapters import adapt
from attrkit.checks import whole_number
from attrkit.errors import InputError
from attrkit.explained import explain_inputs
from attrkit.inputs import label_inputs, read_array


def read_split(name: str, split: Any) -> tuple[xr.DataArray, np.ndarray]:
    """Return inputs of dims (sample, timestep[, channel]) and labels of a tuple of both."""
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


def check_one_kind(train: np.ndarray, test: np.ndarray) -> None:
    """Refuse labels of classes beside those of numbers, or of other shapes."""
    if train.dtype.kind != test.dtype.kind or train.shape[1:] != test.shape[1:]:
        raise InputError(
            f"the labels are {train.dtype} of shape {train.shape} for train and {test.dtype} of shape {test.shape} for "
            "test; accepted is one kind"
        )


def read_seeds(seeds: Sequence[int]) -> list[int]:
    """Return seeds, each once and one at least."""
    if not isinstance(seeds, Sequence | np.ndarray) or isinstance(seeds, str):
        raise InputError(f"seeds={seeds!r}; accepted is a list of whole numbers")
    found = [whole_number(one, "seeds", least=0) for one in seeds]
    if not found or len(set(found)) < len(found):
        raise InputError(f"seeds={seeds!r}; give one at least, each once")
    return found


def predictions_of(model: Any, inputs: Any, batch_size: int | None) -> np.ndarray:
    """Return a model's outputs in double precision, of shape (sample, output)."""
    adapter = adapt(model)
    explained = explain_inputs(adapter, inputs)
    own = adapter.configured(batch_size=batch_size, question=explained.question())
    with adapter.left_as_found():
        return own.predict(explained.parts()).astype(float)


def scores_of(outputs: np.ndarray, labels: np.ndarray, threshold: float) -> np.ndarray:
    """Return what a model gets right of each sample, or by how much it is wrong."""
    if labels.dtype.kind in "iu":
        told = outputs.argmax(axis=1) if outputs.shape[1] > 1 else outputs[:, 0] > threshold
        return np.asarray(told == labels, float)
    wanted = labels.reshape(len(labels), -1)
    if wanted.shape != outputs.shape:
        raise InputError(f"the model gives {outputs.shape[1]} values a sample, the labels have {wanted.shape[1]}")
    return np.asarray(np.abs(outputs - wanted).mean(axis=1))


def score_name(labels: np.ndarray) -> tuple[str, str]:
    """Return the name of the variable of these scores, and its long name."""
    return ("correct", "right class") if labels.dtype.kind in "iu" else ("absolute_error", "absolute error")
