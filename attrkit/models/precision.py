"""A trained model in another precision."""

import copy
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from attrkit.adapters import adapt
from attrkit.adapters.keras import KerasModel, KerasOnTensorFlow
from attrkit.adapters.pytorch import TorchModule
from attrkit.errors import RefusedError
from attrkit.models._generators import random_state_kept
from attrkit.models.keras import keras_of


def to_float64(model: Any) -> Any:
    """Return a copy of a model that computes in double precision, with the same weights.

    What `attrkit.extract` finds for it differs from what it finds for `model` by the rounding of single precision.
    `model` itself is left as it is.

    Parameters
    ----------
    model : keras.Model or torch.nn.Module
        A torch module of any kind, or a Keras model, on TensorFlow, that its own description can build.

    Returns
    -------
    keras.Model or torch.nn.Module
        A Keras model is not compiled; a torch module is on the device of `model`.

    Raises
    ------
    RefusedError
        If the model is a function or a SavedModel, Keras runs on JAX or torch, or the model cannot be built anew: the
        message says what to do instead.

    Notes
    -----
    Layers of keras-self-attention compute masks in the type that ``keras.backend.floatx()`` says when they are called.
    With them, call ``keras.backend.set_floatx("float64")`` first, and set it back when you are done.

    Examples
    --------
    >>> from tensorflow import keras
    >>> keras.backend.set_floatx("float64")  # the model has a layer of keras-self-attention
    >>> ds = attrkit.extract(attrkit.to_float64(model), x, "gradient")
    >>> keras.backend.set_floatx("float32")
    >>> ds["attribution"].dtype
    dtype('float64')
    """
    return _copied(model, "float64")


def to_float32(model: Any) -> Any:
    """Return a copy of a model that computes in single precision, with the same weights.

    It is for models in half precision, Keras's mixed policies among them, whose outputs and gradients keep two or three
    digits. `model` itself is left as it is.

    Parameters
    ----------
    model : keras.Model or torch.nn.Module
        A torch module of any kind, or a Keras model, on any backend, that its own description can build.

    Returns
    -------
    keras.Model or torch.nn.Module
        A Keras model is not compiled; a torch module is on the device of `model`.

    Raises
    ------
    RefusedError
        If the model is a function or a SavedModel, or cannot be built anew: the message says what to do instead.

    Notes
    -----
    ``torch.autocast`` rounds whatever the weights are: call attrkit outside of it, and switch it off where the model's
    own ``forward`` switches it on.

    Examples
    --------
    >>> ds = attrkit.extract(attrkit.to_float32(model), x, "gradient", show_progress=False)
    >>> "half_precision" in ds.attrs
    False
    """
    return _copied(model, "float32")


def _copied(model: Any, precision: str) -> Any:
    adapter = adapt(model)
    if isinstance(adapter, KerasModel) and (precision == "float32" or isinstance(adapter, KerasOnTensorFlow)):
        return _keras_copy(adapter, precision)
    if isinstance(adapter, KerasModel):
        raise RefusedError(
            f"to_{precision}: Keras on {adapter.backend} computes recurrent layers in single precision "
            "whatever it is told; load the model with KERAS_BACKEND=tensorflow"
        )
    if isinstance(adapter, TorchModule):
        return copy.deepcopy(model).to(getattr(import_module("torch"), precision))
    raise RefusedError(
        f"to_{precision}: what a {type(model).__name__} computes in is fixed where it was made; write the function for "
        f"{precision} arrays, or give the Keras model or torch module that was saved"
    )


def _keras_copy(adapter: KerasModel, precision: str) -> Any:
    model, keras = adapter.model, keras_of(adapter.model)
    # Classes of the user's own are found by name in the description, and those of keras-self-attention.
    known = {type(entry.layer).__name__: type(entry.layer) for entry in adapter.layers()}
    own = any(cls.__module__.startswith("keras_self_attention") for cls in known.values())
    if own and keras.backend.floatx() != precision:
        raise RefusedError(
            f"to_{precision}: layers of keras-self-attention compute masks in keras.backend.floatx(), which is "
            f"{keras.backend.floatx()}; call keras.backend.set_floatx('{precision}') first, and set it back when done"
        )
    weights = model.get_weights()
    try:
        with keras.saving.custom_object_scope(known), random_state_kept():
            made = type(model).from_config(_described_in(precision, model.get_config()))
        made.set_weights([w.astype(precision) if "float" in w.dtype.name else w for w in weights])
    except Exception as err:  # Keras, and layers of the user's own, raise every kind of error here.
        raise RefusedError(
            f"to_{precision}: {type(model).__name__} cannot be built anew from its description ({err}); build it after "
            f"keras.backend.set_floatx('{precision}'), and give it the weights by set_weights"
        ) from err
    other = [w.name for w in made.weights if "float" in str(w.dtype) and precision not in str(w.dtype)]
    if other:
        raise RefusedError(
            f"to_{precision}: of {type(model).__name__}, these weights are of a type of their own: {', '.join(other)}; "
            "make them in the type of their layer, self.dtype"
        )
    return made


def _described_in(precision: str, description: Any) -> Any:
    """Return a model's description, each policy and type of floats replaced."""
    if isinstance(description, Mapping):
        if description.get("class_name") in ("DTypePolicy", "Policy"):
            return {**description, "config": {**description["config"], "name": precision}}

        def described(key: str, value: Any) -> Any:
            is_float = key == "dtype" and isinstance(value, str) and "float" in value
            return precision if is_float else _described_in(precision, value)

        return {key: described(key, value) for key, value in description.items()}
    if isinstance(description, list | tuple):
        return type(description)(_described_in(precision, value) for value in description)
    return description
