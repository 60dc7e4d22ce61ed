"""Keras models, version 2 and 3, on TensorFlow: functional, Sequential and subclassed."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter, Call, Layer, Reader, Readings
from attrkit.errors import AttrkitError, InputError, RefusedError, UnknownModelError

# Interception puts another `call` on layer instances while a function is traced; one thread at a time may do so.
_TRACING = threading.RLock()


class KerasAdapter(Adapter):
    """A Keras model on TensorFlow, behind compiled functions."""

    framework = "keras"
    handles = (
        "keras.src.models.model",
        "keras.src.engine.training",
        "keras.engine.training",
        "tf_keras.src.engine.training",
    )

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        import tensorflow as tf

        self._tf = tf
        is_keras_3 = any(c.__module__ == "keras.src.models.model" for c in type(model).__mro__)
        if is_keras_3:
            import keras

            if keras.backend.backend() != "tensorflow":
                raise UnknownModelError(
                    f"the model is a Keras 3 model on {keras.backend.backend()}; models on TensorFlow are taken "
                    "(set KERAS_BACKEND=tensorflow before keras is imported)"
                )
        inputs = getattr(model, "inputs", None)
        if inputs is not None and len(inputs) > 1:
            names = [getattr(tensor, "name", "?") for tensor in inputs]
            raise InputError(f"the model has {len(inputs)} inputs {names}; models of one input are taken")
        stateful = [entry.path for entry in self._all_layers() if getattr(entry.layer, "stateful", False)]
        if stateful:
            raise RefusedError(
                f"layer {', '.join(stateful)} is stateful: its output depends on the batches before, so a sample has "
                "no explanation of its own; rebuild the model with stateful=False and the same weights"
            )
        self._traced: dict[Any, Any] = {}

    @cached_property
    def _inputs(self) -> Any:
        inputs = getattr(self.model, "inputs", None)
        return inputs[0] if inputs else None

    @property
    def input_shape(self) -> tuple[int | None, ...] | None:  # noqa: D102
        return None if self._inputs is None else tuple(self._inputs.shape)[1:]

    @property
    def input_dtype(self) -> str:  # noqa: D102
        if self._inputs is not None:
            return self._tf.as_dtype(self._inputs.dtype).name
        weights = self.model.weights
        return self._tf.as_dtype(weights[0].dtype).name if weights else "float32"

    @cached_property
    def precision(self) -> float:  # noqa: D102
        kinds = {str(getattr(entry.layer, "compute_dtype", "")) for entry in self._all_layers()}
        return 2e-2 if kinds & {"float16", "bfloat16"} else 1e-4

    def describe(self) -> dict[str, str]:  # noqa: D102
        package = next(
            c.__module__.split(".")[0] for c in type(self.model).__mro__ if c.__module__.startswith(self.handles)
        )
        return {
            "framework": self.framework,
            "framework_version": str(import_module(package).__version__),
            "backend": "tensorflow",
            "backend_version": self._tf.__version__,
            "model": str(self.model.name),
        }

    def layers(self) -> list[Layer]:  # noqa: D102
        return [entry for entry in self._all_layers() if entry.kind != "InputLayer"]

    def _all_layers(self) -> list[Layer]:
        seen: Counter[str] = Counter()
        found = []
        for entry in _walk(self.model, prefix="", seen=set()):
            seen[entry.path] += 1
            # Subclassed models may hold two layers of one name.
            nth = seen[entry.path]
            found.append(entry if nth == 1 else entry._replace(path=f"{entry.path}#{nth}"))
        return found

    def mask(self, x: np.ndarray) -> np.ndarray | None:  # noqa: D102
        # Masking has a mask_value, an Embedding that masks has mask_zero; subclasses of theirs too.
        masking = [
            entry.path
            for entry in self.layers()
            if hasattr(entry.layer, "mask_value") or getattr(entry.layer, "mask_zero", False) is True
        ]
        if not masking:
            return None
        _, readings = self.read(x, dict.fromkeys(masking, _read_mask))
        masks = [call["mask"] for calls in readings.values() for call in calls if "mask" in call]
        # One of another length is that of a shortened sequence, and says nothing of the input's timesteps.
        return next((mask.astype(bool) for mask in masks if mask.shape == x.shape[:2]), None)

    # ---- compiled functions -----------------------------------------------------------------------------------

    def _compiled(self, key: Any, shape: tuple[int, ...], make: Callable[[], tuple[Any, Sequence[Any]]]) -> Any:
        """Trace a function once for each shape of a sample, whatever the number of rows."""
        if (key, shape) not in self._traced:
            function, specs = make()
            try:
                self._traced[key, shape] = self._tf.function(function).get_concrete_function(*specs)
            except Exception as err:
                # TensorFlow wraps what is raised while it traces; our own refusals come out as they are.
                cause: BaseException | None = err
                while cause is not None and not isinstance(cause, AttrkitError):
                    cause = cause.__cause__ or cause.__context__
                if cause is not None:
                    raise cause from None
                raise InputError(
                    f"model {self.model.name!r} fails on inputs of shape (sample, {', '.join(map(str, shape))}): {err}"
                ) from err
        return self._traced[key, shape]

    def _rows(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        return self._tf.TensorSpec([None, *shape], self.input_dtype if dtype is None else dtype)

    def _predict(self, batch: np.ndarray) -> list[tuple[str, np.ndarray]]:
        def make() -> tuple[Any, Sequence[Any]]:
            model = self.model
            name_outputs = self._tf.autograph.experimental.do_not_convert(self._named)

            def forward(x: Any) -> Any:
                return name_outputs(model(x, training=False))

            return forward, [self._rows(batch.shape[1:])]

        outputs = self._compiled("forward", batch.shape[1:], make)(self._tf.constant(batch))
        return [(name, np.asarray(value)) for name, value in outputs.items()]

    def _named(self, outputs: Any) -> dict[str, Any]:
        """Name every output of the model, in its order."""
        if isinstance(outputs, Mapping):
            return {str(name): value for name, value in outputs.items()}
        if not isinstance(outputs, list | tuple):
            return {"output": outputs}
        names = getattr(self.model, "output_names", None) or []
        if len(names) != len(outputs) or len(set(names)) < len(names):
            names = [f"output_{i}" for i in range(len(outputs))]
        return dict(zip(names, outputs, strict=True))

    def _path_begin(self, x: np.ndarray, baseline: np.ndarray) -> Any:
        if np.dtype(self.input_dtype).kind != "f":
            raise RefusedError(
                f"the model takes {self.input_dtype}, and there is no gradient with respect to integers such as "
                "token ids; use occlusion, or attention"
            )
        tf = self._tf
        return tf.constant(x), tf.constant(baseline), tf.zeros_like(x)

    def _path_add(
        self,
        sums: Any,
        sample: np.ndarray,
        alpha: np.ndarray,
        weight: np.ndarray,
        noise: np.ndarray | None,
        target: np.ndarray,
    ) -> Any:
        tf = self._tf
        x, baseline, total = sums
        shape = tuple(x.shape[1:])
        add = self._compiled(
            ("add gradients", noise is not None), shape, lambda: self._make_add_gradients(shape, noise is not None)
        )
        rows = [tf.constant(sample, tf.int32), tf.constant(alpha), tf.constant(weight), tf.constant(target, tf.int32)]
        return x, baseline, add(x, baseline, total, *rows, *([] if noise is None else [tf.constant(noise)]))

    def _path_end(self, sums: Any) -> np.ndarray:
        return sums[2].numpy()

    def _make_add_gradients(self, shape: tuple[int, ...], noisy: bool) -> tuple[Any, Sequence[Any]]:
        tf, model = self._tf, self.model
        pick = tf.autograph.experimental.do_not_convert(self._pick)
        scalars = [-1] + [1] * len(shape)

        def add_gradients(
            x: Any, baseline: Any, total: Any, sample: Any, alpha: Any, weight: Any, target: Any, noise: Any = 0
        ) -> Any:
            start = tf.gather(baseline, sample)
            point = start + tf.reshape(alpha, scalars) * (tf.gather(x, sample) - start) + noise
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(point)
                picked = pick(model(point, training=False), target)
            gradient = tape.gradient(picked, point)
            if gradient is None:
                raise RefusedError("no differentiable path leads from the model's input to its output; use occlusion")
            return tf.tensor_scatter_nd_add(total, sample[:, None], tf.reshape(weight, scalars) * gradient)

        whole, row, index = self._rows(shape), self._rows(()), self._rows((), tf.int32)
        return add_gradients, [whole, whole, whole, index, row, row, index, *([whole] if noisy else [])]

    def _pick(self, outputs: Any, target: Any) -> Any:
        """Return the explained output of each row, of outputs laid flat as `Adapter.predict` does."""
        tf = self._tf
        flat = [
            tf.cast(tf.reshape(value, [tf.shape(value)[0], -1]), self.input_dtype)
            for value in self._named(outputs).values()
        ]
        return tf.gather(tf.concat(flat, axis=1), target, batch_dims=1)

    # ---- reading layers ---------------------------------------------------------------------------------------

    def _read(
        self, batch: np.ndarray, readers: Mapping[str, Reader], training: bool
    ) -> tuple[list[tuple[str, np.ndarray]], Readings]:
        def make() -> tuple[Any, Sequence[Any]]:
            return self._make_reading(dict(readers), training), [self._rows(batch.shape[1:])]

        read = self._compiled((tuple(readers.items()), training), batch.shape[1:], make)
        with self._state_restored() if training else nullcontext():
            outputs, found = read(self._tf.constant(batch))
        named = [(name, np.asarray(value)) for name, value in outputs.items()]
        return named, {p: [{k: np.asarray(v) for k, v in c.items()} for c in calls] for p, calls in found.items()}

    def _make_reading(self, readers: dict[str, Reader], training: bool) -> Any:
        tf, model = self._tf, self.model
        unconverted = tf.autograph.experimental.do_not_convert
        layers = {entry.path: entry.layer for entry in self._all_layers()}
        name_outputs = unconverted(self._named)

        def forward(x: Any) -> Any:
            found: dict[str, list[dict[str, Any]]] = {}
            with self._intercepted(layers, readers, found):
                outputs = model(x, training=training)
            return name_outputs(outputs), found

        return forward

    @contextmanager
    def _intercepted(
        self, layers: Mapping[str, Any], readers: Mapping[str, Reader], found: dict[str, list[dict[str, Any]]]
    ) -> Iterator[None]:
        """Let readers stand in for the ``call`` of their layers, on the instances, until the block ends."""
        tf = self._tf
        graph, owner = tf.compat.v1.get_default_graph(), threading.get_ident()

        def stand_in(path: str, layer: Any, reader: Reader) -> Any:
            # Keras 2 lets autograph rewrite the call of a layer of the user's own, for Python branches on tensors.
            by_autograph = getattr(layer, "_autographed_call", None)
            original = layer.call if by_autograph is None else by_autograph()

            def call(*args: Any, **kwargs: Any) -> Any:
                if threading.get_ident() != owner:
                    return original(*args, **kwargs)
                output, read = reader(Call(layer, original, args, kwargs))
                if tf.compat.v1.get_default_graph() is not graph:
                    raise RefusedError(
                        f"layer {path!r} runs inside a loop or an inner function of the model, where its values "
                        "cannot be taken out; read the layer around it"
                    )
                found.setdefault(path, []).append(read)
                return output

            # Autograph would rewrite the reader too.
            return tf.autograph.experimental.do_not_convert(call)

        with _TRACING:
            before = []
            try:
                for path, reader in readers.items():
                    layer = layers[path]
                    before.append((layer, vars(layer).get("call")))
                    # Keras tracks what is set on a layer: go past its own __setattr__.
                    object.__setattr__(layer, "call", stand_in(path, layer, reader))
                yield
            finally:
                for layer, own in before:
                    if own is None:
                        object.__delattr__(layer, "call")
                    else:
                        object.__setattr__(layer, "call", own)

    @contextmanager
    def _state_restored(self) -> Iterator[None]:
        state = [(v, v.numpy()) for v in self.model.non_trainable_variables]
        try:
            yield
        finally:
            for variable, value in state:
                variable.assign(value)


def _read_mask(call: Call) -> tuple[Any, dict[str, Any]]:
    mask = call.layer.compute_mask(call.args[0])
    return call.original(*call.args, **call.kwargs), {} if mask is None else {"mask": mask}


def _walk(parent: Any, *, prefix: str, seen: set[int]) -> Iterator[Layer]:
    for layer in parent._flatten_layers(recursive=False, include_self=False):
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        path = f"{prefix}{layer.name}"
        yield Layer(path, type(layer).__name__, layer)
        # What runs inside a recurrent loop has no value outside of it.
        if not hasattr(layer, "cell"):
            yield from _walk(layer, prefix=f"{path}.", seen=seen)


ADAPTER = KerasAdapter
