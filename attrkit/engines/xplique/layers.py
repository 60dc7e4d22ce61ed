"""Classes of xplique that replace the gradient of ReLUs: they run on a clone of a Keras model, once it is looked at.

xplique replaces ``activation`` of the model's own layers where it is the plain ReLU, and layers ``ReLU``. Every other
operation passes its plain gradient without a word: a ReLU that a layer calls inside, one of a model in the model, one
in a wrapper. So a model is accepted if all else that it does is linear, or max-pooling.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from attrkit.adapters import adapt
from attrkit.adapters.base import Adapter
from attrkit.adapters.keras import KerasModel
from attrkit.adapters.outputs import difference_of
from attrkit.engines.xplique._call import Explained, attribute, plain_call
from attrkit.errors import ForwardMismatchError, RefusedError
from attrkit.method import OUTPUT_PER_INPUT, attribution, checked_first, needs_gradient
from attrkit.parts import Parts
from attrkit.relevance.torch.names import words

_LINEAR_LAYERS = words(
    "InputLayer Dense EinsumDense Conv1D Conv2D Conv1DTranspose SeparableConv1D DepthwiseConv1D Embedding "
    "BatchNormalization Rescaling Normalization Masking Identity Dropout SpatialDropout1D GaussianDropout "
    "GaussianNoise ActivityRegularization Flatten Reshape Permute RepeatVector Cropping1D ZeroPadding1D UpSampling1D "
    "Add Subtract Average Concatenate AveragePooling1D GlobalAveragePooling1D MaxPooling1D GlobalMaxPooling1D Maximum "
    "Activation ReLU"
)

_LINEAR_OPERATIONS = words(
    "Add Subtract Negative GetItem Reshape Transpose Swapaxes Moveaxis Concatenate Stack Squeeze ExpandDims Flip Sum "
    "Mean Max Take Ravel"
)


def _check_layers(name: str) -> Callable[..., None]:
    """Return the check of a class before any pass."""

    def check(model: Adapter, x: Parts | None) -> None:
        import tensorflow as tf

        own = model.model
        if not isinstance(model, KerasModel) or not isinstance(own, tf.keras.Model) or model.backend != "tensorflow":
            raise RefusedError(
                f"xplique:{name} replaces the ReLUs of a Keras model on TensorFlow, of the flavour that tf.keras is; "
                f"this is a {type(own).__name__} on {model.describe().get('backend', model.framework)}. Use attrkit's "
                "own gradient or lrp"
            )
        if type(own).__name__ not in ("Sequential", "Functional") or not getattr(own, "inputs", None):
            raise RefusedError(
                f"xplique:{name} clones the model, which must be Sequential, with an Input, or functional; this is a "
                f"{type(own).__name__}. Use attrkit's own gradient or lrp"
            )
        unseen = [place for place in (_unseen(own, layer, model) for layer in own.layers) if place]
        others = [step for step in getattr(own, "operations", ()) if step not in own.layers]
        unseen += [f"{step.name} ({type(step).__name__})" for step in others if not _is_linear_operation(step)]
        if unseen:
            softmax = any("softmax" in place or "sigmoid" in place for place in unseen)
            raise RefusedError(
                f"xplique:{name} would pass a plain gradient, without a word, through {', '.join(unseen)}; use "
                "attrkit's own lrp or gradient" + (", and logits=True explains the score before it" * softmax)
            )
        if not any(_has_relu(layer) for layer in own.layers):
            raise RefusedError(
                f"xplique:{name} changes the gradient of ReLUs, and the model has none: it would be the plain "
                "gradient. Use gradient"
            )
        other = [layer for layer in own.layers if _has_relu(layer) and layer.compute_dtype != "float32"]
        if other:
            raise RefusedError(
                f"xplique:{name} gates ReLUs in float32, and {other[0].name} computes in {other[0].compute_dtype}; use "
                "attrkit's own lrp or gradient"
            )

    return check


@needs_gradient
@checked_first(_check_layers("GuidedBackprop"))
def guided_backprop(
    model: Adapter, x: Parts, target: np.ndarray, *, prediction: np.ndarray, masks: Any = None
) -> dict[str, Any]:
    """Return xplique's ``GuidedBackprop``: gradients that only go through ReLUs where positive (arXiv:1412.6806).

    Parameters
    ----------
    model : Adapter
        A Keras model whose only operations beside linear ones and max-pooling are ReLUs of its layers.
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    prediction : ndarray of shape (sample, output)
        The model's outputs at `x`, laid flat.
    masks : ndarray of bool of shape (sample, timestep), or dict of such by part, optional
        False where padded; nothing is attributed there.

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output over units of the input.
    """
    return _through_relu("GuidedBackprop", "guided backpropagation", model, x, target, prediction, masks)


@needs_gradient
@checked_first(_check_layers("DeconvNet"))
def deconv_net(
    model: Adapter, x: Parts, target: np.ndarray, *, prediction: np.ndarray, masks: Any = None
) -> dict[str, Any]:
    """Return xplique's ``DeconvNet``: gradients with ReLUs in the backward pass alone (arXiv:1311.2901).

    Parameters and what is returned are those of `guided_backprop`.
    """
    return _through_relu("DeconvNet", "deconvnet", model, x, target, prediction, masks)


def _through_relu(
    name: str, long_name: str, model: Adapter, x: Parts, target: np.ndarray, prediction: np.ndarray, masks: Any
) -> dict[str, Any]:
    from xplique import attributions

    explained = Explained(model, x, target)
    with _left_as_found(model.model):
        explainer = getattr(attributions, name)(model.model, operator=explained.outputs, reducer=None)
    clone = adapt(explainer.model).configured(batch_size=model.batch_size, question=model.question)
    clone.cost = model.cost
    got = clone.predict(x)
    scale, difference = difference_of(prediction, got)
    if not difference <= model.precision * scale:
        raise ForwardMismatchError(
            f"xplique:{name} clones the model, and the clone predicts something else, by {difference:.3g} (of "
            f"{scale:.3g}); use attrkit's own gradient or lrp"
        )

    def gradients(model: Any, inputs: Any, targets: Any, batch_size: int | None = None) -> Any:
        return explained.gradients_at(clone, inputs, targets)

    explainer.batch_gradient = gradients
    values = attribute(model, explained, plain_call(explainer), size=model.batch_size, label=name, masks=masks)
    return {"attribution": attribution(values, long_name=long_name, units=OUTPUT_PER_INPUT)}


@contextmanager
def _left_as_found(model: Any) -> Iterator[None]:
    """Put back what cloning moves, and keep the model out of what xplique holds for ever.

    xplique knows models by the addresses of their inputs and outputs, and would take another one that had them before.
    """
    from xplique.attributions.base import BlackBoxExplainer

    held, state = BlackBoxExplainer._cache_models, random.getstate()
    key = (id(model.inputs), id(model.outputs))
    before = held.pop(key, None)
    try:
        yield
    finally:
        # Layers draw the seeds of their initializers.
        random.setstate(state)
        held.pop(key, None)
        if before is not None:
            held[key] = before


def _unseen(model: Any, layer: Any, adapter: Adapter) -> str:
    """Return the name of a layer whose gradient would be a plain one where it should not, or nothing."""
    kind = type(layer)
    place = f"{layer.name} ({kind.__name__})"
    if not kind.__module__.startswith(("keras.", "tf_keras.")) or kind.__name__ not in _LINEAR_LAYERS:
        return place
    if kind.__name__ == "ReLU":
        options = {"max_value": None, "negative_slope": 0, "threshold": 0}
        changed = [name for name, plain in options.items() if (getattr(layer, name) or None) != (plain or None)]
        # xplique drops the slope, and lets gradients through above max_value and below threshold.
        return f"{place} with {', '.join(changed)}" if changed else ""
    activation = getattr(layer, "activation", None)
    if activation is None or getattr(activation, "__name__", "") == "linear" or _has_relu(layer):
        return ""
    said = getattr(activation, "__name__", type(activation).__name__)
    makes_output = any(layer is getattr(t, "_keras_history", (None,))[0] for t in model.outputs)
    before_it = adapter.question.logits and said in ("softmax", "sigmoid") and makes_output
    return "" if before_it else f"the {said} of {place}"


def _has_relu(layer: Any) -> bool:
    import tensorflow as tf

    return type(layer).__name__ == "ReLU" or getattr(layer, "activation", None) in (
        tf.nn.relu,
        tf.keras.activations.relu,
    )


def _is_linear_operation(step: Any) -> bool:
    # Sums and differences of two tensors; a product of two is not linear.
    return type(step).__module__.startswith("keras.src.ops.") and type(step).__name__ in _LINEAR_OPERATIONS
