"""One long series cut into windows; series of several lengths padded to one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from attrkit.checks import is_number, one_of, whole_number
from attrkit.errors import InputError
from attrkit.inputs import DIMS, LABELLED, is_labelled, label_inputs, name_axes, read_array


def windows(series: Any, length: int, *, stride: int = 1) -> xr.DataArray:
    """Cut one long series into windows of equal length.

    Parameters
    ----------
    series : DataFrame, DataArray of dims (timestep, channel), or array of shape (timestep, channel)
        One series.
    length : int
        Timesteps a window.
    stride : int, default 1
        Timesteps from the start of one window to the start of the next.

    Returns
    -------
    DataArray of shape (sample, timestep, channel)
        ``timestep`` counts from 0; where the series has time stamps, the coordinate ``time`` of dims
        (sample, timestep) keeps them.

    Raises
    ------
    InputError
        If the series is shorter than one window, or `length` or `stride` is no integer of 1 or more.

    See Also
    --------
    pad : Series of several lengths.

    Examples
    --------
    >>> windows(np.arange(10.0).reshape(10, 1), 4, stride=3).values[:, :, 0]
    array([[0., 1., 2., 3.],
           [3., 4., 5., 6.],
           [6., 7., 8., 9.]])
    """
    length, stride = whole_number(length, "length", least=1), whole_number(stride, "stride", least=1)
    if isinstance(series, LABELLED):
        one = name_axes(series, ndim=3)
    else:
        values = read_array(series, "the series", "accepted is an array of shape (timestep, channel)")
        if values.ndim != 2:
            raise InputError(f"a series is (timestep, channel), got an array of shape {values.shape}")
        one = xr.DataArray(values[None], dims=DIMS)
    if one.sizes["sample"] != 1:
        raise InputError(f"windows are cut from one series, got {one.sizes['sample']} samples")
    if "channel" not in one.dims:
        raise InputError(
            "a series is (timestep, channel), got one without channels; array.expand_dims('channel') adds one"
        )
    one = one.isel(sample=0, drop=True)
    if one.sizes["timestep"] < length:
        raise InputError(f"the series has {one.sizes['timestep']} timesteps, a window needs {length}")
    starts = np.arange(0, one.sizes["timestep"] - length + 1, stride)
    positions = starts[:, None] + np.arange(length)
    out = xr.DataArray(one.transpose("timestep", "channel").values[positions], dims=DIMS, attrs=one.attrs)
    out = out.assign_coords(sample=np.arange(len(starts)), timestep=np.arange(length))
    if "channel" in one.coords:
        out = out.assign_coords(channel=one["channel"])
    if "timestep" in one.coords and one["timestep"].dtype.kind == "M":
        out = out.assign_coords(time=(("sample", "timestep"), one["timestep"].values[positions]))
    return out


def pad(series: Sequence[Any], *, value: float = 0.0, side: str = "right") -> xr.DataArray:
    """Bring series of several lengths to one, with a mask that goes with them.

    Parameters
    ----------
    series : sequence of DataFrame, DataArray or array of shape (timestep, channel) or (timestep,)
        One sample each, of the same channels; token ids have no channels.
    value : float, default 0.0
        What stands where a series has ended: what the model masks, or was trained with.
    side : {"right", "left"}
        Where padding goes: after the end of a series, or before its start.

    Returns
    -------
    DataArray of shape (sample, timestep[, channel])
        ``timestep`` counts from 0. The coordinate ``mask`` of dims (sample, timestep) is false where padded;
        `attrkit.extract` takes padding from it. Time stamps stand in a coordinate ``time``, NaT where padded.

    Raises
    ------
    InputError
        If there is no series, they differ in their channels, or `side` is not known.

    See Also
    --------
    windows : Cuts one long series.

    Examples
    --------
    >>> x = pad([np.ones((3, 2)), np.ones((1, 2))])
    >>> x.shape, x["mask"].values.tolist()
    ((2, 3, 2), [[True, True, True], [True, False, False]])
    """
    one_of(side, "side", ("right", "left"))
    if not isinstance(series, list | tuple) or not len(series):
        raise InputError(f"series are given in a list, one a sample; got a {type(series).__name__} of none")
    samples = [_one_sample(one) for one in series]
    first = samples[0]
    for i, one in enumerate(samples):
        if one.dims != first.dims or not _same_channels(one, first):
            raise InputError(f"series {i} has {dict(one.sizes)}, series 0 {dict(first.sizes)}; they differ in channels")
    length = max(one.sizes["timestep"] for one in samples)
    stamped = all(one["timestep"].dtype.kind == "M" for one in samples)
    dtype = np.result_type(*[one.dtype for one in samples])
    if not is_number(value) or not np.isfinite(value) or (dtype.kind in "iu" and value != int(value)):
        raise InputError(f"value={value!r} cannot stand in series of {dtype}; accepted is a finite number of that type")
    out = np.full((len(samples), length, *first.shape[1:]), value, dtype)
    mask = np.zeros((len(samples), length), bool)
    times = np.full(mask.shape, np.datetime64("NaT", "ns"))
    for i, one in enumerate(samples):
        count = one.sizes["timestep"]
        place = slice(None, count) if side == "right" else slice(length - count, None)
        out[i, place], mask[i, place] = one.values, True
        if stamped:
            times[i, place] = one["timestep"].values
    dims = ("sample", *first.dims)
    padded = xr.DataArray(out, dims=dims, coords={"mask": (("sample", "timestep"), mask)})
    padded = padded.assign_coords(sample=np.arange(len(samples)), timestep=np.arange(length))
    if "channel" in first.dims:
        padded = padded.assign_coords(channel=first["channel"])
    return padded.assign_coords(time=(("sample", "timestep"), times)) if stamped else padded


def _one_sample(one: Any) -> xr.DataArray:
    if is_labelled(one):
        return label_inputs(one).isel(sample=0, drop=True)
    array = read_array(one, "a series", "accepted are arrays of shape (timestep, channel), or (timestep,) of token ids")
    if array.ndim not in (1, 2):
        raise InputError(f"a series is (timestep, channel), or (timestep,) for token ids; got shape {array.shape}")
    return label_inputs(array[None]).isel(sample=0, drop=True)


def _same_channels(a: xr.DataArray, b: xr.DataArray) -> bool:
    return "channel" not in a.dims or a.indexes["channel"].equals(b.indexes["channel"])
