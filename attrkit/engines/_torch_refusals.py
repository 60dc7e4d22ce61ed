"""Torch modules that a method which hooks layers would explain wrongly, each named with its place."""

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

from attrkit.adapters.base import Adapter
from attrkit.adapters.pytorch import TorchModule
from attrkit.adapters.terms import Layer
from attrkit.engines._torch_graph import Called, Graph, operation
from attrkit.errors import RefusedError
from attrkit.half import check_relevance

INSTEAD = "use attrkit's own 'lrp', which has rules for them, or 'integrated_gradients', which needs none"

_LOGITS = "Where it makes the output, logits=True explains the score before it."
_ENDS = MappingProxyType(dict.fromkeys(("Softmax", "LogSoftmax", "Sigmoid", "LogSigmoid"), _LOGITS))


def hookable(model: Adapter, method: str, *, has_rules: bool) -> TorchModule:
    """Return the adapter, or refuse models in which there are no layers to hook, or layers of which nothing is seen.

    ``method`` is the toolkit and its name, ``"captum:LRP"``; ``has_rules`` says that it has rules for layers, rather
    than other gradients for some of them.
    """
    if not isinstance(model, TorchModule):
        raise RefusedError(
            f"{method} replaces the gradients of torch layers, and this is a model of {model.framework}; use "
            "attrkit's own 'lrp', or 'integrated_gradients'"
        )
    if has_rules:
        check_relevance(model.half, method)
    scripted = [path for path, module in model.model.named_modules() if _is_scripted(module)]
    if scripted:
        raise RefusedError(
            f"{method} hooks layers, and a script module has none that can be: "
            f"{listed([path or 'the model itself' for path in scripted])}; explain the module that was scripted"
        )
    nn = import_module("torch.nn")
    opaque = (nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
    found = [
        f"{path or 'the model itself'} ({type(module).__name__})"
        for path, module in model.model.named_modules()
        if isinstance(module, opaque)
    ]
    if found:
        what = "has no rule for" if has_rules else "would pass plain gradients, without a word, through"
        raise RefusedError(f"{method} {what} recurrent and attention layers: {listed(found)}; {INSTEAD}")
    return model


def check_operations(
    method: str,
    graph: Graph,
    is_right: Callable[[Any, Called | None], bool],
    known: str,
    *,
    hints: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Refuse a model with operations that a method gets wrong.

    Parameters
    ----------
    method : str
        The toolkit and its name, ``"captum:LRP"``.
    graph : Graph
    is_right : callable
        Says of an operation, and the innermost call of a layer that it belongs to or None, whether it is one that the
        method knows, or one whose plain gradient is right.
    known : str
        The layers that the method knows.
    hints : mapping of str to str, optional
        Operation -> a sentence on what a user could do.
    """
    found: dict[str, None] = {}
    advice: dict[str, None] = {}
    for node in graph.nodes:
        home = graph.home(node)
        if is_right(node, home):
            continue
        place = f"layer {home.layer.path!r} ({home.layer.kind})" if home else "the model's own forward"
        found[f"{operation(node)} in {place}"] = None
        advice |= {f" {said[operation(node)]}": None for said in (_ENDS, hints) if operation(node) in said}
    if graph.deciding:
        raise RefusedError(
            f"the model decides by values that depend on its input ({', '.join(dict.fromkeys(graph.deciding))}), for a "
            f"mask or a branch, which {method} takes for constants, without a word; {INSTEAD}"
        )
    if found:
        instead = INSTEAD.replace("for them", "for more")
        raise RefusedError(
            f"{method} sees {known} only, as layers, and would pass a plain gradient, without a word, through "
            f"{listed(list(found))}.{''.join(advice)} Build the model of such layers, or {instead}"
        )


def check_used_once(method: str, graph: Graph, is_hooked: Callable[[Layer], bool]) -> None:
    """Refuse a model that calls a hooked layer more than once."""
    paths = [call.layer.path for call in graph.calls if is_hooked(call.layer)]
    again = sorted({path for path in paths if paths.count(path) > 1})
    if again:
        raise RefusedError(
            f"{method} keeps one call a layer, and {', '.join(map(repr, again))} runs more than once in a pass; "
            f"give each call a layer of its own, or {INSTEAD}"
        )


def listed(names: list[str]) -> str:
    """Return the first few of some names, and how many more there are."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _is_scripted(module: Any) -> bool:
    return isinstance(module, import_module("torch.jit").ScriptModule)
