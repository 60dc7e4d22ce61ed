"""Attention layers that are called with query, value and key, against ``reference.py``; two-dimensional convolution."""

import numpy as np
import pytest

import attrkit
from attrkit.relevance import COMPOSITES
from tests.relevance import reference
from tests.relevance.common import check, inputs

SHAPE = (4, 7, 9)
QUERY, VALUE, KEY = slice(0, 3), slice(3, 6), slice(6, 9)


def net_of(keras, call, precision):
    """Return a model whose input has query, value and key beside each other."""
    given = keras.Input(SHAPE[1:], dtype=precision)
    return keras.Model(given, call(given[:, :, QUERY], given[:, :, VALUE], given[:, :, KEY]))


def expected_of(x, scores, composite, emission):
    """Return relevance, bias and epsilon of weights @ value; ``emission`` passes relevance of the scores on."""
    weights, epsilon = reference.softmax(scores), COMPOSITES[composite].epsilon
    to_value, to_scores, absorbed = reference.attend(
        scores, weights, x[:, :, VALUE], weights @ x[:, :, VALUE], epsilon, composite
    )
    to_query, to_key, held = (0.0, 0.0, 0.0) if composite == "arras" else emission(to_scores, epsilon)
    found = np.zeros_like(x)
    found[:, :, QUERY], found[:, :, VALUE], found[:, :, KEY] = to_query, to_value, to_key
    return found, np.zeros(len(x)), absorbed + held


@pytest.mark.parametrize("composite", ["arras", "attnlrp"])
def test_attention_by_products(keras, precision, tolerance, composite):
    x = inputs(precision, SHAPE)
    query, key = x[:, :, QUERY].astype(float), x[:, :, KEY].astype(float)
    layer = keras.layers.Attention()
    net = net_of(keras, lambda query, value, key: layer([query, value, key]), precision)

    def emission(relevance, epsilon):
        to_query, to_key, _, held = reference.product_emission(query, key, 1.0, np.zeros(1), relevance, 0.0)
        return to_query, to_key, held

    check(net, x, expected_of(x.astype(float), query @ key.swapaxes(1, 2), composite, emission), composite, tolerance)


@pytest.mark.parametrize("composite", ["arras", "attnlrp"])
def test_attention_by_sums(keras, precision, tolerance, composite):
    x = inputs(precision, SHAPE)
    query, key = x[:, :, QUERY].astype(float), x[:, :, KEY].astype(float)
    layer = keras.layers.AdditiveAttention()
    net = net_of(keras, lambda query, value, key: layer([query, value, key]), precision)
    layer.set_weights([np.array([0.7, -0.4, 1.1], precision)])
    scale = layer.get_weights()[0].astype(float)
    sums = query[:, :, None] + key[:, None]
    scores = np.tanh(sums) @ scale

    def emission(relevance, epsilon):
        given = scale * np.tanh(sums) / scores[..., None] * relevance[..., None]
        shares = given / reference.stabilise(sums, epsilon)
        held = given - shares * sums
        return (shares * query[:, :, None]).sum(2), (shares * key[:, None]).sum(1), held.sum((1, 2, 3))

    check(net, x, expected_of(x.astype(float), scores, composite, emission), composite, tolerance)


@pytest.mark.parametrize("composite", ["arras", "epsilon", "alpha_beta"])
def test_convolution_over_two_axes_is_that_over_one(keras, precision, tolerance, composite):
    layers = keras.layers
    given = keras.Input((7, 3), dtype=precision)
    along = layers.Conv1D(5, 3, padding="same", activation="relu")
    across = layers.Conv2D(5, (3, 3), padding="valid", activation="relu")
    one = keras.Model(given, layers.Flatten()(along(given)))
    padded = layers.ZeroPadding1D(1)(given)
    two = keras.Model(given, layers.Flatten()(across(layers.Reshape((9, 3, 1))(padded))))
    rng = np.random.default_rng(1)
    kernel, bias = rng.standard_normal((3, 3, 5)).astype(precision), rng.standard_normal(5).astype(precision)
    along.set_weights([kernel, bias])
    across.set_weights([kernel[:, :, None], bias])
    x = inputs(precision, (4, 7, 3))

    options = {"target": 3, "composite": composite, "show_progress": False}
    expected = attrkit.extract(one, x, "lrp", **options)
    parts = [expected[name].values for name in ("attribution", "bias_relevance", "epsilon_relevance")]
    found = attrkit.extract(two, x, "lrp", **options)
    size = max(np.abs(part).max() for part in parts)
    for name, part in zip(("attribution", "bias_relevance", "epsilon_relevance"), parts, strict=True):
        np.testing.assert_allclose(found[name].values / size, part / size, rtol=0, atol=tolerance, err_msg=name)
