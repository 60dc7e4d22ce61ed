"""Layers that return their weights beside their output whenever they compute them: those of Hugging Face transformers.

``BertSelfAttention``, ``GPT2Attention``, ``T5Attention`` and their like return a tuple with weights of shape (sample,
head, query, key) in it under eager attention, and none under fused attention; that the pass runs under eager attention
is the adapter's part.
"""

from typing import Any

from attrkit.adapters.terms import Call


def handles(layer: Any) -> bool:
    """Whether the layer is an attention of transformers, itself and not a block around one."""
    if "Attention" not in type(layer).__name__ or not hasattr(layer, "modules"):
        return False
    own = type(layer).__module__.startswith("transformers.")
    if not own and not hasattr(getattr(layer, "config", None), "_attn_implementation"):
        return False
    return not any("Attention" in type(inner).__name__ for inner in layer.modules() if inner is not layer)


def read(call: Call) -> tuple[Any, dict[str, Any]]:
    """Run the call as it is, and pick the weights out of what it returns."""
    returned = call.original(*call.args, **call.kwargs)
    if not isinstance(returned, list | tuple):
        return returned, {}
    found = [value for value in returned[1:] if getattr(value, "ndim", 0) == 4 and _are_weights(value)]
    return returned, {"attention": found[-1]} if found else {}


def _are_weights(values: Any) -> bool:
    """Whether rows are shares: T5 returns biases of the same shape too, and these alone where attention is fused."""
    sums = values.sum(-1)
    # Less than 1 where a part goes to no key, as with attention sinks.
    return bool(values.min() >= 0 and sums.min() > 0 and sums.max() < 1.01)
