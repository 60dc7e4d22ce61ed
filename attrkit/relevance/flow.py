"""How relevance flows through one pass: the value stays the model's own, the gradient becomes the rule's.

Relevance of an activation ``a`` is ``a * G``, where ``G`` is the gradient that the rules below leave. A rule of the
form ``R_in = x * (linear map of R_out / denominator)`` is then a forward pass with another gradient (Arras et al. 2025,
arXiv:2502.15886), and the framework's own differentiation carries relevance through shared layers, branches and loops.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

Activation = Callable[[Any], Any]

BIAS, EPSILON = "#bias", "#epsilon"
"""Leaves of ones, of shape (sample, column), whose gradients are what biases and stabilisers absorb."""

INTO, OUT_OF = "#into", "#out of"
"""The same for what goes into a layer, towards the input, and what it was given; where layers are told apart."""


@dataclass
class Flow:
    """What a rule is given beside the call of its layer.

    Attributes
    ----------
    ops : object
        The functions of `attrkit.relevance.ops`, in the framework's own tensors.
    epsilon : float
        Stabiliser of layers that have no kernel rule of their own.
    attention : {"held", "shared"}
        Whether attention weights are constants, or get half of the relevance of what they weigh.
    leaves : mapping of str to tensor
        `BIAS`, `EPSILON` and what rules of the input layer need.
    path : str
        Where the layer stands that a rule is for.
    columns : mapping of str to int
        Column of a layer's path in the ledger's leaves; all are the first where layers are not told apart.
    inputs : mapping of str to tensor
        What the model is called with.
    zeros_of : mapping of str to tensor
        The layer's columns of leaves, less their value, inside a loop.
    """

    ops: Any
    epsilon: float
    attention: str
    leaves: Mapping[str, Any]
    path: str = ""
    columns: Mapping[str, int] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    zeros_of: Mapping[str, Any] = field(default_factory=dict)

    def at(self, path: str) -> Self:
        """Return the same flow for another layer."""
        other = copy.copy(self)
        other.path = path
        return other

    def hold(self, x: Any) -> Any:
        """Return `x` as a constant: nothing flows into it."""
        return self.ops.stop_gradient(x)

    def share(self, x: Any, part: float) -> Any:
        """Return `x`, with a part of what flows into it."""
        held = self.hold(x)
        return held + (x - held) * part

    def nudge(self, z: Any, epsilon: float) -> Any:
        """Return epsilon sign(z), the sign of zero being one; z and this are together never zero."""
        step = self.ops.convert_to_tensor(epsilon, dtype=z.dtype)
        return self.ops.where(z >= 0, step, -step)

    def ratio(self, y: Any, z: Any) -> Any:
        """Return y / z as a constant; 0 where z is zero."""
        y, z = self.hold(y), self.hold(z)
        one, zero = self.ops.ones_like(z), z == 0
        return self.hold(self.ops.where(zero, 0 * one, y / self.ops.where(zero, one, z)))

    def node(
        self, z: Any, activation: Activation | None = None, *, bias: Any = None, epsilon: float | None = None
    ) -> Any:
        r"""Return ``activation(z)``, with the gradient of the epsilon rule below an activation that passes all on.

        .. math:: R_i = \frac{x_i w_{ij}}{z_j + \epsilon\,\mathrm{sign}(z_j)} R_j

        (Bach et al. 2015, doi:10.1371/journal.pone.0130140, eq. 58; Arras et al. 2017, arXiv:1706.07206, eq. 2).

        Parameters
        ----------
        z : tensor of shape (row, ..., unit)
            The linear map, its bias added.
        activation : callable, optional
        bias : tensor that broadcasts to `z`, optional
            The bias that was added, for the ledger.
        epsilon : float, optional
            The flow's own if not given.
        """
        epsilon = self.epsilon if epsilon is None else epsilon
        if bias is not None:
            z = z + self.entry(BIAS, bias, z)
        if activation is None and not epsilon:
            return z
        held = self.hold(z)
        y = held if activation is None else self.hold(activation(held))
        if not epsilon:
            return y + (z - held) * self.ratio(y, held)
        nudge = self.nudge(held, epsilon)
        return y + (z - held + self.entry(EPSILON, nudge, z)) * self.hold(y / (held + nudge))

    def stabilised(self, z: Any) -> tuple[Any, Any]:
        """Return what the flow's epsilon adds to `z`, and one over their sum, as constants; 0 where that is zero."""
        held = self.hold(z)
        if not self.epsilon:
            return 0 * held, self.ratio(self.ops.ones_like(held), held)
        nudge = self.nudge(held, self.epsilon)
        return nudge, self.hold(1 / (held + nudge))

    def activated(self, z: Any, activation: Activation) -> Any:
        """Return ``activation(z)``, elementwise, which passes relevance on as it is (Achtibat et al. 2024, eq. 9)."""
        held = self.hold(z)
        y = self.hold(activation(held))
        return y + (z - held) * self.ratio(y, held)

    def entry(self, leaf: str, amount: Any, like: Any) -> Any:
        """Return zeros whose gradient the ledger takes for `amount`, of a shape that broadcasts to `like`."""
        return self._zeros(leaf, like) * amount

    def tapped(self, leaf: str, values: Any) -> Any:
        """Return `values`, whose relevance is noted in a leaf where layers are told apart; a list, one by one."""
        if leaf not in self.leaves:
            return values
        if isinstance(values, list | tuple):
            return type(values)([self.tapped(leaf, value) for value in values])
        return values * self._ones(leaf, values) if "float" in str(getattr(values, "dtype", "")) else values

    def tapped_arguments(self, args: tuple[Any, ...]) -> tuple[tuple[Any, ...], Self]:
        """Return arguments tapped at `INTO`, and a flow that knows which of them are inputs of the model."""
        tapped = self.tapped(INTO, args)
        other = copy.copy(self)
        own = {self.input_name(before): after for before, after in zip(args, tapped, strict=True)}
        other.inputs = {**self.inputs, **{name: after for name, after in own.items() if name is not None}}
        return tapped, other

    def input_name(self, x: Any) -> str | None:
        """Return which of the model's inputs a tensor is; None if it is none of them."""
        return next((name for name, values in self.inputs.items() if values is x), None)

    def before_loop(self, like: Any) -> Self:
        """Return a flow for the steps of a loop, with values of the shape of `like`: what they share is made once."""
        other = copy.copy(self)
        # Of the whole shape: summing over units is left for after the loop.
        whole = self.ops.ones_like(like)
        other.zeros_of = {leaf: self._zeros(leaf, like) * whole for leaf in (BIAS, EPSILON)}
        return other

    def _zeros(self, leaf: str, like: Any) -> Any:
        if leaf in self.zeros_of:
            return self.zeros_of[leaf]
        ones = self._ones(leaf, like)
        return ones - self.hold(ones)

    def _ones(self, leaf: str, like: Any) -> Any:
        """Return the layer's column of a leaf, one value for each row of `like`."""
        ones = self.leaves[leaf][:, self.columns.get(self.path, 0)]
        rows, given = self.ops.shape(like)[0], self.ops.shape(ones)[0]
        # Where timesteps or heads are folded into the batch, samples are its slowest axis.
        if not (isinstance(rows, int) and isinstance(given, int) and rows == given):
            ones = self.ops.repeat(ones, rows // given, axis=0)
        return self.ops.cast(self.ops.reshape(ones, (-1,) + (1,) * (len(like.shape) - 1)), like.dtype)
