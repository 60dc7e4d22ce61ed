"""What is perturbed together: features, as Captum's ``feature_mask`` counts them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from attrkit.errors import InputError
from attrkit.parts import Parts, by_name

GROUPED_BY = ("timestep", "channel")


def features_of(feature_mask: Any, x: Parts) -> dict[str, np.ndarray]:
    """Return the number of the feature that each value belongs to, of shape (1, timestep[, channel]) a part.

    Parameters
    ----------
    feature_mask : None, "timestep", "channel", array_like of int, or dict of such arrays by input
        None: each value is a feature; a name: all values of one timestep or channel are one; an array of shape
        (timestep[, channel]), or one that broadcasts to it: values of one number are one, in several inputs too.
    x : Parts of shape (sample, timestep[, channel])
    """
    named = by_name(x)
    if isinstance(feature_mask, Mapping):
        if set(feature_mask) != set(named):
            raise InputError(f"feature_mask must have all of {list(named)}, got {list(feature_mask)}")
        raw = {name: _read(feature_mask[name], array) for name, array in named.items()}
    elif feature_mask is None or isinstance(feature_mask, str):
        raw, count = {}, 0
        for name, array in named.items():
            raw[name] = count + _counted(feature_mask, array)
            count += int(raw[name].max()) + 1 - count
    elif len(named) > 1:
        raise InputError(f"feature_mask must be a dict by input name, of {list(named)}, or one of {GROUPED_BY}")
    else:
        raw = {name: _read(feature_mask, array) for name, array in named.items()}
    # Captum counts from 0 to the largest number.
    _, numbers = np.unique(np.concatenate([own.ravel() for own in raw.values()]), return_inverse=True)
    cuts = np.cumsum([own.size for own in raw.values()])[:-1]
    pieces = np.split(numbers, cuts)
    return {name: piece.reshape(own.shape) for (name, own), piece in zip(raw.items(), pieces, strict=True)}


def feature_count(features: Mapping[str, np.ndarray]) -> int:
    """Return how many features there are."""
    return max(int(own.max()) for own in features.values()) + 1


def _counted(by: str | None, array: np.ndarray) -> np.ndarray:
    shape = (1, *array.shape[1:])
    if by is None:
        return np.arange(array[0].size).reshape(shape)
    if by == "timestep":
        return np.broadcast_to(np.arange(shape[1]).reshape(1, -1, *[1] * (array.ndim - 2)), shape)
    if by == "channel" and array.ndim == 3:
        return np.broadcast_to(np.arange(shape[2]), shape)
    raise InputError(f"unknown feature_mask {by!r}; accepted are {', '.join(GROUPED_BY)}, or an array of int")


def _read(given: Any, array: np.ndarray) -> np.ndarray:
    values = np.asarray(given)
    try:
        if values.dtype.kind not in "iu" or values.ndim >= array.ndim:
            raise ValueError
        return np.broadcast_to(values, array.shape[1:])[None]
    except ValueError as err:
        raise InputError(
            f"feature_mask must be of int and of shape {array.shape[1:]}, got {values.shape} of {values.dtype}"
        ) from err
