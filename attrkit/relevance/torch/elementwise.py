"""Functions that map each value by itself, normalise it by its neighbours, or make shares or gates of it."""

from typing import Any

from attrkit.relevance.flow import BIAS, OUT_OF
from attrkit.relevance.torch.seen import Seen
from attrkit.relevance.torch.tensors import is_tensor, tensors_in


def activation(seen: Seen) -> Any:
    """Pass relevance on as it is; as one node with the linear map that made the argument, where one did."""
    x = seen.args[0] if seen.args else seen.kwargs["input"]
    if not seen.is_live(x) or any(value is not x for value in seen.live):
        seen.refuse("of more than one tensor that depends on the input")
    record = seen.of(x)
    if record.made == "spread":
        return seen.plain()

    def function(z: Any) -> Any:
        return seen.again(lambda value: z if value is x else value)

    return seen.flow.activated(x, function) if record.fused is None else record.fused(function)


def gate(seen: Seen) -> Any:
    """Activations between 0 and 1, which are constants where they are a factor."""
    y = activation(seen)
    seen.made = "gate"
    return y


def power(seen: Seen) -> Any:
    """``x ** number``: a root is a spread, what is above one is an activation."""
    x, exponent = seen.take("self exponent")
    if is_tensor(exponent) and exponent.numel() > 1:
        seen.refuse("with more than one exponent")
    if not seen.is_live(x) or seen.is_live(exponent):
        seen.refuse("of a constant")
    return activation(seen) if float(exponent) >= 1 else spread(seen)


def spread(seen: Seen) -> Any:
    """Roots and norms: constants where values are divided by them, and refused elsewhere."""
    seen.made = "spread"
    return seen.plain()


def softmax(seen: Seen) -> Any:
    """Held: a constant. Shared: the plain gradient (Achtibat et al. 2024, arXiv:2402.05602, Proposition 3.1)."""
    seen.run.has_softmax = True
    seen.made = "softmax"
    y = seen.plain()
    return y.detach() if seen.flow.attention == "held" else y


def log_softmax(seen: Seen) -> Any:
    """Only as the model's output, of which relevance can be asked before it."""
    seen.run.has_softmax = True
    seen.made = "log_softmax"
    return seen.plain()


def added(seen: Seen) -> Any:
    """Add, choose or join tensors and constants; what constants bring is a bias."""
    y = seen.plain()
    if seen.name in ("add", "sub", "__rsub__") and len(seen.live) == 2:
        return y
    amount = _of_constants(seen)
    if amount is None:
        return y
    seen.run.follow(seen, y)
    flow = seen.flow.placed(seen.of(y).samples)
    seen.samples = seen.of(y).samples
    seen.made = seen.of(y).made
    return y + flow.entry(BIAS, amount, y)


def _of_constants(seen: Seen) -> Any:
    """Return what constants bring to a sum, choice or join; None if nothing."""
    import torch

    ids = {id(value) for value in seen.live}
    # Functions that go value by value; for them one number will do.
    small = seen.name in ("add", "sub", "__rsub__", "where", "masked_fill")
    given = [value for value in tensors_in(seen.args) if value.is_floating_point()]
    if not small and all(id(value) in ids for value in given):
        return None

    def without(value: Any) -> Any:
        if id(value) not in ids:
            return value
        zero = torch.zeros((), dtype=value.dtype, device=value.device)
        return zero if small else zero.expand(value.shape)

    with torch.no_grad():
        amount = seen.again(without).detach()
    if not amount.is_floating_point():
        return None
    # What masks put into scores is no number to weigh.
    amount = torch.nan_to_num(amount, nan=0.0, posinf=0.0, neginf=0.0)
    return amount if bool(amount.any()) else None


