"""A layer's own call: what it takes, and the masks it was given, in Keras's and in torch's ways."""

import inspect
from collections.abc import Mapping
from typing import Any

from attrkit.adapters.terms import Call

# A number that leaves no weight when it is added to a score; some write it where torch writes minus infinity.
_NO_WEIGHT = -1e4


def parameters_of(layer: Any) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of the function that a layer's author wrote: ``call`` in Keras, ``forward`` in torch."""
    # A Keras layer on torch has both; its forward is only torch's way in.
    own = getattr(layer, "call", None) or getattr(layer, "forward", None)
    return {} if own is None else inspect.signature(own).parameters


def bind(call: Call) -> inspect.BoundArguments:
    """Return what a layer was called with, by name."""
    return inspect.signature(call.original).bind(*call.args, **call.kwargs)


def in_keras_ways(layer: Any) -> bool:
    """Whether a mask of the layer means what it means in Keras: true where real."""
    return hasattr(layer, "call")


def padding(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``key_mask``, and ``query_mask`` where queries are keys, true where real, of a call in torch's ways.

    There only ``key_padding_mask`` has a fixed meaning: true, or minus infinity, where padded. What any other mask
    means is up to the layer, and is not guessed.
    """
    padded = arguments.get("key_padding_mask")
    if padded is None:
        return {}
    real = padded == 0 if "bool" in str(padded.dtype) else padded > _NO_WEIGHT
    query, key = arguments.get("query"), arguments.get("key")
    return {"key_mask": real, "query_mask": real} if key is None or key is query else {"key_mask": real}
