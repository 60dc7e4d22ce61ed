"""torch modules: recurrent, convolutional, attention, anything that maps tensors with samples first to such tensors."""

import inspect
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache, cached_property
from typing import Any

from attrkit.adapters._interception import intercepted
from attrkit.adapters._torch import TorchAdapter
from attrkit.adapters.base import LAYER, Adapter, Layer, Reader, before_softmax, with_imposed
from attrkit.errors import RefusedError
from attrkit.inputs import Input

HANDLES = ("torch.nn.modules.module",)

# The flags of modules are seen by every thread: one thread at a time sets any.
_LOCK = threading.RLock()

_SOFTMAX = ("softmax", "sigmoid", "log_softmax", "logsigmoid")
_RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")


class TorchModule(TorchAdapter):
    """A ``torch.nn.Module``."""

    framework = "torch"

    def __init__(self, model: Any) -> None:
        # What torch.compile wraps is the same module, with layers that can be read.
        super().__init__(getattr(model, "_orig_mod", model))

    @cached_property
    def inputs(self) -> tuple[Input, ...]:  # noqa: D102
        names = [
            name
            for name, parameter in inspect.signature(self.model.forward).parameters.items()
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        ]
        return tuple(Input(name, None, "") for name in names or ["input"])

    @property
    def dtype(self) -> str:  # noqa: D102
        kinds = (p.dtype for p in self.model.parameters() if p.dtype.is_floating_point)
        found = str(next(kinds, self._torch.float32)).removeprefix("torch.")
        # numpy has no bfloat16; the module is called under its own precision all the same.
        return "float32" if found == "bfloat16" else found

    @property
    def precision(self) -> float:  # noqa: D102
        half = (self._torch.float16, self._torch.bfloat16)
        return 2e-2 if any(p.dtype in half for p in self.model.parameters()) else 1e-4

    def describe(self) -> dict[str, str]:  # noqa: D102
        return {
            "framework": self.framework,
            "framework_version": str(self._torch.__version__),
            "model": type(self.model).__name__,
            "device": str(self._device),
        }

    def layers(self) -> list[Layer]:  # noqa: D102
        # A script module runs no Python that could be replaced.
        return [
            Layer(path, type(module).__name__, module)
            for path, module in self.model.named_modules()
            if path and not isinstance(module, self._torch.jit.ScriptModule)
        ]

    def _forward(
        self, feed: dict[str, Any], readers: Mapping[str, Reader], training: bool
    ) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
        layers = {entry.path: entry.layer for entry in self.layers()}
        positional, named = self._arguments(feed)
        with ExitStack() as stack:
            stack.enter_context(_mode_of(self.model, training))
            mode = stack.enter_context(_function_mode()(training))
            found = stack.enter_context(intercepted("forward", layers, with_imposed(feed, readers)))
            outputs = self._call(positional, named)
        return self._named(outputs, mode.softmax), found

    def _call(self, positional: list[Any], named: dict[str, Any]) -> Any:
        return self.model(*positional, **named)

    def _arguments(self, feed: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments by position and by name; a single one needs no name."""
        given = {name: values for name, values in feed.items() if not name.startswith(LAYER)}
        if len(given) == 1:
            return list(given.values()), {}
        return [], given

    def _named(self, outputs: Any, seen: list[tuple[Any, Any]]) -> dict[str, Any]:
        """Name every output of the model, in its order."""
        if self.question.logits:
            outputs = before_softmax(outputs, seen)
        if self.question.head is not None:
            return {"output": self.question.head(outputs)}
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

    @contextmanager
    def _state_restored(self) -> Iterator[None]:
        torch = self._torch
        devices = [self._device] if self._device.type == "cuda" else []
        state = [(buffer, buffer.clone()) for buffer in self.model.buffers()]
        try:
            with torch.random.fork_rng(devices):
                yield
        finally:
            with torch.no_grad():
                for buffer, value in state:
                    buffer.copy_(value)


def adapt(model: Any) -> Adapter:
    """Return the adapter of a torch module."""
    return TorchModule(model)


@contextmanager
def _mode_of(model: Any, training: bool) -> Iterator[None]:
    """Put a model into training or evaluation mode, module by module, and back."""
    with _LOCK:
        other = [module for module in model.modules() if module.training != training]
        try:
            for module in other:
                module.training = training
            yield
        finally:
            for module in other:
                module.training = not training


@cache
def _function_mode() -> Any:
    """Return the class of the mode that sees every torch function of a pass; torch is imported by now."""
    import torch
    from torch.overrides import TorchFunctionMode

    class SeenFunctions(TorchFunctionMode):
        """Sees the functions of this thread only. While it is on, fused attention, which gives no weights, is off."""

        def __init__(self, training: bool) -> None:
            super().__init__()
            self.training = training
            self.softmax: list[tuple[Any, Any]] = []

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = getattr(func, "__name__", "")
            if name in _RECURRENT and not self.training and torch.is_grad_enabled():
                args = _recurrent_with_gradient(args)
            result = func(*args, **(kwargs or {}))
            if name in _SOFTMAX:
                self.softmax.append((result, args[0]))
            return result

    return SeenFunctions


def _recurrent_with_gradient(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Ask a fused recurrent function for what its backward pass needs, without the dropout of training.

    cuDNN keeps that only when told it is training. The arguments end in ..., dropout, training, bidirectional, and
    batch_first unless the sequence is packed (then the second argument is the tensor of batch sizes, not the state).
    """
    at = len(args) - (3 if isinstance(args[3], list | tuple) else 4)
    return (*args[:at], 0.0, True, *args[at + 2 :])
