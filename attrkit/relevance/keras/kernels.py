"""Dense and convolutional layers: a kernel, a bias, an activation."""

from collections.abc import Mapping
from typing import Any

from attrkit.adapters.terms import Call, Layer
from attrkit.errors import RefusedError
from attrkit.relevance.composites import Composite
from attrkit.relevance.flow import OUT_OF, Flow
from attrkit.relevance.keras.elementwise import ends_in_softmax
from attrkit.relevance.rule import Rule, untapped
from attrkit.relevance.rules import Kernel, KernelRule


def plan(
    entry: Layer, inside: list[Layer], composite: Composite, *, rule: KernelRule | None, is_last: bool, logits: bool
) -> Mapping[str, Rule]:
    """Return the composite's rule for the layer, or its rule of the first layer where it is called with the input."""
    return {entry.path: kernel_rule(entry.layer, composite, rule=rule, is_last=is_last, logits=logits)}


def kernel_rule(
    layer: Any, composite: Composite, *, rule: KernelRule | None = None, is_last: bool = False, logits: bool = False
) -> Rule:
    """Return the rule of a layer of weights."""
    if getattr(layer, "groups", 1) != 1:
        raise RefusedError(f"it has {layer.groups} groups of channels")
    by_softmax = ends_in_softmax(layer, is_last=is_last, logits=logits)

    def rule_for(x: Any, flow: Flow) -> KernelRule:
        first = composite.first if flow.input_name(x) is not None else None
        return rule or first or composite.kernel

    def before_softmax(call: Call, flow: Flow) -> Any:
        # Only what goes into it is explained, and its result must be the very tensor that the model puts out.
        (x, *_), flow = flow.tapped_arguments(call.args)
        own = rule_for(x, flow)
        return call.layer.activation(flow.tapped(OUT_OF, own.modified(flow, _kernel(call.layer, flow.ops, x), x)))

    def run(call: Call, flow: Flow) -> Any:
        x = call.args[0]
        own = rule_for(x, flow)
        activation = call.layer.activation
        kernel = _kernel(call.layer, flow.ops, x)
        linear = activation is None or getattr(activation, "__name__", "") == "linear"
        return own.modified(flow, kernel._replace(activation=None if linear else activation), x)

    return untapped(before_softmax) if by_softmax else run


def _kernel(layer: Any, ops: Any, x: Any) -> Kernel:
    kernel, bias = weight(ops, layer.kernel, x), weight(ops, getattr(layer, "bias", None), x)
    if hasattr(layer, "equation"):
        return Kernel(lambda x, w: ops.einsum(layer.equation, x, w), kernel, bias)
    if not hasattr(layer, "kernel_size"):
        return Kernel(lambda x, w: ops.tensordot(x, w, axes=1), kernel, bias)
    channels_last = layer.data_format == "channels_last"
    if bias is not None and not channels_last:
        bias = ops.reshape(bias, (1, -1) + (1,) * layer.rank)
    causal = layer.padding == "causal"

    def convolve(x: Any, w: Any) -> Any:
        if causal:
            before = [layer.dilation_rate[0] * (layer.kernel_size[0] - 1), 0]
            x = ops.pad(x, [[0, 0], before, [0, 0]] if channels_last else [[0, 0], [0, 0], before])
        return ops.conv(
            x,
            w,
            strides=tuple(layer.strides),
            padding="valid" if causal else layer.padding,
            dilation_rate=tuple(layer.dilation_rate),
            data_format=layer.data_format,
        )

    return Kernel(convolve, kernel, bias)


def weight(ops: Any, variable: Any, like: Any) -> Any:
    """Return a layer's variable as a tensor of the type that the layer computes in."""
    return None if variable is None else ops.cast(ops.convert_to_tensor(variable), like.dtype)
