"""What stands for "no signal": a baseline brought to the dims and labels of the inputs."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from attrkit.errors import InputError
from attrkit.inputs import read_array, rename_synonyms, shape_text
from attrkit.tables import frame_values, time_stamps


def resolve_baseline(
    baseline: Any, inputs: xr.DataArray, *, mask: np.ndarray | None = None, what: str = "the baseline"
) -> tuple[xr.DataArray, str]:
    """Bring a baseline to the dims it varies over.

    Parameters
    ----------
    baseline : float, str or array_like
        A number; ``"mean"`` (of each channel over all samples and timesteps of the inputs); an array of shape
        (channel,), (timestep, channel) or (sample, timestep, channel); a DataArray with any of these dims. Labels,
        where it has them, are those of the inputs in any order: a Series by channel, a DataFrame, a DataArray.
    inputs : DataArray of shape (sample, timestep[, channel])
        What is explained.
    mask : ndarray of bool of shape (sample, timestep), optional
        False where padded; padding is out of means.
    what : str, default "the baseline"
        What messages call it.

    Returns
    -------
    values : DataArray
        With those dims of `inputs` over which the baseline varies; broadcasts against `inputs`.
    text : str
        What to record.

    Raises
    ------
    InputError
        If the shape or the labels do not fit, or the inputs' type cannot hold a value.

    Examples
    --------
    >>> from attrkit.inputs import label_inputs
    >>> x = label_inputs(np.ones((2, 5, 3)))
    >>> resolve_baseline("mean", x)[0].values
    array([1., 1., 1.])
    """
    accepted = (
        f"accepted are a number, 'mean', or an array of shape {inputs.shape[2:]}, {inputs.shape[1:]} or {inputs.shape}"
    )
    if isinstance(baseline, str) and baseline != "mean":
        raise InputError(f"unknown baseline {baseline!r}; {accepted}")
    if isinstance(baseline, str):
        dims = (
            tuple(dim for dim in ("sample", "timestep") if dim in inputs.dims)
            if "channel" in inputs.dims
            else ("sample",)
        )
        real = inputs if mask is None else inputs.where(xr.DataArray(mask, dims=("sample", "timestep")))
        # A timestep that no sample has is padding everywhere, and stays as it is.
        values, text = real.mean(dims).fillna(0), "mean of the inputs over " + " and ".join(dims)
    else:
        values = _name_axes(baseline, inputs, accepted, what)
        values = values.transpose(*(dim for dim in inputs.dims if dim in values.dims))
        text = f"array over {', '.join(map(str, values.dims))}" if values.ndim else f"{float(values):g}"
    with np.errstate(all="ignore"):  # What the cast changes is refused below.
        cast = values.astype(inputs.dtype)
    if inputs.dtype.kind in "iu" and (cast.values != values.values).any():
        raise InputError(f"the inputs are {inputs.dtype}, which cannot hold {what} ({text}); give integers")
    if not np.isfinite(cast.values).all():
        raise InputError(f"{what} holds NaN or infinite values as {inputs.dtype}; {accepted}")
    return cast.reset_coords(drop=True).assign_coords({d: inputs[d] for d in values.dims}), text


def _name_axes(baseline: Any, inputs: xr.DataArray, accepted: str, what: str) -> xr.DataArray:
    """Name the axes of a baseline like those of the inputs and bring its labels into their order."""
    if isinstance(baseline, xr.DataArray):
        values = rename_synonyms(baseline)
        if any(inputs.sizes.get(dim) != size for dim, size in values.sizes.items()):
            raise InputError(f"{what} has {shape_text(values)}, the inputs have {shape_text(inputs)}; {accepted}")
    else:
        pandas = isinstance(baseline, pd.DataFrame | pd.Series)
        raw = frame_values(baseline) if pandas else read_array(baseline, what, accepted)
        dims = inputs.dims[max(inputs.ndim - raw.ndim, 0) :]
        if raw.shape != tuple(inputs.sizes[dim] for dim in dims) or raw.dtype.kind not in "fiu":
            raise InputError(f"{what} has shape {raw.shape} and dtype {raw.dtype}; {accepted}")
        axes = zip(dims, baseline.axes, strict=True) if pandas else ()
        # Rows and columns that are only counted have no labels.
        labels = {dim: _like(axis, inputs[dim]) for dim, axis in axes if not isinstance(axis, pd.RangeIndex)}
        values = xr.DataArray(raw, dims=dims, coords=labels)
    if values.dtype.kind not in "fiu":
        raise InputError(f"{what} has dtype {values.dtype}; {accepted}")
    for dim in values.dims:
        if dim in values.coords:
            theirs, ours = values[dim].to_index(), inputs[dim].to_index()
            if set(theirs) != set(ours):
                raise InputError(
                    f"{what}'s labels of {dim} are {theirs.tolist()[:8]}, the inputs' are {ours.tolist()[:8]}; "
                    "give it those of the inputs, or none"
                )
            values = values.isel({dim: theirs.get_indexer(ours)})
    return values


def _like(axis: pd.Index, labels: xr.DataArray) -> Any:
    """Return labels of a table as `label_inputs` makes them: text, or time stamps without a time zone."""
    return [str(label) for label in axis] if labels.dtype.kind == "U" else time_stamps(axis)
