"""The same weight on every key, in models of which no line is changed, in training and when they are asked."""

import threading

import keras_self_attention
import numpy as np
import pytest
from tensorflow import keras

import attrkit
from attrkit.adapters._interception import standing
from attrkit.attention.impose import hold_weights, loaded_classes
from attrkit.errors import RefusedError
from attrkit.studies import check_uniform, uniform_attention
from tests.imposed import weights_of
from tests.keras.test_attention import randomise
from tests.keras.test_imposed_attention import KINDS

layers = keras.layers

pytestmark = pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")


def even(weights):
    """Spread each row over where it has any weight; a row of zeros stays."""
    allowed = weights > 0
    return (allowed / np.maximum(allowed.sum(-1, keepdims=True), 1)).astype(weights.dtype)


@pytest.mark.parametrize("kind", KINDS)
def test_uniform_over_the_keys_that_a_layer_lets_through(x, padded, kind):
    model = KINDS[kind]()
    randomise(model)
    x = padded[0] if "masked" in kind else x
    adapter, path, weights = weights_of(model, x)
    expected = even(weights)
    assert np.abs(weights - expected).max() > 0.01
    before = adapter.predict(x)
    with uniform_attention() as seen:
        found = weights_of(model, x)[2]
        inside = adapter.predict(x)
        called = np.asarray(model(x))
    assert sum(seen.values()) > 0
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(inside, hold_weights(adapter, {path: expected}).predict(x), atol=1e-5)
    np.testing.assert_allclose(called, inside, atol=1e-5)
    assert np.abs(inside - before).max() > 1e-3
    np.testing.assert_array_equal(adapter.predict(x), before)
    np.testing.assert_allclose(model(x), before, atol=1e-5)
    assert check_uniform(model, x) == [path]


POOLING = {
    "weighted": keras_self_attention.SeqWeightedAttention,
    "self": lambda: keras_self_attention.SeqSelfAttention(units=3),
    "dot": layers.Attention,
}


@pytest.mark.parametrize("kind", POOLING)
def test_trained_with_uniform_attention_a_model_is_one_that_takes_the_mean(x, kind):
    def trained(pool):
        given = keras.Input((12, 3))
        hidden = layers.Dense(4, activation="tanh", name="inside")(given)
        model = keras.Model(given, layers.Dense(1, name="head")(pool(hidden)))
        rng = np.random.default_rng(0)
        for name in ("inside", "head"):
            layer = model.get_layer(name)
            layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
        model.compile(keras.optimizers.SGD(0.1), "mse")
        model.fit(x, x[:, 3, :1], epochs=5, batch_size=4, shuffle=False, verbose=0)
        return model

    def pool(hidden):
        layer = POOLING[kind]()
        output = layer([hidden, hidden]) if kind == "dot" else layer(hidden)
        return output if kind == "weighted" else layers.GlobalAveragePooling1D()(output)

    mean = trained(layers.GlobalAveragePooling1D())
    with uniform_attention():
        uniform = trained(pool)
        # What was fitted inside is compiled as it ran there.
        np.testing.assert_allclose(uniform.predict(x, verbose=0), mean.predict(x, verbose=0), atol=1e-5)
    for name in ("inside", "head"):
        for one, other in zip(uniform.get_layer(name).get_weights(), mean.get_layer(name).get_weights(), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)
    assert np.abs(trained(pool).predict(x, verbose=0) - mean.predict(x, verbose=0)).max() > 1e-3


@pytest.mark.parametrize("kind", ["self", "scaled", "dot", "heads"])
def test_keys_that_get_too_little_to_be_a_number_are_keys(x, kind):
    model = KINDS[kind]()
    randomise(model)
    attention = next(layer for layer in model.layers if "ttention" in type(layer).__name__)
    attention.set_weights([100 * w for w in attention.get_weights()])
    recurrent = next(layer for layer in model.layers if isinstance(layer, layers.LSTM))
    scale = layers.Rescaling(1e3) if kind in ("scaled", "dot") else None
    if scale is not None:
        given = keras.Input((12, 3))
        hidden = scale(recurrent(given))
        many = [hidden] * (3 if kind == "scaled" else 2)
        model = keras.Model(given, layers.Dense(1)(layers.Flatten()(attention(many))))
    weights = weights_of(model, x)[2]
    assert (weights == 0).any()
    with uniform_attention():
        np.testing.assert_allclose(weights_of(model, x)[2], 1 / 12, rtol=1e-6)


