"""The attention weights of a trained model, as its layers used them."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from attrkit import schema
from attrkit.adapters.base import Adapter
from attrkit.adapters.terms import Reader
from attrkit.attention import find_readers
from attrkit.attention.diagnose import measure, notes_on
from attrkit.attention.reduce import reduce_attention
from attrkit.checks import flag, one_of
from attrkit.errors import AttentionWarning, InputError, RefusedError
from attrkit.layers import match_layers
from attrkit.parts import Parts, arrays_of, each, row_count
from attrkit.schema import default_dims

PRECISIONS = ("float16", "float32")

HELD = 2**28
"""Bytes of weights that are held at once where all samples' weights are not kept."""

MEASURES = ("attention_entropy", "attention_on_padding")


def attention(
    model: Adapter,
    x: Parts,
    *,
    inputs: xr.DataArray,
    mask: np.ndarray | None = None,
    layer: str | Sequence[str] | None = None,
    reduce: Any = None,
    head: Any = None,
    weights: bool = True,
    precision: str | None = None,
) -> dict[str, Any]:
    """Return the attention weights of a model that was built without returning them; nothing is retrained.

    Parameters
    ----------
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    inputs : DataArray of shape (sample, timestep[, channel])
        The sequence in `x`, with its labels.
    mask : ndarray of bool of shape (sample, timestep), optional
        False where padded, as the model sees it.
    layer : str or list of str, optional
        Names of attention layers or parts of names; all of them if not given. Layers that are read together must give
        weights of one shape.
    reduce : {"mean", "max", "last"} or a query, optional
        Also return one value a timestep, as `attrkit.reduce_attention` does; nothing is reduced if not given.
    head : label, "mean" or "max", optional
        Which head `reduce` takes, or how it joins them.
    weights : bool, default True
        Return the weights themselves; without them only what `reduce` makes of them, and how they are spread, a few
        samples at a time: those of 10,000 timesteps by 10,000 take 400 MB a sample and head.
    precision : {"float16", "float32"}, optional
        What the weights are kept in, once all else is computed; as the model gives them if not given. Half precision
        keeps three digits, and nothing below 6e-8.

    Returns
    -------
    dict
        ``attention`` of dims (sample[, layer][, head], query_timestep, key_timestep), or (sample, key_timestep) for
        weighted attention, unless left out; ``attention_entropy`` and, with a mask, ``attention_on_padding``;
        ``prediction``; with `reduce`, ``attribution`` of dims (sample, timestep).

    Raises
    ------
    RefusedError
        If the model has no attention layer that can be read, or memory does not hold the weights of all samples.
    InputError
        If `layer` names none, or layers of different shapes; if `weights` are left out and nothing is made of them.

    Warns
    -----
    AttentionWarning
        If there is one key only, if the rows are flat, or if real queries attend to padding.
    """
    if precision is not None:
        one_of(precision, "precision", PRECISIONS)
    if not flag(weights, "weights") and (reduce is None or precision is not None):
        raise InputError("weights=False keeps what reduce= makes of them: give reduce, and leave precision= out")
    readers = find_readers(model.layers())
    if not readers:
        kinds = ", ".join(f"{entry.path} ({entry.kind})" for entry in model.layers()) or "none"
        raise RefusedError(
            f"no layer of model {model.describe()['model']!r} gives attention weights; its layers are {kinds}. A "
            "layer of your own is read when its call takes return_attention_scores, or it has an attribute "
            "return_attention"
        )
    if layer is not None:
        readers = {path: readers[path] for path in match_layers(layer, list(readers), what="attention layer")}
    predictions: list[np.ndarray] = []
    results: list[dict[str, Any]] = []
    for numbers, prediction, calls in _read_by_slices(model, x, readers, whole=weights):
        own = inputs.isel(sample=numbers), None if mask is None else mask[numbers]
        found, layers = _measured(calls, *own)
        del calls
        n_keys = found["attention"].sizes["key_timestep"]
        if reduce is not None:
            found["attribution"] = _reduced(found, own[0], reduce, head)
        elif head is not None:
            raise InputError(
                "head= says which head reduce= takes; give reduce too, or select from the result: ds.sel(head=...)"
            )
        if not weights:
            # All samples together may be more than memory holds.
            del found["attention"]
        elif precision is not None:
            found["attention"] = _rounded(found["attention"], precision)
        predictions.append(prediction)
        results.append(found)
    result = {name: _joined([found[name] for found in results]) for name in results[0]}
    for name in layers:
        of_layer = {key: result[key] for key in MEASURES if key in result}
        if len(layers) > 1:
            of_layer = {key: values.sel(layer=name) for key, values in of_layer.items()}
        for note in notes_on(of_layer, keys=n_keys):
            warnings.warn(f"attention of {name}: {note}", AttentionWarning, stacklevel=4)
    return {**result, "prediction": np.concatenate(predictions)}


def _reduced(found: Mapping[str, Any], inputs: xr.DataArray, how: Any, head: Any) -> xr.DataArray:
    return reduce_attention(schema.build(found, inputs=inputs), how, head=head)["attribution"]


