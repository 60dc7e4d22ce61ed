"""Linear maps with weights, and products of two tensors that both depend on the input."""

from collections.abc import Callable
from typing import Any

from attrkit.relevance.flow import BIAS, Flow
from attrkit.relevance.rules import Epsilon, Kernel, KernelRule
from attrkit.relevance.torch.flow import Samples, TorchFlow, moved, same_place
from attrkit.relevance.torch.seen import Seen


def linear(seen: Seen) -> Any:
    """``F.linear``."""
    import torch

    x, weight, bias = seen.take("input weight bias")
    if seen.is_live(weight) or seen.is_live(bias):
        z = _product(seen, lambda x, w: torch.matmul(x, w.transpose(-1, -2)), x, weight)
        return z if bias is None else _added(seen, z, bias)
    return by_kernel(seen, x, Kernel(torch.nn.functional.linear, weight.detach(), _held(bias)))


def convolution(seen: Seen) -> Any:
    """Convolutions, transposed and in groups too: each is one linear map."""
    x, weight, bias, *_ = seen.take("input weight bias")
    if seen.is_live(weight) or seen.is_live(bias):
        seen.refuse("its weights depend on the input")
    if bias is not None:
        bias = bias.detach().reshape(-1, *[1] * (weight.ndim - 2))
    names = ("input", "weight", "bias")
    rest, kwargs = seen.args[3:], {key: value for key, value in seen.kwargs.items() if key not in names}
    return by_kernel(seen, x, Kernel(lambda x, w: seen.func(x, w, None, *rest, **kwargs), weight.detach(), bias))


def matmul(seen: Seen) -> Any:
    """``@``, ``torch.matmul``, ``bmm`` and the like."""
    if seen.func.__name__ in ("__rmatmul__",):
        right, left = seen.args
    else:
        left = seen.args[0]
        right = seen.args[1] if len(seen.args) > 1 else next(iter(seen.kwargs.values()))
    seen.samples = _samples_of_matmul(seen, left, right)
    return contraction(seen, seen.run.flow.ops.matmul, left, right)


def add_matmul(seen: Seen) -> Any:
    """``addmm``, ``baddbmm``: a sum of a tensor and a product."""
    import torch

    added, left, right = seen.args[:3]
    beta, alpha = seen.kwargs.get("beta", 1), seen.kwargs.get("alpha", 1)
    seen.samples = _samples_of_matmul(seen, left, right)
    if not seen.is_live(added) and (seen.is_live(left) != seen.is_live(right)):
        return contraction(seen, lambda x, y: alpha * torch.matmul(x, y), left, right, bias=beta * added.detach())
    if not seen.is_live(left) and not seen.is_live(right):
        return _added(seen, beta * added, alpha * torch.matmul(left, right))
    return _added(seen, alpha * contraction(seen, torch.matmul, left, right), beta * added)


def einsum(seen: Seen) -> Any:
    """``torch.einsum`` of one tensor or two."""
    equation, *tensors = seen.args
    if tensors and isinstance(tensors[0], list | tuple):
        tensors = list(tensors[0])
    if not isinstance(equation, str) or len(tensors) > 2:
        seen.refuse("only of one tensor or two, by a text, has a rule; multiply one by one")
    seen.samples = _samples_of_einsum(seen, equation.replace(" ", ""), tensors)
    if len(tensors) == 1:
        return seen.func(equation, tensors[0])
    return contraction(seen, lambda x, y: seen.func(equation, x, y), *tensors)


def tensordot(seen: Seen) -> Any:
    """``torch.tensordot``."""
    left, right, dims = seen.take("a b dims")
    if isinstance(dims, int):
        dims = list(range(left.ndim - dims, left.ndim)), list(range(dims))
    rest = [[at for at in range(t.ndim) if at not in _axes(t, own)] for t, own in zip((left, right), dims, strict=True)]
    before = 0
    for value, axes in zip((left, right), rest, strict=True):
        if seen.is_live(value) and seen.samples is None:
            found = seen.of(value).samples
            at = None if found is None or found.axis is None else value.ndim + found.axis
            if at is None or at in axes:
                seen.samples = moved(found, 0 if at is None else before + axes.index(at) - sum(map(len, rest)))
        before += len(axes)
    return contraction(seen, lambda x, y: seen.func(x, y, dims=dims), left, right)


def _axes(value: Any, axes: Any) -> list[int]:
    return [axis % value.ndim for axis in ([axes] if isinstance(axes, int) else axes)]


def gated(seen: Seen) -> Any:
    """``F.glu``: one half is the gate of the other."""
    import torch

    x, dim = seen.take("input dim")
    signal, gate = x.chunk(2, -1 if dim is None else dim)
    return signal * torch.sigmoid(gate).detach()


def multiply(seen: Seen) -> Any:
    """``*``, of a tensor and a constant or of two."""
    left, right = seen.take("input other")
    if not (seen.is_live(left) and seen.is_live(right)):
        return seen.plain()
    made = {seen.of(left).made, seen.of(right).made}
    if made == {"spread"}:
        return seen.plain()
    left, right = _shared(seen, left, right)
    return left * right


