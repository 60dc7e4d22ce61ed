"""Models that the classes which replace the gradient of layers would explain wrongly, each named with its place."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.adapters.pytorch import TorchModule
from attrkit.adapters.terms import Layer
from attrkit.engines._torch_graph import MOVING, POOLING, Called, Graph, operation
from attrkit.engines._torch_refusals import INSTEAD, check_operations, check_used_once, hookable, listed
from attrkit.errors import RefusedError


def torch_module(model: Adapter, name: str) -> TorchModule:
    """Return the adapter, or refuse models in which Captum finds no layers, or layers it sees nothing of."""
    return hookable(model, f"captum:{name}", has_rules=name == "LRP")


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
            f"captum:LRP has no rule for the layers {listed(without)}; it knows {known}. Set a layer's attribute "
            "'rule' to one of captum.attr._utils.lrp_rules, or use attrkit's own 'lrp'"
        )

    def is_leaf(layer: Layer) -> bool:
        return not list(layer.layer.children())

    _check_operations("LRP", graph, is_leaf, lambda node: operation(node) in MOVING, "the leaves of a model")
    _check_used_once("LRP", graph, is_leaf)


def _check_operations(
    name: str, graph: Graph, is_hooked: Callable[[Layer], bool], is_right: Callable[[Any], bool], known: str
) -> None:
    def is_seen(node: Any, home: Called | None) -> bool:
        return (home is not None and is_hooked(home.layer)) or is_right(node)

    check_operations(f"captum:{name}", graph, is_seen, known)


def _check_used_once(name: str, graph: Graph, is_hooked: Callable[[Layer], bool]) -> None:
    check_used_once(f"captum:{name}", graph, is_hooked)


def _check_windows(name: str, call: Called) -> None:
    layer = call.layer.layer
    window, stride = np.broadcast_arrays(layer.kernel_size, layer.stride)
    if (stride < window).any() or np.any(np.asarray(layer.dilation) != 1):
        raise RefusedError(
            f"the windows of layer {call.layer.path!r} ({call.layer.kind}) overlap, and captum:{name} keeps one of the "
            f"gradients where there are several; {INSTEAD}"
        )
