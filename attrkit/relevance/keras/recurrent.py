"""Recurrent layers: the signal takes all relevance, gates are constants (Arras et al. 2017, arXiv:1706.07206).

Only cells have rules. Keras's own loop runs them, with its masks, directions and stacks, and not a fused one.
"""

import inspect
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

from attrkit.adapters._interception import intercepted
from attrkit.adapters.terms import Call, Layer
from attrkit.errors import RefusedError
from attrkit.relevance.flow import BIAS, EPSILON, Flow
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
        if not hasattr(layer, "inner_loop"):
            return loop.call(layer, *args, **call.kwargs)

        def plain(own: Call) -> tuple[Any, None]:
            # Keras 3 would run a fused kernel where it can.
            given = inspect.signature(loop.inner_loop).bind(layer, *own.args, **own.kwargs).arguments
            return loop.inner_loop(**{**given, "sequences": args[0]}), None

        stack.enter_context(intercepted("inner_loop", lambda: [Layer("", "", layer)], {"": plain}))
        return loop.call(layer, *call.args, **call.kwargs)


class _Projected(NamedTuple):
    """What the input brings to a cell with gates, (row, ..., unit): apart, because gradients go to the signal only."""

    gates: Any
    signal: Any

    @property
    def shape(self) -> Any:
        """What Keras's loop asks of what it runs over: how many timesteps there are."""
        return self.signal.shape


class _Cell(NamedTuple):
    """``project(x)`` is what a step needs of the input; ``step`` goes on from there."""

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

    recurrent = flow.hold(ops.concatenate([recurrent_gates, recurrent_g], axis=-1))
    back = flow.hold(ops.transpose(recurrent_g))

    def project(x: Any) -> _Projected:
        gates = flow.hold(ops.tensordot(x, kernel_gates, axes=1) + bias_gates)
        return _Projected(gates, _signal(flow, x, kernel_g, bias_g))

    inside = flow.before_loop(like[:, 0, :1] * recurrent_g[:1])

    def step(x: _Projected, states: list[Any]) -> tuple[Any, list[Any]]:
        h, c = states
        z = ops.matmul(flow.hold(h), recurrent)
        gates = flow.hold(cell.recurrent_activation(flow.hold(x.gates) + z[..., : 3 * units]))
        i, f, o = gates[..., :units], gates[..., units : 2 * units], gates[..., 2 * units :]
        into = flow.hold(x.signal) + z[..., 3 * units :]
        g = flow.hold(cell.activation(into))
        memory = flow.hold(f * flow.hold(c) + i * g)
        y = flow.hold(o * cell.activation(memory))
        (nudge_g, over_g), (nudge_c, over_c) = flow.stabilised(into), flow.stabilised(memory)
        held = (y, memory, over_c, i * g * over_g, f, nudge_g, nudge_c, back)
        h, c = ops.with_gradient((y, memory), (x.signal, h, c, inside.zeros_of[EPSILON]), held, _through_lstm)
        return h, [h, c]

    return _Cell(project, step)


def _through_lstm(ops: Any, held: Any, of_h: Any, of_c: Any) -> tuple[Any, Any, Any, Any]:
    """Return the gradients that leave a step of an LSTM: of what the input brings, the states, and the stabilisers.

    `Flow.node` of the candidate and, twice, of the memory, written out: a step is made of as few operations as can be.
    """
    y, memory, over_c, share_g, f, nudge_g, nudge_c, back = held
    of_sum = (of_h * y + of_c * memory) * over_c
    of_signal = of_sum * share_g
    return of_signal, ops.matmul(of_signal, back), of_sum * f, of_signal * nudge_g + of_sum * nudge_c


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

    def project(x: Any) -> _Projected:
        gates = flow.hold(ops.tensordot(x, kernel_gates, axes=1) + bias_gates)
        return _Projected(gates, _signal(flow, x, kernel_n, bias_n))

    inside = flow.before_loop(like[:, 0, :1] * recurrent_n[:1])

    def step(x: _Projected, states: list[Any]) -> tuple[Any, list[Any]]:
        h = states[0]
        gates = flow.hold(x.gates) + ops.matmul(flow.hold(h), recurrent_gates)
        gates = flow.hold(cell.recurrent_activation(gates))
        update, reset = gates[..., :units], gates[..., units:]
        if cell.reset_after:
            carried = reset * (ops.matmul(h, recurrent_n) + inner)
        else:
            carried = ops.matmul(reset * h, recurrent_n)
        n = inside.node(x.signal + carried, cell.activation)
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
