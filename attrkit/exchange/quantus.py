"""The arguments of a metric of Quantus: a dataset written as them, and read from them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from attrkit.collect import as_datasets, from_arrays
from attrkit.errors import InputError, RefusedError
from attrkit.inputs import read_array

_ORDERS = (("sample", "timestep", "channel"), ("sample", "channel", "timestep"))


def to_quantus(data: xr.Dataset, *, dims: Sequence[str], channel_first: bool | None = None) -> dict[str, Any]:
    """Write one extractor as the arguments that every metric of Quantus is called with.

    Parameters
    ----------
    data : Dataset
        With ``attribution``, ``input`` and the coordinate ``target``, as `attrkit.extract` returns it.
    dims : sequence of str
        The order in which the model takes its axes: ``("sample", "timestep", "channel")`` or ``("sample", "channel",
        "timestep")``.
    channel_first : bool, optional
        What Quantus is told; by default what `dims` says. Quantus takes torch modules only with True: for one that
        takes (sample, timestep, channel), pass True, and Quantus calls timesteps channels.

    Returns
    -------
    dict
        ``x_batch`` in the order `dims`, ``y_batch`` as indices of shape (sample,), ``a_batch``, ``channel_first``. An
        attribution without channels has one of length 1. Quantus moves the channels of ``x_batch`` to the front and
        leaves ``a_batch`` as it is, so that ``a_batch`` has them there already, whatever `dims` says.

    Raises
    ------
    InputError
        If variables are missing, outputs are left to choose, or a target is no index.
    RefusedError
        If samples are padded, or the model has several inputs: Quantus knows neither.

    Examples
    --------
    >>> from attrkit import from_arrays
    >>> tree = from_arrays({"mine": np.ones((2, 5, 3))}, inputs=np.ones((2, 5, 3)), target=[0, 1])
    >>> given = to_quantus(tree["mine"].to_dataset(), dims=("sample", "timestep", "channel"))
    >>> given["x_batch"].shape, given["a_batch"].shape, given["y_batch"].tolist(), given["channel_first"]
    ((2, 5, 3), (2, 3, 5), [0, 1], False)
    """
    order = _read_order(dims)
    found = as_datasets(data)
    if len(found) > 1:
        raise InputError(f"got {list(found)}; a metric is called with one: tree[{next(iter(found))!r}]")
    name, ds = next(iter(found.items()))
    _check(ds, name)
    first = _channel_first(channel_first, order)
    x = _laid(ds["input"], order)
    a = _laid(ds["attribution"], order, like=x)
    return {
        "x_batch": x,
        "y_batch": _indices(ds),
        "a_batch": a if first or a.ndim == 2 else np.ascontiguousarray(np.moveaxis(a, -1, 1)),
        "channel_first": first,
    }


def from_quantus(
    *,
    a_batch: Any,
    dims: Sequence[str],
    x_batch: Any = None,
    y_batch: Any = None,
    channel_first: bool | None = None,
    mask: Any = None,
    name: str = "quantus",
) -> xr.Dataset:
    """Read the arguments of a metric of Quantus, as `to_quantus` writes them.

    Parameters
    ----------
    a_batch : array_like
        Attributions with the axes of ``x_batch`` as Quantus turns them, channels first; with a channel axis of length
        1, or without one, they do not resolve channels. Attributions in any other order are for `attrkit.from_arrays`.
    dims : sequence of str
        The order in which the model takes its axes, which is that of `x_batch`: ``("sample", "timestep", "channel")``
        or ``("sample", "channel", "timestep")``.
    x_batch : array_like, optional
        What was explained.
    y_batch : array_like of int of shape (sample,), optional
        Which output was explained: the coordinate ``target``.
    channel_first : bool, optional
        What Quantus is told; by default what `dims` says.
    mask : array_like of bool of shape (sample, timestep), optional
        False where padded.
    name : str, default "quantus"
        The attribute ``method`` of the dataset, which plots show.

    Returns
    -------
    Dataset
        With ``attribution`` and ``input``.

    Raises
    ------
    InputError
        If `dims` is none of the two, or shapes do not fit.
    SchemaError
        If `a_batch` has another shape than `x_batch`.

    Examples
    --------
    >>> dims = ("sample", "timestep", "channel")
    >>> ds = from_quantus(a_batch=np.ones((2, 3, 5)), x_batch=np.ones((2, 5, 3)), y_batch=[0, 1], dims=dims)
    >>> dict(ds["attribution"].sizes), ds["target"].values.tolist()
    ({'sample': 2, 'timestep': 5, 'channel': 3}, [0, 1])
    """
    order = _read_order(dims)
    turned = order if _channel_first(channel_first, order) else (order[0], order[2], order[1])
    a = _named(a_batch, turned, "a_batch")
    x = None if x_batch is None else _named(x_batch, order, "x_batch")
    if x is not None and a.sizes.get("channel") == 1 != x.sizes.get("channel"):
        a = a.isel(channel=0, drop=True)
    if x is not None and any(a.sizes[dim] != x.sizes.get(dim) for dim in a.dims):
        raise InputError(
            f"a_batch is read as {dict(a.sizes)} and x_batch as {dict(x.sizes)}: Quantus has the axes of a_batch in "
            f"the order {turned} where the model takes {order}. attrkit.from_arrays takes any order of both"
        )
    return from_arrays({name: a}, inputs=x, mask=mask, target=y_batch)[name].to_dataset()


def _read_order(dims: Any) -> tuple[str, ...]:
    order = tuple(dims) if isinstance(dims, Sequence) and not isinstance(dims, str) else ()
    if order not in _ORDERS:
        raise InputError(
            f"dims={dims!r} does not say in which order the model takes its axes, which is never guessed; accepted are "
            + " and ".join(map(str, _ORDERS))
        )
    return order


def _channel_first(given: Any, order: tuple[str, ...]) -> bool:
    if given is not None and not isinstance(given, bool):
        raise InputError(f"channel_first={given!r} is not known; accepted are True, False, or None: what dims says")
    return order[1] == "channel" if given is None else given


def _named(values: Any, order: tuple[str, ...], what: str) -> xr.DataArray:
    array = read_array(values, what, "accepted is an array of numbers")
    if array.ndim not in (2, 3):
        raise InputError(f"{what} has shape {array.shape}; accepted are {order} and (sample, timestep)")
    dims = order if array.ndim == 3 else ("sample", "timestep")
    return xr.DataArray(array, dims=dims).transpose("sample", "timestep", ...)


def _check(ds: xr.Dataset, name: str) -> None:
    """Refuse what Quantus has no argument for."""
    missing = [key for key in ("attribution", "input") if key not in ds]
    if missing:
        hint = "; attrkit.reduce_attention makes an attribution of attention" if "attention" in ds else ""
        raise InputError(f"{name!r} has no {' and no '.join(missing)}; it holds {sorted(map(str, ds.data_vars))}{hint}")
    others = sorted(str(key) for key in ds.data_vars if str(key).startswith(("input_", "attribution_")))
    if others:
        raise RefusedError(f"{name!r} has several inputs ({', '.join(others)}), and Quantus calls a model with one")
    if "output" in ds["attribution"].dims:
        labels = ds["output"].values.tolist()
        raise InputError(f"{name!r} has attributions of the outputs {labels}; take one: ds.sel(output={labels[0]!r})")
    if "mask" in ds and not ds["mask"].values.all():
        padded = ds["sample"].values[~ds["mask"].values.all(axis=1)]
        raise RefusedError(
            f"samples {padded.tolist()[:8]} of {name!r} are padded, and Quantus has no masks: it would perturb and "
            "count it; write samples of one length without padding: ds.isel(sample=[...], timestep=slice(0, length))"
        )
    bad = [key for key in ("attribution", "input") if not np.isfinite(ds[key].values).all()]
    if bad:
        raise InputError(f"{bad[0]} of {name!r} holds NaN or infinite values, of which every score would be NaN")


def _indices(ds: xr.Dataset) -> np.ndarray:
    """Return the explained outputs as indices: numbers as they are, labels by their place among the outputs."""
    samples = ds.sizes["sample"]
    # What ds.sel(output=...) leaves.
    labels = ds["target"] if "target" in ds.coords else ds.coords.get("output")
    if labels is None or labels.size not in (1, samples):
        raise InputError(
            "the coordinate 'target', which y_batch is made of, is missing; "
            "ds.assign_coords(target=('sample', indices))"
        )
    values = np.broadcast_to(labels.values.reshape(-1), samples)
    if values.dtype.kind in "OU":
        named = "prediction" in ds and "output" in ds["prediction"].dims
        known = ds["output"].values.tolist() if named else []
        # A label of several axes or several outputs, "3, rain" or "price: 3", is no place along one axis.
        unknown = [label for label in values.tolist() if label not in known or ", " in label or ": " in label]
        if unknown:
            raise InputError(
                f"target {unknown[0]!r} is no index along one axis, as y_batch holds; labels of outputs are "
                f"{known}; give indices: ds.assign_coords(target=('sample', indices))"
            )
        values = np.array([known.index(label) for label in values.tolist()])
    if values.dtype.kind not in "iu" or (values < 0).any():
        raise InputError(f"targets {values.tolist()[:8]} are no indices; accepted are whole numbers from 0")
    return values.astype(np.int64)


def _laid(array: xr.DataArray, order: tuple[str, ...], like: np.ndarray | None = None) -> np.ndarray:
    """Return the values in an order of axes; as many axes as `like` has, where that is given."""
    if like is not None and array.ndim < like.ndim:
        array = array.expand_dims("channel", axis=-1)
    return np.ascontiguousarray(array.transpose(*(dim for dim in order if dim in array.dims)).values)
