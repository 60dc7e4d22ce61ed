"""Forward passes and path gradients on JAX: jitted once for each shape, the model's state an argument of every call."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import nullcontext
from functools import cache
from typing import Any

import numpy as np

from attrkit.adapters._parameters import Place, learnt_of, with_cotangents
from attrkit.adapters.base import Adapter
from attrkit.adapters.outputs import no_path
from attrkit.adapters.terms import Feed, PathRows, Reader, Readings, Rewrite
from attrkit.errors import InputError, RefusedError
from attrkit.half import widened


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

    def _places_of(self, arrays: Sequence[Any]) -> tuple[int, ...]:
        """Return where in the state these arrays of the model are."""
        raise NotImplementedError

    def _set_state(self, state: Any) -> None:
        """Give the model the arrays that a pass left."""

    def _fixed_rows(self, way: str) -> bool:
        return True

    def _run_compiled(self, key: Hashable, body: Callable[..., Any], held: Sequence[Any], *arguments: Any) -> Any:
        """Return ``body(self, *held, state, *arguments)``, jitted once for each key."""
        shared = self._shared

        def run(*given: Any) -> Any:
            return body(*shared.held, *given)

        compiled = shared.function((key, self.question.logits), lambda: self._jax.jit(run))
        try:
            with shared.lending(self, *held):
                return compiled(self._state(), *arguments)
        except self._jax.errors.UnexpectedTracerError as err:
            raise RefusedError(
                "a layer that is read runs inside a loop or an inner function of the model, where its values "
                f"cannot be taken out; read the layer around it: {err}"
            ) from err
        except (TypeError, ValueError) as err:
            raise InputError(f"the model fails on these inputs: {err}") from err

    def _predict(self, feed: Feed, way: str) -> list[tuple[str, np.ndarray]]:
        outputs, after = self._run_compiled("forward", _predicted, (), feed)
        self._note_half(value.dtype for value in outputs.values())
        if not self._shared.steady:
            # The first passes, which are compared, move the model on as its own would: what is random or remembers
            # shows. It is put back after them.
            self._set_state(after)
        return [(name, self._array(value)) for name, value in outputs.items()]

    def _read(
        self, feed: Feed, readers: Mapping[str, Reader], training: bool, way: str
    ) -> tuple[list[tuple[str, np.ndarray]], Readings]:
        key = ("read", tuple(readers.items()), training)
        with self._state_restored() if training else nullcontext():
            outputs, found = self._run_compiled(key, _read, (readers, training), feed)
        named = [(name, self._array(value)) for name, value in outputs.items()]
        return named, {p: [{k: self._array(v) for k, v in c.items()} for c in calls] for p, calls in found.items()}

    def _path_begin(self, x: Feed, baseline: Feed, context: Feed, n_sums: int) -> Any:
        totals = {name: np.zeros((len(a), n_sums, *a.shape[1:]), a.dtype) for name, a in x.items()}
        return self._jax.device_put((x, baseline, context, totals))

    def _path_add(self, sums: Any, rows: PathRows, way: str) -> Any:
        x, baseline, context, totals = sums
        # Only the middle one takes long to compile, and it does not depend on how many samples are on the device.
        points, rest = _jitted(_points)(x, baseline, context, rows)
        gradients, outputs = self._run_compiled("gradients", _gradients, (), points, rest, rows.target)
        return (x, baseline, context, _jitted(_add)(totals, gradients, rows.sample, rows.weight)), outputs

    def _array(self, value: Any) -> np.ndarray:
        # Sums and differences of what comes out are taken in single precision at least; files hold no bfloat16.
        return widened(np.asarray(value))

    def _path_wait(self, sums: Any) -> None:
        self._jax.block_until_ready(sums[3])

    def _path_end(self, sums: Any) -> Feed:
        return {name: self._array(total) for name, total in sums[3].items()}

    def _rewritten(
        self, feed: Feed, leaves: Feed, rewrite: Rewrite, target: np.ndarray, way: str
    ) -> tuple[list[tuple[str, np.ndarray]], Feed]:
        outputs, gradients = self._run_compiled(
            ("rewritten", rewrite.key), _rewritten, (rewrite,), feed, leaves, target
        )
        named = [(name, self._array(value)) for name, value in outputs.items()]
        return named, {key: self._array(values) for key, values in gradients.items()}

    def _parameter_gradient(
        self,
        feed: Feed,
        readers: Mapping[str, Reader],
        places: tuple[Place, ...],
        cotangents: Sequence[np.ndarray],
        way: str,
    ) -> dict[str, np.ndarray]:
        learnt = learnt_of(self)
        at = self._places_of(list(learnt.values()))
        key = ("parameters", tuple(readers.items()), places, at)
        slopes = self._run_compiled(key, _parameter_gradient, (readers, places, at), feed, list(cotangents))
        return {name: self._array(slope) for name, slope in zip(learnt, slopes, strict=True)}

    def _laid_flat(self, outputs: dict[str, Any]) -> Any:
        """Lay outputs flat as `Adapter.predict` does."""
        return self._jax.numpy.concatenate([value.reshape(len(value), -1) for value in outputs.values()], axis=1)

    def _picked(self, flat: Any, target: Any) -> Any:
        """Return the sum of the explained outputs."""
        jnp = self._jax.numpy
        if not jnp.issubdtype(flat.dtype, jnp.floating):
            raise no_path()
        return jnp.take_along_axis(flat, target[:, None], axis=1).sum()


# ---- what is jitted: functions of the adapter, what it is lent for the trace, the model's state, and arrays -----


def _predicted(adapter: JaxAdapter, state: Any, feed: Any) -> Any:
    outputs, _, after = adapter._forward_with(state, feed, {}, False)
    return outputs, after


def _read(adapter: JaxAdapter, readers: Mapping[str, Reader], training: bool, state: Any, feed: Any) -> Any:
    return adapter._forward_with(state, feed, readers, training)[:2]


@cache
def _jitted(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that depends on no model, jitted once for all of them; JAX is imported by now."""
    import jax

    return jax.jit(function)


