"""What users pass to a plot, as an ordered dict of datasets, and what they select of it."""

from collections.abc import Iterable, Mapping
from reprlib import repr as short
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from attrkit.collect import as_datasets
from attrkit.errors import InputError
from attrkit.half import widened
from attrkit.schema import CONTENT

Data = xr.Dataset | xr.DataTree | xr.DataArray | Mapping[str, xr.Dataset | xr.DataArray]
"""A dataset (one extractor), a tree or mapping (one entry each), or a DataArray, with or without ``extractor``."""

DRAWABLE = (*CONTENT, "input")


def datasets(data: Data) -> dict[str, xr.Dataset]:
    """Bring what a user passes to a plot into one form.

    Parameters
    ----------
    data : Dataset, DataTree, DataArray or mapping of str to Dataset or DataArray
        A Dataset is one extractor, named by its attribute ``method``. A DataArray with a dim ``extractor`` is
        split along it.

    Returns
    -------
    dict of str to Dataset
        In the order that came, each with a dim ``sample``.

    Raises
    ------
    InputError
        If `data` is of another type, is empty, or an entry holds nothing that can be drawn.

    Examples
    --------
    >>> ds = xr.Dataset({"attribution": (("sample", "timestep"), np.zeros((2, 3)))}, attrs={"method": "zeros"})
    >>> list(datasets(ds)), list(datasets({"a": ds, "b": ds}))
    (['zeros'], ['a', 'b'])
    """
    return {name: _drawable(ds, name) for name, ds in as_datasets(data).items()}


def _drawable(ds: xr.Dataset, name: str) -> xr.Dataset:
    held = [known for known in DRAWABLE if known in ds]
    if not held:
        raise InputError(
            f"{name!r} is not an attrkit dataset: its variables are {sorted(map(str, ds.data_vars))}; "
            f"a plot needs one of {', '.join(DRAWABLE)}"
        )
    if "sample" not in ds.dims:
        ds = ds.expand_dims("sample")
    if any(ds[known].size == 0 for known in held):
        raise InputError(f"{name!r} is empty: its sizes are {dict(ds.sizes)}")
    return ds


def content(ds: xr.Dataset, name: str, variables: Iterable[str]) -> xr.DataArray:
    """Return the first of `variables` that a dataset holds, blank where the dataset's mask says padding.

    Parameters
    ----------
    ds : Dataset
    name : str
        Name of the extractor, for the message.
    variables : iterable of str

    Returns
    -------
    DataArray

    Raises
    ------
    InputError
        If there is none of them.

    Examples
    --------
    >>> ds = xr.Dataset({"input": ("sample", [1.0])})
    >>> content(ds, "mine", ["attribution", "input"]).name
    'input'
    """
    variables = tuple(variables)
    for variable in variables:
        if isinstance(variable, str) and variable in ds:
            return blank(ds[variable], ds)
    raise InputError(
        f"{name!r} holds none of {', '.join(map(str, variables))}; its variables are {sorted(map(str, ds.data_vars))}"
    )


def blank(array: xr.DataArray, ds: xr.Dataset) -> xr.DataArray:
    """Set padded steps, and infinities, to NaN: out of every range, and drawn blank.

    Parameters
    ----------
    array : DataArray
        A variable of `ds`.
    ds : Dataset
        With or without ``mask`` of shape (sample, timestep).

    Returns
    -------
    DataArray
        Of the same shape. Where ``query_timestep`` or ``key_timestep`` has the length of the mask, padded
        queries or keys are blank.

    Examples
    --------
    >>> ds = xr.Dataset({"attribution": (("sample", "timestep"), [[1.0, 2.0]]),
    ...                  "mask": (("sample", "timestep"), [[True, False]])})
    >>> blank(ds["attribution"], ds).values
    array([[ 1., nan]])
    """
    # Ranges, sums and means of half precision would be coarse, or infinite.
    array = widened(array).where(np.isfinite(array)) if array.dtype.kind == "f" else array.astype(float)
    if "mask" not in ds:
        return array
    for dim in ("timestep", "query_timestep", "key_timestep"):
        if dim in array.dims and array.sizes[dim] == ds.sizes["timestep"]:
            # Without coordinates: query and key axes may carry labels of their own.
            array = array.where(xr.DataArray(ds["mask"].values, dims=("sample", dim)))
    return array