def test_weights_are_dropped_in_training_as_the_layer_drops_them(x):
    for layer in (layers.Attention(dropout=0.5), layers.MultiHeadAttention(1, 2, dropout=0.5)):
        first = [[x, x]] if isinstance(layer, layers.Attention) else [x, x]
        layer(*first)
        with uniform_attention():
            # In training some keys are dropped, and others in their place count more.
            dropped = [np.asarray(layer(*first, training=True)) for _ in range(2)]
            kept = np.asarray(layer(*first, training=False))
        assert np.abs(dropped[0] - dropped[1]).max() > 1e-3
        # All queries have the same weights, and so the same output, unless some are dropped.
        assert np.ptp(kept, axis=1).max() < 1e-5 < np.ptp(dropped[0], axis=1).max()


def test_the_classes_are_as_they_were_after_an_error_in_blocks_in_blocks(x):
    before = {cls: vars(cls)[name] for cls, name in loaded_classes().items()}
    assert len(before) >= 5

    counts = []

    def run_and_fail():
        with uniform_attention() as outer, uniform_attention() as inner:
            layers.Attention()([x, x])
            counts.extend([outer.total(), inner.total()])
            raise KeyError("own")

    with pytest.raises(KeyError, match="own"):
        run_and_fail()
    assert {cls: vars(cls)[name] for cls, name in loaded_classes().items()} == before
    assert counts == [0, 1]


def test_another_thread_and_weights_that_are_imposed_go_before(x):
    model = KINDS["dot"]()
    randomise(model)
    adapter, path, weights = weights_of(model, x)
    expected = np.asarray(model(x))
    found = []
    with uniform_attention():
        thread = threading.Thread(target=lambda: found.append(np.asarray(model(x))))
        thread.start()
        thread.join()
        np.testing.assert_allclose(hold_weights(adapter, {path: weights}).predict(x), expected, atol=1e-5)
        with standing(None):
            np.testing.assert_allclose(adapter.predict(x), expected, atol=1e-5)
    np.testing.assert_array_equal(found[0], expected)


def test_methods_inside_explain_the_model_with_uniform_attention(x):
    given = keras.Input((12, 3))
    model = keras.Model(given, layers.Dense(1)(keras_self_attention.SeqWeightedAttention()(given)))
    randomise(model)
    kernel = model.layers[-1].get_weights()[0][:, 0]
    for method in ("gradient", "input_x_gradient"):
        # What was compiled before the block is not what runs in it.
        outside = attrkit.extract(model, x, method, show_progress=False)["attribution"]
        with uniform_attention():
            inside = attrkit.extract(model, x, method, show_progress=False)["attribution"]
        assert abs(outside - inside).max() > 1e-3
        expected = kernel / 12 if method == "gradient" else x * kernel / 12
        np.testing.assert_allclose(inside, np.broadcast_to(expected, x.shape), rtol=1e-3, atol=1e-6)
    with uniform_attention(), pytest.raises(RefusedError, match="use attrkit's own methods"):
        attrkit.extract(model, x, "shap:GradientExplainer", show_progress=False)


class Scored(layers.Layer):
    def call(self, x, return_attention=False):
        weights = keras.activations.softmax(x[..., 0])
        pooled = x * weights[..., None]
        return (pooled, weights) if return_attention else pooled


class Changed(keras_self_attention.SeqWeightedAttention):
    """A user's own call, past that of the class."""

    def call(self, x, mask=None):
        weights = keras.activations.softmax(x[..., 0])
        pooled = (weights[:, None] @ x)[:, 0]
        return [pooled, weights] if self.return_attention else pooled


class Halved(keras_self_attention.SeqWeightedAttention):
    """A user's own call around that of the class; what it does to the output is not known to who imposes weights."""

    def call(self, x, mask=None):
        found = super().call(x, mask)
        return [found[0] / 2, found[1]] if self.return_attention else found / 2


def model_of(layer):
    given = keras.Input((12, 3))
    return keras.Model(given, layers.Dense(1)(layers.Flatten()(layer(given))))


def test_what_is_not_uniform_is_refused_by_name(x):
    for layer, kind in ((Scored(name="own"), "Scored"), (Changed(name="own"), "Changed")):
        with pytest.raises(RefusedError, match=rf"attention of own \({kind}\) is not uniform inside the block"):
            check_uniform(model_of(layer), x)
    with pytest.raises(attrkit.errors.ForwardMismatchError, match="with uniform attention in own"):
        check_uniform(model_of(Halved(name="own")), x)
    with pytest.raises(RefusedError, match=r"no attention layer that could be made uniform; .* own \(Dense\)"):
        check_uniform(model_of(layers.Dense(2, name="own")), x)
    shared = layers.Attention(name="own")
    given = keras.Input((12, 3))
    once = shared([given, given])
    twice = keras.Model(given, layers.Dense(1)(shared([once, once])))
    with pytest.raises(RefusedError, match="'own' gives weights 2 times"):
        check_uniform(twice, x)
