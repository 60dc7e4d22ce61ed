"""Each rule of a Keras layer against the explicit rules of ``reference.py``: relevance, and what the ledger takes."""

import numpy as np
import pytest

from attrkit.relevance import COMPOSITES, AlphaBeta, Epsilon, Flat, Gamma, WSquare, ZBox, ZPlus
from tests.relevance import reference
from tests.relevance.common import SHAPE, check, inputs, model

EPSILON = 0.01
RULES = {
    "epsilon": (Epsilon(EPSILON), {"rule": "epsilon", "epsilon": EPSILON}),
    "z": (Epsilon(0.0), {"rule": "z"}),
    "z_plus": (ZPlus(EPSILON), {"rule": "z_plus", "epsilon": EPSILON}),
    "alpha_beta": (AlphaBeta(epsilon=EPSILON), {"rule": "alpha_beta", "epsilon": EPSILON}),
    "alpha_3_beta_2": (
        AlphaBeta(3, 2, epsilon=EPSILON),
        {"rule": "alpha_beta", "alpha": 3, "beta": 2, "epsilon": EPSILON},
    ),
    "gamma": (Gamma(0.5, epsilon=EPSILON), {"rule": "gamma", "gamma": 0.5, "epsilon": EPSILON}),
    "flat": (Flat(), {"rule": "flat"}),
    "w_square": (WSquare(), {"rule": "w_square"}),
    "z_box": (ZBox(-4.0, 4.0, epsilon=EPSILON), {"rule": "z_box", "low": -4.0, "high": 4.0, "epsilon": EPSILON}),
}


def _with_kernel(rule):
    return COMPOSITES["arras"].extended({"Dense": rule, "Conv1D": rule})


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("use_bias", [True, False])
def test_dense(keras, precision, tolerance, name, use_bias):
    rule, options = RULES[name]
    net = model(keras, keras.layers.Dense(5, use_bias=use_bias), precision)
    x = inputs(precision)
    kernel, *bias = (w.astype(float) for w in net.layers[-1].get_weights())
    bias = bias[0] if bias else None
    z = reference.dense_forward(x, kernel, bias)
    check(net, x, reference.dense(x, kernel, bias, z, **options), _with_kernel(rule), tolerance)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(
    "options",
    [{}, {"padding": "causal", "dilation_rate": 2}, {"padding": "same", "strides": 2}],
    ids=["valid", "causal", "same"],
)
def test_conv1d(keras, precision, tolerance, name, options):
    rule, own = RULES[name]
    net = model(keras, keras.layers.Conv1D(5, 3, **options), precision)
    x = inputs(precision)
    kernel, bias = (w.astype(float) for w in net.layers[-1].get_weights())
    how = {"padding": options.get("padding", "valid"), "strides": options.get("strides", 1)}
    how["dilation"] = options.get("dilation_rate", 1)
    z = reference.conv1d_forward(x, kernel, bias, **how)
    check(net, x, reference.conv1d(x, kernel, bias, z, **how, **own), _with_kernel(rule), tolerance)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_an_activation_passes_relevance_on(keras, precision, tolerance, activation):
    x = inputs(precision)
    apart = keras.Sequential([keras.Input(SHAPE[1:], dtype=precision), keras.layers.Dense(5)])
    apart.add(keras.layers.Activation(activation))
    net = model(keras, keras.layers.Dense(5, activation=activation), precision)
    apart.set_weights(net.get_weights())
    kernel, bias = (w.astype(float) for w in net.layers[-1].get_weights())
    z = reference.dense_forward(x, kernel, bias)
    y = {"relu": np.maximum(z, 0), "tanh": np.tanh(z), "sigmoid": reference.sigmoid(z)}[activation]
    expected = reference.dense(x, kernel, bias, y, rule="epsilon", epsilon=EPSILON)
    for form in (net, apart):
        check(form, x, expected, _with_kernel(Epsilon(EPSILON)), tolerance)


CELLS = {
    "lstm": ("LSTM", reference.lstm, reference.LSTMCell, {}),
    "gru": ("GRU", reference.gru, reference.GRUCell, {"reset_after": True}),
    "gru_reset_before": ("GRU", reference.gru, reference.GRUCell, {"reset_after": False}),
    "simple": ("SimpleRNN", reference.simple_rnn, reference.SimpleRNNCell, {}),
}


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize(
    ("how", "sequences"),
    [("plain", True), ("plain", False), ("backwards", True), ("no_bias", False), ("masked", True), ("masked", False)],
)
def test_recurrent(keras, precision, tolerance, kind, how, sequences):
    name, rule, cell, options = CELLS[kind]
    own = {"go_backwards": how == "backwards", "use_bias": how != "no_bias", "return_sequences": sequences}
    layer = getattr(keras.layers, name)(5, **own, **options)
    x = inputs(precision)
    mask = None
    if how == "masked":
        mask = np.arange(SHAPE[1])[None] < np.array([[7], [5], [3], [7]])
        x = np.where(mask[..., None], x, 0).astype(precision)
        given = keras.Input(SHAPE[1:], dtype=precision)
        net = keras.Model(given, layer(keras.layers.Masking()(given)))
        rng = np.random.default_rng(1)
        layer.set_weights([(0.7 * rng.standard_normal(w.shape)).astype(precision) for w in layer.get_weights()])
    else:
        net = model(keras, layer, precision)
    weights = [w.astype(float) for w in layer.get_weights()] + ([None] if how == "no_bias" else [])
    walk = {"return_sequences": sequences, "reverse": how == "backwards", "mask": mask}
    y = reference.recurrent_forward(cell(*weights, **options), x, **walk)
    expected = rule(x, *weights, y, epsilon=1e-3, **walk, **options)
    check(net, x, expected, "arras", tolerance)


