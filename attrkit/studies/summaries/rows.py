"""Means with their intervals as rows of a table."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from attrkit.metrics import interval

CASES = ("seed", "sample")

NOT_A_CASE = ("timestep", "channel", "query_timestep", "key_timestep", "output", "permutation", "epoch")
"""Dims along which a variable is a result of its own, not a number of a sample."""


def interval_of(values: xr.DataArray, *, among: xr.DataArray | None = None) -> xr.Dataset:
    """Return the mean of values over seeds and samples with its interval.

    Parameters
    ----------
    values : DataArray with a dim ``seed`` or ``sample``, or both
        NaN, and what is not finite, is undefined. Of one seed the interval is over samples: for this one model.
    among : DataArray of bool, optional
        Which seeds and samples are asked about; others are not counted.

    Returns
    -------
    Dataset
        ``estimate``, ``low``, ``high``, ``n``, ``n_undefined``, and the attribute ``over``.
    """
    values = values.reset_coords(drop=True).astype(float)
    asked = xr.ones_like(values, dtype=bool) if among is None else among.reset_coords(drop=True)
    if values.sizes.get("seed") == 1 and "sample" in values.dims:
        values, asked = (each.isel(seed=0, drop=True) if "seed" in each.dims else each for each in (values, asked))
    over = [dim for dim in CASES if dim in values.dims]
    finite = values.where(np.isfinite(values) & asked)
    found = interval(finite, over=over[0] if len(over) == 1 else over)
    own = xr.broadcast(asked, values)[0].sum(over) - found["n"]
    return found[["estimate", "low", "high", "n"]].assign(n_undefined=own).assign_attrs(over=", ".join(over))


def rows_of(values: xr.DataArray, *, among: xr.DataArray | None = None, **labels: Any) -> pd.DataFrame:
    """Return a row for each entry along the dims that are no cases, after `labels` that are the same in all."""
    found = interval_of(values, among=among)
    frame = as_frame(found, labels)
    frame.insert(list(frame).index("n"), "over", found.attrs["over"])
    return frame


def as_frame(ds: xr.Dataset, labels: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return a row for each entry of a dataset, its dims first; before them `labels` that are the same in all."""
    ds = ds.drop_vars([name for name in ds.coords if name not in ds.dims])
    dims = list(map(str, ds.dims))
    if dims:
        frame = ds.to_dataframe(dim_order=dims).reset_index()[[*dims, *map(str, ds.data_vars)]]
    else:
        frame = pd.DataFrame([{str(name): value.item() for name, value in ds.data_vars.items()}])
    for place, (name, value) in enumerate((labels or {}).items()):
        frame.insert(place, name, value)
    return frame


def join(frames: list[pd.DataFrame], about: str) -> pd.DataFrame:
    """Put rows under each other, blank where some have no such column, and note what they are about."""
    frames = [frame for frame in frames if len(frame)]
    if not frames:
        return pd.DataFrame()
    # What tells rows apart comes first, in whichever of them it is.
    names = list(dict.fromkeys(name for frame in frames for name in frame.columns))
    split = names.index("estimate") if "estimate" in names else len(names)
    late = [name for name in names[split:] if name not in frames[0].columns]
    order = [*names[:split], *late, *(name for name in names[split:] if name not in late)]
    joined = pd.concat(frames, ignore_index=True)[order]
    joined.attrs["about"] = about
    return joined


def plain_variables(ds: xr.Dataset, kinds: str = "f") -> dict[str, xr.DataArray]:
    """Return the variables that have a number for each seed or sample, and along other dims."""
    found = {}
    for name, values in ds.data_vars.items():
        if "train_sample" in values.dims and "sample" not in values.dims:
            # Cases as well, of the other half of the data.
            values = values.reset_coords(drop=True).drop_vars("train_sample", errors="ignore")
            values = values.rename(train_sample="sample")
        dims = set(values.dims)
        if values.dtype.kind in kinds and dims & set(CASES) and not dims & set(NOT_A_CASE):
            found[str(name)] = values
    return found
