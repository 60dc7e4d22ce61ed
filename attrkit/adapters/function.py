"""Plain functions: of JAX, with gradients; of numpy, for what needs none."""

import copy
import inspect
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import Any

import numpy as np

from attrkit.adapters._jax import JaxAdapter
from attrkit.adapters._parameters import Held
from attrkit.adapters._shared import Shared
from attrkit.adapters.base import Adapter
from attrkit.adapters.terms import Feed, Layer, Reader, Readings
from attrkit.errors import AttrkitError, InputError, RefusedError, UnknownModelError
from attrkit.half import half_of
from attrkit.inputs import Input

FRAMEWORKS = ("jax", "numpy")


class Function(Adapter):
    """What holds for a function ``f(x)``, or ``f(**inputs)`` with several inputs, in any framework."""

    @cached_property
    def inputs(self) -> tuple[Input, ...]:  # noqa: D102
        try:
            parameters = inspect.signature(self.model).parameters.values()
        except (TypeError, ValueError):  # Functions of C may have none.
            return ()
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return tuple(Input(parameter.name, None, "") for parameter in parameters if parameter.kind in kinds)

    def describe(self) -> dict[str, str]:  # noqa: D102
        name = getattr(self.model, "__name__", type(self.model).__name__)
        return {"framework": self.framework, "framework_version": self._version, "model": str(name)}

    @property
    def _version(self) -> str:
        return str(np.__version__)

    def layers(self) -> list[Layer]:  # noqa: D102
        return []

    def _held(self) -> list[Held]:
        raise RefusedError(
            f"{self.describe()['model']} is a function, which does not show its parameters; give the Keras model or "
            "the torch module that it calls"
        )

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        return self.model(*args, **kwargs)

    @contextmanager
    def _state_restored(self) -> Iterator[None]:
        yield

    def _forward(
        self, feed: dict[str, Any], readers: Mapping[str, Reader], training: bool
    ) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
        if self.question.logits:
            raise RefusedError("a function shows no softmax; return its logits from it instead")
        names = [spec.name for spec in self.inputs[: len(feed)]]
        if set(names) == set(feed):
            # By position, which some functions insist on.
            outputs = self._call(*(feed[name] for name in names))
        else:
            outputs = self._call(*feed.values()) if len(feed) == 1 and not self.question.by_name else self._call(**feed)
        outputs = self._asked(outputs, ())
        if isinstance(outputs, Mapping):
            return {str(name): value for name, value in outputs.items()}, {}
        if isinstance(outputs, list | tuple):
            return {f"output_{i}": value for i, value in enumerate(outputs)}, {}
        return {"output": outputs}, {}


class JaxFunction(Function, JaxAdapter):
    """A JAX function of arrays with samples first, and before them of its weights if `params` are given.

    Attributes
    ----------
    params : pytree, optional
        The weights. They may be replaced at any time, by others of the same shapes without compiling anew. Without
        them the function is compiled anew in each call of attrkit: what it closes over may have changed.
    """

    framework = "jax"

    def __init__(self, model: Any, params: Any = None) -> None:
        super().__init__(model)
        self.params = params

    @cached_property
    def inputs(self) -> tuple[Input, ...]:  # noqa: D102
        return super().inputs if self.params is None else super().inputs[1:]

    @property
    def _version(self) -> str:
        return str(self._jax.__version__)

    @property
    def half(self) -> str:  # noqa: D102
        return half_of(getattr(leaf, "dtype", "") for leaf in self._jax.tree.leaves(self.params)) or super().half

    def left_as_found(self) -> AbstractContextManager[Any]:  # noqa: D102
        if self.params is None and not self.frozen:
            self._shared = Shared()
        return nullcontext()

    def _state(self) -> Any:
        return self.params

    def _forward_with(
        self, state: Any, feed: dict[str, Any], readers: Mapping[str, Reader], training: bool
    ) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]], Any]:
        traced = copy.copy(self)
        traced.params = state
        return *traced._forward(feed, readers, training), state

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        return self.model(*args, **kwargs) if self.params is None else self.model(self.params, *args, **kwargs)


class NumpyFunction(Function):
    """A function of numpy arrays: its values can be had, its gradients cannot."""

    framework = "numpy"
    computes_in_numpy = True

    def _predict(self, feed: Feed, way: str) -> list[tuple[str, np.ndarray]]:
        # Copies, because a function may work in place.
        given = {name: values.copy() for name, values in feed.items()}
        try:
            outputs, _ = self._forward(given, {}, False)
            named = [(name, np.asarray(value)) for name, value in outputs.items()]
            self._note_half(value.dtype for _, value in named)
        except AttrkitError:
            raise
        except (TypeError, ValueError, LookupError, RuntimeError, AttributeError, AssertionError) as err:
            said = str(err) or type(err).__name__
            shapes = ", ".join(f"{name} {values.shape} of {values.dtype}" for name, values in feed.items())
            raise InputError(f"the function fails on inputs of shape {shapes}: {said}") from err
        wrong = [f"{name} of {values.dtype}" for name, values in named if values.dtype.kind not in "biuf"]
        if wrong:
            raise RefusedError(
                f"the function returns {', '.join(wrong)}; accepted is an array of numbers with samples first, or a "
                "dict or tuple of those"
            )
        return named

    def check_gradient(self) -> None:  # noqa: D102
        raise RefusedError(
            f"{self.describe()['model']} is taken for a function of numpy, which has no gradient; use occlusion, or, "
            "if it is made of JAX operations, say so: attrkit.adapt(function, framework='jax')"
        )

    def _read(
        self, feed: Feed, readers: Mapping[str, Reader], training: bool, way: str
    ) -> tuple[list[tuple[str, np.ndarray]], Readings]:
        return self._predict(feed, way), {}


def adapt_function(function: Any, framework: str | None, params: Any) -> Adapter:
    """Return the adapter of a function; one that is jitted or has `params` is JAX's, any other numpy's if not said."""
    if framework not in (None, *FRAMEWORKS):
        raise UnknownModelError(f"framework={framework!r} is not known; accepted are {', '.join(FRAMEWORKS)}")
    jitted = any(cls.__module__.startswith(("jax", "jaxlib")) for cls in type(function).__mro__)
    if framework == "jax" or (framework is None and (jitted or params is not None)):
        return JaxFunction(function, params)
    if params is not None:
        raise InputError("params are the weights of a JAX function, and this is one of numpy; leave them out")
    return NumpyFunction(function)
