"""Files of Keras 2: their description as Keras 3 writes it, and their arrays put where they belong and compared."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from attrkit.errors import StoreError

_RECURRENT = ("RNN", "LSTM", "GRU", "SimpleRNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
_TRANSPOSED = ("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose")
_BY_CHANNEL = ("SeparableConv1D", "SeparableConv2D", "DepthwiseConv1D", "DepthwiseConv2D")

# What Keras 2 writes about a layer and Keras 3 does not take; none of it changes what the layer computes.
_GONE = {
    **dict.fromkeys(_TRANSPOSED, ("groups",)),
    **dict.fromkeys(_BY_CHANNEL, ("groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint")),
    "MultiHeadAttention": ("query_shape", "key_shape", "value_shape", "softmax_robust_masking"),
    "Softmax": ("robust_masking",),
    "Embedding": ("input_length",),
}

# The same, where only one value can go: another one changes what the layer computes.
_GONE_IF_FALSE = {**dict.fromkeys(_RECURRENT, ("time_major",)), "InputLayer": ("ragged",)}

_OPERATIONS = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")

_MODELS = {"Sequential": "keras", "Model": "keras", "Functional": "keras.src.models.functional"}

HARD_SIGMOID = "hard_sigmoid_of_keras2"
_HARD_SIGMOID = {
    "module": "builtins",
    "class_name": "function",
    "config": HARD_SIGMOID,
    "registered_name": HARD_SIGMOID,
}

_USE_TF_KERAS = "set TF_USE_LEGACY_KERAS=1 before TensorFlow is imported, with tf-keras installed"

# Of the optimizer, losses and metrics, which play no part in an explanation.
_OF_TRAINING = ("optimizer", "metrics", "loss", "loss_tracker", "compiled_metrics", "compiled_loss")


class Stored(NamedTuple):
    """The arrays that a file holds for one layer, and the variables of the model they belong to."""

    name: str
    layer: Any
    arrays: list[np.ndarray]
    variables: list[Any]


def translate(entry: Any) -> Any:
    """Return the description of a model by Keras 2 as Keras 3 takes it.

    Parameters
    ----------
    entry : JSON value
        What ``config.json`` or the attribute ``model_config`` holds.

    Returns
    -------
    JSON value
        A copy; nothing of the model is built.

    Raises
    ------
    StoreError
        If Keras 3 has no such layer, or not with this option; the message names the layer.
    """
    if isinstance(entry, list):
        return [translate(part) for part in entry]
    if not isinstance(entry, dict):
        return entry
    kind = entry.get("class_name")
    if kind == "Sequential":
        entry = _opened_by_input(entry)
    if kind in ("Functional", "Model"):
        entry = _connected(entry)
    entry = {key: translate(value) for key, value in entry.items()}
    config = entry.get("config")
    if isinstance(kind, str) and isinstance(config, dict | list):
        entry = _of_keras3(entry)
        if isinstance(config, dict):
            entry["config"] = _options(kind, str(config.get("name") or entry.get("name") or kind), config)
    return entry


def hard_sigmoid(x: Any) -> Any:
    """Keras 2's, of slope 1/5; that of Keras 3 has slope 1/6 under the same name."""
    from keras import ops

    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)


