"""From a model and a composite to another backward pass, with the leaves of the ledger."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.adapters.keras import KerasModel
from attrkit.adapters.pytorch import TorchModule
from attrkit.adapters.terms import Call, Feed, Reader, Rewrite
from attrkit.errors import RefusedError
from attrkit.parts import Parts
from attrkit.relevance import keras, torch
from attrkit.relevance.composites import Composite
from attrkit.relevance.flow import BIAS, EPSILON, INTO, OUT_OF, Flow
from attrkit.relevance.ops import keras_ops, tensorflow_ops
from attrkit.relevance.rule import Rule
from attrkit.relevance.rules import input_leaves


class Plan(NamedTuple):
    """A rewrite; the layers in the columns of its ledger, one column without a name where they are not told apart."""

    rewrite: Rewrite
    layers: list[str]
    # Whether relevance and ledger add up to the output.
    conserves: bool
    # Runs the first samples, where only a run shows which operations have no rule.
    trial: Callable[[Parts], None] | None = None


def rewrite_of(model: Adapter, composite: Composite, *, by_layer: bool) -> Plan:
    """Return the backward pass that carries relevance through a model.

    Raises
    ------
    RefusedError
        If the model is a plain function, or a layer or an operation of it has no rule.
    """
    if isinstance(model, TorchModule):
        layers, begin_torch = torch.plan(model, composite, by_layer=by_layer)
        rewrite = Rewrite((composite.key, by_layer), _leaves(composite, layers, by_layer=by_layer), begin_torch)
        return Plan(rewrite, layers, composite.conserves, partial(model.try_rewrite, rewrite=rewrite))
    if not isinstance(model, KerasModel):
        raise RefusedError(
            f"lrp has no rules for a {type(model).__name__}: what it computes inside is not known; use "
            "integrated_gradients or occlusion"
        )
    ops = keras_ops() if model.is_keras_3 else tensorflow_ops()
    return _by_readers(model, composite, keras.plan(model, composite), ops, by_layer=by_layer)


def _by_readers(model: Adapter, composite: Composite, rules: Mapping[str, Rule], ops: Any, *, by_layer: bool) -> Plan:
    layers = list(rules) if by_layer else [""]
    columns = {path: i for i, path in enumerate(layers)}

    def begin(own: dict[str, Any], inputs: dict[str, Any]) -> tuple[dict[str, Reader], Any]:
        flow = Flow(ops, composite.epsilon, composite.attention, own, columns=columns, inputs=inputs)
        return {path: _reader(rule, flow.at(path)) for path, rule in rules.items()}, nullcontext()

    leaves = _leaves(composite, layers, by_layer=by_layer)
    return Plan(Rewrite((composite.key, by_layer), leaves, begin), layers, composite.conserves)


def _leaves(composite: Composite, layers: list[str], *, by_layer: bool) -> Callable[[Feed], Feed]:
    ledger = (BIAS, EPSILON, INTO, OUT_OF) if by_layer else (BIAS, EPSILON)

    def leaves(feed: Feed) -> Feed:
        floats = {name: values for name, values in feed.items() if values.dtype.kind == "f"}
        first = next(iter(floats.values()))
        found = {name: np.ones((len(first), len(layers)), first.dtype) for name in ledger}
        for name, values in floats.items():
            # Each once, in an order that no hash decides: what they give is added up.
            for rule in dict.fromkeys([composite.first, *composite.layers.values()]):
                found |= input_leaves(rule, name, values)
        return found

    return leaves


def _reader(rule: Rule, flow: Flow) -> Reader:
    def run(call: Call) -> tuple[Any, None]:
        if INTO not in flow.leaves or hasattr(rule, "untapped"):
            return rule(call, flow), None
        args, own = flow.tapped_arguments(call.args)
        kwargs = {name: flow.tapped(INTO, value) for name, value in call.kwargs.items()}
        return flow.tapped(OUT_OF, rule(call._replace(args=args, kwargs=kwargs), own)), None

    return run
