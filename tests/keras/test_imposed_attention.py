"""Weights of one's own in attention layers: the layer's own give what the model gives, others what they define."""

import keras_self_attention
import numpy as np
import pytest
from tensorflow import keras

import attrkit
from attrkit.attention.impose import explain_weights, hold_weights
from attrkit.errors import RefusedError
from tests.imposed import weights_of
from tests.keras.test_attention import randomise, sequence_model

layers = keras.layers


def query_key(layer, *, call=lambda layer, x: layer([x, x]), masked=False):
    given = keras.Input((12, 3))
    hidden = layers.Masking()(given) if masked else given
    hidden = layers.LSTM(4, return_sequences=True)(hidden)
    # What padded queries get is not the same in the two ways in which Keras computes heads.
    joined = layers.GlobalAveragePooling1D() if masked else layers.Flatten()
    return keras.Model(given, layers.Dense(2)(joined(call(layer, hidden))))


KINDS = {
    "self": lambda: sequence_model(keras_self_attention.SeqSelfAttention(units=5))[0],
    "self that returns": lambda: query_key(
        keras_self_attention.SeqSelfAttention(attention_type="multiplicative", return_attention=True),
        call=lambda layer, x: layer(x)[0],
    ),
    "weighted": lambda: sequence_model(keras_self_attention.SeqWeightedAttention(), pooled=True)[0],
    "scaled": lambda: query_key(keras_self_attention.ScaledDotProductAttention(), call=lambda layer, x: layer([x] * 3)),
    "dot": lambda: query_key(layers.Attention()),
    "dot, masked": lambda: query_key(layers.Attention(), masked=True),
    "additive": lambda: query_key(layers.AdditiveAttention()),
    "heads": lambda: query_key(layers.MultiHeadAttention(2, 4), call=lambda layer, x: layer(x, x)),
    "heads, masked": lambda: query_key(layers.MultiHeadAttention(2, 4), call=lambda layer, x: layer(x, x), masked=True),
    "heads, causal": lambda: query_key(
        layers.MultiHeadAttention(2, 4), call=lambda layer, x: layer(x, x, use_causal_mask=True)
    ),
}


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_a_layers_own_weights_give_the_models_own_output(x, padded, kind):
    model = KINDS[kind]()
    randomise(model)
    x = padded[0] if "masked" in kind else x
    adapter, path, weights = weights_of(model, x)
    expected = model.predict(x, verbose=0)
    held = hold_weights(adapter, {path: weights})
    np.testing.assert_allclose(held.predict(x), expected, atol=1e-5)
    np.testing.assert_allclose(explain_weights(adapter, x, path).predict(weights), expected, atol=1e-5)
    # Other weights, another output; and the model is as it was.
    other = np.roll(weights, 1, axis=-1)
    assert np.abs(hold_weights(adapter, {path: other}).predict(x) - expected).max() > 1e-3
    np.testing.assert_array_equal(model.predict(x, verbose=0), expected)


def test_uniform_weights_are_the_mean(x):
    given = keras.Input((12, 3))
    model = keras.Model(given, keras_self_attention.SeqWeightedAttention()(given))
    randomise(model)
    adapter, path, weights = weights_of(model, x)
    uniform = np.full_like(weights, 1 / 12)
    np.testing.assert_allclose(hold_weights(adapter, {path: uniform}).predict(x), x.mean(1), atol=1e-6)


def test_the_gradient_with_weights_held_and_with_respect_to_weights(x):
    given = keras.Input((12, 3))
    pooled = keras_self_attention.SeqWeightedAttention()(given)
    model = keras.Model(given, layers.Dense(1)(pooled))
    randomise(model)
    kernel = model.layers[-1].get_weights()[0][:, 0]
    adapter, path, weights = weights_of(model, x)
    target = np.zeros(len(x), int)
    held = hold_weights(adapter, {path: weights})
    found = held.path_gradient(x, target)
    np.testing.assert_allclose(found, weights[..., None] * kernel, atol=1e-6)
    asked = explain_weights(adapter, x, path)
    np.testing.assert_allclose(asked.path_gradient(weights, target), x @ kernel, atol=1e-5)


def test_attention_is_held_where_it_is_asked(x):
    given = keras.Input((12, 3))
    model = keras.Model(given, layers.Dense(1)(keras_self_attention.SeqWeightedAttention()(given)))
    randomise(model)
    kernel = model.layers[-1].get_weights()[0][:, 0]
    weights = attrkit.extract(model, x, "attention", show_progress=False)["attention"].values
    ask = {"show_progress": False, "hold_attention": True}
    held = attrkit.extract(model, x, "gradient", **ask)
    np.testing.assert_allclose(held["attribution"], weights[..., None] * kernel, atol=1e-6)
    shares = attrkit.extract(model, x, "input_x_gradient", **ask)
    np.testing.assert_allclose(shares["attribution"], held["attribution"] * x, atol=1e-6)
    # With weights held the answer is linear in the input, and all of it is shared out.
    bias = model.layers[-1].get_weights()[1]
    total = shares["attribution"].sum(("timestep", "channel"))
    np.testing.assert_allclose(total, held["prediction"] - bias, atol=1e-5)
    free = attrkit.extract(model, x, "gradient", show_progress=False)
    assert abs(free["attribution"] - held["attribution"]).max() > 1e-2
    plain = keras.Sequential([keras.Input((12, 3)), layers.Flatten(), layers.Dense(1)])
    with pytest.raises(RefusedError, match="no attention layer whose weights could be held"):
        attrkit.extract(plain, x, "gradient", **ask)


def test_a_layer_whose_use_of_weights_is_not_known(x):
    class Own(layers.Layer):
        def call(self, x, return_attention=False):
            weights = keras.activations.softmax(x[..., 0])
            return (x, weights) if return_attention else x * weights[..., None]

    given = keras.Input((12, 3))
    model = keras.Model(given, layers.Dense(1)(layers.Flatten()(Own(name="own")(given))))
    with pytest.raises(RefusedError, match=r"layer 'own' \(Own\).*no layer of this model"):
        hold_weights(attrkit.adapt(model), {"own": np.ones((10, 12))})
