"""Forward passes and path gradients on JAX: jitted once for each shape, the model's state an argument of every call."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter, Feed, PathRows, Reader, Readings, Rewrite, no_path
from attrkit.errors import InputError, RefusedError


class JaxAdapter(Adapter):
    """A model whose forward pass is made of JAX operations."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        import jax

        self._jax = jax

    def _state(self) -> Any:
        """Return the arrays that a pass depends on: a jitted function keeps what it closes over, new weights or not."""
        return None

    def _forward_with(
        self, state: Any, feed: dict[str, Any], readers: Mapping[str, Reader], training: bool
    ) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]], Any]:
        """Run the model once, as `_forward` does, on these arrays in the place of its own; return what they become."""
        return *self._forward(feed, readers, training), state

    def _set_state(self, state: Any) -> None:
        """Give the model the arrays that a pass left."""

    def _compiled(self, key: Any, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
        whole = (key, self.question.logits)
        if whole not in self._traced:
            self._traced[whole] = self._jax.jit(make())
        compiled = self._traced[whole]

        def run(*arguments: Any) -> Any:
            try:
                return compiled(self._state(), *arguments)
            except self._jax.errors.UnexpectedTracerError as err:
                raise RefusedError(
                    "a layer that is read runs inside a loop or an inner function of the model, where its values "
                    f"cannot be taken out; read the layer around it: {err}"
                ) from err
            except (TypeError, ValueError) as err:
                raise InputError(f"the model fails on these inputs: {err}") from err

        return run

    def _predict(self, feed: Feed) -> list[tuple[str, np.ndarray]]:
        def forward(state: Any, feed: Any) -> Any:
            outputs, _, after = self._forward_with(state, feed, {}, False)
            return outputs, after

        outputs, after = self._compiled("forward", lambda: forward)(feed)
        if not self._steady:
            # The first passes, which are compared, move the model on as its own would: what is random or remembers
            # shows. It is put back after them.
            self._set_state(after)
        return [(name, _array(value)) for name, value in outputs.items()]

    def _path_begin(self, x: Feed, baseline: Feed, context: Feed, n_sums: int) -> Any:
        totals = {name: np.zeros((len(a), n_sums, *a.shape[1:]), a.dtype) for name, a in x.items()}
        return self._jax.device_put((x, baseline, context, totals))

    def _path_add(self, sums: Any, rows: PathRows) -> Any:
        x, baseline, context, totals = sums
        add = self._compiled("add gradients", lambda: self._add_gradients)
        return x, baseline, context, add(x, baseline, context, totals, rows)

    def _path_end(self, sums: Any) -> Feed:
        return {name: _array(total) for name, total in sums[3].items()}

    def _add_gradients(self, state: Any, x: Any, baseline: Any, context: Any, totals: Any, rows: Any) -> Any:
        def by_row(values: Any, like: Any) -> Any:
            return values.astype(like.dtype).reshape(*values.shape, *[1] * (like.ndim - 1))

        points = {}
        for name, values in x.items():
            start = baseline[name][rows.sample]
            points[name] = start + by_row(rows.alpha, values) * (values[rows.sample] - start)
            if rows.noise is not None:
                points[name] += rows.noise[name]
        rest = {name: values[rows.sample] for name, values in context.items()}
        reached: list[bool] = []
        # JAX gives zeros where no path leads back. The backward pass of this identity is traced only if one does.
        watched = self._jax.custom_vjp(lambda values: values)

        def backward(_: None, slope: Any) -> tuple[Any]:
            reached.append(True)
            return (slope,)

        watched.defvjp(lambda values: (values, None), backward)

        def picked(points: Any) -> Any:
            points = {name: watched(values) for name, values in points.items()}
            outputs, _, _ = self._forward_with(state, {**points, **rest}, {}, False)
            return self._pick(outputs, rows.target)

        gradients = self._jax.grad(picked)(points)
        if not reached:
            raise no_path()
        return {
            name: total.at[rows.sample].add(by_row(rows.weight, gradients[name]) * gradients[name][:, None])
            for name, total in totals.items()
        }

    def _pick(self, outputs: dict[str, Any], target: Any) -> Any:
        """Return the sum of the explained outputs, of outputs laid flat as `Adapter.predict` does."""
        jnp = self._jax.numpy
        flat = jnp.concatenate([value.reshape(len(value), -1) for value in outputs.values()], axis=1)
        if not jnp.issubdtype(flat.dtype, jnp.floating):
            raise no_path()
        return jnp.take_along_axis(flat, target[:, None], axis=1).sum()

    def _rewritten(
        self, feed: Feed, leaves: Feed, rewrite: Rewrite, target: np.ndarray
    ) -> tuple[list[tuple[str, np.ndarray]], Feed]:
        floating = [key for key, values in {**feed, **leaves}.items() if values.dtype.kind == "f"]

        def run(state: Any, feed: Any, leaves: Any, target: Any) -> Any:
            def picked(watched: Any) -> Any:
                inputs = {name: watched.get(name, values) for name, values in feed.items()}
                readers, held = rewrite.begin({name: watched[name] for name in leaves}, inputs)
                with held:
                    outputs, _, _ = self._forward_with(state, inputs, readers, False)
                return self._pick(outputs, target), outputs

            given = {**feed, **leaves}
            gradients, outputs = self._jax.grad(picked, has_aux=True)({key: given[key] for key in floating})
            return outputs, gradients

        outputs, gradients = self._compiled(("rewritten", rewrite.key), lambda: run)(feed, leaves, target)
        return [(name, _array(value)) for name, value in outputs.items()], {k: _array(v) for k, v in gradients.items()}

    def _read(
        self, feed: Feed, readers: Mapping[str, Reader], training: bool
    ) -> tuple[list[tuple[str, np.ndarray]], Readings]:
        def forward(state: Any, feed: Any) -> Any:
            return self._forward_with(state, feed, readers, training)[:2]

        key = ("read", tuple(readers.items()), training)
        with self._state_restored() if training else nullcontext():
            outputs, found = self._compiled(key, lambda: forward)(feed)
        named = [(name, _array(value)) for name, value in outputs.items()]
        return named, {p: [{k: _array(v) for k, v in c.items()} for c in calls] for p, calls in found.items()}


def _array(value: Any) -> np.ndarray:
    array = np.asarray(value)
    # numpy has no bfloat16 of its own, and knows nothing of the one it is lent.
    return array if array.dtype.kind in "biufc" else array.astype("float32")
