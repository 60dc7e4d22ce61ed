"""What a method is: how it is marked, and how it hands back attributions, with the words that readers need."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from attrkit.parts import OUTPUT as OUTPUT
from attrkit.parts import Parts, each
from attrkit.schema import default_dims

OUTPUT_PER_INPUT = "output / input"


def needs_gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a method that takes gradients: for token ids, it is given the output of the layer that embeds them."""
    function.needs_gradient = True  # type: ignore[attr-defined]
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
