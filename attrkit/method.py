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
    """Mark a method that takes gradients: for token ids, it is given the output of the layer that embeds them."""
    function.needs_gradient = True  # type: ignore[attr-defined]
    return function


def gives_prediction(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a method whose result has the model's outputs as ``prediction``, so that no pass is spent on them alone."""
    function.gives_prediction = True  # type: ignore[attr-defined]
    return function


def checked_first(check: Callable[..., None]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark a method with ``check(model, x, **options)``, which refuses models and options.

    It is called before any pass is run, with None for `x`, and once more with the inputs, before all other passes.
    """

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        function.check = check  # type: ignore[attr-defined]
        return function

    return mark


def attribution(values: Parts, *, long_name: str, units: str, sign: str = "signed") -> Any:
    """Label attributions of shape (sample, timestep[, channel]), one array or several by name.

    ``units`` is `OUTPUT` where attributions share out the model's output, `OUTPUT_PER_INPUT` where they are slopes;
    ``sign`` is ``"signed"`` or ``"non-negative"``.
    """
    attrs = {"long_name": long_name, "units": units, "sign": sign}

    def label(array: np.ndarray) -> xr.DataArray:
        return xr.DataArray(array, dims=default_dims("attribution", array.ndim), attrs=attrs)

    return each(label, values)


def measured(total: Parts | np.ndarray, at_start: np.ndarray, prediction: np.ndarray, target: np.ndarray) -> Any:
    """Return the prediction at the baseline, of shape (sample,), and what is missing of the change from there.

    ``total`` are attributions, or their sums of shape (sample,).
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
