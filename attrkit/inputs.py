"""What a user passes as inputs, made into one labelled array; baselines; windows cut from a series."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from attrkit.errors import InputError

DIMS = ("sample", "timestep", "channel")

# Names that mean one of ours beyond doubt. Any other name is refused, never guessed by position.
SYNONYMS = {
    "batch": "sample",
    "window": "sample",
    "time": "timestep",
    "step": "timestep",
    "feature": "channel",
    "variable": "channel",
}

Shape = tuple[int | None, ...]


def label_inputs(inputs: Any, *, shape: Shape | None = None, dtype: str | None = None) -> xr.DataArray:
    """Turn inputs into one labelled array and check it against what the model takes.

    Parameters
    ----------
    inputs : array_like, DataFrame, DataArray, Dataset, or list of those
        * an array of shape (sample, timestep, channel), or (sample, timestep) for a model without a channel
          axis; a single sample needs its batch axis, ``x[None]``;
        * a DataFrame: one sample, rows are timesteps, columns are channels;
        * a list of windows (DataFrames, DataArrays or arrays of shape (timestep, channel)), all of one length;
        * a DataArray whose dims are named ``sample``, ``timestep``, ``channel`` (or a clear synonym such as
          ``time`` and ``feature``), in any order; without ``sample`` it is one sample;
        * a Dataset that attrkit made: its variable ``input``.
    shape : tuple of int or None, optional
        Shape the model takes, without the batch axis; None in it stands for any length.
    dtype : str, optional
        What the model takes, such as ``"float32"``.

    Returns
    -------
    DataArray of shape (sample, timestep[, channel])
        Named ``input``, in `dtype`, with a coordinate on every dim. Windows whose time stamps differ keep them in
        a coordinate ``time`` of dims (sample, timestep).

    Raises
    ------
    InputError
        For a wrong or ambiguous shape, NaN or infinite values, integers where floats are needed, an empty batch.

    Examples
    --------
    >>> frame = pd.DataFrame({"rain": [0.0, 1.5], "wind": [3.0, 4.0]}, index=pd.date_range("2015-01-01", periods=2))
    >>> x = label_inputs(frame)
    >>> x.dims, x.channel.values.tolist(), str(x.timestep.values[0])[:10]
    (('sample', 'timestep', 'channel'), ['rain', 'wind'], '2015-01-01')
    """
    array = _to_dataarray(inputs, ndim=None if shape is None else len(shape) + 1)
    if 0 in array.shape:
        raise InputError(f"inputs are empty: got {_shape_text(array)}; at least one of each is needed")
    if shape is not None:
        _check_shape(array, shape)
    array = _check_values(array, dtype)
    array = array.assign_coords({dim: _plain_labels(array, dim) for dim in array.dims})
    array.name = "input"
    return array


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
        If the series is shorter than one window, or `length` or `stride` is below 1.

    Examples
    --------
    >>> windows(np.arange(10.0).reshape(10, 1), 4, stride=3).values[:, :, 0]
    array([[0., 1., 2., 3.],
           [3., 4., 5., 6.],
           [6., 7., 8., 9.]])
    """
    if length < 1 or stride < 1:
        raise InputError(f"length and stride must be 1 or more, got length={length} and stride={stride}")
    if isinstance(series, pd.DataFrame | pd.Series | xr.DataArray):
        one = _to_dataarray(series, ndim=3)
    else:
        values = np.asarray(series)
        if values.ndim != 2:
            raise InputError(f"a series is (timestep, channel), got an array of shape {values.shape}")
        one = xr.DataArray(values[None], dims=DIMS)
    if one.sizes["sample"] != 1:
        raise InputError(f"windows are cut from one series, got {one.sizes['sample']} samples")
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


