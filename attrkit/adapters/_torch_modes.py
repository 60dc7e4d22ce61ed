"""Two modes of a pass through torch modules, both of its thread alone: evaluation, and what sees every function."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from attrkit.adapters._interception import LOCK
from attrkit.errors import RefusedError

_SOFTMAX = (
    "softmax",
    "sigmoid",
    "log_softmax",
    "log_sigmoid",
    "special_softmax",
    "special_expit",
    "special_log_softmax",
)
_RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")

_HERE = threading.local()


def in_training(model: Any) -> bool:
    """Whether a module, or a part of it, is in training mode."""
    return any(getattr(module, "training", False) for module in model.modules())


@contextmanager
def mode_here(model: Any, training: bool) -> Iterator[None]:
    """Put a model into training or evaluation mode, for this thread and for what its backward pass runs again.

    No module is touched: for the time of the block modules are asked for their mode by a property, which answers each
    thread. Another thread that trains the model goes on in training mode, and may put it into another.

    Raises
    ------
    RefusedError
        If a module keeps its mode where no property reaches, as one of TorchScript does.
    """
    # A frozen script module has no mode.
    other = [module for module in model.modules() if getattr(module, "training", training) != training]
    with LOCK:
        if not other:
            yield
            return
        module_class = _module_class()
        before, own = getattr(_HERE, "training", None), vars(module_class).get("training")
        module_class.training = _mode_by_thread()
        _HERE.training = training
        try:
            fixed = [module for module in other if module.training != training]
            if fixed:
                raise RefusedError(
                    f"a {type(fixed[0]).__name__} of the model is in {'evaluation' if training else 'training'} mode, "
                    "and cannot be put into the other for this thread alone; call "
                    f"model.{'train' if training else 'eval'}() first"
                )
            yield
        finally:
            _HERE.training = before
            if own is None:
                del module_class.training
            else:
                module_class.training = own


def _module_class() -> Any:
    """Return the class of all torch modules; torch is imported by now."""
    import torch

    return torch.nn.Module


@cache
def _mode_by_thread() -> property:
    """Return what stands in for the attribute ``training`` of all modules."""
    from torch.overrides import _get_current_function_mode_stack

    def get(module: Any) -> bool:
        if "training" not in vars(module):
            # Some modules ask another, or TorchScript, in the way that Python takes next.
            raise AttributeError("training")
        here = getattr(_HERE, "training", None)
        if here is None:
            # On a GPU a backward pass runs in a thread of torch's own, which has the modes of the one that asked.
            modes = (mode for mode in _get_current_function_mode_stack() if isinstance(mode, function_mode()))
            here = next((mode.training for mode in modes), None)
        return vars(module)["training"] if here is None else here

    def put(module: Any, training: bool) -> None:
        vars(module)["training"] = training

    return property(get, put)


@cache
def function_mode() -> Any:
    """Return the class of the mode that sees every torch function of a pass; torch is imported by now."""
    import torch
    from torch.overrides import TorchFunctionMode

    class SeenFunctions(TorchFunctionMode):
        """Sees the functions of this thread only. While it is on, fused attention, which gives no weights, is off."""

        def __init__(self, training: bool, logits: bool, learns: bool) -> None:
            super().__init__()
            self.training = training
            self.logits = logits
            self.learns = learns
            self.softmax: list[tuple[Any, Any]] = []
            # Under autocast, of the user or of the model itself, functions of float32 return less.
            self.dtypes: set[Any] = set()

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = getattr(func, "__name__", "")
            kwargs = kwargs or {}
            if name in _RECURRENT and torch.is_grad_enabled():
                if not self.learns:
                    # Its backward pass would compute gradients of its weights too, and throw them away.
                    args = tuple(_as_constants(arg) if isinstance(arg, list) else arg for arg in args)
                args = args if self.training else _recurrent_with_gradient(args)
            result = func(*args, **kwargs)
            if isinstance(result, torch.Tensor):
                self.dtypes.add(result.dtype)
            if self.logits and name in _SOFTMAX:
                self.softmax.append((result, args[0] if args else kwargs["input"]))
            return result

    return SeenFunctions


def _as_constants(weights: list[Any]) -> list[Any]:
    import torch

    # What is no parameter may have been computed from the input.
    return [weight.detach() if isinstance(weight, torch.nn.Parameter) else weight for weight in weights]


def _recurrent_with_gradient(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Ask a fused recurrent function for what its backward pass needs, without the dropout of training.

    cuDNN keeps that only when told it is training. The arguments end in ..., dropout, training, bidirectional, and
    batch_first unless the sequence is packed (then the second argument is the tensor of batch sizes, not the state).
    """
    at = len(args) - (3 if isinstance(args[3], list | tuple) else 4)
    return (*args[:at], 0.0, True, *args[at + 2 :])
