"""torch modules: recurrent, convolutional, attention, anything that maps tensors with samples first to such tensors."""

import copy
import inspect
import shutil
import warnings
from collections.abc import Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cached_property
from importlib.util import find_spec
from typing import Any, Self

import numpy as np

from attrkit.adapters._feeds import rows_of, with_imposed
from attrkit.adapters._interception import LOCK, intercepted, standing_in
from attrkit.adapters._parameters import Held
from attrkit.adapters._shared import settings_of
from attrkit.adapters._torch import TorchAdapter
from attrkit.adapters._torch_modes import function_mode, in_training, mode_here
from attrkit.adapters.base import Adapter
from attrkit.adapters.terms import LAYER, Feed, Layer, Reader, Rewrite
from attrkit.errors import AttrkitWarning, RefusedError
from attrkit.half import half_of
from attrkit.inputs import Input
from attrkit.parts import Parts, each, row_count

HANDLES = ("torch.nn.modules.module",)


class TorchModule(TorchAdapter):
    """A ``torch.nn.Module``.

    Notes
    -----
    The model is explained in evaluation mode. One that came in training mode is put there for the time of a pass, and
    for the thread that runs it: to all others it stays in training.
    """

    framework = "torch"
    # Whether the weights of recurrent functions are differentiated with respect to.
    learns = False

    def __init__(self, model: Any) -> None:
        # What torch.compile wraps is the same module, with layers that can be read.
        super().__init__(getattr(model, "_orig_mod", model))
        _check_has_values(self.model)

    @cached_property
    def inputs(self) -> tuple[Input, ...]:  # noqa: D102
        forward = self.model.forward
        if isinstance(self.model, self._torch.jit.ScriptModule):
            # Its forward is no Python function; what it takes begins with itself.
            names = [argument.name for argument in forward.schema.arguments[1:]]
        else:
            names = [
                name
                for name, parameter in inspect.signature(forward).parameters.items()
                if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
            ]
        return tuple(Input(name, None, "") for name in names or ["input"])

    @property
    def _own_dtype(self) -> Any:
        kinds = (p.dtype for p in self.model.parameters() if p.dtype.is_floating_point)
        return next(kinds, self._torch.float32)

    @property
    def dtype(self) -> str:  # noqa: D102
        # A path, and the sum over it, in half precision would be coarser than the gradients.
        return "float64" if self._own_dtype == self._torch.float64 else "float32"

    @property
    def half(self) -> str:  # noqa: D102
        return half_of(p.dtype for p in self.model.parameters()) or super().half

    def describe(self) -> dict[str, str]:  # noqa: D102
        return {
            "framework": self.framework,
            "framework_version": str(self._torch.__version__),
            "model": type(self.model).__name__,
            "device": str(self._device),
        }

    def layers(self) -> list[Layer]:  # noqa: D102
        # A script module runs no Python that could be replaced; a list of modules is never called.
        held = (self._torch.nn.ModuleList, self._torch.nn.ModuleDict)
        return [
            Layer(path, type(module).__name__, module)
            for path, module in self.model.named_modules()
            if path and not isinstance(module, (self._torch.jit.ScriptModule, *held))
        ]

    def _held(self) -> list[Held]:
        held, seen = [], set()
        for path, module in self.model.named_modules():
            own = [(name, p, True) for name, p in module.named_parameters(recurse=False)]
            own += [(name, b, False) for name, b in module.named_buffers(recurse=False)]
            for name, tensor, learnt in own:
                if id(tensor) not in seen:
                    seen.add(id(tensor))
                    held.append(Held(path, name, learnt, not tensor.requires_grad, tensor))
        return held

    def _fetch(self, array: Any) -> np.ndarray:
        return self._array(array).copy()

    def _put(self, array: Any, values: np.ndarray) -> None:
        with self._torch.inference_mode(array.is_inference()), self._torch.no_grad():
            array.copy_(self._torch.tensor(values))

    def _structure(self) -> Hashable:
        # In which mode it is does not matter: passes put it into theirs.
        return settings_of(self.model.modules(), besides={"training"})

    @contextmanager
    def _as_in_pass(self, feed: dict[str, Any], readers: Mapping[str, Reader], training: bool) -> Iterator[Any]:
        with ExitStack() as stack:
            stack.enter_context(mode_here(self.model, training))
            mode = stack.enter_context(function_mode()(training, self.question.logits, self.learns))
            stand_ins = with_imposed(self._in_own_dtype(feed), readers, self.question.imposed)
            found = stack.enter_context(intercepted("forward", self.layers, stand_ins))
            yield mode, found

    def _forward(
        self, feed: dict[str, Any], readers: Mapping[str, Reader], training: bool
    ) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
        positional, named = self._arguments(self._in_own_dtype(feed))
        with self._as_in_pass(feed, readers, training) as (mode, found):
            outputs = self._call(positional, named)
        self._note_half(mode.dtypes)
        return self._named(outputs, mode.softmax), found

    def _ways_for(self, x: Parts, key: Any) -> tuple[str, ...]:
        # Compiled, a pass cannot be looked into: not for logits, not from an embedding on, not to tell cuDNN of
        # gradients, which is fast as it is. What stands in for the calls of classes might be that of another time. A
        # model in training mode may be trained meanwhile, and a compiled pass sets what all threads see.
        whole = not self.question.logits and not self.question.is_inside and standing_in() is None
        whole = whole and not in_training(self.model)
        modules = list(self.model.modules())
        scripted = any(isinstance(module, self._torch.jit.ScriptModule) for module in modules)
        if self._device.type == "cuda":
            recurrent = any(isinstance(module, self._torch.nn.RNNBase) for module in modules)
            can = find_spec("triton") is not None and not recurrent
        else:
            can = self._device.type == "cpu" and (shutil.which("g++") or shutil.which("clang++")) is not None
        return ("plain", "inductor") if key[0] == "path" and whole and can and not scripted else ("plain",)

    def _kind_of(self, x: Parts) -> Hashable:
        # It says how a pass can be compiled.
        return in_training(self.model), super()._kind_of(x)

    def _forward_compiled(self, feed: dict[str, Any]) -> dict[str, Any]:
        positional, named = self._arguments(self._in_own_dtype(feed))
        # A wrapper of its own for each pass: what is compiled is kept with the code of the model's forward, and a
        # wrapper that is kept would keep the model.
        with _constants(self.model):
            return self._named(self._torch.compile(self.model)(*positional, **named), [])

    def _learning(self) -> Self:
        other = copy.copy(self)
        other.learns = True
        return other

    def try_rewrite(self, x: Parts, rewrite: Rewrite) -> None:
        """Run the first samples with another backward pass: only a run shows what it refuses."""
        rows = np.arange(min(2, row_count(x)))
        feed = self._feed(each(lambda a: a[rows], x), rows)
        with self._torch.inference_mode(False), self._torch.enable_grad():
            self._run_rewritten(feed, rewrite.leaves(feed), rewrite)

    def _in_own_dtype(self, feed: Mapping[str, Any]) -> dict[str, Any]:
        return {k: v.to(self._own_dtype) if v.is_floating_point() else v for k, v in feed.items()}

    def _call(self, positional: list[Any], named: dict[str, Any]) -> Any:
        return self.model(*positional, **named)

    def _arguments(self, feed: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments by position and by name; a single one needs no name."""
        given = {name: values for name, values in feed.items() if not name.startswith(LAYER)}
        if len(given) == 1 and not self.question.by_name:
            return list(given.values()), {}
        return [], given

    def _named(self, outputs: Any, seen: list[tuple[Any, Any]]) -> dict[str, Any]:
        """Name every output of the model, in its order."""
        outputs = self._asked(outputs, seen)
        tensor = self._torch.Tensor
        if isinstance(outputs, tensor):
            return {"output": outputs}
        if isinstance(outputs, Mapping):
            named = {str(name): value for name, value in outputs.items() if isinstance(value, tensor)}
        elif isinstance(outputs, list | tuple):
            # What a recurrent layer returns beside its sequence, its states, is no output to explain.
            tensors = [value for value in outputs if isinstance(value, tensor)]
            named = {f"output_{i}" if len(tensors) > 1 else "output": value for i, value in enumerate(tensors)}
        else:
            named = {}
        if not named:
            raise RefusedError(f"the model returns a {type(outputs).__name__} with no tensor in it; nothing to explain")
        return named

    def _predict_first(self, feed: Feed) -> np.ndarray:
        found = super()._predict_first(feed)
        self._check_fast_path(feed, found)
        return found

    def _check_fast_path(self, feed: Feed, found: np.ndarray) -> None:
        """Warn where torch has two answers: its fast path puts zeros at padding, the path with gradients not."""
        nested = any(getattr(module, "use_nested_tensor", False) for module in self.model.modules())
        if not nested or self.question.logits or self.question.is_inside:
            return
        with self._without_gradient(), mode_here(self.model, False):
            outputs = self._named(self._call(*self._arguments(self._in_own_dtype(self._tensors(feed)))), [])
            fast = self._flat([(name, self._array(value)) for name, value in outputs.items()], rows_of(feed))
        difference = float(np.abs(fast - found).max())
        if difference > 10 * self.precision * max(float(np.abs(found).max()), 1e-6):
            warnings.warn(
                f"the model reads the outputs of its TransformerEncoder at padding: its predictions differ by "
                f"{difference:.3g} between torch's fast path, which puts zeros there, and the path that has gradients "
                "and attention weights, which is explained. Pool over real timesteps only, or build the encoder with "
                "enable_nested_tensor=False",
                AttrkitWarning,
                stacklevel=2,
            )

    def left_as_found(self) -> AbstractContextManager[Any]:  # noqa: D102
        return self._state_restored()

    @contextmanager
    def _state_restored(self) -> Iterator[None]:
        torch = self._torch
        devices = [self._device] if self._device.type == "cuda" else []
        # A pass may write into a buffer, or put another in its place.
        state = [
            (module._buffers, name, buffer, buffer.clone())
            for module in self.model.modules()
            for name, buffer in module._buffers.items()
            if buffer is not None
        ]
        try:
            with torch.random.fork_rng(devices):
                yield
        finally:
            with torch.no_grad():
                for held, name, buffer, value in state:
                    # A write, even of the same values, spoils a backward pass of the user's that needs the buffer.
                    if not torch.equal(buffer, value):
                        buffer.copy_(value)
                    if held.get(name) is not buffer:
                        held[name] = buffer


def adapt(model: Any) -> Adapter:
    """Return the adapter of a torch module; one with a model of transformers in it has that one's ways."""
    from attrkit.adapters.transformers import Transformer, holds_transformer

    return Transformer(model) if holds_transformer(model.modules()) else TorchModule(model)


def _check_has_values(model: Any) -> None:
    """Refuse a model whose weights are yet to come: a pass would fail on them, or make some up."""
    from torch.nn.parameter import is_lazy

    for name, parameter in model.named_parameters():
        if parameter.is_meta or is_lazy(parameter):
            raise RefusedError(
                f"parameter {name!r} is {'on the meta device' if parameter.is_meta else 'lazy'} and has no values; "
                "load the model's weights first"
            )


@contextmanager
def _constants(model: Any) -> Iterator[None]:
    """Take a model's parameters for constants, whose gradients a compiled backward pass would compute too."""
    with LOCK:
        # What was made in inference mode cannot be told that it has a gradient again.
        learnt = [p for p in model.parameters() if p.requires_grad and not p.is_inference()]
        try:
            for parameter in learnt:
                parameter.requires_grad_(False)
            yield
        finally:
            for parameter in learnt:
                parameter.requires_grad_(True)
