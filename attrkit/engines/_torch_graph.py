"""Whether the methods of toolkits that replace the gradient of layers see all that a torch module computes.

Captum and zennit hook modules, and everything else passes its plain gradient without a word: functions, operators, what
recurrent and attention layers do inside. So the graph that autograd records of a pass is gone through, from the output
back to the input, and an operation is accepted if a layer that is hooked has done it, or if its plain gradient is the
right one.
"""

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from attrkit.adapters.outputs import no_path
from attrkit.adapters.pytorch import TorchModule
from attrkit.adapters.terms import Call, Layer, Reader
from attrkit.parts import Parts, by_name, row_count, unnamed
from attrkit.relevance.torch.names import words
from attrkit.relevance.torch.tensors import tensors_in

MOVING = words(
    "Alias AsStrided Cat Clone Flip Gather Index IndexSelect Permute Roll Select Slice Split SplitWithSizes Squeeze "
    "Stack T ToCopy Transpose Unbind UnsafeView Unsqueeze View ViewAs ReshapeAlias ConstantPadNd BackwardHookFunction"
)
"""Operations of autograd that put values elsewhere: relevance goes with them."""

COPYING = words(
    "Expand ReflectionPad1D ReflectionPad2D Repeat ReplicationPad1D ReplicationPad2D UpsampleNearest1D "
    "UpsampleNearest2D"
)
"""Operations that repeat values: the relevance of all copies of a value is its own."""

_SUMS = COPYING | words(
    "Add AdaptiveAvgPool2D AdaptiveAvgPool3D AvgPool2D AvgPool3D Cumsum Diagonal Mean MkldnnAdaptiveAvgPool2D Neg Rsub "
    "Sub Sum Tril Triu Unfold UpsampleLinear1D UpsampleBilinear2D"
)

# Operation -> its arguments of which only one may depend on the input for it to be linear.
_FACTORS = {
    **dict.fromkeys(("Mul", "Mm", "Bmm", "Mv", "Dot", "Convolution", "MkldnnConvolution"), (0, 1)),
    **dict.fromkeys(("NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm"), (0, 1)),
    **dict.fromkeys(("Addmm", "Addmv", "Baddbmm", "Addbmm", "Addcmul"), (1, 2)),
    "Div": (0, 1),
}

# Functions without a gradient. Products with their results look linear.
_DECIDING = words(
    "gt ge lt le eq ne greater greater_equal less less_equal not_equal sign sgn heaviside signbit argmax argmin "
    "argsort round floor ceil trunc detach bool logical_not isclose bucketize"
)

POOLING = words("MaxPool2DWithIndices MaxPool3DWithIndices")
"""Operations that hand on the largest of some values."""


@dataclass
class Called:
    """One call of a layer: where its tensors came from, and the operations inside, as nodes of the graph."""

    layer: Layer
    entries: list[tuple[Any, int]]
    exits: list[tuple[Any, int]]
    inside: set[Any] = field(default_factory=set)


@dataclass
class Graph:
    """What autograd has recorded between the input and the explained output.

    Attributes
    ----------
    nodes : list
        The operations that depend on the input.
    calls : list of Called
        The calls of layers, in the order in which they ended.
    sources : set
        Where the input enters.
    deciding : list of str
        Functions of values that depend on the input whose results have no gradient: ``x > 0``, which may make a mask.
    """

    nodes: list[Any]
    calls: list[Called]
    sources: set[Any]
    deciding: list[str]

    def home(self, node: Any) -> Called | None:
        """Return the innermost call that an operation belongs to."""
        return next((call for call in self.calls if node in call.inside), None)

    def is_linear(self, node: Any) -> bool:
        """Whether an operation is linear in the input: its plain gradient is then what any rule would give."""
        name = operation(node)
        if name in MOVING or name in _SUMS:
            return True
        factors = [i for i in _FACTORS.get(name, ()) if node.next_functions[i : i + 1]]
        live = [i for i in factors if self.depends(node.next_functions[i][0])]
        return bool(factors) and len(live) <= 1 and not (name == "Div" and live == [1])

    def depends(self, node: Any) -> bool:
        """Whether an operation depends on the input."""
        return node in self._live

    def __post_init__(self) -> None:
        self._live = set(self.nodes) | self.sources


def operation(node: Any) -> str:
    """Return the name of an operation: ``"Relu"`` of ``ReluBackward0``."""
    return re.sub(r"Backward\d*$", "", str(node.name()).rsplit("::", 1)[-1])


def graph_of(model: TorchModule, x: Parts, target: np.ndarray) -> Graph:
    """Run two samples with all layers watched, and return the graph."""
    torch = model._torch
    rows = np.arange(min(2, row_count(x)))
    calls: list[Called] = []

    def reader(layer: Layer) -> Reader:
        def read(call: Call) -> tuple[Any, None]:
            # Before the call: one that works in place leaves its own mark on the tensor.
            entries = _edges((call.args, call.kwargs))
            output = call.original(*call.args, **call.kwargs)
            calls.append(Called(layer, entries, _edges(output)))
            return output, None

        return read

    with torch.inference_mode(False), torch.enable_grad():
        points = {
            name: torch.tensor(array[rows], device="cpu").requires_grad_().clone() for name, array in by_name(x).items()
        }
        readers: Mapping[str, Reader] = {layer.path: reader(layer) for layer in model.layers()}
        with _deciding_mode()() as deciding:
            output = model.traced_rows(unnamed(dict(points)), rows, target[rows], readers)
    sources = {point.grad_fn for point in points.values()}
    if output.grad_fn is None:
        raise no_path()
    every = _reached([output.grad_fn], set())
    takers: dict[Any, list[Any]] = {}
    for node in every:
        for before, _ in node.next_functions:
            takers.setdefault(before, []).append(node)
    live: set[Any] = set()
    queue = deque(sources & set(every))
    if not queue:
        raise no_path()
    while queue:
        for node in takers.get(queue.popleft(), ()):
            if node not in live:
                live.add(node)
                queue.append(node)
    for call in calls:
        call.inside = set(_reached([node for node, _ in call.exits], {node for node, _ in call.entries})) & live
    return Graph(
        [node for node in every if node in live], [call for call in calls if call.inside], sources, deciding.names
    )


@cache
def _deciding_mode() -> Any:
    """Return the class of the mode that sees what leaves no trace in a graph; torch is imported by now."""
    from torch.overrides import TorchFunctionMode

    class Deciding(TorchFunctionMode):
        """Notes functions that cut gradients off."""

        def __init__(self) -> None:
            super().__init__()
            self.names: list[str] = []

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = getattr(func, "__name__", "").strip("_")
            if name in _DECIDING and any(getattr(value, "requires_grad", False) for value in args):
                self.names.append(name)
            return func(*args, **(kwargs or {}))

    return Deciding


def _reached(start: list[Any], until: set[Any]) -> list[Any]:
    """Return the nodes that lead to some, those included, without what lies before others."""
    found = dict.fromkeys(node for node in start if node not in until)
    queue = deque(found)
    while queue:
        for before, _ in queue.popleft().next_functions:
            if before is not None and before not in until and before not in found:
                found[before] = None
                queue.append(before)
    return list(found)


def _edges(values: Any) -> list[tuple[Any, int]]:
    """Return node and output number of the tensors in nested containers."""
    return [(value.grad_fn, int(value.output_nr)) for value in tensors_in([values]) if value.grad_fn is not None]
