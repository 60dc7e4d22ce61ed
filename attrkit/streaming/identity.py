"""What makes two calls the same question: descriptions of values, inputs and models that can be compared later."""

import hashlib
import inspect
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from attrkit.adapters.base import Adapter
from attrkit.explained import Explained
from attrkit.question import Asked
from attrkit.schema import installed_version


def digest_of(*arrays: Any) -> str:
    """Return the SHA-256 of arrays: of their types, shapes and values."""
    found = hashlib.sha256()
    for array in arrays:
        values = np.asarray(array)
        if values.dtype.kind not in "biufcmMSU":
            values = values.astype(str)
        found.update(f"{values.dtype.str} {values.shape} ".encode())
        found.update(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def inputs_digest(explained: Explained) -> str:
    """Return the SHA-256 of the inputs of one chunk: values, masks, and the labels of its samples."""
    arrays: list[Any] = [explained.main["sample"].values]
    called = _called(explained)
    for values in (explained.inputs, explained.context, explained.masks):
        arrays += [part for name in values for part in (called[name], np.asarray(values[name]))]
    return digest_of(*arrays)


def _called(explained: Explained) -> dict[str, str]:
    """Return what inputs are called: frameworks count up names that no user gave."""
    names = [*explained.inputs, *explained.context]
    return {name: name if explained.by_name else f"input {number}" for number, name in enumerate(names)}


def describe_inputs(first: Explained, count: int | None, labels: np.ndarray | None) -> dict[str, Any]:
    """Describe inputs by some of their samples: what all samples share, how many they are and what they are called."""
    found: dict[str, Any] = {
        "samples": count,
        "labels": None if labels is None else digest_of(labels),
        "first_samples": inputs_digest(first),
    }
    called = _called(first)
    for name, array in first.inputs.items():
        shared = [coord.values for key, coord in sorted(array.coords.items()) if "sample" not in coord.dims]
        sizes = {str(dim): size for dim, size in array.sizes.items() if dim != "sample"}
        found[called[name]] = {"sizes": sizes, "dtype": str(array.dtype), "labels": digest_of(*shared)}
    for name, values in first.context.items():
        found[called[name]] = {"handed on": list(values.shape[1:]), "dtype": str(values.dtype)}
    return found


def describe_value(value: Any) -> Any:
    """Describe an option or a target as JSON that is equal for equal values, in another process too."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): describe_value(own) for key, own in value.items()}
    if isinstance(value, list | tuple) and len(value) <= 32:
        return [describe_value(own) for own in value]
    if isinstance(value, xr.DataArray):
        return f"array over {value.dims}: {digest_of(value, *(c for _, c in sorted(value.coords.items())))}"
    if isinstance(value, list | tuple | np.ndarray | pd.Series | pd.Index | pd.DataFrame):
        labels = [axis.to_numpy() for axis in value.axes] if isinstance(value, pd.Series | pd.DataFrame) else []
        return f"array {np.shape(value)}: {digest_of(value, *labels)}"
    if inspect.ismodule(value):
        return value.__name__
    if hasattr(value, "detach"):
        return describe_value(value.detach().cpu().numpy())
    if callable(value):
        return describe_function(value)
    text = repr(value)
    return type(value).__qualname__ if " at 0x" in text else text


def describe_function(function: Callable[..., Any]) -> str:
    """Describe a function by its name and source, as far as that can be had; what it closes over is not seen."""
    name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', type(function).__qualname__)}"
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        return name
    return f"{name} {hashlib.sha256(source.encode()).hexdigest()[:16]}"


def describe_asked(asked: Asked) -> dict[str, Any]:
    """Describe what is asked of a method."""
    return {key: describe_value(value) for key, value in asked._asdict().items()}


def describe_model(adapter: Adapter) -> dict[str, Any]:
    """Describe a model by what it runs on and the SHA-256 of its weights.

    Its name is left out: Keras counts models that no user named. Of a function there is no weight to be had, and its
    predictions alone tell it from another.
    """
    model = adapter.model
    weights: list[Any] = []
    if hasattr(model, "get_weights"):
        weights = model.get_weights()
    elif hasattr(model, "state_dict"):
        weights = [part for name, value in sorted(model.state_dict().items()) for part in (name, _bytes_of(value))]
    said = {key: text for key, text in adapter.describe().items() if key != "model"}
    return {**said, "weights": digest_of(*weights) if weights else None}


def _bytes_of(value: Any) -> Any:
    if not hasattr(value, "detach"):
        return repr(value)
    import torch

    # As bytes, because numpy lacks some of torch's types.
    return value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()


def versions() -> dict[str, str]:
    """Return the versions that what is written depends on, beside those of the model's framework."""
    return {"attrkit": installed_version("attrkit"), "xarray": xr.__version__, "zarr": version("zarr")}


def differences(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """Say where two descriptions differ."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        keys = [*ours, *(key for key in theirs if key not in ours)]
        return [
            found
            for key in keys
            for found in differences(ours.get(key), theirs.get(key), f"{path}.{key}" if path else str(key))
        ]
    return [] if ours == theirs else [f"{path} is {ours!r} now and was {theirs!r}"]
