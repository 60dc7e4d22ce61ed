"""Attention layers of one call against ``reference.py``: those of keras-self-attention, which need TensorFlow."""

import keras_self_attention as layers
import numpy as np
import pytest

from attrkit.relevance import COMPOSITES
from tests.relevance import reference
from tests.relevance import test_scored_attention as scored
from tests.relevance.common import SHAPE, check, inputs, model

COMPOSITE = pytest.mark.parametrize("composite", ["arras", "attnlrp"])


OPTIONS = {
    "plain": {},
    "no_bias": {"use_additive_bias": False, "use_attention_bias": False},
    "window": {"attention_width": 3},
    "history": {"attention_width": 4, "history_only": True},
    "sigmoid": {"attention_activation": "sigmoid"},
}


@COMPOSITE
@pytest.mark.parametrize("kind", ["additive", "multiplicative"])
@pytest.mark.parametrize("options", OPTIONS)
def test_seq_self_attention(keras, precision, tolerance, composite, kind, options):
    own = OPTIONS[options]
    layer = layers.SeqSelfAttention(attention_type=kind, **({"units": 5} if kind == "additive" else {}), **own)
    net = model(keras, layer, precision)
    x = inputs(precision)
    names = ["Wt", "Wx", "bh", "Wa", "ba"] if kind == "additive" else ["Wa", "ba"]
    weights = [None if getattr(layer, n) is None else np.asarray(getattr(layer, n)).astype(float) for n in names]
    limits = {"width": own.get("attention_width"), "history_only": own.get("history_only", False)}
    limits["activation"] = reference.sigmoid if "attention_activation" in own else None
    if kind == "additive":
        raw, rule = reference.additive_scores(x, *weights)[1], reference.additive_attention
    else:
        raw, rule = reference.multiplicative_scores(x, *weights), reference.multiplicative_attention
    y = reference.self_attention_forward(x, raw, **limits)
    epsilon = COMPOSITES[composite].epsilon
    further = {"emission_epsilon": 0.0} if kind == "multiplicative" else {}
    expected = rule(x, *weights, y, epsilon=epsilon, composite=composite, **limits, **further)
    check(net, x, expected, composite, tolerance)


@COMPOSITE
@pytest.mark.parametrize("masked", [False, True])
def test_seq_weighted_attention(keras, precision, tolerance, composite, masked):
    layer = layers.SeqWeightedAttention()
    x = inputs(precision)
    mask = None
    if masked:
        mask = np.arange(SHAPE[1])[None] < np.array([[7], [5], [3], [7]])
        x = np.where(mask[..., None], x, 0).astype(precision)
        given = keras.Input(SHAPE[1:], dtype=precision)
        net = keras.Model(given, layer(keras.layers.Masking()(given)))
        layer.set_weights([w + 0.3 for w in layer.get_weights()])
    else:
        net = model(keras, layer, precision)
    w, b = (value.astype(float) for value in layer.get_weights())
    _, weights = reference.weighted_weights(x, w, b, mask)
    y = (weights @ x)[:, 0]
    epsilon = COMPOSITES[composite].epsilon
    expected = reference.weighted_attention(x, w, b, y, epsilon=epsilon, composite=composite, mask=mask)
    # The layer's softmax has 1e-7 in its denominator, which the rule of the softmax leaves out.
    check(net, x, expected, composite, tolerance if composite == "arras" else max(tolerance, 1e-6))


@COMPOSITE
def test_scaled_dot_product_attention(keras, precision, tolerance, composite):
    x = inputs(precision, scored.SHAPE)
    query, key = x[:, :, scored.QUERY].astype(float), x[:, :, scored.KEY].astype(float)
    layer = layers.ScaledDotProductAttention()
    net = scored.net_of(keras, lambda query, value, key: layer([query, key, value]), precision)
    scale = 1 / np.sqrt(query.shape[-1])

    def emission(relevance, epsilon):
        to_query, to_key, _, held = reference.product_emission(query, key, scale, np.zeros(1), relevance, 0.0)
        return to_query, to_key, held

    expected = scored.expected_of(x.astype(float), scale * query @ key.swapaxes(1, 2), composite, emission)
    check(net, x, expected, composite, tolerance)
