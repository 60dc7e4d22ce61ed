"""Layers that take ``need_weights``: torch's ``nn.MultiheadAttention``, alone or inside its transformers, and its like.

They return (output, weights, ...); with ``average_attn_weights`` false, weights have shape (sample, head, query, key),
whether the layer takes samples first or not. The arguments are set for the one call.
"""

from typing import Any

from attrkit.adapters.terms import Call
from attrkit.attention._call import bind, padding, parameters_of

NEED, AVERAGE = "need_weights", "average_attn_weights"


def handles(layer: Any) -> bool:
    """Whether the layer's call takes ``need_weights``."""
    return NEED in parameters_of(layer)


def read(call: Call) -> tuple[Any, dict[str, Any]]:
    """Run the call with the weights of each head returned, and give the model what it would have had without them."""
    bound = bind(call)
    bound.apply_defaults()
    needed, averaged = bound.arguments[NEED], bound.arguments.get(AVERAGE)
    bound.arguments[NEED] = True
    if averaged is not None:
        bound.arguments[AVERAGE] = False
    returned = call.original(*bound.args, **bound.kwargs)
    if not isinstance(returned, list | tuple) or len(returned) < 2 or returned[1] is None:
        return call.original(*call.args, **call.kwargs), {}
    output, weights, *rest = returned
    read = {"attention": weights, **padding(bound.arguments)}
    if averaged is None:
        # What such a layer returns when it is not asked is known to itself only.
        return (returned if needed else call.original(*call.args, **call.kwargs)), read
    if needed and averaged:
        # Heads stand before queries and keys, with samples or without.
        weights = weights.mean(-3)
    return (output, weights if needed else None, *rest), read
