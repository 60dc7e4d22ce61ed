"""Attention layers.

Held: weights are constants, and the values carry all relevance (Ali et al. 2022, arXiv:2202.07304, section 3.1).
Shared: half of it goes through the weights, and of that half to queries and half to keys (Achtibat et al. 2024,
arXiv:2402.05602, Propositions 3.1 to 3.3).
"""

from collections.abc import Mapping
from typing import Any

from attrkit.adapters._interception import intercepted
from attrkit.adapters.terms import Call, Layer
from attrkit.attention import by_attribute
from attrkit.errors import RefusedError
from attrkit.relevance.composites import Composite
from attrkit.relevance.flow import BIAS, Flow
from attrkit.relevance.keras.kernels import kernel_rule, weight
from attrkit.relevance.rule import Rule, untapped


def plan_multi_head(entry: Layer, inside: list[Layer], composite: Composite, **_: Any) -> Mapping[str, Rule]:
    """Rules for the projections; the layer itself runs as it is."""
    if getattr(entry.layer, "_gate_dense", None) is not None:
        raise RefusedError("its gate has no rule")
    path_of = {id(other.layer): other.path for other in inside}

    def projection(name: str) -> tuple[str, Rule]:
        layer = getattr(entry.layer, f"_{name}_dense")
        path = path_of[id(layer)]
        given = composite.rule_of(path, type(layer).__name__)
        return path, given if callable(given) else kernel_rule(layer, composite, rule=given)

    query, key, value, output = map(projection, ("query", "key", "value", "output"))
    if composite.attention == "held":
        return {query[0]: _held, key[0]: _held, value[0]: value[1], output[0]: _stabilised(output[1])}
    return {
        query[0]: _shared(query[1], 0.25),
        key[0]: _shared(key[1], 0.25),
        value[0]: _shared(value[1], 0.5),
        output[0]: output[1],
    }


@untapped
def _held(call: Call, flow: Flow) -> Any:
    return flow.hold(call.original(*call.args, **call.kwargs))


def _stabilised(rule: Rule) -> Rule:
    """Put the stabiliser of the weighted sum before the projection of it."""
    return lambda call, flow: rule(call._replace(args=(flow.node(call.args[0]), *call.args[1:])), flow)


def _shared(rule: Rule, part: float) -> Rule:
    return lambda call, flow: flow.share(rule(call, flow), part)


def plan_scored(entry: Layer, inside: list[Layer], composite: Composite, **_: Any) -> Mapping[str, Rule]:
    """Layers called with a list of query, value and key, or keras-self-attention's query, key and value."""
    if composite.attention == "shared" and getattr(entry.layer, "score_mode", "dot") not in ("dot", "concat"):
        raise RefusedError(f"score_mode={entry.layer.score_mode!r} has no rule that shares")
    return {entry.path: _scored}


def _scored(call: Call, flow: Flow) -> Any:
    given = call.args[0]
    key_at, value_at = (1, 2) if type(call.layer).__name__ == "ScaledDotProductAttention" else (2, 1)
    given = list(given) if isinstance(given, list | tuple) else [given] * 3
    query, key, value = given[0], given[min(key_at, len(given) - 1)], given[min(value_at, len(given) - 1)]
    additive = type(call.layer).__name__ == "AdditiveAttention"
    if flow.attention == "held":
        query, key = flow.hold(query), flow.hold(key)
    elif additive:
        value = flow.share(value, 0.5)
    else:
        query, key, value = flow.share(query, 0.25), flow.share(key, 0.25), flow.share(value, 0.5)
    ordered = [query, key, value] if key_at == 1 else [query, value, key]
    by_rule = {"": lambda own: (_additive_scores(own, flow), None)} if additive and flow.attention == "shared" else {}
    with intercepted("_calculate_scores", lambda: [Layer("", "", call.layer)], by_rule):
        output = call.original(ordered, *call.args[1:], **call.kwargs)
    if isinstance(output, list | tuple):
        return type(output)([flow.node(output[0]), *output[1:]])
    return flow.node(output)


