"""Several results at once: results of other tools into the same shape, and one array over all extractors."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from attrkit import schema
from attrkit.attention.reduce import reduce_attention
from attrkit.checks import one_of
from attrkit.errors import InputError, SchemaError
from attrkit.explained import Explained
from attrkit.half import widened
from attrkit.inputs import (
    SYNONYMS,
    is_labelled,
    label_each,
    label_inputs,
    name_axes,
    read_array,
    rename_synonyms,
)


def from_arrays(
    results: Mapping[str, Any],
    *,
    inputs: Any = None,
    mask: Any = None,
    target: Any = None,
    dims: Sequence[str] | None = None,
) -> xr.DataTree:
    """Bring the results of any other tool into the shape of attrkit.

    Parameters
    ----------
    results : mapping of str to array_like, tensor, DataArray, tuple or mapping
        A name for each result. An array of shape (sample, timestep[, channel]) is an attribution; so is a tensor, on
        any device. Attributions may be tables, and dims of a DataArray have synonyms, as inputs may. A pair of
        attributions and an array of shape (sample,), such as Captum returns with ``return_convergence_delta=True``, is
        attribution and `completeness_gap`. A mapping holds variables of the schema by name, such as
        ``{"attention": weights, "prediction": y}``.
    inputs : array_like, or mapping of str to array_like, optional
        What was explained; its labels go on every axis. Of a model of several inputs, all that were explained by name,
        in the order of the attributions: a tuple, as Captum returns it, or a mapping of the same names.
    mask : array_like of bool of shape (sample, timestep), or mapping of input names to such, optional
        False where padded. Without names, it is that of the first sequence.
    target : int, str or array_like of shape (sample,), optional
        What was explained: an output's index or label, one for all samples or one each. It becomes the coordinate
        ``target``.
    dims : sequence of str, optional
        What the axes of bare arrays are, inputs as well as attributions, where they are not in the order (sample,
        timestep, channel): ``("sample", "channel", "timestep")`` for a model that takes channels first,
        ``("sample", "timestep", "channel", "output")`` for attributions of several outputs. Those without channels are
        in this order without ``"channel"``.

    Returns
    -------
    DataTree
        One group a name.

    Raises
    ------
    InputError
        If nothing was given, a name is no text or holds ``/``, `dims` or `target` do not fit, or the number of
        attributions is not that of the inputs.
    SchemaError
        If an array has another shape than the inputs, or none that the schema knows.

    See Also
    --------
    from_shap : Explanations of SHAP.
    from_inseq : Files of inseq.
    from_quantus : Arguments of Quantus.

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
    check_names(results)
    order = None if dims is None else _read_dims(dims)
    explained = _explained(inputs, order)
    groups = {}
    for name, values in results.items():
        variables = _variables(values, explained, order)
        for key, value in _masks(mask, explained).items():
            variables.setdefault(key, value)
        if explained is not None:
            variables |= explained.others()
        coords: dict[Any, Any] = {} if target is None else {"target": ("sample", _targets(target, variables))}
        main = None if explained is None else explained.main
        groups[name] = schema.build(variables, inputs=main, coords=coords, attrs={"method": str(name)})
    return as_tree(groups)


def _read_dims(dims: Any) -> tuple[str, ...]:
    names = tuple(dims) if isinstance(dims, list | tuple) and all(isinstance(dim, str) for dim in dims) else ()
    names = tuple(SYNONYMS.get(name, name) for name in names)
    known = {"sample", "output", "timestep", "channel"}
    if not {"sample", "timestep"} <= set(names) <= known or len(set(names)) < len(names):
        raise InputError(
            f"dims={dims!r} does not name axes; accepted are 'sample', 'timestep', 'channel' and 'output', once each, "
            "in the order of your axes, such as ('sample', 'channel', 'timestep'); the first two are needed"
        )
    return names


