"""What a user passes as inputs, made into one labelled array, or several by name."""

from collections.abc import Mapping, Sequence
from reprlib import repr as short
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from attrkit.errors import InputError
from attrkit.half import half_of
from attrkit.schema import attribute_faults, is_masked
from attrkit.tables import frame_values, from_frame

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

LABELLED = (pd.DataFrame, pd.Series, xr.DataArray)

Shape = tuple[int | None, ...]


class Input(NamedTuple):
    """One input of a model: its name, its shape without the batch axis (None where unknown), its dtype (or ``""``)."""

    name: str
    shape: Shape | None
    dtype: str


def label_each(inputs: Any, known: Sequence[Input], *, dtype: str = "") -> dict[str, xr.DataArray | np.ndarray]:
    """Label what a user passes to a model of one or of several inputs.

    Parameters
    ----------
    inputs : as `label_inputs` takes it, or a mapping of names to such, or a tuple of such in the model's order
        For a model of several inputs one each. One may be static, of shape (sample, channel). One that is of no number,
        or integers that are no sequence, such as lengths or an attention mask, is kept as it is.
    known : sequence of Input
        The model's inputs as far as they are known; of a plain function, the names of its arguments.
    dtype : str, optional
        What floats of inputs without a dtype of their own become.

    Returns
    -------
    dict
        By name, in the model's order: a labelled array of dims (sample, timestep[, channel]) or (sample, channel); a
        bare array for what is only handed on.

    Raises
    ------
    InputError
        As `label_inputs`; also if a name is unknown, an input is missing, or they differ in their samples.
    """
    given = _by_name(inputs, known)
    if given is None:
        spec = known[0] if known else Input("input", None, "")
        return {spec.name: label_inputs(inputs, shape=spec.shape, dtype=spec.dtype or None, floats=dtype)}
    specs = {spec.name: spec for spec in known}
    found: dict[str, xr.DataArray | np.ndarray] = {}
    sequences = any(_is_sequence(name, values) for name, values in given.items())
    for name, values in given.items():
        spec = specs.get(name, Input(name, None, ""))
        try:
            found[name] = _label_one(values, spec, dtype, beside_sequences=sequences)
        except InputError as err:
            raise InputError(f"input {name!r}: {err}") from err
    counts = {name: len(values) for name, values in found.items()}
    if len(set(counts.values())) > 1:
        raise InputError(f"inputs differ in their samples: {counts}; give each one the same")
    return found


def _is_sequence(name: str, values: Any) -> bool:
    """Whether an input is one beyond doubt: it has channels, labels, or is token ids."""
    if is_labelled(values) or isinstance(values, xr.Dataset):
        return True
    array = read_array(values, f"input {name!r}", "accepted are arrays of numbers")
    return array.ndim > 2 or (array.ndim == 2 and array.dtype.kind in "iu")


def _by_name(inputs: Any, known: Sequence[Input]) -> dict[str, Any] | None:
    """Return inputs by name, in the model's order; None for what is one input."""
    shaped = len(known) > 1 and all(spec.shape is not None for spec in known)
    names = [spec.name for spec in known]
    if isinstance(inputs, Mapping) and not isinstance(inputs, xr.Dataset):
        if shaped or (len(known) == 1 and known[0].shape is not None):
            wrong = [str(name) for name in inputs if name not in names] + [name for name in names if name not in inputs]
            if wrong:
                raise InputError(f"inputs named {list(inputs)} came; the model takes {names}")
            return {name: inputs[name] for name in names}
        if not inputs:
            raise InputError("an empty mapping came; give at least one input")
        return {str(name): values for name, values in inputs.items() if values is not None}
    if shaped:
        if not isinstance(inputs, list | tuple) or len(inputs) != len(known):
            shapes = ", ".join(f"{spec.name} {spec.shape}" for spec in known)
            came = f"{len(inputs)} in a {type(inputs).__name__}" if isinstance(inputs, list | tuple) else "one"
            raise InputError(f"the model has {len(known)} inputs ({shapes}), {came} came; pass a dict by these names")
        return dict(zip(names, inputs, strict=True))
    if isinstance(inputs, tuple) and not is_labelled(inputs[:1]) and (not known or known[0].shape is None):
        if len(inputs) > len(names) and names:
            raise InputError(f"{len(inputs)} inputs came in a tuple; the model takes {names}")
        return dict(zip(names or [f"input_{i}" for i in range(len(inputs))], inputs, strict=False))
    return None


