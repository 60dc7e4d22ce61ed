"""The shape of every attrkit result: dimensions, variables, attributes, one builder, one validator."""

import datetime
import numbers
from collections.abc import Hashable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from attrkit.errors import SchemaError

VERSION = "attrkit-1"


class Spec(NamedTuple):
    """What the schema fixes about one variable.

    ``dims`` is in order; a name in brackets is optional, and ``...`` stands for dims of any other name.
    """

    dims: tuple[str, ...]
    long_name: str


VARIABLES: dict[str, Spec] = {
    "attribution": Spec(("sample", "[output]", "timestep", "[channel]"), "attribution"),
    "attention": Spec(("sample", "[layer]", "[head]", "[query_timestep]", "key_timestep"), "attention weight"),
    "activation": Spec(("sample", "[timestep]", "...", "[channel]"), "layer output"),
    "input": Spec(("sample", "timestep", "[channel]"), "input"),
    "prediction": Spec(("sample", "[output]"), "prediction"),
    "baseline": Spec(("[sample]", "[timestep]", "[channel]"), "baseline"),
    "baseline_prediction": Spec(("sample", "[output]"), "prediction at the baseline"),
    "completeness_gap": Spec(("sample", "[output]"), "completeness gap"),
    "bias_relevance": Spec(("sample", "[output]"), "relevance absorbed by biases"),
    "epsilon_relevance": Spec(("sample", "[output]"), "relevance absorbed by epsilon"),
    "attention_entropy": Spec(
        ("sample", "[layer]", "[head]"), "entropy of the attention rows over its maximum, mean over queries"
    ),
    "attention_on_padding": Spec(
        ("sample", "[layer]", "[head]"), "share of the attention of real queries on padded keys"
    ),
    "mask": Spec(("sample", "timestep"), "false where padded"),
}
"""The variables a dataset may hold. Another name is free; one of these names means what stands here."""

CONTENT = ("attribution", "attention", "activation")
"""A dataset holds at least one of these."""

COORDINATES = {
    "sample": "sample",
    "timestep": "timestep",
    "channel": "channel",
    "query_timestep": "timestep that attends",
    "key_timestep": "timestep attended to",
    "layer": "layer",
    "head": "attention head",
    "output": "model output",
    "extractor": "extractor",
}

_TIMESTEPS = ("timestep", "query_timestep", "key_timestep")


def default_dims(name: str, ndim: int) -> tuple[str, ...]:
    """Return the dims of a variable of the schema that comes as a bare array with `ndim` axes.

    Parameters
    ----------
    name : str
        Name of a variable in `VARIABLES`.
    ndim : int
        Number of axes of the array.

    Returns
    -------
    tuple of str

    Raises
    ------
    SchemaError
        If more than one reading is possible, or none.

    Examples
    --------
    >>> default_dims("attribution", 3)
    ('sample', 'timestep', 'channel')
    >>> default_dims("attention", 2)
    ('sample', 'key_timestep')
    """
    readings = {
        ("attribution", 2): ("sample", "timestep"),
        ("attribution", 3): ("sample", "timestep", "channel"),
        ("attention", 2): ("sample", "key_timestep"),
        ("attention", 3): ("sample", "query_timestep", "key_timestep"),
        ("attention", 4): ("sample", "head", "query_timestep", "key_timestep"),
        ("attention", 5): ("sample", "layer", "head", "query_timestep", "key_timestep"),
        ("activation", 2): ("sample", "channel"),
        ("activation", 3): ("sample", "timestep", "channel"),
        ("input", 2): ("sample", "timestep"),
        ("input", 3): ("sample", "timestep", "channel"),
        ("prediction", 1): ("sample",),
        ("prediction", 2): ("sample", "output"),
        ("mask", 2): ("sample", "timestep"),
    }
    if name in VARIABLES and ndim == 1:
        return ("sample",)
    if (name, ndim) not in readings:
        accepted = sorted(n for known, n in readings if known == name)
        raise SchemaError(
            f"an array of {ndim} dims for {name!r} has no reading of its own; give a DataArray with named dims"
            + (f", or an array of {' or '.join(map(str, accepted))} dims" if accepted else "")
        )
    return readings[name, ndim]