def _explained(inputs: Any, order: tuple[str, ...] | None) -> Explained | None:
    """Label the inputs, one or several by name."""
    if inputs is None:
        return None
    several = isinstance(inputs, Mapping) and not isinstance(inputs, xr.Dataset)
    given = inputs if several else {"input": inputs}
    wanted = None if order is None else tuple(dim for dim in order if dim != "output")
    given = {str(name): _named(values, wanted, "inputs") for name, values in given.items()}
    found = label_each(given, ()) if several else {"input": label_inputs(given["input"])}
    labelled = {name: array for name, array in found.items() if isinstance(array, xr.DataArray)}
    handed_on = [name for name in found if name not in labelled]
    if handed_on or not any("timestep" in array.dims for array in labelled.values()):
        raise InputError(
            f"inputs {handed_on or list(labelled)} cannot have been explained: give those that were, at least one of "
            "them of shape (sample, timestep, channel)"
        )
    masks = {name: array["mask"].values for name, array in labelled.items() if "mask" in array.coords}
    labelled = {name: array.drop_vars("mask", errors="ignore") for name, array in labelled.items()}
    return Explained(labelled, {}, masks, several)


def _variables(values: Any, explained: Explained | None, order: tuple[str, ...] | None) -> dict[str, Any]:
    """Name the variables of one result."""
    given = dict(values) if isinstance(values, Mapping) else {"attribution": values}
    variables = {key: _named(value, None, key) for key, value in given.items() if key != "attribution"}
    if "attribution" not in given:
        return variables
    found, delta = _without_delta(given["attribution"])
    if delta is not None and "completeness_gap" in variables:
        raise InputError("a result has a completeness_gap and a convergence delta beside its attribution; give one")
    if explained is None or not explained.by_name:
        array = _named(found, order, "an attribution")
        if explained is not None and isinstance(array, np.ndarray):
            _check_order(array, explained.main)
        named = {"attribution": schema.as_dataarray("attribution", array)}
    else:
        named = explained.variables("attribution", _parts(found, explained, order))
    if delta is not None:
        named["completeness_gap"] = _gap(delta, len(next(iter(named.values()))))
    return {**named, **variables}


def _without_delta(values: Any) -> tuple[Any, Any]:
    """Split a pair of attributions and convergence delta, which has one axis, as no attribution has."""
    pair = isinstance(values, tuple) and len(values) == 2 and getattr(values[1], "ndim", None) == 1
    return values if pair and (isinstance(values[0], tuple) or getattr(values[0], "ndim", 0) > 1) else (values, None)


def _gap(delta: Any, samples: int) -> xr.DataArray:
    # Of integrated gradients and DeepLift it is sum - (f(x) - f(baseline)), which is what the schema says.
    array = _read(delta, "a convergence delta")
    if len(array) != samples:
        raise InputError(
            f"the convergence delta has {len(array)} values for {samples} samples; methods that draw baselines or "
            "noise give one a draw: pass their means, delta.reshape(samples, -1).mean(1)"
        )
    return xr.DataArray(array, dims="sample")


def _parts(found: Any, explained: Explained, order: tuple[str, ...] | None) -> dict[str, xr.DataArray]:
    """Name the attributions of several inputs, and their axes."""
    names = list(explained.inputs)
    if isinstance(found, Mapping):
        unknown = [str(name) for name in found if name not in names]
        if unknown or not found:
            raise InputError(f"attributions of {list(found)} came; the inputs are {names}")
        given = dict(found)
    else:
        each = list(found) if isinstance(found, tuple | list) else [found]
        if len(each) != len(names):
            raise InputError(f"{len(each)} attributions came for the inputs {names}; give one each, in a tuple")
        given = dict(zip(names, each, strict=True))
    parts = {}
    for name, values in given.items():
        own = explained.inputs[name].dims
        array = _named(values, order if "timestep" in own else None, f"the attribution of {name!r}")
        if isinstance(array, np.ndarray):
            _check_order(array, explained.inputs[name])
            dims = own if array.ndim == len(own) else tuple(dim for dim in own if dim != "channel")
            if array.ndim != len(dims):
                raise InputError(f"the attribution of {name!r} has shape {array.shape}; its input has dims {own}")
            array = xr.DataArray(array, dims=dims)
        parts[name] = array
    return parts


