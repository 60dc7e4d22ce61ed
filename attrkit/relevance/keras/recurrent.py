"""Recurrent layers: the signal takes all relevance, gates are constants (Arras et al. 2017, arXiv:1706.07206).

Only cells have rules. Keras's own loop runs them, with its masks, directions and stacks, and not a fused one.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

from attrkit.adapters._interception import intercepted
from attrkit.adapters.base import Call, Layer
from attrkit.errors import RefusedError
from attrkit.relevance.flow import BIAS, Flow
from attrkit.relevance.keras.kernels import weight
from attrkit.relevance.rule import Rule


def plan(entry: Layer, inside: list[Layer], composite: Any, **_: Any) -> Mapping[str, Rule]:
    """Return the rule of a recurrent layer, all of whose cells are known."""
    for cell in _cells(entry.layer):
        kind = type(cell).__name__
        if kind not in _CELLS or type(cell).call is not _own_class(cell).call:
            raise RefusedError(f"its cell {kind} has no rule")
    return {entry.path: _recurrent}


def _cells(layer: Any) -> list[Any]:
    return list(getattr(layer.cell, "cells", [layer.cell]))


def _own_class(cell: Any) -> Any:
    return next(cls for cls in type(cell).__mro__ if cls.__name__ in _CELLS)


def _recurrent(call: Call, flow: Flow) -> Any:
    layer, x = call.layer, call.args[0]
    loop: Any = next(cls for cls in type(layer).__mro__ if cls.__name__ == "RNN")
    cells = [Layer(str(i), "", cell) for i, cell in enumerate(_cells(layer))]
    steps = {entry.path: _CELLS[type(entry.layer).__name__](entry.layer, flow, x) for entry in cells}
    is_stack = len(cells) > 1
    # What does not depend on the state is one product for all timesteps.
    args = call.args if is_stack else (steps["0"].project(x), *call.args[1:])
    with ExitStack() as stack:
        readers = {path: _reader(step, project=is_stack) for path, step in steps.items()}
        stack.enter_context(intercepted("call", lambda: cells, readers))
        if hasattr(layer, "inner_loop"):
            # Keras 3 would run a fused kernel where it can.
            plain = {"": lambda own: (loop.inner_loop(layer, *own.args, **own.kwargs), None)}
            stack.enter_context(intercepted("inner_loop", lambda: [Layer("", "", layer)], plain))
        return loop.call(layer, *args, **call.kwargs)


class _Cell(NamedTuple):
    """``project(x)`` is what a step needs of the input, (row, ..., unit); ``step`` goes on from there."""

    project: Callable[[Any], Any]
    step: Callable[[Any, list[Any]], tuple[Any, list[Any]]]


def _reader(cell: _Cell, *, project: bool) -> Any:
    def read(call: Call) -> tuple[Any, None]:
        states = call.args[1] if len(call.args) > 1 else call.kwargs["states"]
        x = cell.project(call.args[0]) if project else call.args[0]
        return cell.step(x, list(states) if isinstance(states, list | tuple) else [states]), None

    return read


def _weights(cell: Any, flow: Flow, like: Any) -> tuple[Any, Any, Any]:
    kernel, recurrent, bias = (
        weight(flow.ops, value, like)
        for value in (cell.kernel, cell.recurrent_kernel, cell.bias if cell.use_bias else None)
    )
    return kernel, recurrent, 0 * kernel[0] if bias is None else bias


def _signal(flow: Flow, x: Any, kernel: Any, bias: Any) -> Any:
    """Return what the input brings to what a cell takes in, its bias booked."""
    z = flow.ops.tensordot(x, kernel, axes=1)
    return z + bias + flow.entry(BIAS, bias, z)


def _lstm(cell: Any, flow: Flow, like: Any) -> _Cell:
    ops, units = flow.ops, cell.units

    def apart(values: Any) -> tuple[Any, Any]:
        # In Keras's order: input, forget, candidate, output.
        gates = ops.concatenate([values[..., : 2 * units], values[..., 3 * units :]], axis=-1)
        return gates, values[..., 2 * units : 3 * units]

    (kernel_gates, kernel_g), (recurrent_gates, recurrent_g), (bias_gates, bias_g) = map(
        apart, _weights(cell, flow, like)
    )

    def project(x: Any) -> Any:
        gates = flow.hold(ops.tensordot(x, kernel_gates, axes=1) + bias_gates)
        return ops.concatenate([gates, _signal(flow, x, kernel_g, bias_g)], axis=-1)

    inside = flow.before_loop(like[:, 0, :1] * recurrent_g[:1])

    def step(x: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        h, c = states
        gates = flow.hold(x[..., : 3 * units]) + ops.matmul(flow.hold(h), recurrent_gates)
        gates = flow.hold(cell.recurrent_activation(gates))
        i, f, o = gates[..., :units], gates[..., units : 2 * units], gates[..., 2 * units :]
        g = inside.node(x[..., 3 * units :] + ops.matmul(h, recurrent_g), cell.activation)
        signal, c = inside.signal_and_sum(f * c + i * g, cell.activation)
        h = o * signal
        return h, [h, c]

    return _Cell(project, step)


def _gru(cell: Any, flow: Flow, like: Any) -> _Cell:
    ops, units = flow.ops, cell.units
    kernel, recurrent, bias = _weights(cell, flow, like)
    bias_x, bias_h = (bias[0], bias[1]) if len(bias.shape) == 2 else (bias, 0 * bias)

    def apart(values: Any) -> tuple[Any, Any]:
        # In Keras's order: update, reset, candidate.
        return values[..., : 2 * units], values[..., 2 * units :]

    (kernel_gates, kernel_n), (recurrent_gates, recurrent_n) = apart(kernel), apart(recurrent)
    (bias_gates, bias_n), (_, inner_n) = apart(bias_x), apart(bias_h)
    bias_gates = bias_gates + bias_h[..., : 2 * units]
    inner = inner_n + flow.entry(BIAS, inner_n, like[:, 0])

    def project(x: Any) -> Any:
        gates = flow.hold(ops.tensordot(x, kernel_gates, axes=1) + bias_gates)
        return ops.concatenate([gates, _signal(flow, x, kernel_n, bias_n)], axis=-1)

    inside = flow.before_loop(like[:, 0, :1] * recurrent_n[:1])

    def step(x: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        h = states[0]
        gates = flow.hold(x[..., : 2 * units]) + ops.matmul(flow.hold(h), recurrent_gates)
        gates = flow.hold(cell.recurrent_activation(gates))
        update, reset = gates[..., :units], gates[..., units:]
        if cell.reset_after:
            carried = reset * (ops.matmul(h, recurrent_n) + inner)
        else:
            carried = ops.matmul(reset * h, recurrent_n)
        n = inside.node(x[..., 2 * units :] + carried, cell.activation)
        h = inside.node(update * h + (1.0 - update) * n)
        return h, [h]

    return _Cell(project, step)


def _simple(cell: Any, flow: Flow, like: Any) -> _Cell:
    ops = flow.ops
    kernel, recurrent, bias = _weights(cell, flow, like)

    def project(x: Any) -> Any:
        return _signal(flow, x, kernel, bias)

    inside = flow.before_loop(like[:, 0, :1] * recurrent[:1])

    def step(x: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        h = inside.node(x + ops.matmul(states[0], recurrent), cell.activation)
        return h, [h]

    return _Cell(project, step)


_CELLS: Mapping[str, Callable[[Any, Flow, Any], _Cell]] = {"LSTMCell": _lstm, "GRUCell": _gru, "SimpleRNNCell": _simple}