def test_both_directions_and_stacks(keras, precision, tolerance):
    layers = keras.layers
    x = inputs(precision)
    net = keras.Sequential(
        [
            keras.Input(SHAPE[1:], dtype=precision),
            layers.Bidirectional(layers.LSTM(4, return_sequences=True)),
            layers.RNN([layers.GRUCell(3), layers.LSTMCell(2)]),
        ]
    )
    rng = np.random.default_rng(2)
    net.set_weights([(0.7 * rng.standard_normal(w.shape)).astype(precision) for w in net.get_weights()])
    w = [w.astype(float) for w in net.get_weights()]
    there = reference.recurrent_forward(reference.LSTMCell(*w[:3]), x, return_sequences=True)
    back = reference.recurrent_forward(reference.LSTMCell(*w[3:6]), x, return_sequences=True, reverse=True)[:, ::-1]
    both = np.concatenate([there, back], axis=-1)
    hidden = reference.recurrent_forward(reference.GRUCell(*w[6:9], True), both, return_sequences=True)
    y = reference.recurrent_forward(reference.LSTMCell(*w[9:]), hidden)
    parts = [reference.lstm(hidden, *w[9:], y, epsilon=1e-3)]
    parts.append(reference.gru(both, *w[6:9], parts[0][0], epsilon=1e-3, return_sequences=True))
    of_both = parts[1][0]
    parts.append(reference.lstm(x, *w[:3], of_both[..., :4], epsilon=1e-3, return_sequences=True))
    parts.append(reference.lstm(x, *w[3:6], of_both[:, ::-1, 4:], epsilon=1e-3, return_sequences=True, reverse=True))
    expected = [parts[2][0] + parts[3][0], *(sum(part[i] for part in parts) for i in (1, 2))]
    check(net, x, expected, "arras", tolerance)


def test_layer_normalisation(keras, precision, tolerance):
    net = model(keras, keras.layers.LayerNormalization(epsilon=1e-3), precision)
    x = inputs(precision)
    gamma, beta = (w.astype(float) for w in net.layers[-1].get_weights())
    y = reference.layer_norm_forward(x, gamma, beta, 1e-3)
    check(net, x, reference.layer_norm(x, gamma, beta, 1e-3, y), "arras", tolerance)


def test_batch_normalisation(keras, precision, tolerance):
    layer = keras.layers.BatchNormalization(epsilon=1e-3)
    net = model(keras, layer, precision)
    layer.set_weights([*layer.get_weights()[:3], np.array([0.4, 1.3, 2.0], precision)])
    x = inputs(precision)
    gamma, beta, mean, variance = (w.astype(float) for w in layer.get_weights())
    y = (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    check(net, x, reference.batch_norm(x, gamma, beta, mean, variance, 1e-3, y), "arras", tolerance)


@pytest.mark.parametrize("composite", ["arras", "attnlrp"])
def test_multi_head_attention(keras, precision, tolerance, composite):
    layer = keras.layers.MultiHeadAttention(2, 4)
    given = keras.Input(SHAPE[1:], dtype=precision)
    net = keras.Model(given, layer(given, given))
    rng = np.random.default_rng(1)
    layer.set_weights([(0.7 * rng.standard_normal(w.shape)).astype(precision) for w in layer.get_weights()])
    x = inputs(precision)
    names = [f"{part}_{kind}" for part in ("query", "key", "value", "output") for kind in ("kernel", "bias")]
    weights = dict(zip(names, (w.astype(float) for w in layer.get_weights()), strict=True))
    y = reference.multi_head_attention_forward(x, x, x, weights)
    epsilon = COMPOSITES[composite].epsilon
    # Where relevance is shared, the layer's own products run, which have no stabiliser.
    own = {"epsilon": epsilon, "attention_epsilon": epsilon if composite == "arras" else 0.0}
    expected = reference.multi_head_attention(x, weights, y, composite=composite, **own)
    check(net, x, expected, composite, tolerance)