def _masks(mask: Any, explained: Explained | None) -> dict[str, xr.DataArray]:
    """Return the masks of a group by the name of the variable: those that were given, else those of the inputs."""
    if mask is None:
        given = {} if explained is None else explained.masks
    elif isinstance(mask, Mapping):
        given = dict(mask)
    else:
        given = {"mask" if explained is None else explained.primary: mask}
    arrays = {name: schema.as_dataarray("mask", _named(one, None, "a mask")) for name, one in given.items()}
    if explained is not None:
        return explained.variables("mask", arrays)
    if isinstance(mask, Mapping):
        raise InputError(f"masks of {list(mask)} came; name the inputs as well: inputs={{name: values}}")
    return arrays


def _targets(target: Any, variables: Mapping[str, Any]) -> np.ndarray:
    samples = next(len(schema.as_dataarray(name, value)) for name, value in variables.items())
    array = _read(target, "the target")
    if array.dtype.kind == "O":
        # Text from pandas comes as objects.
        array = np.array(array.tolist())
    if array.shape not in ((), (samples,)) or array.dtype.kind not in "iuU":
        raise InputError(
            f"target has shape {array.shape} and dtype {array.dtype}; accepted are an index or a label, or {samples} "
            "of them, one a sample"
        )
    return np.broadcast_to(array, samples)


def _named(values: Any, order: tuple[str, ...] | None, what: str) -> Any:
    """Name the axes of what brings names, or has the axes of `order`; else return an array."""
    if isinstance(values, xr.Dataset | xr.Variable):
        return values
    if isinstance(values, xr.DataArray):
        return rename_synonyms(values)
    # As an array, a table would be read as samples by timesteps.
    if is_labelled(values):
        return name_axes(values)
    array = _read(values, what)
    if order is None:
        return array
    dims = order if array.ndim == len(order) else tuple(dim for dim in order if dim != "channel")
    if array.ndim != len(dims):
        raise InputError(f"{what} of shape {array.shape} came, and dims={order} names {len(order)} axes")
    labelled = xr.DataArray(array, dims=dims)
    return labelled.transpose("sample", "output", "timestep", "channel", missing_dims="ignore")


def _read(values: Any, what: str) -> np.ndarray:
    return read_array(values, what, "accepted are arrays and tensors of numbers")


def _check_order(array: np.ndarray, own: xr.DataArray) -> None:
    """Refuse, with the way out, attributions that fit the input with timesteps and channels swapped."""
    swapped = own.ndim == 3 and array.shape == (own.shape[0], own.shape[2], own.shape[1])
    if swapped and array.shape != own.shape:
        raise SchemaError(
            f"the arrays do not fit each other: the attribution has shape {array.shape}, the input {own.shape}; where "
            "channels come first, say so: dims=('sample', 'channel', 'timestep'), which is for bare inputs too"
        )


def as_tree(groups: Mapping[str, xr.Dataset]) -> xr.DataTree:
    """Make a tree of datasets by name; a name that a tree or a file would read as a path is refused."""
    check_names(groups)
    return xr.DataTree.from_dict(dict(groups))


def check_names(names: Iterable[Any]) -> None:
    """Refuse a name that a tree or a file would read as a path."""
    wrong = [name for name in names if not schema.is_name(name)]
    if wrong:
        raise InputError(f"{wrong[0]!r} cannot name a group; accepted is text without '/'")


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
    # Axes are found by their places further on.
    return value.assign({key: schema.in_order(key, value[key]) for key in schema.VARIABLES if key in value.data_vars})


def stack(
    data: Any, *, channels: str | None = None, attention: Any = None, layer: Any = None, head: Any = None
) -> xr.DataArray:
    """Join the attributions of several extractors into one array.

    Parameters
    ----------
    data : DataTree, Dataset, or mapping of str to Dataset
        Results of several extractors.
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
        The attributions, in the order of `data`.

    Raises
    ------
    InputError
        If axes differ, if only some extractors resolve channels and `channels` does not say what to do, or if one has
        attention only and `attention` does not.

    See Also
    --------
    compare : Results of several methods.

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
        # Sums over channels, and what is compared, in single precision at least.
        arrays[name] = widened(ds["attribution"])
    if channels is not None:
        one_of(channels, "channels", ("sum", "abs_sum"))
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
