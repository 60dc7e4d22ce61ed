"""Operations in a functional model that are no layers: ``x + y``, ``ops.mean(x)``, ``tf.reshape(x)``."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from attrkit.adapters.terms import Layer

# By the name of the class in Keras 3, and of the function of TensorFlow in Keras 2.
_SUMS = {"Add", "Subtract", "__operators__.add", "math.add", "math.subtract"}
# Linear where one argument is a number.
_PRODUCTS = {"Multiply", "math.multiply"}
_QUOTIENTS = {"TrueDivide", "Divide", "math.truediv", "math.divide"}
# Linear or homogeneous, or only routing: the plain gradient is the rule.
_PASS = {
    *("Negative", "Mean", "Sum", "Max", "Relu", "Concatenate", "Stack", "Split", "GetItem", "Take", "Ravel"),
    *("Reshape", "Transpose", "Squeeze", "ExpandDims", "Flip", "Repeat", "Tile", "Pad", "Swapaxes", "Moveaxis", "Cast"),
    *("BroadcastTo", "Roll", "Copy", "Identity"),
    *("__operators__.getitem", "math.negative", "math.reduce_mean", "math.reduce_sum", "math.reduce_max", "math.add_n"),
    *(
        "nn.relu",
        "concat",
        "stack",
        "split",
        "gather",
        "compat.v1.gather",
        "reshape",
        "transpose",
        "squeeze",
        "reverse",
    ),
    *("compat.v1.transpose", "compat.v1.squeeze", "compat.v1.expand_dims", "expand_dims", "repeat", "tile", "cast"),
    *("identity", "pad", "broadcast_to", "roll"),
}


class _Operation(NamedTuple):
    path: str
    kind: str
    # How many tensors of the model it is called with, and whether its first argument is one.
    tensors: int
    of_first: bool
    # What comes of comparing or counting carries no relevance.
    floating: bool


def refused_operations(entry: Layer) -> Iterator[str]:
    """Name the operations of a functional model that have no rule."""
    for operation in _operations(entry):
        one = operation.tensors == 1
        scales = operation.kind in _PRODUCTS or (operation.kind in _QUOTIENTS and operation.of_first)
        if not operation.floating or operation.kind in _PASS or (one and scales):
            continue
        if operation.kind not in _SUMS:
            yield f"{operation.path} (the operation {operation.kind}): no rule is known"
        elif one:
            yield (
                f"{operation.path} (the operation {operation.kind}): a constant is a bias, which only a layer can "
                "book: Rescaling(1, offset=...)"
            )


def _operations(entry: Layer) -> Iterator[_Operation]:
    if entry.kind == "TFOpLambda":
        for node in entry.layer._inbound_nodes:
            first = node.call_args[0] if node.call_args else None
            of_first = any(tensor is first for tensor in node.keras_inputs)
            yield _read(entry.path, entry.layer.symbol, node.keras_inputs, of_first, node.outputs)
    for operation in getattr(entry.layer, "operations", ()):
        if hasattr(operation, "weights"):
            continue  # A layer, which is looked at by itself.
        path = ".".join(filter(None, (entry.path, operation.name)))
        for node in operation._inbound_nodes:
            of_first = bool(node.arguments.args) and node.arguments.args[0] is node.input_tensors[0]
            yield _read(path, type(operation).__name__, node.input_tensors, of_first, node.output_tensors)


def _read(path: str, kind: str, inputs: Any, of_first: bool, outputs: Any) -> _Operation:
    outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
    return _Operation(path, kind, len(inputs), of_first, any("float" in str(tensor.dtype) for tensor in outputs))
