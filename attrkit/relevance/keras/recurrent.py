"""Recurrent layers: the signal takes all relevance, gates are constants (Arras et al. 2017, arXiv:1706.07206).

Only cells have rules. Keras's own loop runs them, with its masks, directions and stacks, and not a fused one.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from attrkit.adapters._interception import intercepted
from attrkit.adapters.base import Call, Layer
from attrkit.errors import RefusedError
from attrkit.relevance.flow import Flow
from attrkit.relevance.keras.kernels import weight
from attrkit.relevance.rule import Rule

Step = Callable[[Any, Any], tuple[Any, list[Any]]]


def plan(entry: Layer, inside: list[Layer], composite: Any, *, rule: Any, **_: Any) -> Mapping[str, Rule]:
    """Return the rule of a recurrent layer, all of whose cells are known."""
    if rule is not None:
        raise RefusedError(f"{type(rule).__name__} is a rule for layers of one kernel")
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
    layer = call.layer
    loop: Any = next(cls for cls in type(layer).__mro__ if cls.__name__ == "RNN")
    with ExitStack() as stack:
        cells = [Layer(str(i), "", cell) for i, cell in enumerate(_cells(layer))]
        readers = {entry.path: _reader(entry.layer, flow, call.args[0]) for entry in cells}
        stack.enter_context(intercepted("call", lambda: cells, readers))
        if hasattr(layer, "inner_loop"):
            # Keras 3 would run a fused kernel where it can.
            plain = {"": lambda own: (loop.inner_loop(layer, *own.args, **own.kwargs), None)}
            stack.enter_context(intercepted("inner_loop", lambda: [Layer("", "", layer)], plain))
        return loop.call(layer, *call.args, **call.kwargs)


def _reader(cell: Any, flow: Flow, like: Any) -> Any:
    # Weights are cut into gates once, and not at every step.
    step = _CELLS[type(cell).__name__](cell, flow, like)

    def read(call: Call) -> tuple[Any, None]:
        states = call.args[1] if len(call.args) > 1 else call.kwargs["states"]
        return step(call.args[0], list(states) if isinstance(states, list | tuple) else [states]), None

    return read


def _weights(cell: Any, flow: Flow, like: Any) -> tuple[Any, Any, Any]:
    return (
        weight(flow.ops, cell.kernel, like),
        weight(flow.ops, cell.recurrent_kernel, like),
        weight(flow.ops, getattr(cell, "bias", None), like) if cell.use_bias else None,
    )


def _lstm(cell: Any, flow: Flow, like: Any) -> Step:
    ops, units = flow.ops, cell.units
    kernel, recurrent, bias = _weights(cell, flow, like)

    def gates_of(values: Any) -> tuple[Any, Any]:
        # In Keras's order: input, forget, candidate, output.
        gates = ops.concatenate([values[..., : 2 * units], values[..., 3 * units :]], axis=-1)
        return gates, values[..., 2 * units : 3 * units]

    (kernel_gates, kernel_g), (recurrent_gates, recurrent_g) = gates_of(kernel), gates_of(recurrent)
    bias_gates, bias_g = (0.0, None) if bias is None else gates_of(bias)

    def step(x: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        h, c = states
        gates = ops.matmul(flow.hold(x), kernel_gates) + ops.matmul(flow.hold(h), recurrent_gates) + bias_gates
        gates = flow.hold(cell.recurrent_activation(gates))
        i, f, o = gates[..., :units], gates[..., units : 2 * units], gates[..., 2 * units :]
        z = ops.matmul(x, kernel_g) + ops.matmul(h, recurrent_g)
        z = z if bias_g is None else z + bias_g
        g = flow.node(z, cell.activation, bias=bias_g)
        c = flow.node(f * c + i * g)
        h = o * flow.activated(c, cell.activation)
        return h, [h, c]

    return step


def _gru(cell: Any, flow: Flow, like: Any) -> Step:
    ops, units = flow.ops, cell.units
    kernel, recurrent, bias = _weights(cell, flow, like)
    both = bias is not None and len(bias.shape) == 2
    bias_x, bias_h = (bias[0], bias[1]) if both else (bias, None)

    def parts(values: Any) -> tuple[Any, Any]:
        # In Keras's order: update, reset, candidate.
        return (0.0, None) if values is None else (values[..., : 2 * units], values[..., 2 * units :])

    (kernel_gates, kernel_n), (recurrent_gates, recurrent_n) = parts(kernel), parts(recurrent)
    (gates_x, n_x), (gates_h, n_h) = parts(bias_x), parts(bias_h)

    def step(x: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        h = states[0]
        gates = ops.matmul(flow.hold(x), kernel_gates) + ops.matmul(flow.hold(h), recurrent_gates) + gates_x + gates_h
        gates = flow.hold(cell.recurrent_activation(gates))
        update, reset = gates[..., :units], gates[..., units:]
        z = ops.matmul(x, kernel_n)
        added = n_x
        if cell.reset_after:
            z = z + reset * ops.matmul(h, recurrent_n)
            if n_h is not None:
                added = n_x + reset * n_h
        else:
            z = z + ops.matmul(reset * h, recurrent_n)
        z = z if added is None else z + added
        n = flow.node(z, cell.activation, bias=added)
        h = flow.node(update * h + (1.0 - update) * n)
        return h, [h]

    return step


def _simple(cell: Any, flow: Flow, like: Any) -> Step:
    ops = flow.ops
    kernel, recurrent, bias = _weights(cell, flow, like)

    def step(x: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        z = ops.matmul(x, kernel) + ops.matmul(states[0], recurrent)
        h = flow.node(z if bias is None else z + bias, cell.activation, bias=bias)
        return h, [h]

    return step


_CELLS: Mapping[str, Callable[[Any, Flow, Any], Step]] = {"LSTMCell": _lstm, "GRUCell": _gru, "SimpleRNNCell": _simple}
