"""Operations in a functional model that are no layers: ``x + y``, ``ops.mean(x)``, ``tf.reshape(x)``."""

from collections.abc import Iterator
from typing import Any

from attrkit.adapters.base import Layer

# Linear or homogeneous, or only routing: the plain gradient is the rule.
_KERAS_3 = {
    *("Add", "Subtract", "Negative", "Mean", "Sum", "Max", "Relu", "Concatenate", "Stack", "Split", "GetItem", "Take"),
    *("Reshape", "Transpose", "Squeeze", "ExpandDims", "Flip", "Repeat", "Tile", "Pad", "Swapaxes", "Moveaxis", "Cast"),
    *("Ravel", "Identity", "BroadcastTo", "Roll", "Copy"),
}
# Linear where one argument is a number.
_SCALES = {"Multiply", "TrueDivide", "Divide"}

_KERAS_2 = {
    *("__operators__.add", "__operators__.getitem", "math.add", "math.subtract", "math.negative", "math.reduce_mean"),
    *("math.reduce_sum", "math.reduce_max", "nn.relu", "concat", "stack", "split", "compat.v1.gather", "gather"),
    *("reshape", "transpose", "compat.v1.transpose", "squeeze", "compat.v1.squeeze", "expand_dims", "reverse"),
    *("compat.v1.expand_dims", "repeat", "tile", "cast", "identity", "math.subtract"),
}


def refused_operations(entry: Layer) -> Iterator[str]:
    """Name the operations of a functional model that have no rule."""
    if entry.kind == "TFOpLambda":
        symbol = str(getattr(entry.layer, "symbol", ""))
        if symbol not in _KERAS_2:
            yield f"{entry.path} (the operation {symbol}): no rule is known"
        return
    for operation in getattr(entry.layer, "operations", ()):
        if hasattr(operation, "weights"):
            continue  # A layer, which has been looked at.
        node = operation._inbound_nodes[0]
        # What comes of comparing or counting carries no relevance.
        floating = any("float" in str(tensor.dtype) for tensor in node.output_tensors)
        kind = type(operation).__name__
        scales = kind in _SCALES and len(node.input_tensors) == 1 and _is_numerator(node)
        adds = kind in ("Add", "Subtract") and len(node.input_tensors) == 1
        if floating and (adds or (kind not in _KERAS_3 and not scales)):
            prefix = f"{entry.path}." if entry.path else ""
            why = (
                "a constant is a bias, which only a layer can book: Rescaling(1, offset=...)"
                if adds
                else "no rule is known"
            )
            yield f"{prefix}{operation.name} (the operation {kind}): {why}"


def _is_numerator(node: Any) -> bool:
    return (bool(node.arguments.args) and node.arguments.args[0] is node.input_tensors[0]) or (
        type(node.operation).__name__ == "Multiply"
    )