def _label_one(values: Any, spec: Input, dtype: str, *, beside_sequences: bool) -> xr.DataArray | np.ndarray:
    if not is_labelled(values) and not isinstance(values, xr.Dataset):
        array = read_array(values, f"a {type(values).__name__}", "accepted are arrays of numbers")
        if not array.ndim:
            raise InputError(f"got one value, {short(values)}; accepted are arrays with samples first")
        rank = array.ndim if spec.shape is None else len(spec.shape) + 1
        if array.dtype.kind == "b" or (array.dtype.kind in "iu" and array.ndim != 2):
            return array
        if rank == 2 and array.dtype.kind == "f" and beside_sequences:
            values = xr.DataArray(array, dims=("sample", "channel")) if array.ndim == 2 else array
    if isinstance(values, pd.DataFrame) and spec.shape is not None and len(spec.shape) == 1:
        values = xr.DataArray(frame_values(values), dims=("sample", "channel"), coords={"channel": [*values.columns]})
    if isinstance(values, xr.DataArray) and set(rename_synonyms(values).dims) == {"sample", "channel"}:
        # As a sequence of one step, which has all the checks of others.
        one = rename_synonyms(values).transpose("sample", "channel").expand_dims(timestep=1, axis=1)
        shape = None if spec.shape is None else (1, *spec.shape)
        labelled = label_inputs(one, shape=shape, dtype=spec.dtype or None, floats=dtype)
        return labelled.isel(timestep=0, drop=True)
    return label_inputs(values, shape=spec.shape, dtype=spec.dtype or None, floats=dtype)


