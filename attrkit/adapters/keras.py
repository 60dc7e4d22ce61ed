"""Keras models, version 2 and 3, on any backend: functional, Sequential and subclassed."""

import warnings
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np

from attrkit.adapters._feeds import with_imposed
from attrkit.adapters._interception import intercepted
from attrkit.adapters._jax import JaxAdapter
from attrkit.adapters._parameters import Held
from attrkit.adapters._shared import settings_of
from attrkit.adapters._tensorflow import TensorFlowAdapter
from attrkit.adapters._torch import TorchAdapter
from attrkit.adapters.base import Adapter
from attrkit.adapters.terms import LAYER, Call, Layer, Reader
from attrkit.errors import AttrkitWarning, InputError, RefusedError, UnknownModelError
from attrkit.half import half_of
from attrkit.inputs import Input
from attrkit.parts import Parts

HANDLES = (
    "keras.src.models.model",
    "keras.src.engine.training",
    "keras.engine.training",
    "tf_keras.src.engine.training",
)

_SOFTMAX = ("softmax", "sigmoid", "log_softmax")

# What Keras writes on a model when it is called, compiled, fitted or asked to predict.
_BOOKKEEPING = {
    "_called",
    "_is_compiled",
    "_jit_compile",
    "_pss_evaluation_shards",
    "compiled",
    "loss",
    "predict_function",
    "stop_predicting",
    "stop_evaluating",
    "stop_training",
    "test_function",
    "train_function",
    "train_tf_function",
}


