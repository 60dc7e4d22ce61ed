"""The shape of every attrkit result: dimensions, variables, attributes, one builder, one validator."""

import datetime
import re
from collections.abc import Hashable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from attrkit.errors import SchemaError

VERSION = "attrkit-2"

UNITS_ARE_TEXT = xr.coders.CFTimedeltaCoder(decode_via_units=False)
"""For xarray's readers: before 2026.4 they take numbers for durations whose units are "s" or "hours"."""


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
"""A dataset of results holds at least one of these."""

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

# Attributes by which a file says how its numbers are packed: they would change the values when it is read.
_PACKING = ("scale_factor", "add_offset", "_FillValue", "missing_value")


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
        In the order of the axes.

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
        ("prediction", 2): ("sample", "output"),
        ("mask", 2): ("sample", "timestep"),
    }
    for known, spec in VARIABLES.items():
        # A baseline of one axis may as well run over timesteps or channels.
        if known != "baseline" and dims_fit(("sample",), spec.dims):
            readings[known, 1] = ("sample",)
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
    """Build and validate one dataset of results; `build_table` makes those of metrics.

    Parameters
    ----------
    variables : mapping of str to array_like, Variable or DataArray
        Results by name. A bare array gets the dims of `default_dims`.
    inputs : DataArray of shape (sample, timestep[, channel]), optional
        What was explained. It becomes the variable ``input``, and its labels go on every axis that is the
        same, with its further coordinates such as ``time``:
        ``query_timestep`` and ``key_timestep`` get those of ``timestep`` where the lengths agree.
    coords : mapping, optional
        Further coordinates, as ``Dataset.assign_coords`` takes them; they go before all others.
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
    arrays = {name: as_dataarray(name, value) for name, value in variables.items()}
    labels = {} if inputs is None else _labels(inputs)
    if "activation" in arrays:
        # The channels of a layer's output are its units: neither the input nor its channels belong there.
        labels = {key: label for key, label in labels.items() if "channel" not in label.dims}
    elif inputs is not None:
        arrays.setdefault("input", inputs)
    try:
        ds = xr.merge([array.rename(name) for name, array in arrays.items()], join="exact", compat="equals")
    except ValueError as err:
        sizes = {name: dict(array.sizes) for name, array in arrays.items()}
        raise SchemaError(f"the arrays do not fit each other: {sizes}; {err}") from err
    for key, label in labels.items():
        if key not in ds.coords and all(ds.sizes.get(dim) == size for dim, size in label.sizes.items()):
            ds = ds.assign_coords({key: label})
    ds = _assign_given(ds, coords or {})
    ds = ds.assign_coords({dim: np.arange(size) for dim, size in ds.sizes.items() if dim not in ds.coords})
    # How a file packed what was read from it would round what is written to the next.
    ds = ds.drop_encoding()
    _describe(ds)
    ds.attrs = {**_origin(), **dict(attrs or {})}
    validate(ds)
    return ds


def build_table(metric: str, ds: xr.Dataset, attrs: Mapping[str, Any] | None = None) -> xr.Dataset:
    """Make what a metric has measured a dataset of the schema, so that it can be saved and loaded.

    Parameters
    ----------
    metric : str
        The function that has measured it; the attribute of that name makes a dataset a table.
    ds : Dataset
        Numbers under any names, along any dims; a dim without labels gets numbers that count from 0.
    attrs : mapping of str to str, int or float, optional
        Further attributes: options, where numbers come from.

    Returns
    -------
    Dataset
        With the values of `ds`; what its variables say of themselves stays.

    Examples
    --------
    >>> ds = build_table("spread", xr.Dataset({"spread": ("sample", [0.1, 0.2])}), {"seed": 0})
    >>> ds["sample"].values, ds.attrs["metric"], faults(ds)
    (array([0, 1]), 'spread', [])
    """
    labelled = ds.assign_coords({dim: np.arange(size) for dim, size in ds.sizes.items() if dim not in ds.coords})
    labelled.attrs = {**_origin(), "metric": metric, **dict(attrs or {})}
    return labelled


def _origin() -> dict[str, str]:
    """Return what every dataset says of where it comes from."""
    return {
        "schema": VERSION,
        "attrkit_version": installed_version("attrkit"),
        "created_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def as_dataarray(name: str, value: Any) -> xr.DataArray:
    """Label the values of a variable: a bare array gets the dims of `default_dims`."""
    if isinstance(value, xr.DataArray | xr.Variable):
        return xr.DataArray(value).copy(deep=False)
    if is_masked(value):
        raise SchemaError(f"{name!r} has masked values, which are none; fill them: array.filled(numpy.nan)")
    try:
        values = np.asarray(value)
    except Exception as err:  # An object's own conversion may raise anything.
        raise SchemaError(f"{name!r} is a {type(value).__name__} that cannot be read as an array: {err}") from err
    return xr.DataArray(values, dims=default_dims(name, values.ndim))


def is_masked(value: Any) -> bool:
    """Whether an array, or one in a list, has masked values, which `numpy.asarray` takes for what is beneath them."""
    if isinstance(value, list | tuple):
        return any(is_masked(one) for one in value if isinstance(one, list | tuple | np.ma.MaskedArray))
    return isinstance(value, np.ma.MaskedArray) and bool(np.ma.is_masked(value))


def _labels(inputs: xr.DataArray) -> dict[Hashable, xr.Variable]:
    """Return the coordinates of the inputs, those of ``timestep`` under the names of its twins too."""
    labels: dict[Hashable, xr.Variable] = {}
    for axis, coord in inputs.coords.items():
        for twin in _TIMESTEPS if axis == "timestep" else (axis,):
            dims = (twin,) if axis in inputs.dims else coord.dims
            labels[twin] = xr.Variable(dims, coord.values, coord.attrs)
    return labels


def _assign_given(ds: xr.Dataset, coords: Mapping[Hashable, Any]) -> xr.Dataset:
    for key, value in coords.items():
        try:
            if isinstance(value, xr.DataArray):
                # xarray would fill in NaN where labels differ.
                own = value.drop_vars([key], errors="ignore").to_dataset(name="own")
                xr.align(ds, own, join="exact")
                value = value.variable
            given = ds.assign_coords({key: value})
        except (ValueError, TypeError) as err:
            raise SchemaError(f"coordinate {key!r} does not fit {dict(ds.sizes)}: {err}") from err
        if given.sizes != ds.sizes:
            raise SchemaError(f"coordinate {key!r} has dims {given[key].dims}; the arrays have {tuple(ds.dims)}")
        ds = given
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
        Whatever says that it is a result of attrkit.

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
      - attribute 'schema' is missing; this version reads 'attrkit-2'
      - 'attribution' has dims ('sample', 'time'); accepted are (sample, [output], timestep, [channel])
      - dimension 'sample' has no coordinate
      - dimension 'time' has no coordinate
    """
    found = faults(data)
    if found:
        kind = "tree" if isinstance(data, xr.DataTree) else "dataset"
        raise SchemaError(f"not an attrkit {kind}:\n" + "\n".join(f"  - {fault}" for fault in found))


