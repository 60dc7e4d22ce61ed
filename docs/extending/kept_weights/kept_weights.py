"""Attention layers that keep the weights of their last call on themselves, as ``last_weights``."""

from typing import Any

from attrkit.adapters.terms import Call


def handles(layer: Any) -> bool:
    """Whether the layer is of this family."""
    return hasattr(layer, "last_weights")


def read(call: Call) -> tuple[Any, dict[str, Any]]:
    """Run one call of the layer; return its output, unchanged, and the weights it used."""
    before = call.layer.last_weights
    try:
        output = call.original(*call.args, **call.kwargs)
        weights = call.layer.last_weights
    finally:
        # The layer is left as it was found.
        call.layer.last_weights = before
    return output, {"attention": weights}