def _options(kind: str, name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return what a part is made with, as Keras 3 takes it."""
    if kind in _OPERATIONS:
        raise StoreError(
            f"{name!r} is a TensorFlow operation ({kind}), which Keras 3 has no layer for; {_USE_TF_KERAS}"
        )
    refused = [option for option in _GONE_IF_FALSE.get(kind, ()) if options.get(option)]
    if refused:
        raise StoreError(f"layer {name!r} ({kind}) has {refused[0]}=True, which Keras 3 does not know; {_USE_TF_KERAS}")
    gone = {*_GONE.get(kind, ()), *_GONE_IF_FALSE.get(kind, ())}
    options = {key: value for key, value in options.items() if key not in gone}
    shape = options.pop("batch_input_shape", None)
    if kind == "InputLayer" and shape is not None:
        options["batch_shape"] = shape
    if kind == "LeakyReLU" and "alpha" in options:
        options["negative_slope"] = options.pop("alpha")
    axis = options.get("axis")
    if kind == "BatchNormalization" and isinstance(axis, list) and len(axis) == 1:
        options["axis"] = axis[0]
    policy = options.get("dtype")
    if isinstance(policy, dict) and str(policy.get("class_name")).startswith("Policy"):
        options["dtype"] = policy["config"]["name"]
    return {
        key: _HARD_SIGMOID if key.endswith("activation") and _function_name(value) == "hard_sigmoid" else value
        for key, value in options.items()
    }


def _function_name(value: Any) -> Any:
    return value.get("config") if isinstance(value, dict) and value.get("class_name") == "function" else value


def _of_keras3(entry: dict[str, Any]) -> dict[str, Any]:
    """Say where Keras 3 has the class; ``.h5`` files name the class of a layer alone."""
    kind = entry["class_name"]
    if kind in _MODELS and entry.get("module", "keras").startswith(("keras", "tf_keras")):
        return {**entry, "module": _MODELS[kind], "registered_name": kind if kind == "Functional" else None}
    if "module" in entry:
        return {**entry, "module": re.sub("^tf_keras", "keras", entry["module"] or "") or None}
    from keras import layers

    if hasattr(layers, kind):
        return {**entry, "module": "keras.layers", "registered_name": None}
    # An initializer and its like is looked up where it is used; a layer that is not of Keras, by its name.
    return {**entry, "module": None, "registered_name": kind} if "name" in entry["config"] else entry


def _connected(entry: dict[str, Any]) -> dict[str, Any]:
    """Write how the layers of a functional model are connected as Keras 3 does."""
    config = entry.get("config")
    if not isinstance(config, dict) or "output_layers" not in config:
        return entry
    # A model that knows its shape when it is made counts that as its first call in Keras 2, and for the outputs of a
    # functional one in Keras 3 too.
    made = {layer.get("name"): layer.get("class_name") for layer in config["layers"] if _is_built_model(layer)}

    def reference(tensor: list[Any]) -> list[Any]:
        name, node, index = tensor[:3]
        return [name, node - (name in made), index]

    def end(tensor: list[Any]) -> list[Any]:
        return reference(tensor) if made.get(tensor[0]) == "Sequential" else tensor

    def connected(layer: dict[str, Any]) -> dict[str, Any]:
        nodes = [_node(layer["class_name"], node, reference) for node in layer.get("inbound_nodes", [])]
        # The calls build it; the shapes that Keras 2 notes are too few where there are several inputs.
        return {key: value for key, value in layer.items() if key != "build_config"} | {"inbound_nodes": nodes}

    def ends(tensors: Any) -> Any:
        found = _replaced(tensors, end)
        return found[0] if isinstance(found, list) and len(found) == 1 else found

    return {
        **entry,
        "config": {
            **config,
            "layers": [connected(layer) for layer in config["layers"]],
            "input_layers": ends(config["input_layers"]),
            "output_layers": ends(config["output_layers"]),
        },
    }


def _is_built_model(layer: Mapping[str, Any]) -> bool:
    if layer.get("class_name") != "Sequential":
        return layer.get("class_name") in _MODELS
    config = _opened_by_input(dict(layer))["config"]
    layers = config if isinstance(config, list) else config.get("layers", [])
    return bool(layers) and layers[0].get("class_name") == "InputLayer"


def _node(kind: str, node: Any, reference: Callable[[list[Any]], list[Any]]) -> Any:
    """Write one call of a layer: the tensors it is called on, and its arguments."""
    if not isinstance(node, list) or not all(isinstance(part, list) and len(part) in (3, 4) for part in node):
        return node

    def tensor(part: list[Any]) -> dict[str, Any]:
        history = {"shape": [None], "dtype": "float32", "keras_history": reference(part)}
        return {"class_name": "__keras_tensor__", "config": history}

    tensors = [tensor(part) for part in node]
    kwargs = _replaced(node[-1][3] if node and len(node[-1]) > 3 else {}, tensor)
    kwargs = {key: value for key, value in kwargs.items() if value is not None}
    if kind in (*_RECURRENT, "Bidirectional") and len(tensors) > 1:
        tensors, kwargs = tensors[:1], {**kwargs, "initial_state": tensors[1:]}
    return {"args": tensors if len(tensors) == 1 else [tensors], "kwargs": kwargs}


def _replaced(value: Any, by: Callable[[list[Any]], Any]) -> Any:
    """Replace every ``[layer, node, tensor]`` of a JSON value."""
    if isinstance(value, list):
        if len(value) == 3 and isinstance(value[0], str) and all(type(part) is int for part in value[1:]):
            return by(value)
        return [_replaced(part, by) for part in value]
    if isinstance(value, dict):
        return {key: _replaced(part, by) for key, part in value.items()}
    return value


def _opened_by_input(entry: dict[str, Any]) -> dict[str, Any]:
    """Give a Sequential an InputLayer where its first layer tells the shape, as early versions wrote it."""
    config = entry.get("config") or {}
    layers = config if isinstance(config, list) else config.get("layers", [])
    first = layers[0] if layers else {}
    options = first.get("config", {})
    if first.get("class_name") == "InputLayer" or not isinstance(options, dict) or "batch_input_shape" not in options:
        return {**entry, "config": {"layers": config}} if isinstance(config, list) else entry
    shape, dtype = options["batch_input_shape"], options.get("dtype", "float32")
    made_with = {"batch_input_shape": shape, "dtype": dtype, "name": f"{options.get('name')}_input"}
    opening = {key: first[key] for key in ("module", "registered_name") if key in first}
    layers = [{**opening, "class_name": "InputLayer", "config": made_with}, *layers]
    return {**entry, "config": {**({} if isinstance(config, list) else config), "layers": layers}}


def by_place(model: Any, file: Any, *, is_layer: Callable[[Any], bool]) -> list[Stored]:
    """Pair the arrays of a Keras 2 ``model.weights.h5`` with the variables of a model, by their place in it.

    Parameters
    ----------
    model : keras.Model
        Built from the file's description.
    file : h5py.File
        Groups named by the attributes that lead to a layer: ``_layer_checkpoint_dependencies/lstm/cell/vars/0``.
    is_layer : function
        Whether a value of an attribute is a layer.

    Returns
    -------
    list of Stored
        One for each group of arrays.

    Raises
    ------
    StoreError
        If the file has arrays that belong nowhere, or a layer has none in the file.
    """
    arrays = _groups(file)
    found = {place: layer for place, layer in _walk(model, "", arrays, is_layer)}
    strays = [place for place in arrays if place not in found]
    if strays:
        raise StoreError(f"the file holds weights for {', '.join(strays)}, which the model does not have")
    filled = {id(layer) for layer in found.values()}
    empty = [
        layer.name
        for layer in model._flatten_layers(recursive=True, include_self=True)
        if _own_variables(layer) and id(layer) not in filled
    ]
    if empty:
        raise StoreError(f"the file holds no weights for layer {', '.join(empty)}")
    return [Stored(layer.name, layer, arrays[place], _own_variables(layer)) for place, layer in found.items()]


def by_order(model: Any, group: Any) -> list[Stored]:
    """Pair the arrays of a Keras 2 ``.h5`` file with the variables of a model, layer by layer in order, as Keras does.

    Parameters
    ----------
    model : keras.Model
        Built from the file's description.
    group : h5py.Group
        ``model_weights`` of a whole model, the file itself where it holds weights only.

    Returns
    -------
    list of Stored
        One for each layer that has weights.

    Raises
    ------
    StoreError
        If the file and the model differ in the layers that have weights, or in the names of these.
    """
    names = [name for name in _texts(group, "layer_names") if _texts(group[name], "weight_names")]
    layers = [layer for layer in model.layers if layer.weights]
    if len(names) != len(layers):
        ours = [layer.name for layer in layers]
        raise StoreError(f"the file holds weights of layers {names}, the model has {ours}")
    return [_stored_of(layer, group[name], name) for name, layer in zip(names, layers, strict=True)]


def _stored_of(layer: Any, group: Any, name: str) -> Stored:
    paths = _texts(group, "weight_names")
    variables = [*layer.trainable_weights, *layer.non_trainable_weights]
    theirs = [path.split("/")[-1].split(":")[0] for path in paths]
    ours = [variable.name.split("/")[-1].split(":")[0] for variable in variables]
    # The kernel of a DepthwiseConv has lost its first name.
    if [path.removeprefix("depthwise_") for path in theirs] != [path.removeprefix("depthwise_") for path in ours]:
        raise StoreError(
            f"layer {layer.name!r} of the model has the weights {ours}, the file has {theirs} for {name!r}"
        )
    return Stored(layer.name, layer, [np.asarray(group[path]) for path in paths], variables)


def fill(stored: list[Stored]) -> None:
    """Put the arrays of a file into the variables they belong to.

    Raises
    ------
    StoreError
        If one differs in shape; the message names the layer.
    """
    for name, layer, arrays, variables in stored:
        theirs, ours = [tuple(array.shape) for array in arrays], [tuple(variable.shape) for variable in variables]
        if theirs != ours:
            raise StoreError(f"layer {name!r} has weights of shape {ours} in the model, {theirs} in the file")
        for array, variable in zip(arrays, variables, strict=True):
            variable.assign(array)
        # Normalization makes what it computes with from its weights.
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()


def compare(stored: list[Stored]) -> None:
    """Compare every array of a file with the variable it was loaded into.

    Raises
    ------
    StoreError
        If one differs in shape or value; the message names the layer.
    """
    for name, _, arrays, variables in stored:
        values = [np.asarray(variable.numpy()) for variable in variables]
        same = [
            array.shape == value.shape and np.array_equal(array.astype(value.dtype), value, equal_nan=True)
            for array, value in zip(arrays, values, strict=True)
        ]
        if not all(same):
            raise StoreError(f"weight {same.index(False)} of layer {name!r} differs between the file and the model")


def _own_variables(layer: Any) -> list[Any]:
    # In the order that Keras 2 numbers them by. Keras 3 keeps the states of its random generators elsewhere.
    kinds = ("_trainable_weights", "_non_trainable_weights"), ("_trainable_variables", "_non_trainable_variables")
    names = kinds[1] if hasattr(layer, "_trainable_variables") else kinds[0]
    return [variable for name in names for variable in getattr(layer, name)]


def _groups(file: Any) -> dict[str, list[np.ndarray]]:
    """Return the arrays of a weights file by the place of their object."""
    found: dict[str, dict[int, np.ndarray]] = {}

    def visit(path: str, item: Any) -> None:
        if not hasattr(item, "shape"):
            return
        # Files written on Windows have backslashes.
        *place, _, number = path.replace("\\", "/").split("/")
        if place[:1] and place[0] in _OF_TRAINING:
            return
        found.setdefault("/".join(place), {})[int(number)] = np.asarray(item)

    file.visititems(visit)
    return {place: [numbered[i] for i in sorted(numbered)] for place, numbered in found.items()}


def _walk(
    obj: Any, place: str, arrays: Mapping[str, Any], is_layer: Callable[[Any], bool]
) -> Iterator[tuple[str, Any]]:
    """Follow the places of a file, from attribute to attribute, to the layers that they name."""
    if place in arrays:
        yield place, obj
    start = f"{place}/" if place else ""
    for name in sorted({path[len(start) :].split("/")[0] for path in arrays if path.startswith(start)} - {""}):
        attribute = "layers" if name == "_layer_checkpoint_dependencies" else name
        # Keras 3 runs a copy of the layer that a Bidirectional is given.
        attribute = "forward_layer" if attribute == "layer" and hasattr(obj, "forward_layer") else attribute
        child = getattr(obj, attribute, None)
        if is_layer(child):
            yield from _walk(child, start + name, arrays, is_layer)
        elif isinstance(child, Mapping | list | tuple):
            items = child.values() if isinstance(child, Mapping) else child
            for key, layer in _numbered([item for item in items if is_layer(item)]):
                inner = f"{start}{name}/{key}"
                if any(path == inner or path.startswith(f"{inner}/") for path in arrays):
                    yield from _walk(layer, inner, arrays, is_layer)


def _numbered(layers: list[Any]) -> Iterator[tuple[str, Any]]:
    """Name the layers of a list as Keras does: by class in snake case, with a number from the second on."""
    seen: dict[str, int] = {}
    for layer in layers:
        name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", type(layer).__name__)
        name = re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
        seen[name] = seen.get(name, -1) + 1
        yield (f"{name}_{seen[name]}" if seen[name] else name), layer


def _texts(group: Any, name: str) -> list[str]:
    """Return an attribute that is a list of names; a long one is kept in pieces."""
    pieces = [group.attrs[name]] if name in group.attrs else []
    while f"{name}{len(pieces)}" in group.attrs:
        pieces.append(group.attrs[f"{name}{len(pieces)}"])
    return [text.decode() if isinstance(text, bytes) else str(text) for piece in pieces for text in piece]
