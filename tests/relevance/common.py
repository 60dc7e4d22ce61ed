"""What the tests of rules share: models of one layer, and the comparison with the reference."""

import numpy as np

import attrkit

SHAPE = (4, 7, 3)


def _every_output(outputs):
    """Explain the sum of all outputs: each one's relevance is its value."""
    outputs = outputs[0] if isinstance(outputs, list | tuple) else outputs
    if not hasattr(outputs, "sum"):
        import tensorflow as tf

        return tf.reduce_sum(tf.reshape(outputs, [tf.shape(outputs)[0], -1]), axis=1)
    return outputs.reshape((len(outputs), -1)).sum(1)


def check(model, x, expected, composite, tolerance):
    """Compare relevance and ledger of all outputs with (relevance, bias, epsilon)."""
    ds = attrkit.extract(model, x, "lrp", target=_every_output, composite=composite, show_progress=False)
    size = max(np.abs(part).max() for part in expected)
    for name, part in zip(("attribution", "bias_relevance", "epsilon_relevance"), expected, strict=True):
        np.testing.assert_allclose(ds[name].values / size, part / size, rtol=0, atol=tolerance, err_msg=name)
    return ds


def inputs(precision, shape=SHAPE, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(precision)


def model(keras, layer, precision, shape=SHAPE):
    """Return a model of one layer, with weights and biases that are none of them zero."""
    given = keras.Input(shape[1:], dtype=precision)
    net = keras.Model(given, layer(given))
    rng = np.random.default_rng(1)
    layer.set_weights([(0.7 * rng.standard_normal(np.shape(w))).astype(precision) for w in layer.get_weights()])
    return net


def with_biases(model):
    """Give every weight of a Keras model, biases too, a value that is not zero."""
    rng = np.random.default_rng(0)
    model.set_weights([w + 0.1 * rng.standard_normal(w.shape).astype(w.dtype) for w in model.get_weights()])
    return model


def plain_net(keras, kind):
    """Return a net of dense, or of convolutional layers, without anything recurrent."""
    layers = keras.layers
    given = keras.Input((24, 4))
    if kind == "dense":
        hidden = layers.Dense(12, activation="relu")(layers.Flatten()(given))
        hidden = layers.Dense(8, activation="tanh")(hidden)
    else:
        hidden = layers.Conv1D(8, 3, activation="relu")(given)
        hidden = layers.MaxPooling1D(2)(hidden)
        hidden = layers.Conv1D(6, 3, activation="relu", padding="same")(hidden)
        hidden = layers.Flatten()(layers.AveragePooling1D(2)(hidden))
    return keras.Model(given, layers.Dense(3)(hidden))
