"""Write the files beside this script; needs Keras 2.14, as in the lane ``classic``."""

import os
import zipfile
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
from keras_self_attention import SeqSelfAttention, SeqWeightedAttention
from tensorflow import keras

HERE = Path(__file__).parent
layers = keras.layers


def attention():
    rows = [layers.LSTM(5, return_sequences=True, input_shape=(8, 3)), SeqSelfAttention(units=4)]
    return keras.Sequential([*rows, layers.Flatten(), layers.Dense(2)])


def weighted():
    return keras.Sequential(
        [layers.Input((None, 3)), layers.GRU(4, return_sequences=True), SeqWeightedAttention(), layers.Dense(1)]
    )


def recurrent():
    """Old LSTMs had hard_sigmoid, which Keras 3 computes otherwise."""
    backward = layers.LSTM(3, go_backwards=True, return_sequences=True, name="back")
    both = layers.Bidirectional(layers.LSTM(3, return_sequences=True), backward_layer=backward)
    last = layers.LSTM(3, recurrent_activation="hard_sigmoid", implementation=1, dropout=0.2)
    return keras.Sequential([layers.Input((8, 3)), layers.Masking(), both, last, layers.Dense(1)])


def tokens():
    rows = [layers.Embedding(20, 4, mask_zero=True, input_length=8), layers.GRU(4, reset_after=False)]
    return keras.Sequential([*rows, layers.Dense(1, activation="sigmoid")])


def convolution():
    start = [layers.Input((8, 3)), layers.Conv1D(4, 3, padding="causal"), layers.BatchNormalization()]
    middle = [layers.LeakyReLU(alpha=0.2), layers.TimeDistributed(layers.Dense(2)), layers.SeparableConv1D(3, 2)]
    return keras.Sequential([*start, *middle, layers.GlobalAveragePooling1D(), layers.Dense(1)])


def transformer():
    """One nested model is called twice, and one argument is a tensor by name."""
    block = keras.Sequential([layers.Input((8, 4)), layers.Dense(4, activation="relu")], name="block")
    x = layers.Input((8, 3))
    h = layers.Dense(4)(x)
    h = layers.LayerNormalization()(layers.Add()([h, layers.MultiHeadAttention(2, 3)(h, value=h)]))
    return keras.Model(x, layers.Dense(1)(layers.GlobalAveragePooling1D()(block(block(h)))))


def encoder_decoder():
    past, future = layers.Input((8, 3), name="past"), layers.Input((4, 2), name="future")
    encoded, *state = layers.LSTM(4, return_state=True)(past)
    decoded = layers.LSTM(4, return_sequences=True)(future, initial_state=state)
    outputs = [layers.TimeDistributed(layers.Dense(2), name="path")(decoded), layers.Dense(1, name="end")(encoded)]
    return keras.Model([past, future], outputs)


MODELS = (attention, weighted, recurrent, tokens, convolution, transformer, encoder_decoder)


def samples(model, rng):
    """Five samples for each input; the last two steps of the second are padding."""
    for tensor in model.inputs:
        shape = [5, *(length or 8 for length in tensor.shape[1:])]
        x = rng.integers(1, 20, shape) if len(shape) == 2 else rng.standard_normal(shape)
        x[1, -2:] = 0
        yield x.astype("float32")


def main():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    expected = {}
    for make in MODELS:
        name = make.__name__
        model = make()
        for variable in model.variables:
            # Biases and moving averages too, so that none is what a new model has.
            variable.assign_add(np.abs(rng.standard_normal(variable.shape)) * 0.1)
        x = list(samples(model, rng))
        y = model(x if len(x) > 1 else x[0])
        expected |= {f"{name}/x{i}": value for i, value in enumerate(x)}
        expected |= {f"{name}/y{i}": np.asarray(value) for i, value in enumerate(y if isinstance(y, list) else [y])}
        model.save(HERE / f"{name}.h5")
        model.save(HERE / f"{name}.keras")
        compress(HERE / f"{name}.keras")
        if name == "attention":
            model.save_weights(HERE / f"{name}.weights.h5")
            expected |= {"attention/weights": weights_of(model, x[0]), "attention/gradients": gradients_of(model, x[0])}
    np.savez_compressed(HERE / "expected.npz", **expected)


def weights_of(model, x):
    """Return the attention weights, from the layer's own option."""
    lstm, attention = model.layers[:2]
    again = SeqSelfAttention(units=4, return_attention=True)
    again.build((None, 8, 5))
    again.set_weights(attention.get_weights())
    return np.asarray(again(lstm(x))[1])


def gradients_of(model, x):
    """Return integrated gradients of output 1 from zeros, by the midpoint rule with 64 steps."""
    total = np.zeros_like(x)
    for step in range(64):
        point = tf.constant(x * (step + 0.5) / 64)
        with tf.GradientTape() as tape:
            tape.watch(point)
            y = model(point)[:, 1]
        total += x * tape.gradient(y, point).numpy() / 64
    return total


def compress(path):
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


if __name__ == "__main__":
    main()