def build(
    variables: Mapping[str, Any],
    *,
    inputs: xr.DataArray | None = None,
    coords: Mapping[Hashable, Any] | None = None,
    attrs: Mapping[str, str | int | float] | None = None,
) -> xr.Dataset:
    """Build and validate one dataset: the only place where attrkit makes one.

    Parameters
    ----------
    variables : mapping of str to array_like, Variable or DataArray
        Results by name. A bare array gets the dims of `default_dims`.
    inputs : DataArray of shape (sample, timestep[, channel]), optional
        What was explained. It becomes the variable ``input``, and its labels go on every axis that is the
        same, with its further coordinates such as ``time``:
        ``query_timestep`` and ``key_timestep`` get those of ``timestep`` where the lengths agree.
    coords : mapping, optional
        Further coordinates, each a pair of dims and values; they go before those of `inputs`.
    attrs : mapping of str to str, int or float, optional
        Attributes of the dataset.

    Returns
    -------
    Dataset
        Valid under `validate`.

    Raises
    ------
    SchemaError
        If the result would break the schema; every fault is listed.

    Examples
    --------
    >>> ds = build({"attribution": np.zeros((2, 5, 3))}, attrs={"method": "zeros"})
    >>> dict(ds.sizes)
    {'sample': 2, 'timestep': 5, 'channel': 3}
    """
    arrays: dict[str, xr.DataArray] = {}
    for name, value in variables.items():
        if isinstance(value, xr.DataArray):
            arrays[name] = value.copy(deep=False)
        elif isinstance(value, xr.Variable):
            arrays[name] = xr.DataArray(value)
        else:
            values = np.asarray(value)
            arrays[name] = xr.DataArray(values, dims=default_dims(name, values.ndim))
    labels: dict[Hashable, xr.Variable] = {}
    if inputs is not None:
        # The channels of a layer's output are its units, so the input, with channels of its own, stays out.
        if "activation" not in arrays:
            arrays.setdefault("input", inputs.rename("input"))
        for axis, coord in inputs.coords.items():
            for twin in _TIMESTEPS if axis == "timestep" else (axis,):
                dims = (twin,) if axis in inputs.dims else coord.dims
                labels[twin] = xr.Variable(dims, coord.values, coord.attrs)
    labels |= {key: xr.Variable(*label) for key, label in (coords or {}).items()}
    try:
        ds = xr.merge([array.rename(name) for name, array in arrays.items()], join="exact", compat="equals")
    except ValueError as err:
        sizes = {name: dict(array.sizes) for name, array in arrays.items()}
        raise SchemaError(f"the arrays do not fit each other: {sizes}") from err
    for key, label in labels.items():
        if key not in ds.coords and all(ds.sizes.get(dim) == size for dim, size in label.sizes.items()):
            ds = ds.assign_coords({key: label})
    ds = ds.assign_coords({dim: np.arange(size) for dim, size in ds.sizes.items() if dim not in ds.coords})
    _describe(ds)
    ds.attrs = {
        "schema": VERSION,
        "attrkit_version": installed_version("attrkit"),
        "created_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **dict(attrs or {}),
    }
    validate(ds)
    return ds


def _describe(ds: xr.Dataset) -> None:
    """Give variables and coordinates the long names that plots put on their axes, where they have none."""
    for name, spec in VARIABLES.items():
        if name in ds:
            ds[name].attrs.setdefault("long_name", spec.long_name)
    for name, text in COORDINATES.items():
        if name in ds.coords:
            ds[name].attrs.setdefault("long_name", text)


