import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
from keras_self_attention import SeqSelfAttention, SeqWeightedAttention
from tensorflow import keras

layers = keras.layers


def _with_values(model):
    rng = np.random.default_rng(5)
    model.set_weights([rng.normal(0, 0.7, w.shape).astype(w.dtype) for w in model.get_weights()])
    return model


@pytest.fixture
def weighted():
    """The sum of inputs by their weights, and a linear layer: its answer is linear in the weights."""
    keras.utils.clear_session()
    given = keras.Input((6, 3))
    return _with_values(keras.Model(given, layers.Dense(1)(SeqWeightedAttention(name="attention")(given))))


@pytest.fixture
def classifier():
    keras.utils.clear_session()
    given = keras.Input((6, 3))
    hidden = layers.LSTM(4, return_sequences=True)(layers.Masking()(given))
    hidden = layers.GlobalAveragePooling1D()(SeqSelfAttention(units=4, name="attention")(hidden))
    return _with_values(keras.Model(given, layers.Dense(3, "softmax")(hidden)))


@pytest.fixture
def x():
    return np.random.default_rng(3).standard_normal((8, 6, 3)).astype("float32")