def faults(data: xr.Dataset | xr.DataTree) -> list[str]:
    """List what is wrong with a dataset or a tree under the schema.

    Parameters
    ----------
    data : Dataset or DataTree
        Anything else is a fault by itself.

    Returns
    -------
    list of str
        Every fault found; empty if `data` is valid.

    Examples
    --------
    >>> faults(xr.Dataset(attrs={"schema": VERSION}))
    ["none of attribution, attention, activation is there, nor the attribute 'metric' of a table; variables are []"]
    """
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
    if not isinstance(data, xr.Dataset):
        return [f"got a {type(data).__name__}; accepted are a Dataset and a DataTree"]
    return _dataset_faults(data)


def _dataset_faults(ds: xr.Dataset) -> list[str]:
    found = _version_faults(ds.attrs)
    # Variables of a table are its metric's own: a prediction for each seed is no fault there.
    is_table = "metric" in ds.attrs
    if not is_table and not any(name in ds.data_vars for name in CONTENT):
        found.append(
            f"none of {', '.join(CONTENT)} is there, nor the attribute 'metric' of a table; variables are "
            f"{sorted(map(str, ds.data_vars))}"
        )
    for name, spec in VARIABLES.items():
        if is_table or name not in ds.data_vars:
            continue
        dims = tuple(map(str, ds[name].dims))
        if not dims_fit(dims, spec.dims):
            found.append(f"{name!r} has dims {dims}; accepted are ({', '.join(spec.dims)})")
        wanted = "b" if name == "mask" else "fiu"
        if ds[name].dtype.kind not in wanted:
            kind = "boolean" if name == "mask" else "numbers"
            found.append(f"{name!r} has dtype {ds[name].dtype}; accepted are {kind}")
    for dim in ds.dims:
        found += _label_faults(ds, dim)
    for key, value in ds.attrs.items():
        found += [f"attribute {key!r} of the dataset {fault}" for fault in attribute_faults(key, value)]
    for owner, variable in ds.variables.items():
        if not is_name(owner):
            found.append(f"a variable has the name {owner!r}; accepted is text without '/'")
        for key, value in variable.attrs.items():
            faulty = attribute_faults(key, value, variable.dtype)
            found += [f"attribute {key!r} of {owner!r} {fault}" for fault in faulty]
    return found


