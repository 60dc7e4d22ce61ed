"""The copy of a model that zennit hooks, and the passes on it."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.adapters.outputs import check_differentiable, difference_of
from attrkit.adapters.pytorch import TorchModule
from attrkit.adapters.terms import Call
from attrkit.engines._groups import run_groups
from attrkit.engines._torch_copy import copied
from attrkit.engines._torch_graph import MOVING, Called, Graph, graph_of, operation
from attrkit.engines._torch_refusals import hookable
from attrkit.engines.zennit._rooms import room
from attrkit.errors import ForwardMismatchError
from attrkit.parts import Parts, apart, by_name, each, laid_flat, real_only, unnamed


@cache
def _rows_class() -> Any:
    """Return the class of the module that zennit hooks; torch is imported by now."""
    import torch

    class ExplainedRows(torch.nn.Module):
        """A model's explained outputs of rows, whose parts lie flat beside each other: zennit knows one input only."""

        def __init__(self, adapter: TorchModule, x: Parts, target: np.ndarray) -> None:
            super().__init__()
            self.model = adapter.model
            self.adapter, self.target = adapter, target
            self.shapes = {name: array.shape[1:] for name, array in by_name(x).items()}
            self.rows = np.arange(0)

        def forward(self, flat: Any) -> Any:
            sizes = [int(np.prod(shape)) for shape in self.shapes.values()]
            pieces = zip(self.shapes.items(), flat.split(sizes, dim=1), strict=True)
            parts = {name: piece.reshape(-1, *shape) for (name, shape), piece in pieces}
            return self.adapter.traced_rows(unnamed(parts), self.rows, self.target[self.rows])

    return ExplainedRows


class Hooked:
    """A copy of a model, for hooks of zennit.

    Attributes
    ----------
    adapter : TorchModule
        Of the copy.
    graph : Graph
        What autograd records of two samples.
    merged : set of str
        Paths of the layers of batch normalisation that do nothing any more.
    """

    def __init__(
        self, model: Adapter, name: str, x: Parts, target: np.ndarray, *, merge: bool, has_rules: bool
    ) -> None:
        module = hookable(model, f"zennit:{name}", has_rules=has_rules)
        check_differentiable(by_name(x))
        self.name, self.model, self.x, self.target = name, module, x, target
        # What merges layers writes into weights.
        self.adapter = copied(module, own_weights=merge)
        for layer in self.adapter.model.modules():
            # zennit keeps what went into a layer, and one that works in place writes into it.
            if getattr(layer, "inplace", False):
                layer.inplace = False
        self.graph = graph_of(self.adapter, x, target)
        with module._torch.inference_mode(False):
            self.merged = _merge_normalisation(self.adapter, self.graph) if merge else set()
        self._rows = _rows_class()(self.adapter, x, target)

    def hooks(self, composite: Any) -> dict[str, Any]:
        """Return the hook that a composite has for each layer, by path."""
        seen: dict[str, Any] = {}
        return {path: composite.module_map(seen, path, layer) for path, layer in self.adapter.model.named_modules()}

    def attribute(
        self,
        composite_of: Callable[[np.ndarray], Any],
        start: Callable[[Any], Any],
        prediction: np.ndarray,
        masks: Any,
    ) -> Any:
        """Return what zennit's ``Gradient`` gives with a composite, group by group.

        Parameters
        ----------
        composite_of : callable
            Maps the numbers of a group's samples to a composite.
        start : callable
            Maps explained outputs to what goes into the backward pass.
        prediction : ndarray of shape (sample, output)
            What the model itself predicts.
        masks : ndarray of bool of shape (sample, timestep), or dict of such by part, optional
            False where padded: attributions are 0 there.

        Returns
        -------
        Parts of the shape of `x`
        """
        import torch

        flat = laid_flat(self.x)
        gradient = room("attribution").Gradient
        found = []

        def run(rows: np.ndarray) -> None:
            self._rows.rows = rows
            composite = composite_of(rows)
            output, values = gradient(self._rows, composite)(torch.tensor(flat[rows], device="cpu"), start)
            self._check(output.detach().numpy(), prediction[rows, self.target[rows]])
            found.append(values.detach().numpy().astype(flat.dtype))
            self.model.cost["gradient_evaluations"] += len(rows)

        with torch.inference_mode(False), torch.enable_grad():
            run_groups(self.model, len(flat), run, size=self.model.batch_size, label=self.name)
        parts = each(lambda values, a: values.reshape(a.shape), apart(np.concatenate(found), self.x), self.x)
        return real_only(parts, masks)

    def seen_by(self, path: str, points: Parts, rows: np.ndarray) -> Any:
        """Return what a layer is called with where the model is given some points for the samples of these numbers."""
        import torch

        seen = []

        def read(call: Call) -> tuple[Any, None]:
            seen.append(call.args[0])
            return call.original(*call.args, **call.kwargs), None

        given = {
            name: torch.tensor(np.ascontiguousarray(array), device="cpu") for name, array in by_name(points).items()
        }
        with torch.inference_mode(False), torch.no_grad():
            self.adapter.traced_rows(unnamed(given), rows, self.target[rows], {path: read})
        self.model.cost["forward_evaluations"] += len(rows)
        return seen[0]

    def _check(self, got: np.ndarray, expected: np.ndarray) -> None:
        """Refuse numbers of a pass that hooks, or merged layers, have changed."""
        scale, difference = difference_of(expected, got)
        if not difference <= self.model.precision * scale:
            raise ForwardMismatchError(
                f"the copy with the hooks of zennit:{self.name} predicts something else, by {difference:.3g} (of "
                f"{scale:.3g}): a function that works in place is handed a copy by them, or batch normalisation runs "
                "over another axis than the layer of weights before it. Build the model without such"
            )


