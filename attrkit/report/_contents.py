"""What a page shows of results: series, strips and matrices of numbers, all of the same samples and timesteps."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from attrkit.attention.reduce import reduce_attention
from attrkit.errors import InputError
from attrkit.plot.data import content, datasets, enumerate_labels, only_dims, pick
from attrkit.plot.grid import ATTENTION_DIMS, attention_columns
from attrkit.plot.labels import channel_name, count, text, with_unit
from attrkit.plot.ticks import Steps, place, steps
from attrkit.schema import COORDINATES

MOST_SAMPLES = 50
MOST_CHANNELS = 12
MOST_HEADS = 16
"""What a page holds unless the user names more: it is sent by mail, and read on a screen."""

STRIP = ("sample", "timestep", "channel")


class Strip(NamedTuple):
    """What one extractor found: values of shape (sample, channel, timestep), or of one row for all channels."""

    name: str
    values: np.ndarray
    resolved: bool
    label: str
    note: str


class Matrix(NamedTuple):
    """Attention of one extractor, layer and head: weights of shape (sample, query, key).

    ``queries`` and ``keys`` say where they lie, as ``Contents.places`` does; ``is_time`` whether both are timesteps.
    """

    label: str
    weights: np.ndarray
    queries: list[Steps]
    keys: list[Steps]
    is_time: bool


class Contents(NamedTuple):
    """All that a page shows.

    ``places`` has the timesteps of every sample, or one for all; ``series`` is of shape (sample, channel, timestep),
    or None; ``found`` holds all samples and channels, for tables.
    """

    found: dict[str, xr.Dataset]
    samples: list[str]
    channels: list[str]
    places: list[Steps]
    series: np.ndarray | None
    strips: list[Strip]
    matrices: list[Matrix]
    about: list[dict[str, str]]
    notes: list[str]


def read_contents(data: Any, *, samples: Any = None, channels: Any = None) -> Contents:
    """Read what a page shows of `data`.

    Parameters
    ----------
    data : Dataset, DataTree, DataArray or mapping of str to Dataset
    samples, channels : label or list of labels, optional
        See `attrkit.report`.

    Returns
    -------
    Contents

    Raises
    ------
    InputError
        If there is nothing to show, extractors do not fit each other, or a label is unknown.

    Examples
    --------
    >>> from attrkit.schema import build
    >>> found = read_contents(build({"attribution": np.ones((2, 5, 3))}, attrs={"method": "ones"}))
    >>> found.samples, found.channels, found.strips[0].values.shape
    (['0', '1'], ['channel 0', 'channel 1', 'channel 2'], (2, 3, 5))
    """
    found = datasets(data)
    _check_held(found)
    arrays = {name: _attribution(ds, name) for name, ds in found.items()}
    series = next((_series(ds, name) for name, ds in found.items() if "input" in ds), None)
    first = next(iter(found.values()))
    at = pick(first, "sample", samples, first=MOST_SAMPLES)
    labels = first.get_index("sample")[at]
    _check_alike({name: array for name, (array, _) in arrays.items() if array is not None}, series)
    taken = {name: pick(ds, "sample", labels.tolist()) for name, ds in found.items()}
    axis = _channel_axis([series, *(array for array, _ in arrays.values())])
    chosen = np.arange(0)
    if axis is not None:
        ranked = [array for array, _ in arrays.values() if array is not None and "channel" in array.dims]
        chosen = pick(axis, "channel", channels) if channels is not None else _largest(ranked, axis.sizes["channel"])
    elif channels is not None:
        raise InputError(f"channels={channels!r}, but nothing here has a dim 'channel'; accepted is None")
    strips = [
        _strip(name, array.isel(sample=taken[name]), chosen, note)
        for name, (array, note) in arrays.items()
        if array is not None
    ]
    matrices, dropped = _matrices(found, taken)
    notes = [count(len(at), first.sizes["sample"], "sample")]
    if axis is not None:
        words = count(len(chosen), axis.sizes["channel"], "channel")
        notes.append(f"{words}, those with the largest attributions" if words and channels is None else words)
    notes += [*dropped, *_not_shown(found)]
    return Contents(
        found,
        [text(label) for label in labels],
        _names(axis, chosen),
        _places(first.isel(sample=at), "timestep" if "timestep" in first.dims else "key_timestep"),
        None if series is None else _values(series.isel(sample=pick(series, "sample", labels.tolist())), chosen),
        strips,
        matrices,
        _about(first.isel(sample=at)),
        [note for note in notes if note],
    )


def _check_held(found: Mapping[str, xr.Dataset]) -> None:
    labels = None
    for name, ds in found.items():
        if "attribution" not in ds and "attention" not in ds:
            raise InputError(
                f"{name!r} holds {sorted(map(str, ds.data_vars))}; a report shows attribution and attention, and "
                "attrkit.plot.heatmap draws outputs of layers"
            )
        own = ds.get_index("sample")
        if labels is None:
            first, labels = name, own
        elif len(own) != len(labels) or not own.isin(labels).all():
            raise InputError(
                f"{first!r} and {name!r} are not of the same samples: {enumerate_labels(labels, most=5)} and "
                f"{enumerate_labels(own, most=5)}; select them first"
            )


def _check_alike(arrays: Mapping[str, xr.DataArray], series: xr.DataArray | None) -> None:
    """Refuse extractors of other timesteps or channels: they would share an axis on the page."""
    whole = {**({} if series is None else {"the input": series}), **arrays}
    for dim in ("timestep", "channel"):
        held = {name: array.get_index(dim) for name, array in whole.items() if dim in array.dims}
        for name, index in held.items():
            first = next(iter(held))
            if not index.equals(held[first]):
                raise InputError(
                    f"{first} and {name} differ along {dim!r}: {enumerate_labels(held[first], most=5)} and "
                    f"{enumerate_labels(index, most=5)}; a report shows them under one axis, so select first"
                )


def _attribution(ds: xr.Dataset, name: str) -> tuple[xr.DataArray | None, str]:
    """Return one value a timestep of an extractor, and what was done for it; None where there is none."""
    if "attribution" in ds:
        array = only_dims(content(ds, name, ["attribution"]), STRIP, name)
        if "timestep" not in array.dims:
            raise InputError(f"attribution of {name!r} has no timesteps, only {array.dims}; a report shows series")
        return array, str(ds["attribution"].attrs.get("cell_methods", ""))
    reduced = reduced_attention(ds, name)
    if reduced is None:
        return None, ""
    return content(reduced, name, ["attribution"]), str(reduced["attribution"].attrs["cell_methods"])


def reduced_attention(ds: xr.Dataset, name: str) -> xr.Dataset | None:
    """Reduce attention to one value a timestep: last layer, mean over heads and queries; None where it has no place.

    Examples
    --------
    >>> from attrkit.schema import build
    >>> ds = build({"attention": np.full((1, 2, 5, 5), 0.2)})
    >>> reduced_attention(ds, "attention")["attribution"].attrs["cell_methods"]
    'head: mean query_timestep: mean'
    """
    weights = only_dims(ds["attention"], ATTENTION_DIMS, name)
    choice: dict[str, Any] = {"layer": weights.get_index("layer")[-1]} if "layer" in weights.dims else {}
    if "head" in weights.dims:
        choice["head"] = "mean"
    keys = weights.sizes["key_timestep"]
    if "timestep" in ds.dims and ds.sizes["timestep"] != keys:
        # Keys of a shortened sequence have no timestep of their own.
        return None
    return reduce_attention(ds.assign(attention=weights), "mean", **choice)


def _series(ds: xr.Dataset, name: str) -> xr.DataArray:
    return only_dims(content(ds, name, ["input"]), STRIP, name)


def _channel_axis(arrays: Sequence[xr.DataArray | None]) -> xr.DataArray | None:
    return next((array for array in arrays if array is not None and "channel" in array.dims), None)


def _largest(arrays: Sequence[xr.DataArray], total: int) -> np.ndarray:
    """Return the channels to show, in their own order: all, or those with the largest attributions."""
    if total <= MOST_CHANNELS or not arrays:
        return np.arange(total)[:MOST_CHANNELS]
    share = np.zeros(total)
    for array in arrays:
        mean = np.nan_to_num(abs(array).mean([dim for dim in array.dims if dim != "channel"]).values)
        share += mean / (mean.sum() or 1.0)
    return np.sort(np.argsort(-share, kind="stable")[:MOST_CHANNELS])


def _names(axis: xr.DataArray | None, chosen: np.ndarray) -> list[str]:
    if axis is None:
        return []
    return [channel_name(label) for label in axis.get_index("channel")[chosen]]


def _values(array: xr.DataArray, chosen: np.ndarray) -> np.ndarray:
    """Return an array as float32 of shape (sample, channel, timestep); one row where it has no channels."""
    array = array.isel(channel=chosen) if "channel" in array.dims else array.expand_dims("channel")
    return array.transpose("sample", "channel", "timestep").values.astype(np.float32)


def _strip(name: str, array: xr.DataArray, chosen: np.ndarray, note: str) -> Strip:
    label = with_unit(str(array.attrs.get("long_name", "attribution")), array.attrs)
    return Strip(name, _values(array, chosen), "channel" in array.dims, label, note)


def _matrices(found: Mapping[str, xr.Dataset], taken: Mapping[str, np.ndarray]) -> tuple[list[Matrix], list[str]]:
    """Return attention of every layer and head; where there is too much of it, of the last layer."""
    matrices, notes = [], []
    for name, ds in found.items():
        if "attention" not in ds or "query_timestep" not in ds["attention"].dims:
            continue
        own = ds.isel(sample=taken[name])
        # Of the whole dataset: time stamps of a sample's own are not among the coordinates of attention.
        queries, keys = _places(own, "query_timestep"), _places(own, "key_timestep")
        every = {dim: own.get_index(dim).tolist() for dim in ("layer", "head") if dim in own["attention"].dims}
        total = math.prod(map(len, every.values()))
        if total > MOST_HEADS:
            every = {dim: labels[-1:] if dim == "layer" else labels[:MOST_HEADS] for dim, labels in every.items()}
        columns, _ = attention_columns(own, name, **every)
        notes.append(f"{count(len(columns), total, 'attention head')} of {name}" if len(columns) < total else "")
        for column in columns:
            weights = column.data.transpose("sample", "query_timestep", "key_timestep")
            label = f"{name}, {column.title}" if column.title else name
            n_steps = ds.sizes.get("timestep", weights.sizes["key_timestep"])
            is_time = weights.shape[1:] == (n_steps, n_steps)
            matrices.append(Matrix(label, weights.values.astype(np.float32), queries, keys, is_time))
    return matrices, notes


def _places(data: xr.Dataset | xr.DataArray, dim: str) -> list[Steps]:
    """Return where steps lie: one for all samples, or one each where samples have time stamps of their own."""
    each = [steps(data, dim, sample=i) for i in range(data.sizes["sample"])]
    if len({own.kind for own in each}) > 1:
        # One axis has one kind: where the stamps of one sample cannot be placed, all are counted.
        return [place(np.arange(data.sizes[dim]), label=COORDINATES[dim])]
    return each[:1] if all(each[0].same(other) for other in each[1:]) else each


def _not_shown(found: Mapping[str, xr.Dataset]) -> list[str]:
    """Name attributions of further inputs, which the page leaves out."""
    names = {str(key) for ds in found.values() for key in ds.data_vars if str(key).startswith("attribution_")}
    return [f"not shown: {', '.join(sorted(names))}"] if names else []


def _about(ds: xr.Dataset) -> list[dict[str, str]]:
    """Say of each sample what was predicted, and what of it was explained."""
    said: list[dict[str, str]] = [{} for _ in range(ds.sizes["sample"])]
    if "target" in ds.coords and ds["target"].dims == ("sample",):
        for own, label in zip(said, ds["target"].values, strict=True):
            own["explained output"] = text(label)
    if "prediction" in ds and ds["prediction"].dims[0] == "sample":
        prediction = ds["prediction"]
        outputs = [""] if prediction.ndim == 1 else [f" {text(label)}" for label in prediction.get_index("output")]
        for own, values in zip(said, prediction.values.reshape(len(said), -1), strict=True):
            own["prediction"] = ", ".join(
                f"{value:.4g}{f' ({name.strip()})' if name else ''}"
                for name, value in list(zip(outputs, values, strict=True))[:10]
            ) + (", ..." if len(values) > 10 else "")
    return said
