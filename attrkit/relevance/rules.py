"""Rules of kernel layers: a linear map, a bias and an activation that passes relevance on.

Each is data, and has one function ``modified``, the layer's forward pass with the rule for its gradient. Numbers
that no rule can be written with are an `InputError`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from attrkit.checks import one_of, real_number
from attrkit.errors import InputError, RefusedError
from attrkit.relevance.flow import BIAS, EPSILON, INTO, Activation, Flow


class Kernel(NamedTuple):
    """What rules see of a layer: ``linear(x, kernel)``, its kernel, its bias as it broadcasts, its activation."""

    linear: Callable[[Any, Any], Any]
    kernel: Any
    bias: Any = None
    activation: Activation | None = None

    def output(self, x: Any) -> tuple[Any, Any]:
        """Return what the layer gives before and after its activation."""
        z = self.linear(x, self.kernel)
        z = z if self.bias is None else z + self.bias
        return z, z if self.activation is None else self.activation(z)


def _halves(flow: Flow, values: Any) -> tuple[Any, Any]:
    zero = flow.ops.zeros_like(values)
    return flow.ops.maximum(values, zero), flow.ops.minimum(values, zero)


@dataclass(frozen=True)
class Epsilon:
    """Shares by contribution, the sum kept from zero (Bach et al. 2015, equation 58).

    Parameters
    ----------
    epsilon : float, default 1e-3
        What the sum is moved away from zero by; 0 is the z rule.
    """

    epsilon: float = 1e-3

    def __post_init__(self) -> None:
        real_number(self.epsilon, "epsilon", least=0)

    def modified(self, flow: Flow, layer: Kernel, x: Any) -> Any:
        """Return the layer's output, with the rule for its gradient."""
        z = layer.linear(x, layer.kernel)
        z = z if layer.bias is None else z + layer.bias
        return flow.node(z, layer.activation, bias=layer.bias, epsilon=self.epsilon)


@dataclass(frozen=True)
class AlphaBeta:
    """Shares among what raises an output, times alpha, and among what lowers it, times -beta.

    Bach et al. 2015, equation 60.

    Parameters
    ----------
    alpha, beta : float, default 2 and 1
        Both 0 or more; their difference is 1, or relevance would not be kept.
    bias : {"split", "innvestigate", "ignore"}, default "split"
        ``"split"`` counts the positive part of a bias with what raises and the negative with what lowers;
        ``"innvestigate"`` all of it with both, as that toolkit does; ``"ignore"`` with neither.
    epsilon : float, default 1e-7
        What each of the two sums is moved away from zero by.
    """

    alpha: float = 2.0
    beta: float = 1.0
    bias: str = "split"
    epsilon: float = 1e-7

    def __post_init__(self) -> None:
        one_of(self.bias, "bias", ("split", "innvestigate", "ignore"))
        for name in ("alpha", "beta", "epsilon"):
            real_number(getattr(self, name), name, least=0)
        if not np.isclose(self.alpha - self.beta, 1):
            raise InputError(f"alpha={self.alpha!r} and beta={self.beta!r} came; their difference must be 1")

    def modified(self, flow: Flow, layer: Kernel, x: Any) -> Any:
        """Return the layer's output, with the rule for its gradient."""
        _, y = layer.output(flow.hold(x))
        (x_up, x_down), (w_up, w_down) = _halves(flow, x), _halves(flow, layer.kernel)
        found = flow.hold(y)
        for part, ups, sign in ((self.alpha, True, 1.0), (-self.beta, False, -1.0)):
            if not part:
                continue
            z = layer.linear(x_up, w_up if ups else w_down) + layer.linear(x_down, w_down if ups else w_up)
            bias = None
            if layer.bias is not None and self.bias != "ignore":
                bias = layer.bias if self.bias == "innvestigate" else _halves(flow, layer.bias)[0 if ups else 1]
            whole = flow.hold(z if bias is None else z + bias)
            # A sum of one sign, which may be zero, moves away from zero on its own side.
            nudge = flow.nudge(whole if self.bias == "innvestigate" else sign * flow.ops.ones_like(whole), self.epsilon)
            moved = z - flow.hold(z) + flow.entry(EPSILON, nudge, whole)
            if bias is not None:
                moved = moved + flow.entry(BIAS, bias, whole)
            found = found + part * moved * flow.ratio(y, whole + nudge)
        return found


def ZPlus(epsilon: float = 1e-7) -> AlphaBeta:
    """Return the rule that shares among what raises an output only (Montavon et al. 2017): alpha 1, beta 0.

    Parameters
    ----------
    epsilon : float, default 1e-7
        What the sum is moved away from zero by.

    Returns
    -------
    AlphaBeta
        With alpha 1 and beta 0.

    Examples
    --------
    >>> ZPlus()
    AlphaBeta(alpha=1.0, beta=0.0, bias='split', epsilon=1e-07)
    """
    return AlphaBeta(1.0, 0.0, epsilon=epsilon)


