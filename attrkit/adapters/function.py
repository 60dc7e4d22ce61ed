"""Plain functions: of JAX, with gradients; of numpy, for what needs none."""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np

from attrkit.adapters._jax import JaxAdapter
from attrkit.adapters._shared import Shared
from attrkit.adapters.base import Adapter, Feed, Layer, Reader, Readings
from attrkit.errors import AttrkitError, InputError, RefusedError, UnknownModelError
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

    @property
    def precision(self) -> float:  # noqa: D102
        return 1e-4

    def describe(self) -> dict[str, str]:  # noqa: D102
        name = getattr(self.model, "__name__", type(self.model).__name__)
        return {"framework": self.framework, "framework_version": self._version, "model": str(name)}

    @property
    def _version(self) -> str:
        return str(np.__version__)

    def layers(self) -> list[Layer]:  # noqa: D102
        return []

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
            outputs = self.model(*(feed[name] for name in names))
        else:
            outputs = self.model(*feed.values()) if len(feed) == 1 and not self.question.by_name else self.model(**feed)
        outputs = self._asked(outputs, ())
        if isinstance(outputs, Mapping):
            return {str(name): value for name, value in outputs.items()}, {}
        if isinstance(outputs, list | tuple):
            return {f"output_{i}": value for i, value in enumerate(outputs)}, {}
        return {"output": outputs}, {}


class JaxFunction(Function, JaxAdapter):
    """A JAX function of arrays with samples first."""

    framework = "jax"

    @property
    def _version(self) -> str:
        return str(self._jax.__version__)

    @contextmanager
    def left_as_found(self) -> Iterator[None]:
        """Compile the function anew for the block, with what it closes over by now."""
        self._shared = Shared()
        yield


class NumpyFunction(Function):
    """A function of numpy arrays: its values can be had, its gradients cannot."""

    framework = "numpy"

    def _predict(self, feed: Feed, way: str) -> list[tuple[str, np.ndarray]]:
        # Copies, because a function may work in place.
        given = {name: values.copy() for name, values in feed.items()}
        try:
            outputs, _ = self._forward(given, {}, False)
            named = [(name, np.asarray(value)) for name, value in outputs.items()]
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


def adapt_function(function: Any, framework: str | None) -> Adapter:
    """Return the adapter of a function; a jitted one is JAX's, any other numpy's unless `framework` says so."""
    if framework not in (None, *FRAMEWORKS):
        raise UnknownModelError(f"framework={framework!r} is not known; accepted are {', '.join(FRAMEWORKS)}")
    jitted = any(cls.__module__.startswith(("jax", "jaxlib")) for cls in type(function).__mro__)
    if framework == "jax" or (framework is None and jitted):
        return JaxFunction(function)
    return NumpyFunction(function)