def validate(data: xr.Dataset | xr.DataTree) -> None:
    """Check a dataset, or every group of a tree, against the schema.

    Parameters
    ----------
    data : Dataset or DataTree

    Raises
    ------
    SchemaError
        Naming every fault found, not only the first.

    Examples
    --------
    >>> validate(xr.Dataset({"attribution": (("sample", "time"), np.zeros((2, 3)))}))
    Traceback (most recent call last):
        ...
    attrkit.errors.SchemaError: not an attrkit dataset:
      - attribute 'schema' is missing; this version reads 'attrkit-1'
      - 'attribution' has dims ('sample', 'time'); accepted are (sample, [output], timestep, [channel])
      - dimension 'sample' has no coordinate
      - dimension 'time' has no coordinate
    """
    found = faults(data)
    if found:
        kind = "tree" if isinstance(data, xr.DataTree) else "dataset"
        raise SchemaError(f"not an attrkit {kind}:\n" + "\n".join(f"  - {fault}" for fault in found))


def faults(data: xr.Dataset | xr.DataTree) -> list[str]:
    """List what is wrong with a dataset or a tree under the schema; an empty list means valid."""
    if isinstance(data, xr.DataTree):
        found = []
        if not data.children:
            found.append("the tree has no groups")
        if data.variables:
            found.append(f"the root holds {sorted(map(str, data.variables))}; it must stay empty, groups hold all")
        for name, child in data.children.items():
            found += [f"group {name!r}: {fault}" for fault in _dataset_faults(child.to_dataset(inherit=False))]
            found += [f"group {name!r} holds a group {inner!r}; groups are siblings" for inner in child.children]
        return found
    return _dataset_faults(data)


def _dataset_faults(ds: xr.Dataset) -> list[str]:
    found = []
    if "schema" not in ds.attrs:
        found.append(f"attribute 'schema' is missing; this version reads {VERSION!r}")
    elif ds.attrs["schema"] != VERSION:
        found.append(f"attribute 'schema' is {ds.attrs['schema']!r}; this version reads {VERSION!r}")
    if not any(name in ds.data_vars for name in CONTENT):
        found.append(f"none of {', '.join(CONTENT)} is there; variables are {sorted(map(str, ds.data_vars))}")
    for name, spec in VARIABLES.items():
        if name not in ds.data_vars:
            continue
        dims = tuple(map(str, ds[name].dims))
        if not _dims_fit(dims, spec.dims):
            found.append(f"{name!r} has dims {dims}; accepted are ({', '.join(spec.dims)})")
        wanted = "b" if name == "mask" else "fiu"
        if ds[name].dtype.kind not in wanted:
            kind = "boolean" if name == "mask" else "numbers"
            found.append(f"{name!r} has dtype {ds[name].dtype}; accepted are {kind}")
    for dim in ds.dims:
        if dim not in ds.coords:
            found.append(f"dimension {dim!r} has no coordinate")
        elif not ds.indexes[dim].is_unique:
            repeated = ds.indexes[dim][ds.indexes[dim].duplicated()][0]
            found.append(f"coordinate {dim!r} repeats labels, {repeated!r} for one")
    for owner, attrs in [("the dataset", ds.attrs), *((repr(n), v.attrs) for n, v in ds.variables.items())]:
        for key, value in attrs.items():
            plain = isinstance(value, str | numbers.Real | np.number) and not isinstance(value, bool | np.bool_)
            if not isinstance(key, str) or not plain:
                found.append(f"attribute {key!r} of {owner} is a {type(value).__name__}; accepted are text and numbers")
    return found


def _dims_fit(dims: tuple[str, ...], spec: tuple[str, ...]) -> bool:
    """Whether `dims` follow the order of `spec`, where ``[x]`` may be left out and ``...`` takes any others."""
    if not spec:
        return not dims
    head, rest = spec[0], spec[1:]
    if head == "...":
        fixed = {name.strip("[]") for name in rest}
        free = 0
        while free < len(dims) and dims[free] not in fixed:
            free += 1
        return _dims_fit(dims[free:], rest)
    if dims and dims[0] == head.strip("[]"):
        return _dims_fit(dims[1:], rest)
    return head.startswith("[") and _dims_fit(dims, rest)


def installed_version(package: str) -> str:
    """Return the version of an installed package, or ``"unknown"``."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