def _version_faults(attrs: Mapping[Hashable, Any]) -> list[str]:
    if "schema" not in attrs:
        return [f"attribute 'schema' is missing; this version reads {VERSION!r}"]
    came = attrs["schema"]
    if isinstance(came, str) and came == VERSION:
        return []
    number = re.fullmatch(r"attrkit-(\d{1,9})", str(came))
    hint = ""
    if number and int(number[1]) > int(VERSION.removeprefix("attrkit-")):
        made_by = str(attrs.get("attrkit_version", ""))
        newer = f"'attrkit>={made_by}'" if re.fullmatch(r"[\w.+-]{1,40}", made_by) else "--upgrade attrkit"
        hint = f". It is of a later attrkit: pip install {newer}"
    elif number:
        hint = ". attrkit.load brings files of earlier versions to it"
    return [f"attribute 'schema' is {came!r}; this version reads {VERSION!r}{hint}"]


def _label_faults(ds: xr.Dataset, dim: Hashable) -> list[str]:
    if dim not in ds.coords or ds[dim].dims != (dim,):
        return [f"dimension {dim!r} has no coordinate"]
    index = ds[dim].to_index()
    if index.nlevels > 1:
        return [f"coordinate {dim!r} is a MultiIndex, which no file holds; ds.reset_index({dim!r}) takes it apart"]
    if not index.is_unique:
        return [f"coordinate {dim!r} repeats labels, {index[index.duplicated()].tolist()[0]!r} for one"]
    return []


def is_name(name: Any) -> bool:
    """Whether a variable or a group may have this name in a file: text that is no path."""
    return isinstance(name, str) and "/" not in name and name not in ("", ".", "..")


def attribute_faults(key: Any, value: Any, dtype: np.dtype | None = None) -> list[str]:
    """Say why a file cannot keep an attribute, of a variable of `dtype` or of a dataset; nothing where it can."""
    plain = isinstance(value, str | int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not isinstance(key, str) or not plain:
        return [f"is a {type(value).__name__}; accepted are text and numbers"]
    if dtype is None:
        return []
    is_time = dtype.kind in "mM" and key in ("units", "calendar")
    becomes_time = key == "units" and " since " in str(value)
    if is_time or becomes_time or key in _PACKING:
        return [f"is {value!r}, which files take for how the values are stored; apply it to the values, or drop it"]
    return []


def in_order(name: str, array: xr.DataArray) -> xr.DataArray:
    """Bring the dims of a variable of the schema into their order; dims that it does not know go first.

    Examples
    --------
    >>> in_order("attribution", xr.DataArray(np.zeros((3, 5, 2)), dims=("channel", "timestep", "sample"))).dims
    ('sample', 'timestep', 'channel')
    """
    known: list[Any] = [dim.strip("[]") for dim in VARIABLES[name].dims]
    order = [Ellipsis if dim == "..." else dim for dim in known]
    return array.transpose(*([] if Ellipsis in order else [Ellipsis]), *order, missing_dims="ignore")


def dims_fit(dims: tuple[str, ...], spec: tuple[str, ...]) -> bool:
    """Whether `dims` follow the order of `spec`, where ``[x]`` may be left out and ``...`` takes any others."""
    places = {name.strip("[]"): place for place, name in enumerate(spec)}
    order = [places.get(dim, places.get("...", -1)) for dim in dims]
    needed = {name for name in spec if name[0] not in "[."}
    return -1 not in order and order == sorted(order) and needed <= set(dims) and len(set(dims)) == len(dims)


def installed_version(package: str) -> str:
    """Return the version of an installed package, or ``"unknown"``."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
