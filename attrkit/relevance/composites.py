"""Composites: which rule each kind of layer gets. Data, to read and to extend."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from reprlib import repr as short
from typing import Any, get_args

from attrkit.checks import one_of, real_number
from attrkit.errors import InputError
from attrkit.relevance.rule import Rule
from attrkit.relevance.rules import AlphaBeta, Epsilon, Flat, Gamma, KernelRule, WSquare, ZBox, ZPlus

_EPSILON = Epsilon(1e-3)

RULES = ", ".join(kind.__name__ for kind in get_args(KernelRule))
"""Names of the rules for layers of weights."""


@dataclass(frozen=True)
class Composite:
    """Rules for the layers of a model.

    Attributes
    ----------
    kernel : rule
        For layers of weights: dense, convolution, projections of attention.
    epsilon : float
        Stabiliser of recurrent cells and of attention's weighted sums.
    attention : {"held", "shared"}
        ``"held"``: weights of attention, and gates of recurrent cells, are constants, and what they weigh carries all
        relevance. ``"shared"``: half of it goes through the weights to queries and keys, gates stay constants.
    first : rule, optional
        For layers of weights that are called with the model's input: `Flat`, `WSquare`, `ZBox`, or another.
    layers : mapping of str to rule or callable
        Before all of these, by a layer's type or its path: a kernel rule, or a function ``f(call, flow)`` that returns
        the layer's output, such as `attrkit.relevance.passes` for a layer that is linear or only routes.

    Raises
    ------
    InputError
        If something else came.

    Examples
    --------
    >>> from attrkit.relevance import COMPOSITES, AlphaBeta
    >>> COMPOSITES["arras"].extended({"Dense": AlphaBeta(2, 1)}).rule_of("head.dense", "Dense")
    AlphaBeta(alpha=2, beta=1, bias='split', epsilon=1e-07)
    """

    kernel: KernelRule = _EPSILON
    epsilon: float = 1e-3
    attention: str = "held"
    first: KernelRule | None = None
    layers: Mapping[str, KernelRule | Rule] = field(default_factory=dict)

    def __post_init__(self) -> None:
        one_of(self.attention, "attention", ("held", "shared"))
        real_number(self.epsilon, "epsilon", least=0)
        first = _EPSILON if self.first is None else self.first
        for role, own in (("kernel", self.kernel), ("first", first)):
            if not isinstance(own, KernelRule):
                raise InputError(f"{role}={short(own)} is no rule; accepted are {RULES}")
        if not isinstance(self.layers, Mapping):
            raise InputError(f"layers={short(self.layers)} is no mapping from a layer's type or path to a rule")
        for name, rule in self.layers.items():
            if not isinstance(name, str) or not (isinstance(rule, KernelRule) or callable(rule)):
                raise InputError(
                    f"layers={{{name!r}: {short(rule)}}} is not accepted; give a rule, {RULES}, or a function "
                    "f(call, flow), by a layer's type or path"
                )

    def extended(self, layers: Mapping[str, KernelRule | Rule]) -> "Composite":
        """Return this composite with further rules, by a layer's type or path."""
        return replace(self, layers={**self.layers, **layers})

    def rule_of(self, path: str, kind: str) -> KernelRule | Rule | None:
        """Return the rule given for a layer by its path, or by its type."""
        return self.layers.get(path, self.layers.get(kind))

    @property
    def conserves(self) -> bool:
        """Whether relevance and ledger add up to the output; a softmax that relevance goes through loses some."""
        return self.attention == "held"

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells this composite from others, hashable."""
        return (self.kernel, self.epsilon, self.attention, self.first, *self.layers.items())


COMPOSITES: Mapping[str, Composite] = {
    "arras": Composite(),
    "attnlrp": Composite(Epsilon(1e-6), 1e-6, attention="shared"),
    "epsilon": Composite(Epsilon(1e-6), 1e-6),
    "z": Composite(Epsilon(0.0), 0.0),
    "z_plus": Composite(ZPlus()),
    "alpha_beta": Composite(AlphaBeta()),
    "gamma": Composite(Gamma()),
    "innvestigate": Composite(Epsilon(1e-7), 0.0),
}
"""By name. ``arras``: Arras et al. 2017; ``attnlrp``: Achtibat et al. 2024; the others change the rule of kernels."""

INPUT_RULES = ("flat", "w_square", "z_box")


def composite_of(
    composite: str | Composite,
    *,
    epsilon: float | None,
    input_rule: str | KernelRule | None,
    bounds: tuple[float, float],
) -> Composite:
    """Return a composite by its name, with the options of the method.

    Parameters
    ----------
    composite : str or Composite
    epsilon : float, optional
        In place of the composite's own, in kernels and elsewhere.
    input_rule : {"flat", "w_square", "z_box"} or rule, optional
    bounds : tuple of float
        Smallest and largest value of the inputs, the box of ``"z_box"``.

    Raises
    ------
    InputError
        If a name is not known, or the epsilon is negative.
    """
    if not isinstance(composite, Composite):
        if not isinstance(composite, str) or composite not in COMPOSITES:
            raise InputError(
                f"unknown composite {composite!r}; known are {', '.join(COMPOSITES)}, or a Composite of your own"
            )
        composite = COMPOSITES[composite]
    if epsilon is not None:
        epsilon = real_number(epsilon, "epsilon", least=0)
        kernel = composite.kernel
        if not isinstance(kernel, Flat | WSquare):
            kernel = replace(kernel, epsilon=epsilon)
        composite = replace(composite, epsilon=epsilon, kernel=kernel)
    if isinstance(input_rule, str):
        one_of(input_rule, "input_rule", INPUT_RULES)
        rules: dict[str, KernelRule] = {"flat": Flat(), "w_square": WSquare(), "z_box": ZBox(*bounds)}
        input_rule = rules[input_rule]
    elif input_rule is not None and not isinstance(input_rule, KernelRule):
        known = ", ".join(map(repr, INPUT_RULES))
        raise InputError(f"input_rule={short(input_rule)} is no rule; accepted are {known}, or a rule: {RULES}")
    return composite if input_rule is None else replace(composite, first=input_rule)