class KerasModel(Adapter):
    """What holds for a Keras model on any backend; one of the frameworks' adapters runs it."""

    framework = "keras"
    backend: str

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        if not model.built:
            raise InputError(f"{type(model).__name__} has no weights yet; call it once, or load its weights")
        stateful = [entry.path for entry in self._all_layers() if getattr(entry.layer, "stateful", False)]
        if stateful:
            raise RefusedError(
                f"layer {', '.join(stateful)} is stateful: its output depends on the batches before, so a sample has "
                "no explanation of its own; rebuild the model with stateful=False and the same weights"
            )

    @cached_property
    def inputs(self) -> tuple[Input, ...]:  # noqa: D102
        names = list(getattr(self.model, "input_names", None) or [])
        tensors = list(getattr(self.model, "inputs", None) or [])
        if len(names) != len(tensors):
            names = [str(tensor.name) for tensor in tensors]
        return tuple(
            Input(name, tuple(tensor.shape)[1:], _dtype_name(tensor.dtype))
            for name, tensor in zip(names, tensors, strict=True)
        )

    @property
    def half(self) -> str:  # noqa: D102
        return self._policy or super().half

    @cached_property
    def _policy(self) -> str:
        """The half precision that the policy of a layer asks for."""
        return half_of(getattr(entry.layer, "compute_dtype", "") for entry in self._all_layers())

    def describe(self) -> dict[str, str]:  # noqa: D102
        package = next(c.__module__.split(".")[0] for c in type(self.model).__mro__ if c.__module__.startswith(HANDLES))
        return {
            "framework": self.framework,
            "framework_version": str(import_module(package).__version__),
            "backend": self.backend,
            "backend_version": str(import_module(self.backend).__version__),
            "model": str(self.model.name),
        }

    @property
    def is_keras_3(self) -> bool:
        """Whether the model is one of Keras 3; tf-keras and Keras 2 are one to all who use them."""
        return _is_keras_3(self.model)

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

    def _held(self) -> list[Held]:
        own_list = "_trainable_variables" if self.is_keras_3 else "_trainable_weights"
        every = self.model._flatten_layers()
        learnt = {id(v) for layer in every for v in getattr(layer, own_list, ())}
        training = {id(v) for v in self.model.trainable_variables}
        held, seen = [], set()
        for path, layer in [("", self.model), *((entry.path, entry.layer) for entry in self._all_layers())]:
            # What is inside a recurrent layer is its own: cells have no path.
            inner = [] if hasattr(layer, "cell") else layer._flatten_layers(recursive=False, include_self=False)
            of_others = {id(v) for one in inner for v in one.variables}
            for v in layer.variables:
                if id(v) not in seen and id(v) not in of_others:
                    seen.add(id(v))
                    name = str(v.name).split("/")[-1].split(":")[0]
                    held.append(Held(path, name, id(v) in learnt, id(v) not in training, v))
        return held

    def _fetch(self, array: Any) -> np.ndarray:
        # A copy, whatever a backend's own conversion shares.
        values = np.array(array.numpy())
        # numpy has no bfloat16 of its own, whose numbers float32 holds too.
        return values if values.dtype.kind in "biufc" else values.astype("float32")

    def _put(self, array: Any, values: np.ndarray) -> None:
        array.assign(values)

    def _structure(self) -> Hashable:
        layers = self.model._flatten_layers()
        return settings_of(layers, besides=_BOOKKEEPING), tuple(map(id, self.model.variables))

    def masks(self, x: Parts) -> dict[str, np.ndarray]:  # noqa: D102
        # Masking has a mask_value, an Embedding that masks has mask_zero; subclasses of theirs too.
        masking = [
            entry.path
            for entry in self.layers()
            if hasattr(entry.layer, "mask_value") or getattr(entry.layer, "mask_zero", False) is True
        ]
        if not masking:
            return {}
        _, readings = self.read(x, dict.fromkeys(masking, _read_mask))
        parts = dict(x) if isinstance(x, Mapping) else {"": x}
        found: dict[str, np.ndarray] = {}
        for call in (call for calls in readings.values() for call in calls if "mask" in call):
            # One of another length is that of a shortened sequence, and says nothing of the input's timesteps.
            fits = [
                name
                for name, values in parts.items()
                if name not in self.question.static and values.shape[:2] == call["mask"].shape
            ]
            if len(fits) > 1:
                own = {name: self.question.context.get(name, values) for name, values in parts.items()}
                fits = [name for name in fits if np.array_equal(own[name], call["masked"])]
                if not fits:
                    warnings.warn(
                        f"the model masks timesteps behind other layers, and {', '.join(parts)} have as many: which of "
                        "them is padded is not known; say it with mask={name: ...}",
                        AttrkitWarning,
                        stacklevel=2,
                    )
            for name in fits:
                found.setdefault(name, call["mask"].astype(bool))
        return found

    def _forward(
        self, feed: dict[str, Any], readers: Mapping[str, Reader], training: bool
    ) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
        with self._intercepting(feed, readers) as found, self._seeing_softmax() as seen:
            outputs = self.model(self._arguments(feed), training=training)
        return self._named(outputs, seen), found

    def _intercepting(self, feed: Mapping[str, Any], readers: Mapping[str, Reader]) -> Any:
        stand_ins = with_imposed(feed, readers, self.question.imposed)
        return intercepted("call", self._all_layers, stand_ins, original=_own_call, **self._interception())

    @contextmanager
    def _seeing_softmax(self) -> Iterator[list[tuple[Any, Any]]]:
        """Note what goes into and comes out of every softmax and sigmoid, where logits are asked for."""
        seen: list[tuple[Any, Any]] = []
        if not self.question.logits:
            yield seen
            return

        def see(call: Call) -> tuple[Any, dict[str, Any]]:
            result = call.original(*call.args, **call.kwargs)
            seen.append((result, call.args[0]))
            return result, {}

        layers, how = self._all_layers(), self._interception()
        activations = {entry.path: see for entry in layers if _activation_name(entry.layer) in _SOFTMAX}
        softmax = {entry.path: see for entry in layers if entry.kind == "Softmax"}
        with (
            intercepted("activation", lambda: layers, activations, **how),
            intercepted("call", lambda: layers, softmax, **how),
        ):
            yield seen

    def _interception(self) -> dict[str, Any]:
        """Return what the backend needs when a layer's call is replaced."""
        return {}

    def _arguments(self, feed: Mapping[str, Any]) -> Any:
        """Return the inputs in the structure that the model was built with."""
        given = {name: values for name, values in feed.items() if not name.startswith(LAYER)}
        if len(given) == 1 and len(self.inputs) < 2:
            return next(iter(given.values()))
        if isinstance(getattr(self.model, "input", None), dict) or not self.inputs:
            return given
        return [given[entry.name] for entry in self.inputs]

    def _named(self, outputs: Any, seen: list[tuple[Any, Any]]) -> dict[str, Any]:
        """Name every output of the model, in its order."""
        outputs = self._asked(outputs, seen)
        if isinstance(outputs, Mapping):
            return {str(name): value for name, value in outputs.items()}
        if not isinstance(outputs, list | tuple):
            return {"output": outputs}
        names = getattr(self.model, "output_names", None) or []
        if len(names) != len(outputs) or len(set(names)) < len(names):
            names = [f"output_{i}" for i in range(len(outputs))]
        return dict(zip(names, outputs, strict=True))

    @contextmanager
    def _state_restored(self) -> Iterator[None]:
        state = [(v, self._fetch(v)) for v in self.model.non_trainable_variables]
        try:
            yield
        finally:
            for variable, value in state:
                variable.assign(value)


