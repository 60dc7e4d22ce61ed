"""Layers that return their weights when the call asks for them: Keras's own, and custom layers made like them.

``MultiHeadAttention`` and ``GroupedQueryAttention`` give weights of shape (sample, head, query, key); ``Attention`` and
``AdditiveAttention`` give (sample, query, key). The argument is added to the one call. Weights are returned last.
"""

from collections.abc import Mapping
from typing import Any

from attrkit.adapters.terms import Call
from attrkit.attention._call import bind, in_keras_ways, padding, parameters_of

ARGUMENTS = ("return_attention_scores", "return_attention", "return_attention_weights")


def handles(layer: Any) -> bool:
    """Whether the layer's call takes one of `ARGUMENTS`."""
    return _argument(parameters_of(layer)) is not None


def read(call: Call) -> tuple[Any, dict[str, Any]]:
    """Run the call with its weights returned, and give the model what it would have had without them."""
    bound = bind(call)
    name = _argument(bound.signature.parameters)
    assert name is not None
    asked = bool(bound.arguments.get(name, bound.signature.parameters[name].default is True))
    bound.arguments[name] = True
    returned = call.original(*bound.args, **bound.kwargs)
    if not isinstance(returned, list | tuple) or len(returned) < 2 or returned[-1] is None:
        return returned, {}
    if in_keras_ways(call.layer):
        query_mask, key_mask = _masks(bound.arguments)
        masks = {"query_mask": query_mask, "key_mask": key_mask}
    else:
        masks = padding(bound.arguments)
    output = returned if asked else (returned[0] if len(returned) == 2 else returned[:-1])
    return output, {"attention": returned[-1], **{key: value for key, value in masks.items() if value is not None}}


def _argument(parameters: Mapping[str, Any]) -> str | None:
    return next((name for name in ARGUMENTS if name in parameters), None)


def _masks(arguments: dict[str, Any]) -> tuple[Any, Any]:
    """Find the masks of queries and keys, wherever this layer and this Keras keep them."""
    if "inputs" in arguments:
        # Attention and AdditiveAttention: inputs [query, value(, key)], mask [query, value].
        mask = arguments.get("mask")
        return (mask[0], mask[1]) if isinstance(mask, list | tuple) and len(mask) > 1 else (mask, mask)
    key = arguments.get("key")
    key = arguments.get("value") if key is None else key
    key_mask = arguments.get("key_mask")
    key_mask = arguments.get("value_mask") if key_mask is None else key_mask
    # Keras 2 hangs the mask on the tensor and has no argument for it.
    query_mask = arguments.get("query_mask", getattr(arguments.get("query"), "_keras_mask", None))
    return query_mask, getattr(key, "_keras_mask", None) if key_mask is None else key_mask
