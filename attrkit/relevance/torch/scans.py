"""One layer in one direction: torch's kernel forward, relevance backward step by step, gates by one product."""

from functools import cache
from types import SimpleNamespace
from typing import Any, NamedTuple, Self

from attrkit.relevance.torch.flow import TorchFlow


class Weights(NamedTuple):
    """Weights of one layer in one direction, as torch lays them out, as constants."""

    of_input: Any
    of_hidden: Any
    bias_input: Any
    bias_hidden: Any
    projection: Any

    @classmethod
    def of(cls, given: Any, *, has_biases: bool) -> Self:
        """Return weights by what they are."""
        held = [weight.detach() for weight in given]
        rest = held[4:] if has_biases else held[2:]
        bias_input, bias_hidden = held[2:4] if has_biases else (None, None)
        return cls(held[0], held[1], bias_input, bias_hidden, rest[0] if rest else None)

    @property
    def flat(self) -> list[Any]:
        """The weights in a list, as torch's functions take them."""
        return [weight for weight in self if weight is not None]

    def gates(self, x: Any, hidden: Any) -> Any:
        """Return all gates before their activation, of inputs and the hidden states before them."""
        z = x @ self.of_input.T + hidden @ self.of_hidden.T
        return z if self.bias_input is None else z + (self.bias_input + self.bias_hidden)

    def part(self, index: int, count: int, *, apart: bool = False) -> tuple[Any, Any, Any]:
        """Return input and hidden weights and bias of one gate; with `apart`, its two biases."""
        of_input, of_hidden = (weight.chunk(count)[index] for weight in (self.of_input, self.of_hidden))
        if self.bias_input is None:
            return of_input, of_hidden, None
        biases = [bias.chunk(count)[index] for bias in (self.bias_input, self.bias_hidden)]
        return of_input, of_hidden, biases if apart else biases[0] + biases[1]


