"""Models that differ in their weights alone stand in for each other; those that differ in more do not."""

import numpy as np
import pytest
from tensorflow import keras

import attrkit
from attrkit.adapters._names import names_anew
from attrkit.metrics.randomisation.built_alike import as_one_model, take_weights

layers = keras.layers


class Scaled(layers.Layer):
    """Holds a number that is no weight."""

    def __init__(self, by, **settings):
        super().__init__(**settings)
        self.by = by

    def call(self, x):
        return x * self.by


def build(seed, *, units=4, activation="tanh", scale=1.0):
    """As many Keras users begin: with what is left of models before taken away."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    stack = [
        layers.Input((12, 3)),
        layers.LSTM(units, return_sequences=True),
        Scaled(scale),
        layers.Flatten(),
        layers.Dense(2, activation=activation),
    ]
    with names_anew():
        return attrkit.adapt(keras.Sequential(stack))


def slopes(model, x):
    return attrkit.extract(model, x, "gradient", target=1, show_progress=False)["attribution"].values


def test_one_model_with_the_weights_of_another_is_that_other(x):
    first = build(0)
    own = slopes(first, x)
    second = build(1)
    expected = slopes(second, x)
    assert np.abs(own - expected).max() > 1e-3
    with as_one_model(first, second, x) as found:
        assert found is first
        np.testing.assert_array_equal(slopes(found, x), expected)
    np.testing.assert_array_equal(slopes(first, x), own)
    assert take_weights(first, second, x)
    np.testing.assert_array_equal(slopes(first, x), expected)


@pytest.mark.parametrize("other", [{"units": 5}, {"activation": "sigmoid"}, {"scale": 1.01}])
def test_one_that_differs_in_more_than_weights_is_not(x, other):
    first, second = build(0), build(1, **other)
    own = slopes(first, x)
    with as_one_model(first, second, x) as found:
        assert found is second
    assert not take_weights(first, second, x)
    np.testing.assert_array_equal(slopes(first, x), own)


def test_functions_are_not_compared(x):
    first, second = (attrkit.adapt(lambda x, by=by: by * x.sum(axis=(1, 2))) for by in (1, 2))
    assert not take_weights(first, second, x)
    with as_one_model(first, second, x) as found:
        assert found is second
