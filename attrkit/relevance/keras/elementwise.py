"""Activations, normalisations, constants: layers that map each value by itself, or by the spread of its neighbours."""

from collections.abc import Mapping
from typing import Any

from attrkit.adapters.terms import Call, Layer
from attrkit.errors import RefusedError
from attrkit.relevance.flow import BIAS, Flow
from attrkit.relevance.rule import Rule

_SOFTMAX = ("softmax", "log_softmax")


def ends_in_softmax(layer: Any, *, is_last: bool, logits: bool) -> bool:
    """Whether a layer's activation makes the output whose logits are explained.

    Raises
    ------
    RefusedError
        If it is a softmax that relevance would have to go through.
    """
    activation = getattr(layer, "activation", None)
    name = "softmax" if type(layer).__name__ == "Softmax" else getattr(activation, "__name__", "")
    if name in _SOFTMAX and is_last and not logits:
        raise RefusedError(f"its {name} shares one whole among the outputs; pass logits=True to explain what goes in")
    if name in _SOFTMAX and not is_last:
        raise RefusedError(f"a {name} inside the model has no rule")
    return is_last and logits and name in (*_SOFTMAX, "sigmoid")


def plan_activation(
    entry: Layer, inside: list[Layer], composite: Any, *, rule: Any, is_last: bool, logits: bool
) -> Mapping[str, Rule]:
    """Let relevance through activations as it is."""
    if ends_in_softmax(entry.layer, is_last=is_last, logits=logits):
        return {}

    def run(call: Call, flow: Flow) -> Any:
        return flow.activated(call.args[0], lambda z: call.original(z, *call.args[1:], **call.kwargs))

    return {entry.path: run}


def plan_affine(entry: Layer, inside: list[Layer], composite: Any, **_: Any) -> Mapping[str, Rule]:
    """Count what comes of zeros as a bias; scales are the plain gradient."""
    return {entry.path: _affine}


def _affine(call: Call, flow: Flow) -> Any:
    x = call.args[0]
    y = call.original(*call.args, **call.kwargs)
    shift = call.original(flow.ops.zeros_like(x[:1]))
    return y + flow.entry(BIAS, flow.hold(shift), y)


def plan_constant(entry: Layer, inside: list[Layer], composite: Any, **_: Any) -> Mapping[str, Rule]:
    """Count an embedding that is not what is explained, such as one of positions, as a bias."""

    def run(call: Call, flow: Flow) -> Any:
        y = call.original(*call.args, **call.kwargs)
        return y + flow.entry(BIAS, flow.hold(y), y)

    return {entry.path: run}


def plan_layer_norm(entry: Layer, inside: list[Layer], composite: Any, **_: Any) -> Mapping[str, Rule]:
    """Subtract the mean, and hold the spread (Ali et al. 2022, arXiv:2202.07304, eq. 13)."""
    if getattr(entry.layer, "rms_scaling", False):
        raise RefusedError("rms_scaling has no rule")
    return {entry.path: _layer_norm}


def _layer_norm(call: Call, flow: Flow) -> Any:
    from attrkit.relevance.keras.kernels import weight

    layer, ops, x = call.layer, flow.ops, call.args[0]
    axes = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
    centred = x - ops.mean(x, axis=axes, keepdims=True)
    spread = ops.sqrt(ops.mean(centred * centred, axis=axes, keepdims=True) + layer.epsilon)
    y = centred / flow.hold(spread)
    shape = [size if axis in [a % len(x.shape) for a in axes] else 1 for axis, size in enumerate(x.shape)]
    gamma, beta = (weight(ops, value, x) for value in (layer.gamma, layer.beta))
    if gamma is not None:
        y = y * ops.reshape(gamma, shape)
    if beta is not None:
        beta = ops.reshape(beta, shape)
        y = y + beta + flow.entry(BIAS, beta, y)
    return y
