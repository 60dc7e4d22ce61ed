"""Recurrent functions: the signal takes all relevance, gates are constants (Arras et al. 2017, arXiv:1706.07206).

torch's own kernel runs each layer forward; what it does not tell, gates and cells, comes of its hidden states in a few
large products. Cells that the user's own loop calls are written out.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

from attrkit.relevance.flow import BIAS, EPSILON
from attrkit.relevance.torch.flow import Record, Samples, TorchFlow, moved
from attrkit.relevance.torch.scans import Weights, scans
from attrkit.relevance.torch.seen import Seen


class _Steps(NamedTuple):
    """How the rows of a sequence (step, row, channel) are walked: backward each from its own last real step."""

    reversed: Callable[[Any], Any]
    # Maps states (step, row, unit) to those after each row's last real step.
    last: Callable[[Any], Any]


def lstm(seen: Seen) -> Any:
    """``torch.lstm``: several layers, both directions, projections, packed sequences."""
    output, hidden, cell = _stacked(seen, "lstm")
    return output, hidden, cell


def gru(seen: Seen) -> Any:
    """``torch.gru``."""
    output, hidden, _ = _stacked(seen, "gru")
    return output, hidden


def rnn(seen: Seen) -> Any:
    """``torch.rnn_tanh``, ``torch.rnn_relu``."""
    output, hidden, _ = _stacked(seen, seen.name)
    return output, hidden


def _stacked(seen: Seen, kind: str) -> tuple[Any, Any, Any]:
    import torch

    _check(seen)
    packed = isinstance(seen.args[3], list | tuple)
    if packed:
        data, sizes, states, weights, has_biases, count, dropout, training, both_ways = seen.args
        x, steps, rows = _unpacked(data, sizes)
    else:
        data, states, weights, has_biases, count, dropout, training, both_ways, batch_first = seen.args
        # Without a batch of its own, a sequence is of one sample.
        x = data if data.ndim == 3 else data.unsqueeze(0 if batch_first else 1)
        x = x.transpose(0, 1) if batch_first else x
        steps, rows = _Steps(lambda values: values.flip(0), lambda values: values[-1]), None
    if training and dropout:
        seen.refuse("with dropout")
    first: Any = states[0] if kind == "lstm" else states
    cells: Any = states[1] if kind == "lstm" else None
    single = first.ndim == 2
    are_live = [s is not None and seen.is_live(s) for s in (first, cells)]
    first, cells = (s.unsqueeze(1) if s is not None and single else s for s in (first, cells))
    place = _place(seen, data, states, packed=packed, batch_first=not packed and batch_first, count=x.shape[1])
    flow = seen.flow.placed(place)
    first = first if are_live[0] else _brought(flow, first)
    cells = cells if cells is None or are_live[1] else _brought(flow, cells)
    x = x if seen.is_live(data) else _brought(flow, x)
    own = torch.backends.cudnn.flags(enabled=False) if x.is_cuda else nullcontext()
    size = len(weights) // (count * (2 if both_ways else 1))
    hidden, last_cells = [], []
    with own:
        for layer in range(count):
            outputs = []
            for way in range(2 if both_ways else 1):
                at = layer * (2 if both_ways else 1) + way
                part = Weights.of(weights[at * size : (at + 1) * size], has_biases=has_biases)
                given = steps.reversed(x) if way else x
                out, cell = _scan(kind, flow, given, first[at], None if cells is None else cells[at], part)
                hidden.append(steps.last(out))
                last_cells.append(None if cell is None else steps.last(cell))
                outputs.append(steps.reversed(out) if way else out)
            x = torch.cat(outputs, -1) if both_ways else outputs[0]
    h, c = torch.stack(hidden), (None if cells is None else torch.stack(last_cells))
    for state in (h, c):
        if state is not None:
            seen.run.note(state, Record(moved(place, -2)))
    if packed:
        output = x[rows]
        seen.run.note(output, Record(seen.of(data).samples if seen.is_live(data) else None))
        return output, h, c
    output = x.transpose(0, 1) if batch_first else x
    if single:
        output = output.squeeze(0 if batch_first else 1)
        h, c = h.squeeze(1), None if c is None else c.squeeze(1)
    seen.run.note(output, Record(moved(place, -3 if batch_first and not single else -2)))
    return output, h, c


def _check(seen: Seen) -> None:
    module = seen.run.module
    if module.rule is not None and not callable(module.rule):
        seen.refuse(f"{type(module.rule).__name__} is a rule for layers of one kernel")
    if seen.kwargs:
        seen.refuse("called with arguments by name")


def _place(seen: Seen, data: Any, states: Any, *, packed: bool, batch_first: bool, count: int) -> Samples | None:
    """Return the samples of the rows that are walked."""
    for value in (data, *(states if isinstance(states, list | tuple) else (states,))):
        if not seen.is_live(value):
            continue
        found = seen.of(value).samples
        if found is None or found.axis is None:
            return found
        if value is not data:
            return moved(found, -2) if len(found.index) == count else None
        if packed:
            # The first steps of all rows stand first.
            return Samples(-2, found.index[:count])
        return moved(found, -2) if found.axis == (-3 if batch_first else -2) else None
    return None


def _unpacked(data: Any, sizes: Any) -> tuple[Any, _Steps, Any]:
    """Return a packed sequence with its rows apart, how they are walked, and where each packed value stands."""
    import torch

    counts = sizes.to(data.device)
    total, width = len(sizes), int(sizes[0])
    step = torch.repeat_interleave(torch.arange(total, device=data.device), counts)
    row = torch.cat([torch.arange(int(size), device=data.device) for size in sizes])
    x = data.new_zeros(total, width, data.shape[-1]).index_put((step, row), data)
    lengths = (counts[None] > torch.arange(width, device=data.device)[:, None]).sum(1)
    steps, rows = torch.arange(total, device=data.device)[:, None], torch.arange(width, device=data.device)[None]
    backward = torch.where(steps < lengths, lengths - 1 - steps, steps)
    walked = _Steps(lambda values: values[backward, rows], lambda values: values[lengths - 1, rows[0]])
    return x, walked, (step, row)


def _brought(flow: TorchFlow, values: Any) -> Any:
    """Return a constant that a layer is given: all that it brings is a bias."""
    values = values.detach()
    return values + flow.entry(BIAS, values, values) if bool(values.any()) else values


def _scan(kind: str, flow: TorchFlow, x: Any, hidden: Any, cell: Any, weights: Weights) -> tuple[Any, Any]:
    rows = x.shape[1]
    ones = flow.rows(BIAS, rows).to(x.dtype), flow.rows(EPSILON, rows).to(x.dtype)
    own = scans()
    if kind == "lstm":
        return own.lstm.apply(x, hidden, cell, *ones, weights, flow)
    function = own.gru if kind == "gru" else own.rnn_tanh if kind == "rnn_tanh" else own.rnn_relu
    return function.apply(x, hidden, *ones, weights, flow), None


def lstm_cell(seen: Seen) -> Any:
    """``torch.lstm_cell``."""
    import torch

    _check(seen)
    x, states, *weights = seen.args
    flow, (x, hidden, cell) = _cell_begins(seen, x, *states)
    part = Weights.of([w for w in weights if w is not None], has_biases=len(weights) > 2 and weights[2] is not None)
    gates = part.gates(x.detach(), hidden.detach())
    i, f, _, o = gates.chunk(4, -1)
    i, f, o = (torch.sigmoid(gate) for gate in (i, f, o))
    kernel, recurrent, bias = part.part(2, 4)
    g = _signal(flow, x @ kernel.T + hidden @ recurrent.T, bias, torch.tanh)
    cell = flow.node(f * cell + i * g)
    return o * flow.activated(cell, torch.tanh), cell


def gru_cell(seen: Seen) -> Any:
    """``torch.gru_cell``."""
    import torch

    _check(seen)
    x, state, *weights = seen.args
    flow, (x, hidden) = _cell_begins(seen, x, state)
    part = Weights.of([w for w in weights if w is not None], has_biases=len(weights) > 2 and weights[2] is not None)
    reset, update, _ = part.gates(x.detach(), hidden.detach()).chunk(3, -1)
    reset, update = torch.sigmoid(reset), torch.sigmoid(update)
    kernel, recurrent, bias = part.part(2, 3, apart=True)
    bias = None if bias is None else bias[0] + reset * bias[1]
    n = _signal(flow, x @ kernel.T + reset * (hidden @ recurrent.T), bias, torch.tanh)
    return flow.node(update * hidden + (1 - update) * n)


def rnn_cell(seen: Seen) -> Any:
    """``torch.rnn_tanh_cell``, ``torch.rnn_relu_cell``."""
    import torch

    _check(seen)
    x, state, *weights = seen.args
    flow, (x, hidden) = _cell_begins(seen, x, state)
    part = Weights.of([w for w in weights if w is not None], has_biases=len(weights) > 2 and weights[2] is not None)
    kernel, recurrent, bias = part.part(0, 1)
    activation = torch.tanh if seen.name == "rnn_tanh_cell" else torch.relu
    return _signal(flow, x @ kernel.T + hidden @ recurrent.T, bias, activation)


def _cell_begins(seen: Seen, *values: Any) -> tuple[TorchFlow, list[Any]]:
    place = next(seen.of(value).samples for value in values if seen.is_live(value))
    flow = seen.flow.placed(place)
    return flow, [value if seen.is_live(value) else _brought(flow, value) for value in values]


def _signal(flow: TorchFlow, z: Any, bias: Any, activation: Callable[[Any], Any]) -> Any:
    return flow.node(z if bias is None else z + bias, activation, bias=bias)