def written(seen: Seen) -> Any:
    """``x[...] = values``: what was there, or is put there, and is a constant is a bias."""
    import torch

    into, index, value = seen.args
    flow = seen.flow
    if seen.is_live(into):
        seen.plain()
        if seen.is_live(value):
            return None
        amount = torch.zeros_like(into)
        amount[index] = value
    else:
        amount = into.detach().clone()
        amount[index] = 0
        seen.plain()
    amount = torch.nan_to_num(amount, nan=0.0, posinf=0.0, neginf=0.0)
    if bool(amount.any()):
        seen.run.follow(seen, None)
        flow = flow.placed(seen.of(into).samples)
        brought = flow.entry(BIAS, amount, into)
        # What is written to cannot be tapped itself.
        into.add_(brought + flow.entry(OUT_OF, amount, into) if seen.run.is_apart else brought)
    return None


def layer_norm(seen: Seen) -> Any:
    """Subtract the mean, and hold the spread (Ali et al. 2022, arXiv:2202.07304, eq. 13)."""
    x, shape, weight, bias, eps = seen.take("input normalized_shape weight bias eps")
    dims = list(range(-len(shape), 0))
    centred = x - x.mean(dims, keepdim=True)
    return _scaled(seen, centred, dims, 1e-5 if eps is None else eps, weight, bias)


def rms_norm(seen: Seen) -> Any:
    """Hold the root of the mean square."""
    import torch

    x, shape, weight, eps = seen.take("input normalized_shape weight eps")
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    return _scaled(seen, x, list(range(-len(shape), 0)), eps, weight, None)


def group_norm(seen: Seen) -> Any:
    """Normalise each group of channels like a layer."""
    x, groups, weight, bias, eps = seen.take("input num_groups weight bias eps")
    return _by_channels(seen, x, groups, weight, bias, 1e-5 if eps is None else eps)


def instance_norm(seen: Seen) -> Any:
    """Normalise each channel like a layer, or by what was learned in training."""
    names = "input running_mean running_var weight bias use_input_stats momentum eps"
    x, mean, variance, weight, bias, by_input, _, eps = seen.take(names)
    if by_input is False:
        return _by_statistics(seen, x, mean, variance, weight, bias, eps)
    if mean is not None:
        seen.refuse("with running statistics that the pass changes")
    return _by_channels(seen, x, x.shape[1], weight, bias, 1e-5 if eps is None else eps)


def batch_norm(seen: Seen) -> Any:
    """In evaluation mode a scale, the plain gradient, and a shift, a bias."""
    names = "input running_mean running_var weight bias training momentum eps"
    x, mean, variance, weight, bias, training, _, eps = seen.take(names)
    if training or mean is None:
        seen.refuse("by the statistics of the batch")
    return _by_statistics(seen, x, mean, variance, weight, bias, eps)


def _by_statistics(seen: Seen, x: Any, mean: Any, variance: Any, weight: Any, bias: Any, eps: Any) -> Any:
    scale = (variance + (1e-5 if eps is None else eps)).rsqrt()
    scale = (scale if weight is None else scale * weight).detach()
    shift = -mean * scale if bias is None else bias.detach() - mean * scale
    y = seen.plain()
    return y + seen.flow.entry(BIAS, shift.to(y.dtype).reshape(-1, *[1] * (y.ndim - 2)), y)


def _by_channels(seen: Seen, x: Any, groups: int, weight: Any, bias: Any, eps: float) -> Any:
    apart = x.reshape(x.shape[0], groups, -1)
    centred = apart - apart.mean(-1, keepdim=True)
    spread = (centred.square().mean(-1, keepdim=True) + eps).sqrt().detach()
    y = (centred / spread).reshape(x.shape)
    weight, bias = (None if v is None else v.detach().reshape(-1, *[1] * (x.ndim - 2)) for v in (weight, bias))
    y = y if weight is None else y * weight
    return y if bias is None else y + bias + seen.flow.entry(BIAS, bias, y)


def _scaled(seen: Seen, centred: Any, dims: list[int], eps: float, weight: Any, bias: Any) -> Any:
    y = centred / (centred.square().mean(dims, keepdim=True) + eps).sqrt().detach()
    y = y if weight is None else y * weight.detach()
    return y if bias is None else y + bias.detach() + seen.flow.entry(BIAS, bias.detach(), y)


def extreme(seen: Seen) -> Any:
    """Return the larger or the smaller of two: the winner takes all; of a tensor and a constant, an activation."""
    return seen.plain() if len(seen.live) == 2 else activation(seen)
