"""What a rule is: the forward pass of a layer, with the gradient that carries relevance."""

from collections.abc import Callable
from typing import Any

from attrkit.adapters.terms import Call
from attrkit.relevance.flow import Flow

Rule = Callable[[Call, Flow], Any]
"""Maps the call of a layer to what the layer returns; `attrkit.relevance.flow.Flow` has what it is written with."""


def untapped(rule: Rule) -> Rule:
    """Mark a rule that itself notes what its layer is given and passes on, where layers are told apart."""
    rule.untapped = True  # type: ignore[attr-defined]
    return rule


def passes(call: Call, flow: Flow) -> Any:
    """Run a layer as it is: for one that is linear without bias, or only calls layers with rules of their own.

    Parameters
    ----------
    call : Call
        The call of the layer.
    flow : Flow
        Not used.

    Returns
    -------
    tensor
        What the layer returns.

    Examples
    --------
    >>> from attrkit.relevance import COMPOSITES
    >>> composite = COMPOSITES["arras"].extended({"MyModel": passes})
    """
    return call.original(*call.args, **call.kwargs)