class KerasOnTensorFlow(KerasModel, TensorFlowAdapter):
    """A Keras model on TensorFlow."""

    backend = "tensorflow"

    def _weights_seen(self) -> list[Any]:
        # Nothing counts what is written into a variable. Sums of numpy are the same for the same numbers.
        return [v.numpy().sum(dtype=float) for v in self.model.trainable_variables]

    def _interception(self) -> dict[str, Any]:
        tf = self._tf
        graph = tf.compat.v1.get_default_graph()
        return {
            # Autograph would rewrite the reader too.
            "wrap": tf.autograph.experimental.do_not_convert,
            "outside": lambda: tf.compat.v1.get_default_graph() is not graph,
        }


class KerasOnJax(KerasModel, JaxAdapter):
    """A Keras 3 model on JAX."""

    backend = "jax"

    def _weights_seen(self) -> list[Any]:
        # A variable that is set holds another array.
        return [variable.value for variable in self.model.trainable_variables]

    def _state(self) -> Any:
        return [variable.value for variable in self.model.variables]

    def _forward_with(
        self, state: Any, feed: dict[str, Any], readers: Mapping[str, Reader], training: bool
    ) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]], Any]:
        import keras

        variables = self.model.variables
        with keras.StatelessScope(state_mapping=list(zip(variables, state, strict=True))) as scope:
            outputs, found = self._forward(feed, readers, training)
            after = [scope.get_current_value(variable) for variable in variables]
        return outputs, found, after

    def _places_of(self, arrays: Sequence[Any]) -> tuple[int, ...]:
        numbers = {id(variable): i for i, variable in enumerate(self.model.variables)}
        return tuple(numbers[id(array)] for array in arrays)

    def _set_state(self, state: Any) -> None:
        for variable, value in zip(self.model.variables, state, strict=True):
            if not variable.trainable:
                variable.assign(value)

    def _interception(self) -> dict[str, Any]:
        here = _trace_state()
        return {"outside": lambda: _trace_state() != here}


class KerasOnTorch(KerasModel, TorchAdapter):
    """A Keras 3 model on torch."""

    backend = "torch"

    def _interception(self) -> dict[str, Any]:
        # Inside torch.vmap a tensor stands for many, and has no values of its own.
        return {"outside": lambda: self._torch._C._functorch.maybe_current_level() is not None}

    def _weights(self) -> list[Any]:
        # Averages and states of generators are parameters too.
        return [self._tensor_of(variable) for variable in self.model.trainable_variables]

    def _tensor_of(self, array: Any) -> Any:
        return array.value


def adapt(model: Any) -> Adapter:
    """Return the adapter of a Keras model on the backend that Keras runs on."""
    if not _is_keras_3(model):
        return KerasOnTensorFlow(model)
    import keras

    backends: dict[str, type[Any]] = {"tensorflow": KerasOnTensorFlow, "jax": KerasOnJax, "torch": KerasOnTorch}
    backend = keras.backend.backend()
    if backend not in backends:
        raise UnknownModelError(
            f"Keras runs on {backend}, which has no gradients here; set KERAS_BACKEND to one of {', '.join(backends)}"
        )
    return backends[backend](model)


def _is_keras_3(model: Any) -> bool:
    return any(cls.__module__ == HANDLES[0] for cls in type(model).__mro__)


def _trace_state() -> Any:
    """Return a token of the JAX transformation that runs: another one inside a scan or a vmap; None in an old JAX."""
    for name in ("jax.extend.core", "jax.core"):
        find = getattr(import_module(name), "get_opaque_trace_state", None)
        if find is not None:
            return find(convention="flax")
    return None


def _own_call(layer: Any) -> Any:
    # Keras 2 lets autograph rewrite the call of a layer of the user's own, for Python branches on tensors.
    by_autograph = getattr(layer, "_autographed_call", None)
    return layer.call if by_autograph is None else by_autograph()


def _dtype_name(dtype: Any) -> str:
    return str(getattr(dtype, "name", dtype)).removeprefix("torch.")


def _activation_name(layer: Any) -> str:
    # Recurrent layers show the activation of their cell, which runs inside a loop.
    return "" if hasattr(layer, "cell") else getattr(getattr(layer, "activation", None), "__name__", "")


def _read_mask(call: Call) -> tuple[Any, dict[str, Any]]:
    mask = call.layer.compute_mask(call.args[0])
    read = {} if mask is None else {"mask": mask, "masked": call.args[0]}
    return call.original(*call.args, **call.kwargs), read


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