def _points(x: Any, baseline: Any, context: Any, rows: Any) -> Any:
    points = {}
    for name, values in x.items():
        start = baseline[name][rows.sample]
        points[name] = start + _by_row(rows.alpha, values) * (values[rows.sample] - start)
        if rows.noise is not None:
            points[name] += rows.noise[name]
    return points, {name: values[rows.sample] for name, values in context.items()}


def _gradients(adapter: JaxAdapter, state: Any, points: Any, rest: Any, target: Any) -> Any:
    reached: list[bool] = []
    # JAX gives zeros where no path leads back. The backward pass of this identity is traced only if one does.
    watched = adapter._jax.custom_vjp(lambda values: values)

    def backward(_: None, slope: Any) -> tuple[Any]:
        reached.append(True)
        return (slope,)

    watched.defvjp(lambda values: (values, None), backward)

    def picked(points: Any) -> Any:
        points = {name: watched(values) for name, values in points.items()}
        outputs, _, _ = adapter._forward_with(state, {**points, **rest}, {}, False)
        flat = adapter._laid_flat(outputs)
        return adapter._picked(flat, target), flat

    gradients, flat = adapter._jax.grad(picked, has_aux=True)(points)
    if not reached:
        raise no_path()
    return gradients, flat


def _add(totals: Any, gradients: Any, sample: Any, weight: Any) -> Any:
    return {
        name: total.at[sample].add(_by_row(weight, gradients[name]) * gradients[name][:, None])
        for name, total in totals.items()
    }


def _rewritten(
    adapter: JaxAdapter, rewrite: Rewrite, state: Any, feed: dict[str, Any], leaves: dict[str, Any], target: Any
) -> Any:
    given = {**feed, **leaves}
    floating = {key: values for key, values in given.items() if values.dtype.kind == "f"}

    def picked(watched: Any) -> Any:
        inputs = {name: watched.get(name, values) for name, values in feed.items()}
        readers, held = rewrite.begin({name: watched[name] for name in leaves}, inputs)
        with held:
            outputs, _, _ = adapter._forward_with(state, inputs, readers, False)
        return adapter._picked(adapter._laid_flat(outputs), target), outputs

    gradients, outputs = adapter._jax.grad(picked, has_aux=True)(floating)
    return outputs, gradients


def _parameter_gradient(
    adapter: JaxAdapter,
    readers: Mapping[str, Reader],
    places: tuple[Place, ...],
    at: tuple[int, ...],
    state: Any,
    feed: Any,
    cotangents: Any,
) -> Any:
    def weighted(learnt: Any) -> Any:
        whole = list(state)
        for i, values in zip(at, learnt, strict=True):
            whole[i] = values
        outputs, found, _ = adapter._forward_with(whole, feed, readers, False)
        pairs = with_cotangents(adapter._laid_flat(outputs), found, places, cotangents)
        return sum((value * weight.astype(value.dtype)).sum() for value, weight in pairs)

    return adapter._jax.grad(weighted)([state[i] for i in at])


def _by_row(values: Any, like: Any) -> Any:
    """Give values of shape (row, ...) the dims of an array of rows."""
    return values.astype(like.dtype).reshape(*values.shape, *[1] * (like.ndim - 1))
