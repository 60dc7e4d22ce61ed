"""Values of metrics as statistics take them, and the packages that these need."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from attrkit.checks import is_number
from attrkit.errors import InputError
from attrkit.schema import build_table


def read_values(values: Any, dims: Sequence[str]) -> xr.DataArray:
    """Return the values of one metric in double precision, NaN where undefined, with labels on every dim.

    Parameters
    ----------
    values : DataArray, or Dataset of one variable
    dims : sequence of str
        The dims that must be there.

    Raises
    ------
    InputError
        If it is something else, a dim is missing, or values are infinite.
    """
    if isinstance(values, xr.Dataset):
        names = list(map(str, values.data_vars))
        if len(names) != 1:
            raise InputError(
                f"a Dataset of {names} came; statistics are of one variable: select it, values['name'], or join some "
                "along a dim, values[['name', 'other']].to_dataarray('metric')"
            )
        values = values[names[0]]
    if not isinstance(values, xr.DataArray) or values.dtype.kind not in "biuf":
        kind = f"a DataArray of {values.dtype}" if isinstance(values, xr.DataArray) else f"a {type(values).__name__}"
        raise InputError(f"{kind} came; accepted are a DataArray of numbers and a Dataset of one such variable")
    missing = [dim for dim in dims if not isinstance(dim, str) or dim not in values.dims]
    if missing:
        raise InputError(f"the values have no dim {', '.join(map(repr, missing))}; they have {values.dims}")
    array = values.reset_coords(drop=True).astype(np.float64)
    if 0 in array.shape:
        raise InputError(f"the values are empty: {dict(array.sizes)}")
    infinite = int(np.isinf(array.values).sum())
    if infinite:
        raise InputError(
            f"{infinite} of {array.size} values are infinite, and have no mean; to leave them out, and have them "
            "counted, make them NaN: values.where(np.isfinite(values))"
        )
    return array.assign_coords({dim: np.arange(size) for dim, size in array.sizes.items() if dim not in array.coords})


def read_confidence(value: Any) -> float:
    """Return a share above 0 and below 1, or refuse it."""
    if not is_number(value) or not 0 < value < 1:
        raise InputError(f"confidence must be a number between 0 and 1, such as 0.95, got {value!r}")
    return float(value)


def mean_of_defined(values: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """Return means over what is no NaN; NaN where nothing is."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        mean: np.ndarray = np.where(defined, values, 0).sum(axis=axis) / defined.sum(axis=axis)
    return mean


def without_rounding(values: np.ndarray, scale: float | np.ndarray) -> np.ndarray:
    """Return values with the digits of a sum's rounding taken off, so that ties are ties; they are of order `scale`."""
    unit = np.where(scale > 0, scale, 1)
    return np.asarray(np.round(values / unit, 12) * unit)


def as_table(metric: str, variables: dict[str, Any], attrs: dict[str, Any]) -> xr.Dataset:
    """Make a table whose variables keep no attributes but those that describe them."""
    kept = ("units", "long_name", "description")
    plain = {
        name: array.drop_attrs().assign_attrs({key: array.attrs[key] for key in kept if key in array.attrs})
        for name, array in variables.items()
    }
    return build_table(metric, xr.Dataset(plain), attrs)
