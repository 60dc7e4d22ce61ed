"""Layers that return their weights when an attribute says so: keras-self-attention, and custom layers made like it.

``SeqSelfAttention``, ``SeqWeightedAttention``, ``ScaledDotProductAttention`` and the residual variant return
``[output, ..., weights]`` when ``return_attention`` is true. It is set for the one call and put back; a torch layer is
called by way of a shallow copy, so that no other thread sees it set.
"""

from typing import Any

from attrkit.adapters.terms import Call
from attrkit.attention._call import bind, in_keras_ways, padding

ATTRIBUTES = ("return_attention", "return_attention_weights", "return_attention_scores")


def handles(layer: Any) -> bool:
    """Whether the layer carries one of `ATTRIBUTES` as a plain yes or no."""
    return _attribute(layer) is not None


def read(call: Call) -> tuple[Any, dict[str, Any]]:
    """Run the call with its weights returned, and give the model what it would have had without them."""
    name = _attribute(call.layer)
    assert name is not None
    as_built = getattr(call.layer, name)
    own = getattr(call.original, "__func__", None)
    if own is not None and not in_keras_ways(call.layer):
        returned = own(_copy(call.layer, name), *call.args, **call.kwargs)
    else:
        setattr(call.layer, name, True)
        try:
            returned = call.original(*call.args, **call.kwargs)
        finally:
            setattr(call.layer, name, as_built)
    if not isinstance(returned, list | tuple) or len(returned) < 2:
        # A block of layers may carry the attribute for the layer inside it, which is read by itself.
        return returned, {}
    output = returned if as_built else (returned[0] if len(returned) == 2 else returned[:-1])
    masks = _masks(call) if in_keras_ways(call.layer) else padding(bind(call).arguments)
    return output, {"attention": returned[-1], **{key: value for key, value in masks.items() if value is not None}}


def _attribute(layer: Any) -> str | None:
    return next((name for name in ATTRIBUTES if isinstance(getattr(layer, name, None), bool)), None)


def _copy(layer: Any, name: str) -> Any:
    """Return a layer with the parts of another, asked for its weights."""
    other = object.__new__(type(layer))
    vars(other).update({**vars(layer), name: True})
    return other


def _masks(call: Call) -> dict[str, Any]:
    mask = call.kwargs.get("mask", call.args[1] if len(call.args) > 1 else None)
    masks = list(mask) if isinstance(mask, list | tuple) else [mask, mask]
    return {"query_mask": masks[0], "key_mask": masks[1] if len(masks) > 1 else masks[0]}
