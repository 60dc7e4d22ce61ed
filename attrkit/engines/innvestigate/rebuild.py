"""The description of a Keras model as Keras 2 reads it, of a model of Keras 2 or 3 whose layers both have."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from attrkit.adapters.keras import KerasModel
from attrkit.errors import RefusedError

# Keras 3 computes masks by operations that it makes by itself; Keras 2 hands them on unseen.
_UNSEEN = ("mask", "query_mask", "value_mask", "key_mask")


def describe(adapter: KerasModel) -> dict[str, Any]:
    """Return a model's class and description, and where its layers that are not Keras's can be imported from.

    Parameters
    ----------
    adapter : KerasModel

    Returns
    -------
    dict
        ``sequential``: whether it is a Sequential model; ``config``, of JSON values; ``custom``, class name ->
        ``"module:name"``.

    Raises
    ------
    RefusedError
        If it is neither functional nor Sequential, calls operations that are no layers, or has layers of a class that
        cannot be imported.
    """
    model = adapter.model
    kinds = [cls.__name__ for cls in type(model).__mro__ if cls.__module__.startswith(("keras.", "tf_keras."))]
    if type(model).__name__ not in ("Functional", "Sequential", "Model") or not {"Functional", "Sequential"} & {*kinds}:
        raise RefusedError(
            f"innvestigate analyses functional and Sequential models, which can be built anew from their description; "
            f"this is a {type(model).__name__}"
        )
    custom = dict(_custom(adapter))
    return {"sequential": "Sequential" in kinds, "config": _model(model.get_config()), "custom": custom}


def _custom(adapter: KerasModel) -> Iterator[tuple[str, str]]:
    for entry in adapter.layers():
        cls = type(entry.layer)
        if cls.__module__.startswith(("keras.", "tf_keras.")):
            continue
        if cls.__module__ == "__main__" or "<locals>" in cls.__qualname__:
            raise RefusedError(
                f"innvestigate runs in a process of its own, which cannot import {entry.kind} (layer {entry.path!r}); "
                "put the class into a module of its own"
            )
        yield cls.__name__, f"{cls.__module__}:{cls.__qualname__}"


def _model(config: Mapping[str, Any]) -> dict[str, Any]:
    if "input_layers" not in config:
        return {"name": config["name"], "layers": [_layer(entry) for entry in config["layers"]]}
    by_name = {entry["name"]: entry for entry in config["layers"]}
    ends = {end: _ends(config[f"{end}_layers"]) for end in ("input", "output")}
    needed: dict[str, Any] = {}
    _need([name for name, _, _ in ends["output"]], by_name, needed)
    kept = [needed[name] for name in by_name if name in needed]
    return {"name": config["name"], "layers": kept, **{f"{end}_layers": found for end, found in ends.items()}}


def _need(names: list[str], by_name: Mapping[str, Any], needed: dict[str, Any]) -> None:
    """Add layers and those that they are called with, by name; masks that Keras 3 computes are not among them."""
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        entry = by_name[name]
        layer = _layer(entry)
        nodes = [_node(entry, node) for node in entry.get("inbound_nodes", [])]
        needed[name] = {**layer, "name": name, "inbound_nodes": nodes}
        for node in nodes:
            for source, _, _, others in node:
                waiting += [source, *(value[0] for value in others.values() if _is_place(value))]


def _ends(places: Any) -> list[list[Any]]:
    """Return places of inputs or outputs as a list of them; a single one is written without."""
    return [list(places)] if places and isinstance(places[0], str) else [list(place) for place in places]


def _is_place(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and isinstance(value[0], str)


def _node(entry: Mapping[str, Any], node: Any) -> list[list[Any]]:
    """Return one call of a layer as Keras 2 writes it: a list of [layer, call, tensor, further arguments]."""
    if not isinstance(node, Mapping):
        return [list(place) for place in node]
    first, *others = (_places(value) for value in node["args"])
    named = {name: _places(value) for name, value in node["kwargs"].items() if name not in _UNSEEN}
    named = {name: value for name, value in named.items() if value is not None and name != "training"}
    names = _argument_names(entry)
    named = {**dict(zip(names[1:], others, strict=False)), **named}
    tensors = [first] if _is_place(first) else first
    if not isinstance(tensors, list) or not all(_is_place(tensor) for tensor in tensors):
        raise RefusedError(f"the layer {entry['name']!r} ({entry['class_name']}) is called with more than tensors")
    return [[*tensor, named if at == 0 else {}] for at, tensor in enumerate(tensors)]


def _places(value: Any) -> Any:
    if isinstance(value, Mapping) and value.get("class_name") == "__keras_tensor__":
        return list(value["config"]["keras_history"])
    if isinstance(value, list | tuple):
        return [_places(part) for part in value]
    return value


def _argument_names(entry: Mapping[str, Any]) -> list[str]:
    import keras

    cls = getattr(keras.layers, entry["class_name"], None)
    return [] if cls is None else [name for name in inspect.signature(cls.call).parameters if name != "self"]


def _layer(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description of one layer, of a cell, or of a model inside."""
    kind, config = entry["class_name"], entry["config"]
    if ".ops." in str(entry.get("module")) or kind in ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"):
        raise RefusedError(
            f"innvestigate analyses layers, and the model calls an operation that is none: {entry.get('name', kind)} "
            f"({kind}); use a layer, such as Add, in its place"
        )
    if kind in ("Functional", "Sequential", "Model"):
        return {"class_name": kind, "config": _model(config)}
    return {"class_name": kind, "config": {key: _value(key, value) for key, value in config.items()} | _shape(config)}


def _shape(config: Mapping[str, Any]) -> dict[str, Any]:
    return {"batch_input_shape": config["batch_shape"]} if "batch_shape" in config else {}


def _value(key: str, value: Any) -> Any:
    # Weights are set after building, and nothing is trained.
    if key.endswith("_initializer"):
        return "zeros"
    if key.endswith(("_regularizer", "_constraint")):
        return None
    if key == "dtype" and isinstance(value, Mapping):
        return value["config"]["name"]
    if isinstance(value, Mapping) and "class_name" in value and "config" in value:
        is_function = value["class_name"] == "function"
        return value["config"] if is_function else _layer(value)
    return [_value("", part) for part in value] if isinstance(value, list | tuple) else value
