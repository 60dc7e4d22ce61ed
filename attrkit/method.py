"""What a method is: how it is marked, and how it hands back attributions, with the words that readers need."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from attrkit.adapters.base import Adapter
from attrkit.parts import OUTPUT as OUTPUT
from attrkit.parts import Parts, arrays_of, each, row_count, row_sums
from attrkit.schema import default_dims

OUTPUT_PER_INPUT = "output / input"


def needs_gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a method that takes gradients: for token ids, it is given the output of the layer that embeds them.

    Parameters
    ----------
    function : callable
        The method.

    Returns
    -------
    callable
        The same function. A model without gradients is refused before it is called.

    Examples
    --------
    >>> @needs_gradient
    ... def slope(model, x, target):
    ...     return model.path_gradient(x, target)
    >>> attrkit.extract(model, x, slope)["attribution"].dims
    ('sample', 'timestep', 'channel')
    """
    function.needs_gradient = True  # type: ignore[attr-defined]
    return function


def gives_prediction(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a method whose result has the model's outputs as ``prediction``, so that no pass is spent on them alone.

    Parameters
    ----------
    function : callable
        The method.

    Returns
    -------
    callable
        The same function.

    Examples
    --------
    >>> @gives_prediction
    ... def slope(model, x, target):
    ...     slopes, outputs = model.path_gradient(x, target, outputs=True)
    ...     return {"attribution": slopes, "prediction": outputs}
    >>> attrkit.extract(model, x, slope).attrs["gradient_evaluations"]
    5
    """
    function.gives_prediction = True  # type: ignore[attr-defined]
    return function


def checked_first(check: Callable[..., None]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark a method with a function that refuses models and options.

    Parameters
    ----------
    check : callable
        ``check(model, x, **options)`` is called before any pass is run, with None for `x`, and once more with the
        inputs, before all other passes.

    Returns
    -------
    callable
        A decorator of the method.

    Examples
    --------
    >>> from attrkit.errors import InputError
    >>> def check(model, x, *, share=0.5):
    ...     if not 0 < share <= 1:
    ...         raise InputError(f"share is {share}; accepted is a number above 0, up to 1")
    >>> @checked_first(check)
    ... def part(model, x, target, *, share=0.5):
    ...     return share * model.path_gradient(x, target)
    >>> attrkit.extract(model, x, part, share=2)
    Traceback (most recent call last):
        ...
    attrkit.errors.InputError: share is 2; accepted is a number above 0, up to 1
    """

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        function.check = check  # type: ignore[attr-defined]
        return function

    return mark


def attribution(values: Parts, *, long_name: str, units: str, sign: str = "signed") -> Any:
    """Say what the numbers of a method are, for plots and metrics to read.

    Parameters
    ----------
    values : ndarray of shape (sample, timestep[, channel]), or dict of such by input
        What the method found.
    long_name : str
        A name for axes.
    units : str
        `OUTPUT` where attributions share out the model's output, `OUTPUT_PER_INPUT` where they are slopes.
    sign : {"signed", "non-negative"}, default "signed"
        Colours of values that are never negative start at zero.

    Returns
    -------
    DataArray, or dict of such by input
        To be returned as ``attribution``.

    Examples
    --------
    >>> found = attribution(np.zeros((2, 5, 3)), long_name="nothing", units=OUTPUT)
    >>> found.dims, found.attrs["units"]
    (('sample', 'timestep', 'channel'), 'output')
    """
    attrs = {"long_name": long_name, "units": units, "sign": sign}

    def label(array: np.ndarray) -> xr.DataArray:
        return xr.DataArray(array, dims=default_dims("attribution", array.ndim), attrs=attrs)

    return each(label, values)


def measured(total: Parts | np.ndarray, at_start: np.ndarray, prediction: np.ndarray, target: np.ndarray) -> Any:
    """Return the prediction at the baseline, and what attributions miss of the change from there.

    Parameters
    ----------
    total : ndarray of shape (sample, timestep[, channel]), or dict of such by input; or ndarray of shape (sample,)
        Attributions, or their sums.
    at_start : ndarray of shape (sample,)
        The explained output of each sample at its baseline.
    prediction : ndarray of shape (sample, output)
        The model's outputs, laid flat.
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.

    Returns
    -------
    dict
        ``baseline_prediction`` and ``completeness_gap``, both of shape (sample,).

    Examples
    --------
    >>> sums, outputs = np.array([2.0, 3.0]), np.array([[2.5], [4.0]])
    >>> measured(sums, np.array([0.5, 0.5]), outputs, np.array([0, 0]))["completeness_gap"]
    array([ 0. , -0.5])
    """
    explained = prediction[np.arange(len(prediction)), target].astype(float)
    sums = total if isinstance(total, np.ndarray) and total.ndim == 1 else row_sums(total)
    return {"baseline_prediction": at_start, "completeness_gap": sums - (explained - at_start)}


def predicted_at(model: Adapter, x: Parts, target: np.ndarray, baseline: Parts) -> np.ndarray:
    """Return the explained output of each sample at its baseline."""
    start = each(lambda b, a: np.ascontiguousarray(np.broadcast_to(b, a.shape)), baseline, x)
    # Where all samples share the baseline, and the model sees nothing else of them, one row is enough.
    alike = not model.question.context and all(len(array) == 1 for array in arrays_of(baseline))
    found = model.predict(each(lambda b: b[:2], start) if alike else start)
    found = np.broadcast_to(found[:1], (row_count(x), found.shape[1])) if alike else found
    return found[np.arange(len(found)), target]
