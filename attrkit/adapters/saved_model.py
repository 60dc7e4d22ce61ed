"""SavedModels: a program of TensorFlow operations, with predictions and gradients but no layers to read."""

from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from attrkit.adapters._parameters import Held
from attrkit.adapters._tensorflow import TensorFlowAdapter
from attrkit.adapters.base import Adapter
from attrkit.adapters.terms import Layer, Reader
from attrkit.errors import RefusedError, UnknownModelError
from attrkit.inputs import Input

HANDLES = ("tensorflow.python.saved_model.load",)

# What `tf.saved_model.save` and Keras call the function that predicts.
_SERVING = ("serving_default", "serve")

_WITHOUT_LAYERS = (
    "a SavedModel is a program without layers: nothing inside it can be read or changed, attention neither; load the "
    "model from its .keras or .h5 file instead, or, if Keras 2 saved it, with TF_USE_LEGACY_KERAS=1"
)


class SavedModel(TensorFlowAdapter):
    """What ``tf.saved_model.load`` gives."""

    framework = "tensorflow"

    @cached_property
    def _serving(self) -> Any:
        found = getattr(self.model, "signatures", None) or {}
        for name in _SERVING:
            if name in found:
                return found[name]
        raise UnknownModelError(
            f"the SavedModel has the signatures {sorted(found)}; one of {', '.join(_SERVING)} is needed"
        )

    @cached_property
    def inputs(self) -> tuple[Input, ...]:  # noqa: D102
        specs = self._serving.structured_input_signature[1]
        return tuple(
            Input(name, None if spec.shape.rank is None else tuple(spec.shape)[1:], spec.dtype.name)
            for name, spec in specs.items()
        )

    def describe(self) -> dict[str, str]:  # noqa: D102
        return {"framework": self.framework, "framework_version": str(self._tf.__version__), "model": "SavedModel"}

    def _structure(self) -> Hashable:
        # Its program is fixed.
        return id(self._serving)

    def layers(self) -> list[Layer]:  # noqa: D102
        raise RefusedError(_WITHOUT_LAYERS)

    def _held(self) -> list[Held]:
        raise RefusedError(_WITHOUT_LAYERS)

    def _forward(
        self, feed: dict[str, Any], readers: Mapping[str, Reader], training: bool
    ) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
        if readers or training:
            raise RefusedError(_WITHOUT_LAYERS)
        # Inputs of half precision come in single.
        specs = self._serving.structured_input_signature[1]
        feed = {name: self._tf.cast(values, specs[name].dtype) for name, values in feed.items()}
        outputs: Any = dict(self._serving(**feed))
        outputs = self._asked(next(iter(outputs.values())) if len(outputs) == 1 else outputs, ())
        return (outputs if isinstance(outputs, dict) else {"output": outputs}), {}

    @contextmanager
    def _state_restored(self) -> Iterator[None]:
        state = [(variable, variable.numpy()) for variable in self._serving.variables]
        try:
            yield
        finally:
            for variable, value in state:
                variable.assign(value)


def adapt(model: Any) -> Adapter:
    """Return the adapter of a SavedModel."""
    return SavedModel(model)
