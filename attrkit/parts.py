"""What is explained: one array, or several by name, and arithmetic over either."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Parts = np.ndarray | dict[str, np.ndarray]
"""One array of shape (row, timestep[, channel]); or, for a model of several inputs, one each, by name."""

OUTPUT = "output"
"""Units of attributions that share out the model's output."""


def each(function: Callable[..., Any], *parts: Any) -> Any:
    """Apply a function to arrays, or name by name to mappings of arrays.

    Parameters
    ----------
    function : callable
    *parts : ndarray, or mapping of str to ndarray
        All arrays, or all mappings with the names of the first.

    Examples
    --------
    >>> each(np.subtract, np.array([3.0]), np.array([1.0]))
    array([2.])
    >>> each(np.negative, {"series": np.array([3.0]), "static": np.array([1.0])})
    {'series': array([-3.]), 'static': array([-1.])}
    """
    first = parts[0]
    if isinstance(first, Mapping):
        return {name: function(*(part[name] for part in parts)) for name in first}
    return function(*parts)


def by_name(parts: Parts) -> dict[str, Any]:
    """Return the arrays by name; a single one has the name ``""``."""
    return dict(parts) if isinstance(parts, Mapping) else {"": parts}


def unnamed(arrays: dict[str, Any]) -> Any:
    """Undo `by_name`."""
    return arrays[""] if arrays.keys() == {""} else arrays


def arrays_of(parts: Parts) -> list[np.ndarray]:
    """Return the arrays, one or several."""
    return list(by_name(parts).values())


def row_count(parts: Parts) -> int:
    """Return how many rows there are."""
    return len(arrays_of(parts)[0])


def laid_flat(parts: Parts) -> np.ndarray:
    """Return all values of each row beside each other, of shape (row, value)."""
    return np.concatenate([array.reshape(len(array), -1) for array in arrays_of(parts)], axis=1)


def apart(values: np.ndarray, parts: Parts) -> Any:
    """Undo `laid_flat` of arrays like `parts`: return values by part, each of shape (row, value)."""
    cuts = np.cumsum([array[0].size for array in arrays_of(parts)])[:-1]
    return unnamed(dict(zip(by_name(parts), np.split(values, cuts, axis=1), strict=True)))


def row_sums(parts: Parts) -> np.ndarray:
    """Return the sum of each row over all parts, in float64."""
    return np.sum([array.reshape(len(array), -1).sum(axis=1, dtype=float) for array in arrays_of(parts)], axis=0)


def row_maxima(parts: Parts) -> np.ndarray:
    """Return the largest magnitude of each row over all parts."""
    return np.max([np.abs(array.reshape(len(array), -1)).max(axis=1) for array in arrays_of(parts)], axis=0)


def keep_real(values: np.ndarray, other: Any, mask: np.ndarray | None) -> np.ndarray:
    """Return `values` where timesteps are real, `other` where they are padding.

    Parameters
    ----------
    values : ndarray of shape (sample, timestep[, channel])
    other : ndarray of that shape, or float
    mask : ndarray of bool of shape (sample, timestep), or None
        False where padded; None if nothing is.

    Examples
    --------
    >>> keep_real(np.ones((1, 2, 2)), 0, np.array([[True, False]]))
    array([[[1., 1.],
            [0., 0.]]])
    """
    return values if mask is None else np.where(mask.reshape(*mask.shape, *[1] * (values.ndim - 2)), values, other)


def masks_like(x: Parts, masks: Any) -> Any:
    """Return the masks of all parts, each None where nothing is padded."""
    return each(lambda a: None, x) if masks is None else masks


def real_only(values: Parts, masks: Any) -> Any:
    """Return attributions, 0 at padding: what is drawn there, or a feature's share, is not what the model sees."""
    return values if masks is None else each(lambda a, mask: keep_real(a, 0, mask), values, masks)
