"""Several results at once: results of other tools into the same shape, and one array over all extractors."""

from collections.abc import Mapping
from typing import Any

import xarray as xr

from attrkit import schema
from attrkit.attention.reduce import reduce_attention
from attrkit.errors import InputError
from attrkit.inputs import is_labelled, label_inputs, name_axes, rename_synonyms


def from_arrays(results: Mapping[str, Any], *, inputs: Any = None, mask: Any = None) -> xr.DataTree:
    """Bring the results of any other tool into the shape of attrkit.

    Parameters
    ----------
    results : mapping of str to array_like, DataArray or mapping
        A name for each result. An array of shape (sample, timestep[, channel]) is an attribution; a mapping holds
        variables of the schema by name, such as ``{"attention": weights, "prediction": y}``. Attributions may be
        tables, and dims of a DataArray have synonyms, as inputs may.
    inputs : array_like, optional
        What was explained; its labels go on every axis.
    mask : array_like of bool of shape (sample, timestep), optional
        False where padded.

    Returns
    -------
    DataTree
        One group a name.

    Raises
    ------
    InputError
        If nothing was given, or a name is no text or holds ``/``.
    SchemaError
        If an array has another shape than the inputs, or none that the schema knows.

    Examples
    --------
    >>> import numpy as np
    >>> tree = from_arrays({"mine": np.zeros((2, 5, 3))}, inputs=np.ones((2, 5, 3)))
    >>> tree["mine"]["attribution"].dims
    ('sample', 'timestep', 'channel')
    """
    if not isinstance(results, Mapping) or not results:
        raise InputError(
            f"no results were given; name at least one: from_arrays({{'mine': values}}), got a {type(results).__name__}"
        )
    labelled = None if inputs is None else label_inputs(inputs)
    if labelled is not None and "mask" in labelled.coords:
        mask = labelled["mask"].values if mask is None else mask
        labelled = labelled.drop_vars("mask")
    groups = {}
    for name, values in results.items():
        variables = dict(values) if isinstance(values, Mapping) else {"attribution": values}
        if mask is not None:
            variables.setdefault("mask", mask)
        variables = {key: _named(key, value) for key, value in variables.items()}
        groups[name] = schema.build(variables, inputs=labelled, attrs={"method": str(name)})
    return as_tree(groups)


def _named(name: str, value: Any) -> Any:
    if isinstance(value, xr.DataArray):
        return rename_synonyms(value)
    # As an array, a table would be read as samples by timesteps.
    return name_axes(value) if name == "attribution" and is_labelled(value) else value


def as_tree(groups: Mapping[str, xr.Dataset]) -> xr.DataTree:
    """Make a tree of datasets by name; a name that a tree or a file would read as a path is refused."""
    wrong = [name for name in groups if not schema.is_name(name)]
    if wrong:
        raise InputError(f"{wrong[0]!r} cannot name a group; accepted is text without '/'")
    return xr.DataTree.from_dict(dict(groups))


def as_datasets(data: Any) -> dict[str, xr.Dataset]:
    """Bring every form that results come in into one: datasets by extractor.

    Parameters
    ----------
    data : Dataset, DataTree, DataArray or mapping of str to any of these
        A Dataset is one extractor, named by its attribute ``method`` (a layer's output by ``layer``). A DataArray with
        a dim ``extractor`` is split along it.

    Returns
    -------
    dict of str to Dataset
        In the order that came.

    Raises
    ------
    InputError
        If `data` is something else, or empty.

    Examples
    --------
    >>> ds = xr.Dataset({"attribution": (("sample", "timestep"), [[1.0, 2.0]])}, attrs={"method": "ones"})
    >>> list(as_datasets(ds)), list(as_datasets({"a": ds, "b": ds["attribution"]}))
    (['ones'], ['a', 'b'])
    """
    entries: dict[str, Any]
    if isinstance(data, xr.DataTree) and data.children:
        # Names of layers may hold slashes, which make groups in groups.
        nodes = {node.path.removeprefix(data.path).strip("/"): node for node in data.subtree if node.has_data}
        entries = {name: node.to_dataset(inherit=False) for name, node in nodes.items()}
    elif isinstance(data, xr.DataTree) and data.has_data:
        entries = {data.name or _name_of(data.to_dataset()): data.to_dataset()}
    elif isinstance(data, xr.DataArray) and "extractor" in data.dims:
        parts = [data.isel(extractor=i, drop=True) for i in range(data.sizes["extractor"])]
        entries = dict(zip(map(str, data.get_index("extractor")), parts, strict=True))
    elif isinstance(data, xr.DataArray | xr.Dataset):
        entries = {_name_of(data): data}
    elif isinstance(data, Mapping | xr.DataTree):
        entries = {str(name): value for name, value in data.items()}
    else:
        raise InputError(
            f"got a {type(data).__name__}; accepted are a Dataset, a DataTree, a DataArray, or a mapping of names to "
            "Datasets or DataArrays"
        )
    if not entries:
        raise InputError(f"the {type(data).__name__} is empty; at least one extractor is needed")
    return {name: _as_dataset(value, name) for name, value in entries.items()}