def one_value_a_step(ds: xr.Dataset, name: str, *, cases: Iterable[str] = ("sample",)) -> xr.DataArray:
    """Return attribution, or weighted attention in its place, of dims (sample, timestep[, channel]), blank on padding.

    Parameters
    ----------
    ds : Dataset
    name : str
        Name of the extractor, for the message.
    cases : iterable of str, optional
        Dims that may stand beside ``timestep`` and ``channel``.

    Raises
    ------
    InputError
        If there is neither, attention has queries, or a further dim has several labels.

    Examples
    --------
    >>> ds = xr.Dataset({"attention": (("sample", "key_timestep"), [[0.4, 0.6]])})
    >>> one_value_a_step(ds, "mine").dims
    ('sample', 'timestep')
    """
    array = content(ds, name, ("attribution", "attention"))
    if "query_timestep" in array.dims:
        raise InputError(
            f"attention of {name!r} has queries ({array.sizes['query_timestep']}); this plot needs one value a "
            'timestep: reduce it first, such as attrkit.reduce_attention(ds, "mean")'
        )
    array = only_dims(array, (*cases, "timestep", "key_timestep", "channel"), name)
    return array.rename(key_timestep="timestep") if "key_timestep" in array.dims else array


def two_of(names: list[str], **asked: str | None) -> list[str]:
    """Return the names of two extractors: those asked for, else the first that are left.

    Raises
    ------
    InputError
        If one is not there, or both are the same.

    Examples
    --------
    >>> two_of(["attention", "gradient", "lrp"], x=None, y="attention")
    ['gradient', 'attention']
    """
    rest = iter([name for name in names if name not in [own for own in asked.values() if isinstance(own, str)]])
    found = [next(rest, "") if name is None else name for name in asked.values()]
    if not all(isinstance(name, str) for name in found) or len({*found} & {*names}) < len(found):
        given = ", ".join(f"{key}={name!r}" for key, name in asked.items())
        raise InputError(f"{given}; accepted are two of {', '.join(map(repr, names))}")
    return found


def only_dims(array: xr.DataArray, accepted: Iterable[str], name: str) -> xr.DataArray:
    """Drop dims of length one that a plot does not draw, and refuse longer ones.

    Raises
    ------
    InputError
        If a dim that is not in `accepted` has more than one label.

    Examples
    --------
    >>> only_dims(xr.DataArray(np.zeros((1, 4)), dims=("output", "timestep")), ["timestep"], "mine").dims
    ('timestep',)
    """
    accepted = tuple(accepted)
    for dim in [str(dim) for dim in array.dims if dim not in accepted]:
        if array.sizes[dim] > 1:
            labels = array.get_index(dim)
            raise InputError(
                f"{array.name} of {name!r} has {len(labels)} labels along {dim!r} ({enumerate_labels(labels)}), and "
                f"this plot draws {', '.join(accepted)}; select one label first, such as "
                f".sel({dim}={labels.tolist()[0]!r})"
            )
        array = array.isel({dim: 0}, drop=True)
    return array


def pick(ds: xr.Dataset | xr.DataArray, dim: str, labels: Any, *, first: int | None = None) -> np.ndarray:
    """Return the positions of the labels that a user asked for along one dim.

    Parameters
    ----------
    ds : Dataset or DataArray
    dim : str
    labels : label, list of labels or None
        None for the `first` ones.
    first : int, optional
        How many None stands for; all without it.

    Returns
    -------
    ndarray of int, shape (picked,)

    Raises
    ------
    InputError
        If a label is not there, or no label is asked for.

    Examples
    --------
    >>> array = xr.DataArray([1, 2, 3], coords={"channel": ["a", "b", "c"]}, dims="channel")
    >>> pick(array, "channel", ["c", "a"])
    array([2, 0])
    >>> pick(array, "channel", "rain")
    Traceback (most recent call last):
        ...
    attrkit.errors.InputError: unknown channel 'rain'; accepted are 'a', 'b', 'c'
    """
    index = ds.get_index(dim)
    if labels is None:
        return np.arange(len(index))[:first]
    try:
        if np.ndim(labels) == 0 and not isinstance(labels, slice | set | range):
            labels = [labels.item() if isinstance(labels, xr.DataArray) else labels]
        wanted = pd.Index(list(labels))
        if isinstance(index, pd.DatetimeIndex):
            wanted = pd.DatetimeIndex(wanted)
        positions = index.get_indexer(wanted)
    except (TypeError, ValueError) as err:
        raise InputError(f"{short(labels)} is no label and no list of labels of {dim!r}") from err
    if not len(wanted):
        raise InputError(f"no {dim} to draw: an empty list came; accepted are {enumerate_labels(index)}")
    if (positions < 0).any():
        missing = wanted[positions < 0]
        raise InputError(f"unknown {dim} {enumerate_labels(missing)}; accepted are {enumerate_labels(index)}")
    return positions


def enumerate_labels(index: pd.Index, *, most: int = 10) -> str:
    """Write labels out for a message, the first few of many."""
    shown = ", ".join(repr(label) for label in index[:most].tolist())
    return shown if len(index) <= most else f"{shown}, ... ({len(index)} in all)"