@cache
def scans() -> Any:
    """Return the autograd functions; torch is imported by now.

    Each is called with inputs (step, row, channel), first states (row, unit), two vectors of ones (row,) whose
    gradients are what biases and stabilisers absorb, `Weights` and the flow.
    """
    import torch

    def before(states: Any, first: Any) -> Any:
        return torch.cat([first[None], states[:-1]])

    def absorbed(*pairs: tuple[Any, Any]) -> Any:
        """Return the sum of products (step, row, unit) for each row."""
        return sum(torch.einsum("tbu,tbu->b", values, slopes) for values, slopes in pairs)

    class Lstm(torch.autograd.Function):
        """c = f c' + i g, h = o tanh(c), and the projection of h where there is one."""

        @staticmethod
        def forward(
            ctx: Any, x: Any, hidden: Any, cell: Any, ones: Any, ones_epsilon: Any, weights: Weights, flow: TorchFlow
        ) -> Any:
            has_biases = weights.bias_input is not None
            out, _, _ = torch.lstm(x, (hidden[None], cell[None]), weights.flat, has_biases, 1, 0.0, False, False, False)
            i, f, z, o = weights.gates(x, before(out, hidden)).chunk(4, -1)
            i, f, o = i.sigmoid(), f.sigmoid(), o.sigmoid()
            g = z.tanh()
            cells, written = torch.empty_like(g), i * g
            last = cell
            for kept, new, into in zip(f.unbind(), written.unbind(), cells.unbind(), strict=True):
                last = torch.addcmul(new, kept, last, out=into)
            ctx.weights, ctx.epsilon = weights, flow.epsilon
            signal = cells.tanh()
            ctx.to_cell = o * flow.ratio(signal, cells)
            ctx.kept, ctx.to_signal = f, i
            if flow.epsilon:
                ctx.nudge_z, ctx.nudge_c = flow.nudge(z, flow.epsilon), flow.nudge(cells, flow.epsilon)
                passed = cells / (cells + ctx.nudge_c)
                ctx.kept, ctx.to_signal = f * passed, i * passed * flow.ratio(g, z + ctx.nudge_z)
                ctx.nudge_c *= passed
            else:
                ctx.to_signal = i * flow.ratio(g, z)
            if weights.projection is not None and flow.epsilon:
                ctx.nudge_h = flow.nudge(out, flow.epsilon)
                ctx.projected = out / (out + ctx.nudge_h)
                ctx.nudge_h *= ctx.projected
            ctx.set_materialize_grads(False)
            return out, cells

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, of_hidden: Any, of_cells: Any) -> Any:
            weights, epsilon = ctx.weights, ctx.epsilon
            kernel, recurrent, bias = weights.part(2, 4)
            projection = weights.projection
            cells, signals = torch.empty_like(ctx.kept), torch.empty_like(ctx.kept)
            steps, rows, _ = cells.shape
            if of_hidden is None:
                of_hidden = cells.new_zeros(steps, rows, recurrent.shape[1])
            states = torch.empty_like(of_hidden) if projection is not None and epsilon else None
            at, carried = None, None
            into, out_of = ctx.to_cell.unbind(), ctx.to_signal.unbind()
            kept, cells_at, signals_at = ctx.kept.unbind(), cells.unbind(), signals.unbind()
            given = of_hidden.unbind()
            for t in range(steps - 1, -1, -1):
                h = given[t] if at is None else torch.addmm(given[t], at, recurrent)
                if states is not None:
                    states[t] = h
                    h = h * ctx.projected[t]
                if projection is not None:
                    h = h @ projection
                if of_cells is not None:
                    carried = of_cells[t] if carried is None else carried + of_cells[t]
                if carried is None:
                    c = torch.mul(h, into[t], out=cells_at[t])
                else:
                    c = torch.addcmul(carried, h, into[t], out=cells_at[t])
                at = torch.mul(c, out_of[t], out=signals_at[t])
                carried = c * kept[t]
            needs = ctx.needs_input_grad
            of_ones = (signals.sum(0) @ bias) if bias is not None else None
            of_epsilon = None
            if epsilon:
                of_epsilon = absorbed((signals, ctx.nudge_z), (cells, ctx.nudge_c))
                if states is not None:
                    of_epsilon = of_epsilon + absorbed((states, ctx.nudge_h))
            return (
                signals @ kernel if needs[0] else None,
                at @ recurrent if needs[1] else None,
                carried if needs[2] else None,
                of_ones,
                of_epsilon,
                None,
                None,
            )

    class Gru(torch.autograd.Function):
        """h = z h' + (1 - z) n."""

        @staticmethod
        def forward(
            ctx: Any, x: Any, hidden: Any, ones: Any, ones_epsilon: Any, weights: Weights, flow: TorchFlow
        ) -> Any:
            has_biases = weights.bias_input is not None
            out, _ = torch.gru(x, hidden[None], weights.flat, has_biases, 1, 0.0, False, False, False)
            states = before(out, hidden)
            of_x, of_h = x @ weights.of_input.T, states @ weights.of_hidden.T
            if has_biases:
                of_x, of_h = of_x + weights.bias_input, of_h + weights.bias_hidden
            (r, u, n), (r_h, u_h, n_h) = of_x.chunk(3, -1), of_h.chunk(3, -1)
            r, u = (r + r_h).sigmoid(), (u + u_h).sigmoid()
            z = n + r * n_h
            n = z.tanh()
            ctx.weights, ctx.epsilon, ctx.reset, ctx.kept = weights, flow.epsilon, r, u
            ctx.to_signal = 1 - u
            if flow.epsilon:
                ctx.nudge_z, ctx.nudge_h = flow.nudge(z, flow.epsilon), flow.nudge(out, flow.epsilon)
                passed = out / (out + ctx.nudge_h)
                ctx.kept, ctx.to_signal = u * passed, ctx.to_signal * passed * flow.ratio(n, z + ctx.nudge_z)
                ctx.nudge_h *= passed
            else:
                ctx.to_signal = ctx.to_signal * flow.ratio(n, z)
            return out

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, of_hidden: Any) -> Any:
            kernel, recurrent, biases = ctx.weights.part(2, 3, apart=True)
            states, signals, through = (torch.empty_like(ctx.kept) for _ in range(3))
            kept, to_signal, reset = ctx.kept.unbind(), ctx.to_signal.unbind(), ctx.reset.unbind()
            given, states_at = of_hidden.unbind(), states.unbind()
            signals_at, through_at = signals.unbind(), through.unbind()
            carried = None
            for t in range(len(states) - 1, -1, -1):
                h = states_at[t].copy_(given[t]) if carried is None else torch.add(given[t], carried, out=states_at[t])
                signal = torch.mul(h, to_signal[t], out=signals_at[t])
                inner = torch.mul(signal, reset[t], out=through_at[t])
                carried = torch.addmm(h * kept[t], inner, recurrent)
            of_ones = of_epsilon = None
            if biases is not None:
                of_ones = signals.sum(0) @ biases[0] + through.sum(0) @ biases[1]
            if ctx.epsilon:
                of_epsilon = absorbed((signals, ctx.nudge_z), (states, ctx.nudge_h))
            needs = ctx.needs_input_grad
            return (
                signals @ kernel if needs[0] else None,
                carried if needs[1] else None,
                of_ones,
                of_epsilon,
                None,
                None,
            )

    def simple(run: Any) -> Any:
        class Rnn(torch.autograd.Function):
            """h = activation(x W + h' U + b)."""

            @staticmethod
            def forward(
                ctx: Any, x: Any, hidden: Any, ones: Any, ones_epsilon: Any, weights: Weights, flow: TorchFlow
            ) -> Any:
                has_biases = weights.bias_input is not None
                out, _ = run(x, hidden[None], weights.flat, has_biases, 1, 0.0, False, False, False)
                z = weights.gates(x, before(out, hidden))
                ctx.weights, ctx.epsilon = weights, flow.epsilon
                ctx.nudge = flow.nudge(z, flow.epsilon) if flow.epsilon else 0.0
                ctx.passed = flow.ratio(out, z + ctx.nudge)
                return out

            @staticmethod
            @torch.autograd.function.once_differentiable
            def backward(ctx: Any, of_hidden: Any) -> Any:
                kernel, recurrent, bias = ctx.weights.part(0, 1)
                signals = torch.empty_like(of_hidden)
                given, passed, signals_at = of_hidden.unbind(), ctx.passed.unbind(), signals.unbind()
                at = None
                for t in range(len(signals) - 1, -1, -1):
                    h = given[t] if at is None else torch.addmm(given[t], at, recurrent)
                    at = torch.mul(h, passed[t], out=signals_at[t])
                needs = ctx.needs_input_grad
                return (
                    signals @ kernel if needs[0] else None,
                    at @ recurrent if needs[1] else None,
                    signals.sum(0) @ bias if bias is not None else None,
                    absorbed((signals, ctx.nudge)) if ctx.epsilon else None,
                    None,
                    None,
                )

        return Rnn

    return SimpleNamespace(lstm=Lstm, gru=Gru, rnn_tanh=simple(torch.rnn_tanh), rnn_relu=simple(torch.rnn_relu))
