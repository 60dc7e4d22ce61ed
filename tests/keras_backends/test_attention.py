"""Attention weights equal what the layer itself returns."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from attrkit.errors import RefusedError
from tests.keras_backends.common import answer, explain, randomise, unchanged

pytestmark = pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")


class Asked(layers.Layer):
    """A user's layer that returns its weights when the call asks for them."""

    def call(self, inputs, return_attention_scores=False):
        weights = ops.softmax(ops.matmul(inputs, ops.transpose(inputs, (0, 2, 1))))
        output = ops.matmul(weights, inputs)
        return (output, weights) if return_attention_scores else output


class Pooling(layers.Layer):
    """A user's layer that returns one weight a timestep on request of its constructor."""

    def __init__(self, return_attention=False, **kwargs):
        super().__init__(**kwargs)
        self.return_attention = return_attention
        self.score = layers.Dense(1)

    def build(self, shape):
        self.score.build(shape)

    def call(self, inputs):
        weights = ops.softmax(self.score(inputs), axis=1)
        pooled = ops.sum(weights * inputs, axis=1)
        return [pooled, weights] if self.return_attention else pooled


BUILT_IN = {
    "Attention": lambda: layers.Attention(use_scale=True),
    "AdditiveAttention": layers.AdditiveAttention,
    "MultiHeadAttention": lambda: layers.MultiHeadAttention(3, 4),
    "GroupedQueryAttention": lambda: layers.GroupQueryAttention(4, 4, 2),
}


@pytest.mark.parametrize("kind", BUILT_IN)
def test_built_in_attention(x, kind):
    inputs = keras.Input((8, 3))
    query = layers.LSTM(6, return_sequences=True)(inputs)
    value = layers.Conv1D(6, 3, padding="same")(inputs)
    layer = BUILT_IN[kind]()
    by_list = kind in ("Attention", "AdditiveAttention")
    output = layer([query, value]) if by_list else layer(query, value)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(output)))
    randomise(model)
    ds = unchanged(model, x, lambda: explain(model, x, "attention"))
    before = keras.Model(inputs, [query, value])(x)
    own = (
        answer(layer, before, return_attention_scores=True)
        if by_list
        else answer(layer, *before, return_attention_scores=True)
    )
    assert ("head" in ds["attention"].dims) != by_list
    np.testing.assert_allclose(ds["attention"], own[1], atol=1e-6)
    np.testing.assert_allclose(ds["prediction"], answer(model, x), rtol=1e-5, atol=1e-5)


def test_layers_of_users(x):
    layer = Asked(name="asked")
    model = keras.Sequential([layers.Input((8, 3)), layer, layers.Flatten(), layers.Dense(1)])
    ds = unchanged(model, x, lambda: explain(model, x, "attention"))
    np.testing.assert_allclose(ds["attention"], answer(layer, x, return_attention_scores=True)[1], atol=1e-6)

    layer = Pooling(name="pooling")
    model = keras.Sequential([layers.Input((8, 3)), layer, layers.Dense(1)])
    ds = unchanged(model, x, lambda: explain(model, x, "attention"))
    asked = Pooling(return_attention=True)
    asked.build((None, 8, 3))
    asked.set_weights(layer.get_weights())
    assert ds["attention"].dims == ("sample", "key_timestep")
    np.testing.assert_allclose(ds["attention"], answer(asked, x)[1][..., 0], atol=1e-6)


def test_masks_keep_attention_off_padding(padded):
    data, mask = padded
    inputs = keras.Input((8, 3))
    hidden = layers.LSTM(6, return_sequences=True)(layers.Masking()(inputs))
    output = layers.MultiHeadAttention(2, 4)(hidden, hidden)
    model = keras.Model(inputs, layers.Dense(1)(layers.GlobalAveragePooling1D()(output)))
    randomise(model)
    ds = explain(model, data, "attention")
    np.testing.assert_array_equal(ds["mask"], mask)
    np.testing.assert_allclose(ds["attention_on_padding"], 0, atol=1e-6)


def test_nested_shared_and_several_layers(x):
    shared = layers.MultiHeadAttention(2, 3, name="look")
    inner_in = keras.Input((8, 4))
    encoder = keras.Model(inner_in, shared(shared(inner_in, inner_in), inner_in), name="encoder")
    inputs = keras.Input((8, 3))
    hidden = layers.Dense(4)(inputs)
    last = layers.MultiHeadAttention(2, 3, name="last")
    encoded = encoder(hidden)
    model = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(last(encoded, encoded))))
    randomise(model)
    ds = explain(model, x, "attention")
    assert ds["layer"].values.tolist() == ["encoder.look@0", "encoder.look@1", "last"]
    before = keras.Model(inputs, hidden)(x)
    first = answer(shared, before, before, return_attention_scores=True)
    np.testing.assert_allclose(ds["attention"].sel(layer="encoder.look@0"), first[1], atol=1e-6)
    second = answer(shared, first[0], before, return_attention_scores=True)
    np.testing.assert_allclose(ds["attention"].sel(layer="encoder.look@1"), second[1], atol=1e-6)


def test_a_subclassed_model_and_batches(x):
    class Forecaster(keras.Model):
        def __init__(self):
            super().__init__()
            self.recurrent = layers.GRU(4, return_sequences=True)
            self.attention = layers.MultiHeadAttention(2, 3)
            self.head = layers.Dense(1)

        def call(self, inputs, training=None):
            hidden = self.recurrent(inputs)
            return self.head(self.attention(hidden, hidden)[:, -1])

    model = Forecaster()
    model(x)
    randomise(model)
    ds = unchanged(model, x, lambda: explain(model, x, "attention"))
    hidden = model.recurrent(x)
    own = answer(model.attention, hidden, hidden, return_attention_scores=True)[1]
    np.testing.assert_allclose(ds["attention"], own, atol=1e-6)
    np.testing.assert_allclose(explain(model, x, "attention", batch_size=2)["attention"], own, atol=1e-6)


def test_mixed_precision(x):
    inputs = keras.Input((8, 3))
    attention = layers.MultiHeadAttention(2, 3, dtype="mixed_bfloat16")
    model = keras.Model(inputs, layers.Dense(1, dtype="float32")(layers.Flatten()(attention(inputs, inputs))))
    ds = explain(model, x, "attention")
    np.testing.assert_allclose(ds["attention"].astype("float32").sum("key_timestep"), 1, atol=2e-2)
    gradient = explain(model, x, "gradient")["attribution"]
    full = layers.MultiHeadAttention(2, 3)
    same = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(full(inputs, inputs))))
    same.set_weights(model.get_weights())
    expected = explain(same, x, "gradient")["attribution"]
    np.testing.assert_allclose(gradient, expected, atol=3e-2 * float(abs(expected).max()))


def test_a_model_without_attention_is_refused_by_name(x):
    model = keras.Sequential([layers.Input((8, 3)), layers.LSTM(4, name="memory"), layers.Dense(1)])
    with pytest.raises(RefusedError, match=r"memory \(LSTM\)"):
        explain(model, x, "attention")
