"""Tables of pandas, made into arrays."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from attrkit.errors import InputError


def from_frame(frame: pd.DataFrame | pd.Series) -> xr.DataArray:
    """Label one table: rows are timesteps, columns are channels."""
    if isinstance(frame, pd.Series):
        frame = frame.to_frame(name="value" if frame.name is None else frame.name)
    if frame.columns.nlevels > 1 or frame.index.nlevels > 1:
        raise InputError("the DataFrame has a MultiIndex; pass one frame a sample, in a list")
    return xr.DataArray(
        frame_values(frame),
        dims=("timestep", "channel"),
        coords={"timestep": time_stamps(frame.index), "channel": [str(name) for name in frame.columns]},
    )


def frame_values(table: pd.DataFrame | pd.Series) -> np.ndarray:
    """Return the numbers of a table; name its columns of anything else."""
    frame = pd.DataFrame(table)
    text = [str(name) for name, kind in frame.dtypes.items() if not pd.api.types.is_any_real_numeric_dtype(kind)]
    if text:
        raise InputError(f"columns {text} are not numbers; drop or encode them")
    # Columns of pandas' own types (Int64, Float64) would become objects; a gap in them becomes NaN.
    kinds = [float if gaps else kind.type for kind, gaps in zip(frame.dtypes, frame.isna().any(), strict=True)]
    dtype = np.result_type(np.bool_, *kinds)
    # Whole numbers have no gaps, and pandas 2 would try to write NaN among them all the same.
    gap: dict[str, Any] = {"na_value": np.nan} if dtype.kind == "f" else {}
    return frame.to_numpy(dtype=dtype, **gap).reshape(table.shape)


def time_stamps(index: pd.Index) -> np.ndarray:
    """Return the labels of rows; periods become their start, stamps with a time zone become UTC without one."""
    if isinstance(index, pd.PeriodIndex):
        index = index.to_timestamp()
    if isinstance(index, pd.DatetimeIndex) and index.tz is not None:
        # Neither numpy nor a file keeps a time zone: all of it goes to UTC.
        index = index.tz_convert("UTC").tz_localize(None)
    return index.to_numpy()
