"""Models that the classes which replace the gradient of layers would explain wrongly, each named with its place."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter, Layer
from attrkit.adapters.pytorch import TorchModule
from attrkit.engines.captum._graph import MOVING, POOLING, Called, Graph, operation
from attrkit.errors import RefusedError

_INSTEAD = "use attrkit's own 'lrp', which has rules for them, or 'integrated_gradients', which needs none"

_ENDS = ("Softmax", "LogSoftmax", "Sigmoid", "LogSigmoid")


def torch_module(model: Adapter, name: str) -> TorchModule:
    """Return the adapter, or refuse models in which Captum finds no layers, or layers it sees nothing of."""
    if not isinstance(model, TorchModule):
        raise RefusedError(
            f"captum:{name} replaces the gradients of torch layers, and this is a model of {model.framework}; use "
            "attrkit's own 'lrp', or 'integrated_gradients'"
        )
    scripted = [path for path, module in model.model.named_modules() if _is_scripted(module)]
    if scripted:
        raise RefusedError(
            f"captum:{name} hooks layers, and a script module has none that can be: "
            f"{_listed([path or 'the model itself' for path in scripted])}; explain the module that was scripted"
        )
    nn = import_module("torch.nn")
    opaque = (nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
    found = [
        f"{path or 'the model itself'} ({type(module).__name__})"
        for path, module in model.model.named_modules()
        if isinstance(module, opaque)
    ]
    if found:
        what = "has no rule for" if name == "LRP" else "would pass plain gradients, without a word, through"
        raise RefusedError(f"captum:{name} {what} recurrent and attention layers: {_listed(found)}; {_INSTEAD}")
    return model


def check_through_relu(name: str, graph: Graph) -> None:
    """Refuse what `GuidedBackprop` and `Deconvolution` do not see: they hook ``nn.ReLU`` and no more."""
    relu = import_module("torch.nn").ReLU

    def is_hooked(layer: Layer) -> bool:
        return isinstance(layer.layer, relu)

    def is_right(node: Any) -> bool:
        # Both papers send the gradient of max-pooling back to the largest value, which it does by itself.
        return graph.is_linear(node) or operation(node) in POOLING

    _check_operations(name, graph, is_hooked, is_right, "nn.ReLU")
    if name == "Deconvolution":
        # Its hooks keep one gradient a layer: where two calls run side by side they mix them up.
        _check_used_once(name, graph, is_hooked)


def check_rescaled(name: str, graph: Graph) -> bool:
    """Refuse what `DeepLift` does not see or gets wrong; return whether pairs of rows have to run by themselves."""
    nn = import_module("torch.nn")
    table = import_module("captum.attr._core.deep_lift").SUPPORTED_NON_LINEAR
    # The mean that its rule for softmax takes off runs over all samples of a batch.
    types = {kind for kind in table if kind is not nn.Softmax}

    def is_hooked(layer: Layer) -> bool:
        return type(layer.layer) in types

    _check_operations(name, graph, is_hooked, graph.is_linear, ", ".join(sorted(f"nn.{t.__name__}" for t in types)))
    _check_used_once(name, graph, is_hooked)
    pooling = False
    for call in graph.calls:
        if not is_hooked(call.layer):
            continue
        if call.layer.layer._backward_hooks:
            raise RefusedError(
                f"layer {call.layer.path!r} has a backward hook of yours, and Captum then leaves it out, without a "
                "word; remove the hook first"
            )
        if isinstance(call.layer.layer, nn.MaxPool1d | nn.MaxPool2d | nn.MaxPool3d):
            pooling = True
            _check_windows(name, call)
    # Where a value is as at the baseline, its rule of max-pooling takes the gradient of the first row of a batch.
    return pooling


def check_ruled(graph: Graph, model: TorchModule) -> None:
    """Refuse what `LRP` does not see: it has rules for the leaves of the tree of modules, and sees nothing else."""
    captum_lrp = import_module("captum.attr._core.lrp")
    ruled = tuple(captum_lrp.SUPPORTED_LAYERS_WITH_RULES)
    passed = tuple(captum_lrp.SUPPORTED_NON_LINEAR_LAYERS)

    def has_rule(layer: Any) -> bool:
        return getattr(layer, "rule", None) is not None or type(layer) in ruled

    without = [
        f"{path or 'the model itself'} ({type(module).__name__})"
        for path, module in model.model.named_modules()
        if not list(module.children()) and not has_rule(module) and type(module) not in passed
    ]
    if without:
        known = ", ".join(sorted({kind.__name__ for kind in (*ruled, *passed)}))
        raise RefusedError(
            f"captum:LRP has no rule for the layers {_listed(without)}; it knows {known}. Set a layer's attribute "
            "'rule' to one of captum.attr._utils.lrp_rules, or use attrkit's own 'lrp'"
        )

    def is_leaf(layer: Layer) -> bool:
        return not list(layer.layer.children())

    _check_operations("LRP", graph, is_leaf, lambda node: operation(node) in MOVING, "the leaves of a model")
    _check_used_once("LRP", graph, is_leaf)


def _check_operations(
    name: str, graph: Graph, is_hooked: Callable[[Layer], bool], is_right: Callable[[Any], bool], known: str
) -> None:
    found: dict[str, None] = {}
    ends = False
    for node in graph.nodes:
        home = graph.home(node)
        if (home is not None and is_hooked(home.layer)) or is_right(node):
            continue
        place = f"layer {home.layer.path!r} ({home.layer.kind})" if home else "the model's own forward"
        found[f"{operation(node)} in {place}"] = None
        ends = ends or operation(node) in _ENDS
    if graph.deciding:
        raise RefusedError(
            f"the model decides by values that depend on its input ({', '.join(dict.fromkeys(graph.deciding))}), for a "
            f"mask or a branch, which captum:{name} takes for constants, without a word; {_INSTEAD}"
        )
    if found:
        instead = _INSTEAD.replace("for them", "for more")
        hint = " Where it makes the output, logits=True explains the score before it." if ends else ""
        raise RefusedError(
            f"captum:{name} sees {known} only, as layers, and would pass a plain gradient, without a word, through "
            f"{_listed(list(found))}.{hint} Build the model of such layers, or {instead}"
        )


def _listed(names: list[str]) -> str:
    """Return the first few of some names, and how many more there are."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _is_scripted(module: Any) -> bool:
    return isinstance(module, import_module("torch.jit").ScriptModule)


def _check_used_once(name: str, graph: Graph, is_hooked: Callable[[Layer], bool]) -> None:
    paths = [call.layer.path for call in graph.calls if is_hooked(call.layer)]
    again = sorted({path for path in paths if paths.count(path) > 1})
    if again:
        raise RefusedError(
            f"captum:{name} keeps one call a layer, and {', '.join(map(repr, again))} runs more than once in a pass; "
            f"give each call a layer of its own, or {_INSTEAD}"
        )


def _check_windows(name: str, call: Called) -> None:
    layer = call.layer.layer
    window, stride = np.broadcast_arrays(layer.kernel_size, layer.stride)
    if (stride < window).any() or np.any(np.asarray(layer.dilation) != 1):
        raise RefusedError(
            f"the windows of layer {call.layer.path!r} ({call.layer.kind}) overlap, and captum:{name} keeps one of the "
            f"gradients where there are several; {_INSTEAD}"
        )
