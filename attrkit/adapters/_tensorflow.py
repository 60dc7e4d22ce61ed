"""Forward passes and path gradients on TensorFlow: traced once for each shape of a sample, weights never baked in."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter, Feed, PathRows, Reader, Readings, Rewrite, no_path
from attrkit.errors import AttrkitError, InputError


class TensorFlowAdapter(Adapter):
    """A model whose forward pass is made of TensorFlow operations."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        import tensorflow as tf

        self._tf = tf

    def _compiled(self, key: Any, specs: Sequence[Any], make: Callable[[], Callable[..., Any]]) -> Any:
        whole = (key, self.question.logits, *((tuple(s.shape), s.dtype) for s in specs))
        if whole not in self._traced:
            try:
                self._traced[whole] = self._tf.function(make()).get_concrete_function(*specs)
            except Exception as err:
                # TensorFlow wraps what is raised while it traces; our own refusals come out as they are.
                cause: BaseException | None = err
                while cause is not None and not isinstance(cause, AttrkitError):
                    cause = cause.__cause__ or cause.__context__
                if cause is not None:
                    raise cause from None
                shapes = ", ".join(f"(sample, {', '.join(map(str, s.shape[1:]))})" for s in specs if s.shape.rank > 1)
                raise InputError(f"the model fails on inputs of shape {shapes}: {err}") from err
        return self._traced[whole]

    def _rows(self, values: np.ndarray) -> Any:
        return self._tf.TensorSpec([None, *values.shape[1:]], values.dtype)

    def _predict(self, feed: Feed) -> list[tuple[str, np.ndarray]]:
        names = tuple(feed)

        def make() -> Callable[..., Any]:
            return lambda *tensors: self._forward(_by_name(names, tensors), {}, False)[0]

        forward = self._compiled(("forward", names), [self._rows(a) for a in feed.values()], make)
        outputs = forward(*map(self._tf.constant, feed.values()))
        return [(name, _array(value)) for name, value in outputs.items()]

    def _path_begin(self, x: Feed, baseline: Feed, context: Feed, n_sums: int) -> Any:
        constant = self._tf.constant
        totals = [self._tf.zeros((len(a), n_sums, *a.shape[1:]), a.dtype) for a in x.values()]
        whole = [*map(constant, x.values()), *map(constant, baseline.values()), *map(constant, context.values())]
        return tuple(x), tuple(context), whole, totals

    def _path_add(self, sums: Any, rows: PathRows) -> Any:
        tf = self._tf
        names, others, whole, totals = sums
        numbers = [tf.constant(rows.sample, tf.int32), tf.constant(rows.alpha), tf.constant(rows.weight)]
        numbers.append(tf.constant(rows.target, tf.int32))
        noise = {} if rows.noise is None else rows.noise
        arguments = [*whole, *totals, *numbers, *map(tf.constant, noise.values())]
        specs = [tf.TensorSpec([None, *a.shape[1:]], a.dtype) for a in arguments]
        add = self._compiled(
            ("add gradients", names, others, bool(noise)), specs, lambda: self._add_gradients(names, others)
        )
        return names, others, whole, add(*arguments)

    def _path_end(self, sums: Any) -> Feed:
        names, _, _, totals = sums
        return {name: total.numpy() for name, total in zip(names, totals, strict=True)}

    def _add_gradients(self, names: tuple[str, ...], others: tuple[str, ...]) -> Callable[..., Any]:
        tf, n, m = self._tf, len(names), len(others)
        # Autograph, which some models of Keras 2 need, rewrites all that leads to the model's call, and nothing else.
        unconverted = tf.autograph.experimental.do_not_convert
        pick = unconverted(self._pick)

        @unconverted
        def points_of(arguments: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
            xs, baselines, context = arguments[:n], arguments[n : 2 * n], arguments[2 * n : 2 * n + m]
            sample, alpha, _, _, *noise = arguments[3 * n + m :]
            points = []
            for x, baseline in zip(xs, baselines, strict=True):
                start = tf.gather(baseline, sample)
                points.append(start + _by_row(tf, alpha, x) * (tf.gather(x, sample) - start))
            if noise:
                points = [point + drawn for point, drawn in zip(points, noise, strict=True)]
            rest = {name: tf.gather(values, sample) for name, values in zip(others, context, strict=True)}
            return points, {**dict(zip(names, points, strict=True)), **rest}

        @unconverted
        def add(arguments: Sequence[Any], gradients: Sequence[Any]) -> list[Any]:
            if all(gradient is None for gradient in gradients):
                raise no_path()
            totals = arguments[2 * n + m : 3 * n + m]
            sample, _, weight, *_ = arguments[3 * n + m :]
            # None for one of several inputs, which the explained output does not depend on.
            return [
                total
                if gradient is None
                else tf.tensor_scatter_nd_add(total, sample[:, None], _by_sum(tf, weight, gradient) * gradient[:, None])
                for total, gradient in zip(totals, gradients, strict=True)
            ]

        def add_gradients(*arguments: Any) -> Any:
            points, feed = points_of(arguments)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(points)
                outputs, _ = self._forward(feed, {}, False)
                picked = pick(outputs, arguments[3 * n + m + 3])
            return add(arguments, tape.gradient(picked, points))

        return add_gradients

    def _headed(self, outputs: Any) -> Any:
        # Autograph is for the model's code; of the user's function it may not even find the source.
        return self._tf.autograph.experimental.do_not_convert(super()._headed)(outputs)

    def _pick(self, outputs: dict[str, Any], target: Any) -> Any:
        """Return the explained output of each row, of outputs laid flat as `Adapter.predict` does."""
        tf = self._tf
        widest = max((value.dtype for value in outputs.values()), key=lambda dtype: dtype.size)
        flat = [tf.cast(tf.reshape(value, [tf.shape(value)[0], -1]), widest) for value in outputs.values()]
        return tf.gather(tf.concat(flat, axis=1), target, batch_dims=1)

    def _rewritten(
        self, feed: Feed, leaves: Feed, rewrite: Rewrite, target: np.ndarray
    ) -> tuple[list[tuple[str, np.ndarray]], Feed]:
        tf = self._tf
        names, others = tuple(feed), tuple(leaves)

        @tf.autograph.experimental.do_not_convert
        def run(target: Any, *tensors: Any) -> Any:
            given = _by_name(names + others, tensors)
            inputs, own = {name: given[name] for name in names}, {name: given[name] for name in others}
            watched = {key: values for key, values in given.items() if values.dtype.is_floating}
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(list(watched.values()))
                readers, held = rewrite.begin(own, inputs)
                with held:
                    outputs, _ = self._forward(inputs, readers, False)
                picked = self._pick(outputs, target)
            gradients = tape.gradient(picked, watched)
            return outputs, {key: values for key, values in gradients.items() if values is not None}

        arguments = [target.astype("int32"), *feed.values(), *leaves.values()]
        key = ("rewritten", names, others, rewrite.key)
        compiled = self._compiled(key, [self._rows(a) for a in arguments], lambda: run)
        outputs, gradients = compiled(*map(tf.constant, arguments))
        return [(name, _array(value)) for name, value in outputs.items()], {k: _array(v) for k, v in gradients.items()}

    def _read(
        self, feed: Feed, readers: Mapping[str, Reader], training: bool
    ) -> tuple[list[tuple[str, np.ndarray]], Readings]:
        names = tuple(feed)

        def make() -> Callable[..., Any]:
            return lambda *tensors: self._forward(_by_name(names, tensors), readers, training)

        key = ("read", names, tuple(readers.items()), training)
        read = self._compiled(key, [self._rows(a) for a in feed.values()], make)
        with self._state_restored() if training else nullcontext():
            outputs, found = read(*map(self._tf.constant, feed.values()))
        named = [(name, _array(value)) for name, value in outputs.items()]
        return named, {p: [{k: _array(v) for k, v in c.items()} for c in calls] for p, calls in found.items()}


def _array(value: Any) -> np.ndarray:
    array = np.asarray(value)
    # Sums and differences of what comes out are taken in single precision at least; files hold no bfloat16.
    return array.astype("float32") if array.dtype.name in ("float16", "bfloat16") else array


def _by_name(names: Sequence[str], tensors: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(names, tensors, strict=True))


def _by_row(tf: Any, values: Any, like: Any) -> Any:
    """Give one value a row the dims of an array."""
    return tf.reshape(tf.cast(values, like.dtype), [-1] + [1] * (len(like.shape) - 1))


def _by_sum(tf: Any, weight: Any, like: Any) -> Any:
    """Give weights of shape (row, sum) the dims of gradients of shape (row, 1, ...)."""
    return tf.reshape(tf.cast(weight, like.dtype), [-1, weight.shape[1]] + [1] * (len(like.shape) - 1))