@dataclass(frozen=True)
class Gamma:
    """Shares by contribution, those of the output's own sign raised.

    For outputs above 0 it is LRP-gamma; for those below, negative contributions are raised, as in zennit.

    Parameters
    ----------
    gamma : float, default 0.25
        By how much of themselves contributions of the output's own sign are raised.
    epsilon : float, default 1e-7
        What the sum is moved away from zero by.
    """

    gamma: float = 0.25
    epsilon: float = 1e-7

    def __post_init__(self) -> None:
        for name in ("gamma", "epsilon"):
            real_number(getattr(self, name), name, least=0)

    def modified(self, flow: Flow, layer: Kernel, x: Any) -> Any:
        """Return the layer's output, with the rule for its gradient."""
        z, y = layer.output(flow.hold(x))
        (x_up, x_down), (w_up, w_down) = _halves(flow, x), _halves(flow, layer.kernel)
        w_up, w_down = layer.kernel + self.gamma * w_up, layer.kernel + self.gamma * w_down
        raised = layer.linear(x_up, w_up) + layer.linear(x_down, w_down)
        lowered = layer.linear(x_up, w_down) + layer.linear(x_down, w_up)
        is_up = flow.hold(z) >= 0
        own = flow.ops.where(is_up, raised, lowered)
        bias = None
        if layer.bias is not None:
            b_up, b_down = _halves(flow, layer.bias)
            bias = flow.ops.where(is_up, layer.bias + self.gamma * b_up, layer.bias + self.gamma * b_down)
        whole = flow.hold(own if bias is None else own + bias)
        nudge = flow.nudge(whole, self.epsilon)
        moved = own - flow.hold(own) + flow.entry(EPSILON, nudge, whole)
        if bias is not None:
            moved = moved + flow.entry(BIAS, bias, whole)
        return flow.hold(y) + moved * flow.ratio(y, whole + nudge)


@dataclass(frozen=True)
class Flat:
    """For layers called with the model's input: equal shares for all inputs of a unit (Lapuschkin et al. 2019)."""

    def modified(self, flow: Flow, layer: Kernel, x: Any) -> Any:
        """Return the layer's output, with the rule for its gradient."""
        return _by_ones(self, flow, layer, x, flow.ops.ones_like(layer.kernel))


@dataclass(frozen=True)
class WSquare:
    """For layers called with the model's input: shares by squared weight (Montavon et al. 2017, equation 12)."""

    def modified(self, flow: Flow, layer: Kernel, x: Any) -> Any:
        """Return the layer's output, with the rule for its gradient."""
        return _by_ones(self, flow, layer, x, layer.kernel * layer.kernel)


def _by_ones(rule: Any, flow: Flow, layer: Kernel, x: Any, kernel: Any) -> Any:
    _, y = layer.output(flow.hold(x))
    z = layer.linear(_beside(flow, rule, "ones", x), kernel)
    return flow.hold(y) + (z - flow.hold(z)) * flow.ratio(y, z)


@dataclass(frozen=True)
class ZBox:
    """For layers called with the model's input, whose values lie in a box: shares from its corner.

    Montavon et al. 2017, equation 13.

    Parameters
    ----------
    low, high : float
        The smallest and the largest value that an input may have.
    epsilon : float, default 1e-7
        What the sum is moved away from zero by.
    """

    low: float
    high: float
    epsilon: float = 1e-7

    def __post_init__(self) -> None:
        real_number(self.epsilon, "epsilon", least=0)
        if not real_number(self.low, "low") <= real_number(self.high, "high"):
            raise InputError(f"low={self.low!r} and high={self.high!r} came; accepted is a low no larger than high")

    def modified(self, flow: Flow, layer: Kernel, x: Any) -> Any:
        """Return the layer's output, with the rule for its gradient."""
        _, y = layer.output(flow.hold(x))
        w_up, w_down = _halves(flow, layer.kernel)
        low, high = _beside(flow, self, "low", x), _beside(flow, self, "high", x)
        z = layer.linear(x, layer.kernel) - layer.linear(low, w_up) - layer.linear(high, w_down)
        held = flow.hold(z)
        nudge = flow.nudge(held, self.epsilon)
        return flow.hold(y) + (z - held + flow.entry(EPSILON, nudge, held)) * flow.ratio(y, held + nudge)


def input_leaves(rule: Any, name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """Return what a rule of the first layer needs beside an input: leaves of its shape, which are that input's too."""
    if isinstance(rule, Flat | WSquare):
        return {_leaf(rule, "ones", name): np.ones_like(values)}
    if isinstance(rule, ZBox):
        low, high = np.full_like(values, rule.low), np.full_like(values, rule.high)
        return {_leaf(rule, "low", name): low, _leaf(rule, "high", name): high}
    return {}


def _leaf(rule: Any, kind: str, name: str) -> str:
    return f"#{kind} of {rule!r} {name}"


def _beside(flow: Flow, rule: Any, kind: str, x: Any) -> Any:
    """Return the leaf that stands beside an input of the model."""
    name = flow.input_name(x)
    if name is None:
        raise RefusedError(f"{rule!r} is a rule of layers that are called with the model's input; {flow.path} is not")
    return flow.tapped(INTO, flow.leaves[_leaf(rule, kind, name)])


KernelRule = Epsilon | AlphaBeta | Gamma | Flat | WSquare | ZBox
