"""Uniform attention in Keras's training on each backend."""

import keras
import numpy as np
import pytest
from keras import layers

import attrkit
from attrkit.studies import check_uniform, uniform_attention
from tests.keras_backends.common import answer, randomise

pytestmark = pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")


def test_trained_with_uniform_attention_a_model_is_one_that_takes_the_mean(x):
    def trained(pool):
        given = keras.Input((8, 3))
        hidden = layers.Dense(4, activation="tanh", name="inside")(given)
        model = keras.Model(given, layers.Dense(1, name="head")(layers.GlobalAveragePooling1D()(pool(hidden))))
        rng = np.random.default_rng(0)
        for name in ("inside", "head"):
            layer = model.get_layer(name)
            layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
        model.compile(keras.optimizers.SGD(0.1), "mse")
        model.fit(x, x[:, 3, :1], epochs=5, batch_size=4, shuffle=False, verbose=0)
        return model

    expected = trained(lambda hidden: hidden).predict(x, verbose=0)

    def pool(hidden):
        return layers.Attention()([hidden, hidden])

    with uniform_attention():
        model = trained(pool)
        np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=1e-5)
        np.testing.assert_allclose(attrkit.adapt(model).configured().predict(x), expected, atol=1e-5)
    assert np.abs(trained(pool).predict(x, verbose=0) - expected).max() > 1e-3


@pytest.mark.parametrize("kind", ["MultiHeadAttention", "GroupedQueryAttention"])
def test_heads_are_uniform_over_real_keys(padded, kind):
    data, mask = padded
    inputs = keras.Input((8, 3))
    hidden = layers.LSTM(6, return_sequences=True)(layers.Masking()(inputs))
    layer = layers.MultiHeadAttention(2, 4) if kind == "MultiHeadAttention" else layers.GroupQueryAttention(4, 4, 2)
    model = keras.Model(inputs, layers.Dense(1)(layers.GlobalAveragePooling1D()(layer(hidden, hidden))))
    randomise(model)
    before = answer(model, data)
    with uniform_attention():
        found = attrkit.extract(model, data, "attention", show_progress=False)["attention"].values
    expected = np.broadcast_to((mask / mask.sum(1, keepdims=True))[:, None, None], found.shape)
    queries = np.broadcast_to(mask[:, None, :, None], found.shape)
    np.testing.assert_allclose(found[queries], expected[queries], atol=1e-6)
    assert check_uniform(model, data) == [layer.name]
    np.testing.assert_array_equal(answer(model, data), before)