def _additive_scores(call: Call, flow: Flow) -> Any:
    query, key = (call.args[i] if len(call.args) > i else call.kwargs[name] for i, name in enumerate(("query", "key")))
    ops = flow.ops
    h = flow.node(ops.expand_dims(query, -2) + ops.expand_dims(key, -3), ops.tanh)
    scale = weight(ops, getattr(call.layer, "scale", None), query)
    return flow.share(ops.sum(h if scale is None else scale * h, axis=-1), 0.5)


def plan_self(entry: Layer, inside: list[Layer], composite: Composite, **_: Any) -> Mapping[str, Rule]:
    """``SeqSelfAttention`` of keras-self-attention."""
    return {entry.path: _self}


def _self(call: Call, flow: Flow) -> Any:
    x, layer = call.args[0], call.layer
    if flow.attention == "held":
        _, read = by_attribute.read(call._replace(args=(flow.hold(x), *call.args[1:])))
        weights = flow.hold(read["attention"])
        output = flow.node(flow.ops.matmul(weights, x))
    else:
        parts = [Layer("", "", layer)]
        method = {"additive": "_call_additive_emission", "multiplicative": "_call_multiplicative_emission"}
        score = {"additive": _additive, "multiplicative": _multiplicative}[layer.attention_type]
        emission = {"": lambda own: (score(own, flow), None)}
        activation = {"": lambda own: (flow.activated(own.args[0], own.original), None)}
        own_activation = getattr(layer.attention_activation, "__name__", "linear") != "linear"
        with (
            intercepted(method[layer.attention_type], lambda: parts, emission),
            intercepted("attention_activation", lambda: parts, activation if own_activation else {}),
        ):
            _, read = by_attribute.read(call)
        weights = read["attention"]
        output = flow.node(flow.ops.matmul(flow.share(weights, 0.5), flow.share(x, 0.5)))
    return [output, weights] if layer.return_attention else output


def _additive(call: Call, flow: Flow) -> Any:
    layer, ops, x = call.layer, flow.ops, call.args[0]
    of_query, of_key, hidden, score, score_bias = (
        weight(ops, value, x) for value in (layer.Wt, layer.Wx, layer.bh, layer.Wa, layer.ba)
    )
    z = ops.expand_dims(ops.tensordot(x, of_query, axes=1), 2) + ops.expand_dims(ops.tensordot(x, of_key, axes=1), 1)
    h = flow.node(z if hidden is None else z + hidden, ops.tanh, bias=hidden)
    e = ops.tensordot(h, score, axes=1)
    return ops.squeeze(flow.node(e if score_bias is None else e + score_bias, bias=score_bias), -1)


def _multiplicative(call: Call, flow: Flow) -> Any:
    layer, ops, x = call.layer, flow.ops, call.args[0]
    query = ops.tensordot(x, weight(ops, layer.Wa, x), axes=1)
    e = ops.einsum("sqc,skc->sqk", flow.share(query, 0.5), flow.share(x, 0.5))
    bias = weight(ops, layer.ba, x)
    return e if bias is None else e + bias[0] + flow.entry(BIAS, bias[0], e)


def plan_weighted(entry: Layer, inside: list[Layer], composite: Composite, **_: Any) -> Mapping[str, Rule]:
    """``SeqWeightedAttention`` of keras-self-attention."""
    return {entry.path: _weighted}


def _weighted(call: Call, flow: Flow) -> Any:
    x, layer, ops = call.args[0], call.layer, flow.ops
    if flow.attention == "held":
        _, read = by_attribute.read(call._replace(args=(flow.hold(x), *call.args[1:])))
        weights, values = flow.hold(read["attention"]), x
    else:
        # Its scores are one linear map of the timestep itself.
        bias = weight(ops, layer.b, x)
        score = ops.tensordot(x, weight(ops, layer.W, x), axes=1)
        score = flow.node(score if bias is None else score + bias, bias=bias)
        _, read = by_attribute.read(call._replace(args=(flow.hold(x), *call.args[1:])))
        held = flow.hold(read["attention"])
        # The gradient of the softmax at the weights that the layer used, masks and all.
        moved = ops.squeeze(score - flow.hold(score), -1)
        weights = held + held * (moved - ops.sum(held * moved, axis=-1, keepdims=True))
        weights, values = flow.share(weights, 0.5), flow.share(x, 0.5)
    output = flow.node(ops.sum(ops.expand_dims(weights, -1) * values, axis=1))
    return [output, weights] if layer.return_attention else output