def resolve_baseline(baseline: Any, inputs: xr.DataArray) -> tuple[xr.DataArray, str]:
    """Bring a baseline to the dims it varies over.

    Parameters
    ----------
    baseline : float, str or array_like
        A number; ``"mean"`` (of each channel over all samples and timesteps of the inputs); an array of shape
        (channel,), (timestep, channel) or (sample, timestep, channel); a DataArray with any of these dims.
    inputs : DataArray of shape (sample, timestep[, channel])
        What is explained.

    Returns
    -------
    values : DataArray
        With those dims of `inputs` over which the baseline varies; broadcasts against `inputs`.
    text : str
        What to record.

    Raises
    ------
    InputError
        If the shape does not fit, or a value is not finite.

    Examples
    --------
    >>> x = label_inputs(np.ones((2, 5, 3)))
    >>> resolve_baseline("mean", x)[0].values
    array([1., 1., 1.])
    """
    accepted = (
        f"accepted are a number, 'mean', or an array of shape {inputs.shape[2:]}, {inputs.shape[1:]} or {inputs.shape}"
    )
    if isinstance(baseline, str):
        if baseline != "mean":
            raise InputError(f"unknown baseline {baseline!r}; {accepted}")
        dims = ("sample", "timestep") if "channel" in inputs.dims else ("sample",)
        values = inputs.mean(dims)
        text = "mean of the inputs over " + " and ".join(dims)
    elif isinstance(baseline, xr.DataArray):
        values = baseline.rename({d: SYNONYMS[str(d)] for d in baseline.dims if str(d) in SYNONYMS})
        for dim in values.dims:
            if dim not in inputs.dims or values.sizes[dim] != inputs.sizes[dim]:
                raise InputError(
                    f"the baseline has {_shape_text(baseline)}, the inputs have {_shape_text(inputs)}; {accepted}"
                )
        values = values.transpose(*(dim for dim in inputs.dims if dim in values.dims))
        text = f"array over {', '.join(map(str, values.dims))}"
    else:
        raw = np.asarray(baseline)
        if raw.dtype.kind not in "fiu" or raw.ndim > inputs.ndim or raw.shape != inputs.shape[inputs.ndim - raw.ndim :]:
            raise InputError(f"the baseline has shape {raw.shape} and dtype {raw.dtype}; {accepted}")
        values = xr.DataArray(raw, dims=inputs.dims[inputs.ndim - raw.ndim :])
        text = f"{float(raw):g}" if raw.ndim == 0 else f"array over {', '.join(map(str, values.dims))}"
    if not np.isfinite(values.values).all():
        raise InputError("the baseline holds NaN or infinite values")
    values = values.reset_coords(drop=True).astype(inputs.dtype)
    return values.assign_coords({d: inputs[d] for d in values.dims}), text


def _to_dataarray(inputs: Any, *, ndim: int | None) -> xr.DataArray:
    if isinstance(inputs, xr.Dataset):
        if "input" not in inputs:
            names = sorted(map(str, inputs.data_vars))
            raise InputError(
                f"a Dataset must hold 'input', got {names}; pass a DataArray, for example ds.to_dataarray('channel')"
            )
        return _name_dims(inputs["input"])
    if isinstance(inputs, xr.DataArray):
        return _name_dims(inputs)
    if isinstance(inputs, pd.DataFrame | pd.Series):
        return _from_frame(inputs).expand_dims(sample=[0])
    if isinstance(inputs, Mapping):
        raise InputError(
            f"got a mapping with keys {list(inputs)}; models of several inputs are not taken yet, one array is"
        )
    if (
        isinstance(inputs, list | tuple)
        and len(inputs)
        and isinstance(inputs[0], pd.DataFrame | pd.Series | xr.DataArray)
    ):
        return _from_windows(inputs)
    if isinstance(inputs, list | tuple) and len({np.shape(window) for window in inputs}) > 1:
        shapes = [np.shape(window) for window in inputs]
        raise InputError(f"windows must have one shape, got {sorted(set(shapes))}; pad them to one length")
    values = np.asarray(inputs)
    if values.ndim not in (2, 3) or (ndim is not None and values.ndim != ndim):
        wanted = "(sample, timestep, channel)" if ndim in (3, None) else "(sample, timestep)"
        hint = "; a single sample needs its batch axis: inputs[None]" if values.ndim == 2 else ""
        raise InputError(f"got an unlabelled array of shape {values.shape}; accepted is {wanted}{hint}")
    return xr.DataArray(values, dims=DIMS[: values.ndim])


def _name_dims(array: xr.DataArray) -> xr.DataArray:
    """Rename clear synonyms, put a missing ``sample`` in front, refuse other names."""
    renamed = {dim: SYNONYMS[str(dim)] for dim in array.dims if str(dim) in SYNONYMS}
    names = [renamed.get(dim, dim) for dim in array.dims]
    unknown = [dim for dim in names if dim not in DIMS]
    if unknown or len(set(names)) < len(names) or "timestep" not in names:
        raise InputError(
            f"the DataArray has dims {array.dims}; accepted are {DIMS}, rename yours: array.rename(yours='timestep', "
            "...)"
        )
    array = array.rename(renamed)
    if "sample" not in array.dims:
        array = array.drop_vars("sample", errors="ignore").expand_dims(sample=[0])
    return array.transpose(*(dim for dim in DIMS if dim in array.dims))


