"""Forward passes and path gradients on TensorFlow: traced once for each shape of a sample, weights never baked in."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from attrkit.adapters._parameters import Place, learnt_of, not_reached, with_cotangents
from attrkit.adapters.base import Adapter
from attrkit.adapters.memory import is_out_of_memory
from attrkit.adapters.outputs import no_path
from attrkit.adapters.terms import Feed, PathRows, Reader, Readings, Rewrite
from attrkit.errors import AttrkitError, InputError
from attrkit.half import widened


class TensorFlowAdapter(Adapter):
    """A model whose forward pass is made of TensorFlow operations.

    Its passes are TensorFlow functions, or such compiled by XLA: that takes longer, holds for one number of rows, and
    runs up to twice as fast, or slower.
    """

    ways = ("plain", "xla")

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        import tensorflow as tf

        self._tf = tf

    def _fixed_rows(self, way: str) -> bool:
        return way == "xla"

    def _run_compiled(
        self, key: Hashable, body: Callable[..., Any], held: Sequence[Any], arguments: Sequence[Any], *, xla: bool
    ) -> Any:
        """Return ``body(self, *held, *arguments)``, traced once for each key and shape of a row."""
        tf, shared = self._tf, self._shared
        specs = [tf.TensorSpec([None, *a.shape[1:]], a.dtype) for a in arguments]

        def run(*tensors: Any) -> Any:
            return body(*shared.held, *tensors)

        def make() -> Any:
            try:
                return tf.function(run, jit_compile=xla or None).get_concrete_function(*specs)
            except Exception as err:
                # TensorFlow wraps what is raised while it traces; our own refusals come out as they are.
                cause: BaseException | None = err
                while cause is not None and not isinstance(cause, AttrkitError):
                    cause = cause.__cause__ or cause.__context__
                if cause is not None:
                    raise cause from None
                if is_out_of_memory(err):
                    raise
                shapes = ", ".join(f"(sample, {', '.join(map(str, s.shape[1:]))})" for s in specs if s.shape.rank > 1)
                raise InputError(f"the model fails on inputs of shape {shapes}: {err}") from err

        whole = (key, xla, self.question.logits, *((tuple(spec.shape), spec.dtype) for spec in specs))
        with shared.lending(self, *held):
            return shared.function(whole, make)(*map(tf.constant, arguments))

    def _predict(self, feed: Feed, way: str) -> list[tuple[str, np.ndarray]]:
        outputs, _ = self._run_forward(feed, {}, False, way)
        self._note_half(value.dtype for value in outputs.values())
        return [(name, self._array(value)) for name, value in outputs.items()]

    def _read(
        self, feed: Feed, readers: Mapping[str, Reader], training: bool, way: str
    ) -> tuple[list[tuple[str, np.ndarray]], Readings]:
        with self._state_restored() if training else nullcontext():
            outputs, found = self._run_forward(feed, readers, training, way)
        named = [(name, self._array(value)) for name, value in outputs.items()]
        return named, {p: [{k: self._array(v) for k, v in c.items()} for c in calls] for p, calls in found.items()}

    def _run_forward(self, feed: Feed, readers: Mapping[str, Reader], training: bool, way: str) -> Any:
        names = tuple(feed)
        key = ("forward", names, tuple(readers.items()), training)
        return self._run_compiled(key, _forward, (names, readers, training), [*feed.values()], xla=way == "xla")

    def _path_begin(self, x: Feed, baseline: Feed, context: Feed, n_sums: int) -> Any:
        constant = self._tf.constant
        totals = [self._tf.zeros((len(a), n_sums, *a.shape[1:]), a.dtype) for a in x.values()]
        whole = [*map(constant, x.values()), *map(constant, baseline.values()), *map(constant, context.values())]
        return tuple(x), tuple(context), whole, totals

    def _path_add(self, sums: Any, rows: PathRows, way: str) -> Any:
        names, others, whole, totals = sums
        noise = {} if rows.noise is None else rows.noise
        numbers = [rows.sample.astype("int32"), rows.alpha, rows.weight, rows.target.astype("int32")]
        key = ("add gradients", names, others, bool(noise), way)
        # Compiled is what computes the gradients: it does not depend on how many samples are on the device.
        found = self._run_compiled(
            key, _add_gradients, (names, others, way), [*whole, *totals, *numbers, *noise.values()], xla=False
        )
        *totals, outputs = found
        return (names, others, whole, totals), outputs

    def _array(self, value: Any) -> np.ndarray:
        # Sums and differences of what comes out are taken in single precision at least; files hold no bfloat16.
        return widened(np.asarray(value))

    def _path_wait(self, sums: Any) -> None:
        self._tf.reduce_sum(sums[3][0]).numpy()

    def _path_end(self, sums: Any) -> Feed:
        names, _, _, totals = sums
        return {name: total.numpy() for name, total in zip(names, totals, strict=True)}

    def _headed(self, outputs: Any) -> Any:
        # Autograph is for the model's code; of the user's function it may not even find the source.
        return self._tf.autograph.experimental.do_not_convert(super()._headed)(outputs)

    def _laid_flat(self, outputs: dict[str, Any]) -> Any:
        """Lay outputs flat as `Adapter.predict` does."""
        tf = self._tf
        widest = max((value.dtype for value in outputs.values()), key=lambda dtype: dtype.size)
        flat = [tf.cast(tf.reshape(value, [tf.shape(value)[0], -1]), widest) for value in outputs.values()]
        return tf.concat(flat, axis=1)

    def _rewritten(
        self, feed: Feed, leaves: Feed, rewrite: Rewrite, target: np.ndarray, way: str
    ) -> tuple[list[tuple[str, np.ndarray]], Feed]:
        names, others = tuple(feed), tuple(leaves)
        arguments = [target.astype("int32"), *feed.values(), *leaves.values()]
        key = ("rewritten", names, others, rewrite.key)
        # Autograph would rewrite the rules.
        body = self._tf.autograph.experimental.do_not_convert(_rewritten)
        outputs, gradients = self._run_compiled(key, body, (names, others, rewrite), arguments, xla=way == "xla")
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
        names, arguments = tuple(feed), [*feed.values(), *cotangents]
        key = ("parameters", names, tuple(readers.items()), places, tuple(learnt))
        held = (names, readers, places, tuple(learnt.values()))
        slopes = self._run_compiled(key, _parameter_gradient, held, arguments, xla=way == "xla")
        return {name: self._array(slope) for name, slope in zip(learnt, slopes, strict=True)}


# ---- what is traced: functions of the adapter, what it is lent for the trace, and tensors ----------------------


def _forward(
    adapter: TensorFlowAdapter, names: Sequence[str], readers: Mapping[str, Reader], training: bool, *tensors: Any
) -> Any:
    return adapter._forward(_by_name(names, tensors), readers, training)


def _add_gradients(
    adapter: TensorFlowAdapter, names: tuple[str, ...], others: tuple[str, ...], way: str, *arguments: Any
) -> Any:
    tf, n, m = adapter._tf, len(names), len(others)
    # Autograph, which some models of Keras 2 need, rewrites all that leads to the model's call, and nothing else.
    unconverted = tf.autograph.experimental.do_not_convert
    laid_flat = unconverted(adapter._laid_flat)

    @unconverted
    def points_of() -> tuple[list[Any], list[Any]]:
        xs, baselines, context = arguments[:n], arguments[n : 2 * n], arguments[2 * n : 2 * n + m]
        sample, alpha, _, _, *noise = arguments[3 * n + m :]
        points = []
        for x, baseline in zip(xs, baselines, strict=True):
            start = tf.gather(baseline, sample)
            points.append(start + _by_row(tf, alpha, x) * (tf.gather(x, sample) - start))
        if noise:
            points = [point + drawn for point, drawn in zip(points, noise, strict=True)]
        return points, [tf.gather(values, sample) for values in context]

    def gradients_at(points: list[Any], rest: list[Any], target: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(points)
            outputs, _ = adapter._forward(_by_name(names + others, points + rest), {}, False)
            flat = laid_flat(outputs)
            picked = tf.gather(flat, target, batch_dims=1)
        return tape.gradient(picked, points), flat

    @unconverted
    def add(gradients: Sequence[Any]) -> list[Any]:
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

    points, rest = points_of()
    if way == "xla":
        gradients_at = tf.function(gradients_at, jit_compile=True)
    gradients, flat = gradients_at(points, rest, arguments[3 * n + m + 3])
    return [*add(gradients), flat]


def _rewritten(
    adapter: TensorFlowAdapter,
    names: tuple[str, ...],
    others: tuple[str, ...],
    rewrite: Rewrite,
    target: Any,
    *tensors: Any,
) -> Any:
    given = _by_name(names + others, tensors)
    inputs, own = {name: given[name] for name in names}, {name: given[name] for name in others}
    watched = {key: values for key, values in given.items() if values.dtype.is_floating}
    with adapter._tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(list(watched.values()))
        readers, held = rewrite.begin(own, inputs)
        with held:
            outputs, _ = adapter._forward(inputs, readers, False)
        picked = adapter._tf.gather(adapter._laid_flat(outputs), target, batch_dims=1)
    gradients = tape.gradient(picked, watched)
    return outputs, {key: values for key, values in gradients.items() if values is not None}


def _parameter_gradient(
    adapter: TensorFlowAdapter,
    names: tuple[str, ...],
    readers: Mapping[str, Reader],
    places: tuple[Place, ...],
    learnt: tuple[Any, ...],
    *arguments: Any,
) -> Any:
    tf = adapter._tf
    unconverted = tf.autograph.experimental.do_not_convert
    feed, cotangents = _by_name(names, arguments[: len(names)]), arguments[len(names) :]
    # Those of Keras 3 hold one of TensorFlow.
    variables = [one if isinstance(one, tf.Variable) else one.value for one in learnt]

    @unconverted
    def weighted(outputs: Any, found: Any) -> Any:
        pairs = with_cotangents(adapter._laid_flat(outputs), found, places, cotangents)
        return tf.add_n([tf.cast(tf.reduce_sum(v * tf.cast(c, v.dtype)), pairs[0][0].dtype) for v, c in pairs])

    @unconverted
    def slopes_of(tape: Any, total: Any) -> list[Any]:
        slopes = tape.gradient(total, variables)
        if all(slope is None for slope in slopes):
            raise not_reached()
        # Of a table of words, a gradient is the rows that were looked up.
        return [
            tf.zeros_like(v) if slope is None else tf.convert_to_tensor(slope)
            for v, slope in zip(variables, slopes, strict=True)
        ]

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(variables)
        outputs, found = adapter._forward(feed, readers, False)
        total = weighted(outputs, found)
    return slopes_of(tape, total)


def _by_name(names: Sequence[str], tensors: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(names, tensors, strict=True))


def _by_row(tf: Any, values: Any, like: Any) -> Any:
    """Give one value a row the dims of an array."""
    return tf.reshape(tf.cast(values, like.dtype), [-1] + [1] * (len(like.shape) - 1))


def _by_sum(tf: Any, weight: Any, like: Any) -> Any:
    """Give weights of shape (row, sum) the dims of gradients of shape (row, 1, ...)."""
    return tf.reshape(tf.cast(weight, like.dtype), [-1, weight.shape[1]] + [1] * (len(like.shape) - 1))