def _name_of(data: xr.Dataset | xr.DataArray) -> str:
    known = "layer" if "activation" in getattr(data, "data_vars", ()) and "layer" in data.attrs else "method"
    if known in data.attrs:
        return str(data.attrs[known])
    if isinstance(data, xr.DataArray):
        return str(data.name or "attribution")
    return next((name for name in schema.VARIABLES if name in data), "dataset")


def _as_dataset(value: Any, name: str) -> xr.Dataset:
    if isinstance(value, xr.DataTree):
        value = value.to_dataset(inherit=False)
    if isinstance(value, xr.DataArray):
        guess = "attention" if "key_timestep" in value.dims else "attribution"
        value = value.to_dataset(name=value.name if value.name in schema.VARIABLES else guess)
    if not isinstance(value, xr.Dataset):
        raise InputError(f"{name!r} is a {type(value).__name__}; accepted are a Dataset or a DataArray")
    return value


def stack(
    data: Any, *, channels: str | None = None, attention: Any = None, layer: Any = None, head: Any = None
) -> xr.DataArray:
    """Join the attributions of several extractors into one array.

    Parameters
    ----------
    data : DataTree, Dataset, or mapping of str to Dataset
    channels : {"sum", "abs_sum"}, optional
        How to bring attributions with channels to those without: their sum over channels, or the sum of their
        absolute values. Needed where only some have channels.
    attention : optional
        How to reduce attention that has no attribution yet, as `attrkit.reduce_attention` takes it.
    layer, head : optional
        Which layer and which head, for `attention`; they go to the extractors whose attention has several.

    Returns
    -------
    DataArray of dims (extractor, sample[, output], timestep[, channel])

    Raises
    ------
    InputError
        If axes differ, if only some extractors resolve channels and `channels` does not say what to do, or if one has
        attention only and `attention` does not.

    Examples
    --------
    >>> import numpy as np
    >>> tree = from_arrays({"a": np.zeros((2, 5, 3)), "b": np.ones((2, 5))})
    >>> stack(tree, channels="sum").sizes["extractor"]
    2
    """
    arrays = {}
    datasets = as_datasets(data)
    axes = {dim for ds in datasets.values() if "attention" in ds for dim in ds["attention"].dims}
    for dim, choice in (("layer", layer), ("head", head)):
        if choice is not None and dim not in axes:
            raise InputError(f"no extractor has attention with several {dim}s; leave {dim}={choice!r} out")
    for name, ds in datasets.items():
        if "attribution" not in ds and "attention" in ds:
            dims = ds["attention"].dims
            if attention is None and "query_timestep" in dims:
                raise InputError(
                    f"{name!r} holds attention of queries by keys and no attribution; say how to reduce it, for "
                    "example attention='mean'"
                )
            ds = reduce_attention(
                ds,
                attention if "query_timestep" in dims else "mean",
                layer=layer if "layer" in dims else None,
                head=head if "head" in dims else None,
            )
        if "attribution" not in ds:
            raise InputError(f"{name!r} has no attribution; it holds {sorted(map(str, ds.data_vars))}")
        arrays[name] = ds["attribution"]
    if channels is not None:
        if channels not in ("sum", "abs_sum"):
            raise InputError(f"channels={channels!r} is not known; accepted are 'sum' and 'abs_sum'")
        arrays = {
            name: (abs(a) if channels == "abs_sum" else a).sum("channel", keep_attrs=True) if "channel" in a.dims else a
            for name, a in arrays.items()
        }
    without = [name for name, a in arrays.items() if "channel" not in a.dims]
    if without and len(without) < len(arrays):
        raise InputError(
            f"{', '.join(without)} does not resolve channels and the others do; pass channels='sum' to compare over "
            "timesteps"
        )
    if len({frozenset(a.dims) for a in arrays.values()}) > 1:
        each = {name: a.dims for name, a in arrays.items()}
        raise InputError(f"extractors have different dims: {each}; select first, such as ds.sel(output=0, drop=True)")
    units = {a.attrs.get("units", "") for a in arrays.values()}
    plain = [a.reset_coords(drop=True).drop_attrs(deep=False) for a in arrays.values()]
    try:
        stacked = xr.concat(
            plain,
            dim=xr.DataArray(list(arrays), dims="extractor", name="extractor"),
            join="exact",
            coords="minimal",
            compat="override",
        )
    except ValueError as err:
        sizes = {name: dict(a.sizes) for name, a in arrays.items()}
        raise InputError(
            f"extractors do not share their axes: {sizes}; select the same samples and timesteps first"
        ) from err
    stacked.name = "attribution"
    # Extractors of several units have none together.
    stacked.attrs = {"long_name": "attribution", "units": units.pop() if len(units) == 1 else "differ by extractor"}
    return stacked