def label_inputs(
    inputs: Any, *, shape: Shape | None = None, dtype: str | None = None, floats: str = ""
) -> xr.DataArray:
    """Turn inputs into one labelled array and check it against what the model takes.

    Parameters
    ----------
    inputs : array_like, DataFrame, DataArray, Dataset, or list of windows
        * an array of shape (sample, timestep, channel), or (sample, timestep) for a model without a channel
          axis; a single sample needs its batch axis, ``x[None]``;
        * a DataFrame: one sample, rows are timesteps, columns are channels;
        * a list of windows (DataFrames, DataArrays or arrays of shape (timestep, channel)), all of one length;
        * a DataArray whose dims are named ``sample``, ``timestep``, ``channel`` (or a clear synonym such as
          ``time`` and ``feature``), in any order; without the dim ``sample`` it is one sample;
        * a Dataset that attrkit made: its variable ``input``.
    shape : tuple of int or None, optional
        Shape the model takes, without the batch axis; None in it stands for any length.
    dtype : str, optional
        What the model takes, such as ``"float32"``. Half precision becomes single: the model rounds its input itself.
    floats : str, optional
        What floats become where `dtype` is not known.

    Returns
    -------
    DataArray of shape (sample, timestep[, channel])
        Named ``input``, in `dtype`, with a coordinate on every dim. Windows whose time stamps differ keep them in
        a coordinate ``time`` of dims (sample, timestep). Attributes that no file can hold are left out.

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
    array = name_axes(inputs, ndim=None if shape is None else len(shape) + 1)
    if 0 in array.shape:
        raise InputError(f"inputs are empty: got {shape_text(array)}; at least one of each is needed")
    if shape is not None:
        _check_shape(array, shape)
    dtype = floats if dtype is None and floats and array.dtype.kind == "f" else dtype
    array = _check_values(array, "float32" if half_of([dtype or array.dtype]) else dtype)
    array = array.assign_coords({dim: _plain_labels(array, dim) for dim in array.dims}).rename("input")
    for owner in (array, *array.coords.values()):
        owner.attrs = {k: v for k, v in owner.attrs.items() if not attribute_faults(k, v, owner.dtype)}
    return array


def read_array(values: Any, what: str, accepted: str) -> np.ndarray:
    """Make an array of what a user gave; `what` and `accepted` are for the message where it makes none."""
    if is_masked(values):
        raise InputError(
            f"{what} has masked values, which numpy would read as what is beneath; fill them, array.filled(...), and "
            "say where padding is with mask="
        )
    try:
        # A tensor of torch may be on another device, or part of a graph.
        given = values.detach().cpu() if hasattr(values, "detach") else values
        # numpy has no type for bfloat16; float32 holds every value.
        array = np.asarray(given.float() if str(getattr(given, "dtype", "")) == "torch.bfloat16" else given)
        return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
    except Exception as err:  # An object's own conversion may raise anything.
        raise InputError(f"{what} cannot be read as one array: {err}; {accepted}") from err


def rename_synonyms(array: xr.DataArray) -> xr.DataArray:
    """Give our names to dims that are called by a clear synonym."""
    renamed = {dim: SYNONYMS[str(dim)] for dim in array.dims if str(dim) in SYNONYMS}
    taken = (set(array.dims) | set(array.coords)).intersection(renamed.values())
    if taken or len(set(renamed.values())) < len(renamed):
        raise InputError(
            f"the DataArray has dims {array.dims} and coordinates {sorted(map(str, array.coords))}, of which two mean "
            f"one axis; accepted are {DIMS}, one of each"
        )
    return array.rename(renamed)


def is_labelled(values: Any) -> bool:
    """Whether `values` bring names for their axes: a table, a DataArray, a list of those."""
    return isinstance(values, LABELLED) or (isinstance(values, list | tuple) and any(map(is_labelled, values)))


def name_axes(inputs: Any, *, ndim: int | None = None) -> xr.DataArray:
    """Make an array with our dims, in order, and the labels that came with it."""
    if isinstance(inputs, xr.Dataset):
        if "input" not in inputs:
            names = sorted(map(str, inputs.data_vars))
            raise InputError(
                f"a Dataset must hold 'input', got {names}; pass a DataArray, for example ds.to_dataarray('channel')"
            )
        # What was explained there is not what will be explained here.
        named = _name_dims(inputs["input"].drop_vars("target", errors="ignore"))
        return (
            named.assign_coords(mask=inputs["mask"].variable)
            if "mask" in inputs and "mask" not in named.coords
            else named
        )
    if isinstance(inputs, xr.DataArray):
        return _name_dims(inputs)
    if isinstance(inputs, pd.DataFrame | pd.Series):
        return from_frame(inputs).expand_dims("sample")
    if isinstance(inputs, Mapping):
        raise InputError(f"got a mapping with keys {list(inputs)}; the model has one input, pass its array")
    wanted = "(sample, timestep)" if ndim == 2 else "(sample, timestep, channel)"
    if isinstance(inputs, list | tuple):
        if is_labelled(inputs):
            return _from_windows(inputs)
        shapes = {read_array(window, "a window", "accepted are arrays of numbers").shape for window in inputs}
        if len(shapes) > 1:
            raise InputError(f"windows must have one shape, got {sorted(shapes)}; attrkit.pad makes them one length")
    values = read_array(inputs, f"a {type(inputs).__name__}", f"accepted is an array of shape {wanted}")
    if values.ndim not in (2, 3) or (ndim is not None and values.ndim != ndim):
        hint = "; a single sample needs its batch axis: inputs[None]" if values.ndim == 2 else ""
        raise InputError(f"got an unlabelled array of shape {values.shape}; accepted is {wanted}{hint}")
    return xr.DataArray(values, dims=DIMS[: values.ndim])


def _name_dims(array: xr.DataArray) -> xr.DataArray:
    """Rename clear synonyms, put a missing ``sample`` in front, refuse other names."""
    named = rename_synonyms(array)
    if "timestep" not in named.dims or not set(named.dims) <= set(DIMS):
        raise InputError(
            f"the DataArray has dims {array.dims}; accepted are {DIMS}, rename yours: array.rename(yours='timestep', "
            "...)"
        )
    for dim in named.dims:
        if dim in named.coords and named[dim].to_index().nlevels > 1:
            raise InputError(f"the labels of {dim} are a MultiIndex; take it apart: array.reset_index({dim!r})")
    if "sample" not in named.dims:
        # What isel(sample=3) left keeps its label.
        label = named.coords.get("sample")
        named = (named if label is None or label.ndim == 0 else named.drop_vars("sample")).expand_dims("sample")
    return named.transpose(*(dim for dim in DIMS if dim in named.dims))


def _from_windows(items: Sequence[Any]) -> xr.DataArray:
    for i, window in enumerate(items):
        if not isinstance(window, LABELLED):
            raise InputError(
                f"window {i} is a {type(window).__name__}; a list of labelled windows holds DataFrames, "
                "Series or DataArrays"
            )
    named = [_name_dims(w if isinstance(w, xr.DataArray) else from_frame(w)) for w in items]
    wrong = [i for i, w in enumerate(named) if w.sizes["sample"] != 1]
    if wrong:
        raise InputError(f"window {wrong[0]} has {named[wrong[0]].sizes['sample']} samples; a list holds one a window")
    lengths = sorted({w.sizes["timestep"] for w in named})
    if len(lengths) > 1:
        raise InputError(f"windows have lengths from {lengths[0]} to {lengths[-1]}; attrkit.pad makes them one length")
    samples = pd.Index([w["sample"].values[0] for w in named if "sample" in w.coords])
    named = [w.isel(sample=0, drop=True) for w in named]
    first = named[0]
    for i, window in enumerate(named):
        if window.dims != first.dims or ("channel" in first.dims and not _same_labels(window, first, "channel")):
            raise InputError(
                f"window {i} has other channels than window 0: {shape_text(window)} beside {shape_text(first)}"
            )
    out = xr.DataArray(np.stack([w.values for w in named]), dims=("sample", *first.dims))
    if len(samples) == len(named) and samples.is_unique:
        out = out.assign_coords(sample=samples)
    if "channel" in first.coords:
        out = out.assign_coords(channel=first["channel"])
    labelled = all("timestep" in w.coords for w in named)
    if labelled and len({w["timestep"].dtype.kind for w in named}) == 1:
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
    raise InputError(f"inputs have {shape_text(array)}, the model takes {wanted}{hint}")


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
    if dtype is None:
        # Of another machine's byte order, which frameworks do not take.
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
    else:
        # What the cast makes of values that are too large is refused below.
        with np.errstate(over="ignore"):
            cast = array.astype(dtype)
        if kind in "iu" and (cast.values != array.values).any():
            raise InputError(
                f"inputs reach from {array.values.min()} to {array.values.max()}, the model takes {dtype}, which "
                "cannot hold them"
            )
        array = cast
    bad = ~np.isfinite(array.values)
    if bad.any():
        place = np.argwhere(bad)[0]
        where = ", ".join(
            f"{dim} {array[dim].values[i] if dim in array.coords else i}"
            for dim, i in zip(array.dims, place, strict=True)
        )
        raise InputError(
            f"inputs as {array.dtype} hold {int(bad.sum())} NaN or infinite values, the first at {where}; fill them "
            "before the call"
        )
    return array


def _plain_labels(array: xr.DataArray, dim: Any) -> Any:
    """Return the coordinate of a dim, counting from 0 where it has none; labels no file can keep become text."""
    if dim not in array.coords:
        return np.arange(array.sizes[dim])
    values = array[dim].values
    if values.dtype.kind == "O":
        values = np.array([str(value) for value in values])
    if len(set(values.tolist())) < len(values):
        raise InputError(
            f"labels of {dim} repeat: {[str(value) for value in values[:8]]}; every {dim} needs a label of its own"
        )
    return (dim, values, array[dim].attrs)


def shape_text(array: xr.DataArray) -> str:
    """Return the shape of an array for a message: ``"2 samples, 5 timesteps"``."""
    return ", ".join(f"{size} {dim}s" for dim, size in array.sizes.items())
