"""The explained output as a model of TensorFlow or torch, which shap takes gradients of: those of the adapter."""

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from attrkit.adapters._tensorflow import TensorFlowAdapter
from attrkit.adapters.base import Adapter
from attrkit.engines._draws import torch_seeded
from attrkit.engines._rows import as_given
from attrkit.engines.shap._game import seeded
from attrkit.errors import AttrkitError, MissingDependencyError
from attrkit.parts import Parts, arrays_of, by_name, unnamed


class Gradients:
    """The gradient of one sample's explained output at some points, an array a part in and out.

    An error of ours that comes up below shap, where TensorFlow puts its own in its place, is kept in `failed`.
    """

    def __init__(self, model: Adapter, x: Parts, target: np.ndarray, masks: Any) -> None:
        self.model, self.x, self.target, self.masks = copy.copy(model), x, target, masks
        self.model.show_progress = False
        self.sample = 0
        self.failed: AttrkitError | None = None

    def __call__(self, *points: np.ndarray) -> list[np.ndarray]:
        rows = np.full(len(points[0]), self.sample)
        named = unnamed(dict(zip(by_name(self.x), points, strict=True)))
        try:
            given = as_given(named, self.x, rows, self.masks)
            found = arrays_of(self.model.path_gradient(given, self.target[rows], sample=rows))
        except AttrkitError as err:
            self.failed = err
            raise
        return [gradient.astype(point.dtype) for gradient, point in zip(found, points, strict=True)]


def check_host(model: Adapter) -> None:
    """Refuse a model where the framework that shap needs for it is not installed."""
    if not isinstance(model, TensorFlowAdapter) and find_spec("torch") is None:
        raise MissingDependencyError(
            "shap:GradientExplainer runs on TensorFlow for models of TensorFlow, and on torch for all others: "
            "pip install 'attrkit[torch]', or use integrated_gradients or shap:PermutationExplainer"
        )


class Host(NamedTuple):
    """A model that shap takes; what makes an input of it; what holds around a draw, of a seed, and around all."""

    model: Any
    given: Callable[[np.ndarray], Any]
    seeded: Callable[[int], AbstractContextManager[None]]
    ready: AbstractContextManager[Any]


def host_of(model: Adapter, gradients: Gradients) -> Host:
    """Return the explained output as a model of TensorFlow, if that is what the model is of, or else of torch."""
    if isinstance(model, TensorFlowAdapter):
        return Host(_tensorflow(gradients), np.asarray, seeded, nullcontext())
    # There shap draws noise from torch's generator, which its own rseed does not seed.
    return Host(_torch(gradients), _tensor, torch_seeded, _recorded())


def _tensorflow(gradients: Gradients) -> Any:
    import tensorflow as tf

    class Explained(tf.keras.layers.Layer):
        """The explained output of rows, with gradients of the adapter."""

        def call(self, inputs: Any) -> Any:
            @tf.custom_gradient
            def output(*points: Any) -> Any:
                def backward(given: Any) -> Any:
                    found = tf.numpy_function(gradients, points, [point.dtype for point in points])
                    return [
                        tf.reshape(given, [-1, *[1] * (len(point.shape) - 1)]) * tf.ensure_shape(gradient, point.shape)
                        for gradient, point in zip(found, points, strict=True)
                    ]

                # Where shap asks for gradients it does not look at values. If it did, this would show.
                return tf.fill([tf.shape(points[0])[0], 1], np.float32("nan")), backward

            return output(*inputs) if isinstance(inputs, list | tuple) else output(inputs)

    # shap makes its points in single precision.
    inputs = [tf.keras.Input(array.shape[1:], dtype="float32") for array in arrays_of(gradients.x)]
    return tf.keras.Model(inputs, Explained(dtype="float32")(inputs if len(inputs) > 1 else inputs[0]))


def _torch(gradients: Gradients) -> Any:
    import torch

    class Operation(torch.autograd.Function):
        """One operation to autograd, whose gradient is the adapter's."""

        @staticmethod
        def forward(ctx: Any, *points: Any) -> Any:
            found = gradients(*(point.detach().numpy() for point in points))
            ctx.save_for_backward(*map(torch.from_numpy, found))
            return points[0].new_full((len(points[0]), 1), float("nan"))

        @staticmethod
        def backward(ctx: Any, given: Any) -> Any:
            return tuple(gradient * given.reshape(-1, *[1] * (gradient.ndim - 1)) for gradient in ctx.saved_tensors)

    class Explained(torch.nn.Module):
        """The explained output of rows, with gradients of the adapter."""

        def forward(self, *points: Any) -> Any:
            if any(point.requires_grad for point in points):
                return Operation.apply(*points)
            # shap looks how many outputs there are.
            return points[0].new_full((len(points[0]), 1), float("nan"))

    return Explained()


def _tensor(array: np.ndarray) -> Any:
    import torch

    return torch.tensor(array, device="cpu")


@contextmanager
def _recorded() -> Iterator[None]:
    import torch

    with torch.inference_mode(False), torch.enable_grad():
        yield