def _from_frame(frame: pd.DataFrame | pd.Series) -> xr.DataArray:
    if isinstance(frame, pd.Series):
        frame = frame.to_frame(name="value" if frame.name is None else frame.name)
    if frame.columns.nlevels > 1 or frame.index.nlevels > 1:
        raise InputError("the DataFrame has a MultiIndex; pass one frame a sample, in a list")
    text = [str(name) for name, kind in frame.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
    if text:
        raise InputError(f"columns {text} are not numbers; drop or encode them")
    return xr.DataArray(
        frame.to_numpy(),
        dims=("timestep", "channel"),
        coords={"timestep": _time_stamps(frame.index), "channel": [str(name) for name in frame.columns]},
    )


def _time_stamps(index: pd.Index) -> np.ndarray:
    if isinstance(index, pd.PeriodIndex):
        index = index.to_timestamp()
    if isinstance(index, pd.DatetimeIndex) and index.tz is not None:
        # Neither numpy nor a file keeps a time zone: all of it goes to UTC.
        index = index.tz_convert("UTC").tz_localize(None)
    return index.to_numpy()


def _from_windows(items: Sequence[Any]) -> xr.DataArray:
    singles = [_from_frame(w) if isinstance(w, pd.DataFrame | pd.Series) else w for w in items]
    named = [_name_dims(w) for w in singles]
    wrong = [i for i, w in enumerate(named) if w.sizes["sample"] != 1]
    if wrong:
        raise InputError(f"window {wrong[0]} has {named[wrong[0]].sizes['sample']} samples; a list holds one a window")
    lengths = sorted({w.sizes["timestep"] for w in named})
    if len(lengths) > 1:
        raise InputError(f"windows have lengths from {lengths[0]} to {lengths[-1]}; pad them to one length")
    named = [w.isel(sample=0, drop=True) for w in named]
    first = named[0]
    for i, window in enumerate(named):
        if window.dims != first.dims or ("channel" in first.dims and not _same_labels(window, first, "channel")):
            raise InputError(
                f"window {i} has other channels than window 0: {_shape_text(window)} beside {_shape_text(first)}"
            )
    out = xr.DataArray(np.stack([w.values for w in named]), dims=("sample", *first.dims))
    if "channel" in first.coords:
        out = out.assign_coords(channel=first["channel"])
    if all("timestep" in w.coords for w in named):
        stamps = np.stack([w["timestep"].values for w in named])
        if (stamps == stamps[0]).all():
            out = out.assign_coords(timestep=stamps[0])
        elif stamps.dtype.kind == "M":
            out = out.assign_coords(time=(("sample", "timestep"), stamps))
    return out


def _same_labels(a: xr.DataArray, b: xr.DataArray, dim: str) -> bool:
    if a.sizes[dim] != b.sizes[dim]:
        return False
    return dim not in a.coords or dim not in b.coords or list(a[dim].values) == list(b[dim].values)


def _check_shape(array: xr.DataArray, shape: Shape) -> None:
    came = array.shape[1:]
    wanted = "(sample, " + ", ".join("any" if n is None else str(n) for n in shape) + ")"

    def fits(candidate: tuple[int, ...]) -> bool:
        return len(candidate) == len(shape) and all(n is None or n == m for n, m in zip(shape, candidate, strict=True))

    if fits(came):
        return
    hint = ""
    if len(came) == 2 and fits(came[::-1]):
        hint = "; timestep and channel look swapped, inputs.transpose(0, 2, 1) would fit"
    elif len(came) != len(shape):
        hint = f"; the model's input has {len(shape) + 1} dims with the batch, these have {array.ndim}"
    elif len(came) == 2 and shape[1] not in (None, came[1]):
        hint = f"; the model takes {shape[1]} channels, these are {came[1]}"
    elif shape[0] is not None and came[0] > shape[0]:
        hint = f"; cut a longer series with attrkit.windows(series, {shape[0]})"
    raise InputError(f"inputs have {_shape_text(array)}, the model takes {wanted}{hint}")


def _check_values(array: xr.DataArray, dtype: str | None) -> xr.DataArray:
    kind = array.dtype.kind
    if kind not in "fiu":
        raise InputError(f"inputs have dtype {array.dtype}; accepted are {dtype or 'floats or integers'}")
    if dtype is not None and np.dtype(dtype).kind == "f" and kind in "iu":
        raise InputError(
            f"inputs are {array.dtype}, the model takes {dtype}; convert on purpose: inputs.astype('{dtype}')"
        )
    if dtype is not None and np.dtype(dtype).kind in "iu" and kind == "f":
        raise InputError(f"inputs are {array.dtype}, the model takes integers ({dtype}), such as token ids")
    if kind == "f":
        bad = ~np.isfinite(array.values)
        if bad.any():
            place = np.argwhere(bad)[0]
            where = ", ".join(
                f"{dim} {array[dim].values[i] if dim in array.coords else i}"
                for dim, i in zip(array.dims, place, strict=True)
            )
            raise InputError(
                f"inputs hold {int(bad.sum())} NaN or infinite values, the first at {where}; fill them before the call"
            )
    return array if dtype is None else array.astype(dtype)


def _plain_labels(array: xr.DataArray, dim: Any) -> Any:
    """Return the coordinate of a dim, counting from 0 where it has none; labels no file can keep become text."""
    if dim not in array.coords:
        return np.arange(array.sizes[dim])
    values = array[dim].values
    if values.dtype.kind == "O":
        values = np.array([str(value) for value in values])
    if len(set(values.tolist())) < len(values):
        raise InputError(f"labels of {dim} repeat: {values.tolist()[:8]}; every {dim} needs a label of its own")
    return (dim, values, array[dim].attrs)


def _shape_text(array: xr.DataArray) -> str:
    return ", ".join(f"{size} {dim}s" for dim, size in array.sizes.items())
