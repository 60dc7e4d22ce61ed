"""The copy of a model in double precision: what it predicts, what is found for it, and what cannot be copied."""

import numpy as np
import pytest
from keras_self_attention import SeqSelfAttention, SeqWeightedAttention
from tensorflow import keras

import attrkit
from attrkit.errors import RefusedError

layers = keras.layers


@pytest.fixture
def x():
    x = np.random.default_rng(0).normal(size=(8, 12, 3)).astype("float32")
    x[:3, 9:] = 0
    return x


@pytest.fixture
def in_double():
    keras.backend.set_floatx("float64")
    yield
    keras.backend.set_floatx("float32")


def sequential(*rows):
    return keras.Sequential([layers.Input((12, 3)), layers.Masking(), *rows, layers.Dense(1)])


def functional():
    given = layers.Input((12, 3))
    own = layers.LSTM(4, return_sequences=True)(given)
    own = layers.LayerNormalization()(layers.MultiHeadAttention(2, 4)(own, own) + own * 2.0)
    return keras.Model(given, layers.Dense(1)(own[:, -1]))


def rounded(one, other):
    """Within the rounding of single precision, which LRP magnifies where a sum is next to zero."""
    scale = float(abs(other).max())
    np.testing.assert_allclose(one / scale, other / scale, atol=1e-3)


def stacked():
    return sequential(layers.GRU(3, return_sequences=True), layers.LSTM(3))


@pytest.mark.parametrize("make", [functional, stacked])
def test_the_copy_is_the_model_in_double_precision(x, make):
    model = make()
    before = [np.copy(w) for w in model.get_weights()]
    exact = attrkit.to_float64(model)
    assert all("float64" in str(w.dtype) for w in exact.weights)
    np.testing.assert_allclose(exact.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5, atol=1e-6)
    double, single = (attrkit.extract(m, x, "lrp", show_progress=False) for m in (exact, model))
    assert double["attribution"].dtype == "float64"
    rounded(double["attribution"], single["attribution"])
    np.testing.assert_allclose(double["completeness_gap"], 0, atol=1e-12 * float(abs(double["prediction"]).max()))
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert keras.backend.floatx() == "float32"


def test_layers_of_keras_self_attention_ask_for_floatx(x, in_double):
    keras.backend.set_floatx("float32")
    memory = layers.LSTM(4, return_sequences=True)
    model = sequential(memory, SeqSelfAttention(attention_width=5), SeqWeightedAttention())
    single = attrkit.extract(model, x, "lrp", show_progress=False)
    with pytest.raises(RefusedError, match=r"set_floatx\('float64'\)"):
        attrkit.to_float64(model)
    keras.backend.set_floatx("float64")
    double = attrkit.extract(attrkit.to_float64(model), x, "lrp", show_progress=False)
    rounded(double["attribution"], single["attribution"])


def test_a_mixed_policy_is_replaced(x):
    model = keras.Sequential([layers.Input((12, 3)), layers.LSTM(4, dtype="mixed_bfloat16"), layers.Dense(1)])
    exact = attrkit.to_float64(model)
    assert exact.predict(x, verbose=0).dtype == "float64"


class Doubled(layers.Layer):
    def call(self, inputs):
        return 2 * inputs


class Own(layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=(), initializer="ones", dtype="float32", name="scale")

    def call(self, inputs):
        return inputs * keras.backend.cast(self.scale, inputs.dtype)


class Forecaster(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.memory = layers.LSTM(units)

    def call(self, inputs):
        return self.memory(inputs)


def test_layers_of_ones_own(x):
    model = sequential(Doubled(), layers.LSTM(4))
    np.testing.assert_allclose(attrkit.to_float64(model).predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5)
    with pytest.raises(RefusedError, match=r"weights are of a type of their own: .*scale"):
        attrkit.to_float64(sequential(Own(), layers.LSTM(4)))


def test_what_cannot_be_copied(x):
    model = Forecaster(4)
    model(x)
    with pytest.raises(RefusedError, match="Forecaster cannot be built anew"):
        attrkit.to_float64(model)
    with pytest.raises(RefusedError, match="write the function for float64 arrays"):
        attrkit.to_float64(lambda x: x.sum(axis=(1, 2)))
