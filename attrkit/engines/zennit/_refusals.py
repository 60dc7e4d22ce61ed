"""Models that zennit's composites would explain wrongly, each named with its place."""

from collections.abc import Collection, Mapping
from importlib import import_module
from typing import Any

from attrkit.engines._torch_graph import COPYING, MOVING, POOLING, Called, Graph, operation
from attrkit.engines._torch_refusals import INSTEAD, check_operations, check_used_once, listed
from attrkit.engines.zennit._rooms import room
from attrkit.errors import RefusedError

_ROUTING = MOVING | COPYING | POOLING | {"AdaptiveMaxPool2D", "AdaptiveMaxPool3D", "Amax", "Max"}
"""Operations whose plain gradient is what a rule for them would give: relevance goes where values came from."""

# What a dead unit gives is 0, and every rule after the input multiplies by it: the gradient of ReLU, 0 or 1, is the
# same as the rule that passes relevance on.
_RIGHT_BESIDE_RULES = _ROUTING | {"Relu"}

_HINTS = {
    **dict.fromkeys(("Add", "Sum"), "Sums have a rule as a layer: zennit.layer.Sum(-1) of torch.stack([a, b], -1)."),
    "Mean": "Means over time have a rule as a layer: nn.AdaptiveAvgPool1d.",
}


def check_through_relu(method: str, graph: Graph) -> None:
    """Refuse what `DeconvNet`, `GuidedBackprop` and `BetaSmooth` do not see: they hook ``nn.ReLU`` and no more."""
    relu = import_module("torch.nn").ReLU
    if not any(type(call.layer.layer) is relu for call in graph.calls):
        raise RefusedError(
            f"{method} changes the gradient of layers nn.ReLU, and the model runs none: it would be the plain "
            "gradient; use attrkit's own 'gradient'"
        )

    def is_right(node: Any, home: Called | None) -> bool:
        # The papers send the gradient of max-pooling back to the largest value, which it does by itself.
        return (
            (home is not None and type(home.layer.layer) is relu)
            or graph.is_linear(node)
            or operation(node) in _ROUTING
        )

    check_operations(method, graph, is_right, "nn.ReLU")
    check_used_once(method, graph, lambda layer: type(layer.layer) is relu)


def check_ruled(method: str, graph: Graph, hooks: Mapping[str, Any], merged: Collection[str]) -> None:
    """Refuse what a composite has no rule for, or rules that would not hold.

    Parameters
    ----------
    method : str
        The toolkit and its name, ``"zennit:EpsilonPlus"``.
    graph : Graph
    hooks : mapping of str to hook
        What the composite maps layers to, None where it has no rule, by path.
    merged : collection of str
        Paths of the layers of batch normalisation that do nothing any more.
    """
    rules, types = room("rules"), room("types")
    activations = types.Activation.__dict__["__subclass__"]
    for call in graph.calls:
        layer, path, kind = call.layer.layer, call.layer.path, call.layer.kind
        if isinstance(layer, types.BatchNorm) and path not in merged:
            raise RefusedError(
                f"{method} would pass relevance through layer {path!r} ({kind}) as if it neither scaled nor shifted. "
                "Right after a layer of weights that nothing else follows it is merged into that layer; here it cannot "
                f"be; {INSTEAD}"
            )
        if isinstance(layer, types.Linear) and hooks.get(path) is not None:
            own = {name for name, _ in layer.named_parameters()}
            if "weight" not in own or own - {"weight", "bias"}:
                raise RefusedError(
                    f"layer {path!r} ({kind}) makes its weight of {listed(sorted(own - {'bias'}))}, and zennit's rules "
                    "would change these, or nothing, without a word; make the weight plain first: "
                    "torch.nn.utils.parametrize.remove_parametrizations, or torch.nn.utils.remove_weight_norm"
                )

    def is_right(node: Any, home: Called | None) -> bool:
        if home is None or hooks.get(home.layer.path) is None:
            return operation(node) in _RIGHT_BESIDE_RULES or (home is not None and home.layer.path in merged)
        if isinstance(hooks[home.layer.path], rules.Pass):
            return home.layer.path in merged or type(home.layer.layer) in activations
        # The rule stands for the whole layer, which has to be what rules are for: linear in its input.
        return graph.is_linear(node)

    known = "layers of weights, average pooling, zennit.layer.Sum, nn.ReLU"
    if any(isinstance(hook, rules.Pass) for hook in hooks.values()):
        known += " and other activations"
    check_operations(method, graph, is_right, known, hints=_HINTS)
    relu = import_module("torch.nn").ReLU
    check_used_once(method, graph, lambda layer: hooks.get(layer.path) is not None and type(layer.layer) is not relu)


def first_layer(method: str, graph: Graph, hooks: Mapping[str, Any], first_map: Any) -> str:
    """Return the path of the layer that a composite has its rule of the input for; refuse a model with another order.

    zennit takes the first such layer in the order in which modules were assigned.
    """
    chosen = {id(hook) for _, hook in first_map}
    kinds = tuple(kind for kinds, _ in first_map for kind in ([kinds] if isinstance(kinds, type) else kinds))
    found = [path for path, hook in hooks.items() if id(hook) in chosen]
    linear = [call for call in graph.calls if isinstance(call.layer.layer, room("types").Linear)]
    at_input = {call.layer.path: _from_input(graph, call) for call in linear}
    right = [path for path, (reaches, _) in at_input.items() if reaches]
    if right == found and at_input[found[0]][1]:
        return found[0]
    names = listed(sorted({kind.__name__ for kind in kinds}))
    raise RefusedError(
        f"{method} has a rule for the layer that is called with the input, and gives it to the first of type {names} "
        f"in the order in which layers were assigned, {listed(found) or 'of which there is none'}; called with the "
        f"input are {listed(right) or 'none of the layers of weights'}. It takes one such layer, with nothing before "
        "it but what moves values; use a composite without that rule, or attrkit's own 'lrp' with input_rule="
    )


def _from_input(graph: Graph, call: Called) -> tuple[bool, bool]:
    """Return whether a call is given values of the model's input, and whether it is given nothing else."""
    nodes, seen = [node for node, _ in call.entries], set()
    reaches, alone = False, True
    while nodes:
        node = nodes.pop()
        if node in seen:
            continue
        seen.add(node)
        if node in graph.sources:
            reaches = True
        elif not graph.depends(node):
            continue
        elif operation(node) in MOVING | COPYING:
            nodes.extend(before for before, _ in node.next_functions if before is not None)
        else:
            alone = False
    return reaches, alone