def _read_by_slices(
    model: Adapter, x: Parts, readers: Mapping[str, Reader], *, whole: bool
) -> Iterator[tuple[np.ndarray, np.ndarray, dict[str, dict[str, np.ndarray]]]]:
    """Yield, of some samples at a time, their numbers, predictions, and what calls of layers gave by name.

    They are all samples if `whole`, else as many as have weights of `HELD` bytes.
    """
    count, length = row_count(x), max(array.shape[1] for array in arrays_of(x))
    # A guess, until the weights of some samples have been seen.
    size = max(HELD // (64 * length**2), 1)
    first = 0
    while first < count:
        # Whole passes, where there is more than one.
        size -= size % model.batch_size if size > model.batch_size else 0
        stop = count if whole else min(first + size, count)
        numbers = np.arange(first, stop)
        own = each(lambda a, rows=slice(first, stop): a[rows], x)
        prediction, readings = model.read(own, readers, sample=numbers, check=first == 0)
        calls = {
            path if len(read) == 1 else f"{path}@{i}": {**call, "attention": _drop_trailing_one(call["attention"])}
            for path, read in readings.items()
            for i, call in enumerate(read)
            if "attention" in call
        }
        if not calls:
            raise RefusedError(
                f"{', '.join(readers)} returned no weights when asked, or the model's forward pass does not reach it; "
                "there is nothing to read"
            )
        held = sum(call["attention"].nbytes for call in calls.values())
        yield numbers, prediction, calls
        # What was yielded goes before more is read.
        del calls, readings
        size = max(HELD * len(numbers) // held, 1)
        first = stop


def _measured(
    calls: Mapping[str, dict[str, np.ndarray]], inputs: xr.DataArray, mask: np.ndarray | None
) -> tuple[dict[str, Any], list[str]]:
    """Return weights and measures, labelled, with the mask that the layers had, and the names of the layers."""
    shapes = {name: call["attention"].shape[1:] for name, call in calls.items()}
    if len(set(shapes.values())) > 1:
        told = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise InputError(f"attention layers give weights of different shapes: {told}; say which with layer=")
    first = next(iter(calls.values()))
    if first["attention"].ndim not in (2, 3, 4):
        raise RefusedError(
            f"attention of shape {first['attention'].shape} over several axes has no place in the dataset"
        )
    dims = default_dims("attention", first["attention"].ndim)
    parts: dict[str, dict[str, xr.DataArray]] = {}
    masks = []
    for name, call in calls.items():
        own = xr.DataArray(call["attention"], dims=dims)
        # The layer's own masks count; a layer that was given none may still stand behind padding.
        query_mask = _mask(call, "query_mask", inputs, mask, own.sizes.get("query_timestep"))
        key_mask = _mask(call, "key_mask", inputs, mask, own.sizes["key_timestep"])
        measures = measure(own, query_mask=query_mask, key_mask=key_mask)
        for key, values in {"attention": own, **measures}.items():
            parts.setdefault(key, {})[name] = values
        masks.append(key_mask)
    result: dict[str, Any]
    if len(calls) == 1:
        result = {key: next(iter(values.values())) for key, values in parts.items()}
    else:
        # A layer without a mask has no share on padding: NaN there.
        result = {
            key: xr.concat(
                [one.expand_dims(layer=[name], axis=1) for name, one in values.items()], "layer", join="outer"
            ).reindex(layer=list(calls))
            for key, values in parts.items()
        }
    result["attention"].attrs = {"units": "1", "sign": "non-negative", "layer": ", ".join(calls)}
    of_timesteps = [known for known in masks if known is not None and known.shape == inputs.shape[:2]]
    if of_timesteps:
        result["mask"] = of_timesteps[0]
    return result, list(calls)


def _joined(slices: list[Any]) -> Any:
    """Join what was found of all samples, slice by slice."""
    if len(slices) == 1:
        return slices[0]
    if isinstance(slices[0], np.ndarray):
        return np.concatenate(slices)
    return xr.concat(slices, "sample", combine_attrs="override")


def _rounded(weights: xr.DataArray, precision: str) -> xr.DataArray:
    # Weights that no softmax makes may have any size.
    if abs(weights).max() > np.finfo(precision).max:
        raise InputError(f"attention weights go up to {float(abs(weights).max()):.3g}, which {precision} cannot hold")
    return weights.astype(precision)


def _mask(
    call: dict[str, np.ndarray], name: str, inputs: xr.DataArray, of_model: np.ndarray | None, length: int | None
) -> np.ndarray | None:
    mask = call.get(name, of_model)
    return mask.astype(bool) if mask is not None and mask.shape == (len(inputs), length) else None


def _drop_trailing_one(weights: np.ndarray) -> np.ndarray:
    """Read weights of shape (sample, key_timestep, 1), which many custom layers return, without the last axis."""
    one_per_key = weights.ndim == 3 and weights.shape[-1] == 1 and weights.shape[1] > 1
    return weights[..., 0] if one_per_key and np.allclose(weights.sum(axis=1), 1, atol=1e-2) else weights