def _merge_normalisation(model: TorchModule, graph: Graph) -> set[str]:
    """Merge batch normalisation into the layers of weights right before it; return the paths of what is merged."""
    torch, types, canonizers = model._torch, room("types"), room("canonizers")
    linear = [call for call in graph.calls if isinstance(call.layer.layer, types.Linear)]
    paths = [call.layer.path for call in graph.calls]
    merged = set()
    for call in graph.calls:
        layer = call.layer.layer
        if not isinstance(layer, types.BatchNorm):
            continue
        before = _only_source(graph, call, linear)
        if before is None or paths.count(call.layer.path) > 1 or paths.count(before.layer.path) > 1:
            continue
        weight = before.layer.layer.weight
        axis = 1 if isinstance(before.layer.layer, types.ConvolutionTranspose) else 0
        if weight.shape[axis] != layer.num_features:
            continue
        if layer.weight is None:
            layer.weight = torch.nn.Parameter(torch.ones_like(layer.running_var))
            layer.bias = torch.nn.Parameter(torch.zeros_like(layer.running_var))
        canonizers.NamedMergeBatchNorm([((before.layer.path,), call.layer.path)]).apply(model.model)
        # Without this, what zennit 0.5 leaves of the layer still divides by sqrt(1 + eps).
        layer.eps = 0.0
        merged.add(call.layer.path)
    return merged


def _only_source(graph: Graph, call: Called, others: list[Called]) -> Called | None:
    """Return the call that a call's input comes from, where nothing else has it and no more is done than moving it."""
    takers: dict[Any, int] = {}
    for node in graph.nodes:
        for before, _ in node.next_functions:
            takers[before] = takers.get(before, 0) + 1
    nodes = {node for node, _ in call.entries}
    while len(nodes) == 1:
        (node,) = nodes
        if takers.get(node, 0) != 1:
            return None
        for other in others:
            if node in {found for found, _ in other.exits}:
                return other
        if operation(node) not in MOVING - {"ConstantPadNd"}:
            return None
        nodes = {before for before, _ in node.next_functions if before is not None}
    return None
