"""Keras models that were trained in half precision, with a loss that is scaled, and those whose inputs are in it."""

import numpy as np
import pytest
from tensorflow import keras

import attrkit

layers = keras.layers
QUIET = {"show_progress": False}


def trained(x, **of):
    model = keras.Sequential([layers.Input((12, 3)), layers.LSTM(6, **of), layers.Dense(1, dtype="float32")])
    loss_scaled = getattr(keras.optimizers, "LossScaleOptimizer", None) or keras.mixed_precision.LossScaleOptimizer
    model.compile(loss_scaled(keras.optimizers.SGD(0.1)), "mse")
    model.fit(x, x[:, :4, 0].sum(1), epochs=2, verbose=0)
    return model


def state_of(optimizer):
    held = optimizer.variables
    return [v.numpy() for v in (held() if callable(held) else held)]


def test_a_model_that_was_trained_with_a_scaled_loss(x):
    model = trained(x, dtype="mixed_float16")
    before = state_of(model.optimizer)
    twin = attrkit.to_float32(model)
    exact, ds = (attrkit.extract(one, x, "integrated_gradients", **QUIET) for one in (twin, model))
    scale = float(abs(exact["attribution"]).max())
    np.testing.assert_allclose(ds["attribution"], exact["attribution"], atol=0.01 * scale)
    assert ds.attrs["half_precision"] == "float16"
    assert "half_precision" not in exact.attrs
    assert ds["prediction"].dtype == "float32"
    assert before
    for one, other in zip(before, state_of(model.optimizer), strict=True):
        np.testing.assert_array_equal(one, other)
    # It is trained on as it was.
    model.fit(x, x[:, 0, 0], epochs=1, verbose=0)


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_inputs_of_half_precision_are_explained_in_single(x, half):
    given = keras.Input((12, 3), dtype=half)
    model = keras.Model(given, layers.Dense(1, dtype=half)(layers.Flatten(dtype=half)(given)))
    kernel = np.asarray(model.layers[-1].get_weights()[0]).astype("float32").reshape(1, 12, 3)
    ds = attrkit.extract(model, x.astype("float16"), "gradient", **QUIET)
    assert ds["input"].dtype == ds["attribution"].dtype == "float32"
    assert ds.attrs["half_precision"] == half
    np.testing.assert_allclose(ds["attribution"], np.broadcast_to(kernel, x.shape), rtol=1e-6)
    # The path, and what is summed over it, are in single precision: many steps lose nothing.
    ds = attrkit.extract(model, x, "integrated_gradients", n_steps=300, quadrature="midpoint", **QUIET)
    np.testing.assert_allclose(ds["attribution"], x * kernel, rtol=1e-4)
