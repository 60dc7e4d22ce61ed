"""How a method hands back attributions: dims by their number, with the words that plots and readers need."""

import numpy as np
import xarray as xr

from attrkit.schema import default_dims

OUTPUT = "output"
OUTPUT_PER_INPUT = "output / input"


def attribution(values: np.ndarray, *, long_name: str, units: str, sign: str = "signed") -> xr.DataArray:
    """Label attributions of shape (sample, timestep[, channel]).

    ``units`` is `OUTPUT` where attributions share out the model's output, `OUTPUT_PER_INPUT` where they are slopes;
    ``sign`` is ``"signed"`` or ``"non-negative"``.
    """
    attrs = {"long_name": long_name, "units": units, "sign": sign}
    return xr.DataArray(values, dims=default_dims("attribution", values.ndim), attrs=attrs)