def divide(seen: Seen) -> Any:
    """``/``: by a constant, or by the spread of values around, which is held."""
    left, right, mode = seen.take("input other rounding_mode")
    if mode or seen.kwargs.get("rounding_mode"):
        return seen.plain().detach()
    if not seen.is_live(right):
        return seen.plain()
    if seen.of(right).made != "spread":
        seen.refuse("by values that depend on the input")
    if not seen.is_live(left):
        return seen.plain()
    return seen.plain() if seen.of(left).made == "spread" else left / right.detach()


def reverse_divide(seen: Seen) -> Any:
    """``constant / x``."""
    x = seen.args[0]
    if seen.of(x).made != "spread":
        seen.refuse("by values that depend on the input")
    return seen.plain()


def contraction(seen: Seen, function: Callable[[Any, Any], Any], left: Any, right: Any, *, bias: Any = None) -> Any:
    """Return a bilinear map of two tensors: by the rule of kernels with weights, by the epsilon rule with others."""
    if seen.is_live(left) and seen.is_live(right):
        return _product(seen, function, left, right)
    x, weight = (left, right) if seen.is_live(left) else (right, left)
    layer = Kernel(function if x is left else lambda x, w: function(w, x), weight.detach(), bias)
    if seen.run.is_weight(weight):
        return by_kernel(seen, x, layer)
    flow = seen.flow.placed(seen.samples)
    return Epsilon(flow.epsilon).modified(flow, layer, x)


def by_kernel(seen: Seen, x: Any, layer: Kernel, *, place: Samples | None = None) -> Any:
    """Return a linear map of `x` with the rule that its module, the input, or the composite has."""
    flow, rule = chosen(seen, x)
    flow = flow.placed(place or seen.samples or seen.of(x).samples)
    if not isinstance(rule, Epsilon):
        return rule.modified(flow, layer, x)
    z = layer.linear(x, layer.kernel)
    z = z if layer.bias is None else z + layer.bias
    # An activation of nothing but this is one node with it (no value of zero between the two).
    seen.fused = lambda activation: flow.node(z, activation, bias=layer.bias, epsilon=rule.epsilon)
    return flow.node(z, bias=layer.bias, epsilon=rule.epsilon)


def chosen(seen: Seen, x: Any) -> tuple[TorchFlow, KernelRule]:
    """Return the rule for a linear map of `x`, and a flow that knows `x` for the input that it may be."""
    run, record = seen.run, seen.of(x)
    rule = run.given_rule()
    if rule is None:
        is_first = run.composite.first is not None and record.input is not None
        rule = run.composite.first if is_first else run.composite.kernel
    flow = seen.flow
    if record.input is not None and record.twins:
        flow = flow.at(flow.path)
        flow.inputs, flow.leaves = {record.input: x}, {**flow.leaves, **record.twins}
    return flow, rule


def _product(seen: Seen, function: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    if not (seen.is_live(left) and seen.is_live(right)):
        return contraction(seen, function, left, right)
    left, right = _shared(seen, left, right)
    z = function(left, right)
    return seen.flow.placed(seen.samples or same_place(seen.flow.place, z)).node(z)


def _shared(seen: Seen, left: Any, right: Any) -> tuple[Any, Any]:
    """Return two factors: the gate held, if one is; else with half of the relevance each.

    A gate, or the spread that values are scaled by, is a constant. The half, for the product of two signals, is
    Proposition 3.2 of Achtibat et al. 2024 (arXiv:2402.05602), under every composite: nothing says which of them
    weighs and which is weighed.
    """
    flow: Flow = seen.flow
    made = [seen.of(value).made for value in (left, right)]
    constant = [kind in ("gate", "spread") for kind in made]
    if constant[0] != constant[1]:
        return (flow.hold(left), right) if constant[0] else (left, flow.hold(right))
    return flow.share(left, 0.5), flow.share(right, 0.5)


def _added(seen: Seen, left: Any, right: Any) -> Any:
    z = left + right
    flow = seen.flow.placed(seen.samples or same_place(seen.flow.place, z))
    for value in (left, right):
        # What a rule has just made is not noted yet; constants need no gradient, or are parameters.
        if not value.requires_grad or seen.run.is_weight(value):
            z = z + flow.entry(BIAS, value.detach(), z)
    return z


def _held(value: Any) -> Any:
    return None if value is None else value.detach()


def _samples_of_matmul(seen: Seen, left: Any, right: Any) -> Samples | None:
    for value, other, contracted, row in ((left, right, -1, -2), (right, left, -2, -1)):
        if not seen.is_live(value):
            continue
        found = seen.of(value).samples
        if found is None or found.axis is None:
            return found
        if value.ndim > 1 and found.axis != contracted:
            # A vector as the other factor takes an axis with it.
            shift = 1 if other.ndim == 1 and (found.axis < -2 or value is left) else 0
            return Samples((found.axis if found.axis != row else row) + shift, found.index)
    return None


def _samples_of_einsum(seen: Seen, equation: str, tensors: list[Any]) -> Samples | None:
    before, _, after = equation.partition("->")
    if "->" not in equation or "..." in equation:
        return None
    for letters, value in zip(before.split(","), tensors, strict=True):
        if seen.is_live(value):
            found = seen.of(value).samples
            if found is None or found.axis is None:
                return found
            if letters[found.axis] in after:
                return Samples(after.index(letters[found.axis]) - len(after), found.index)
    return None
