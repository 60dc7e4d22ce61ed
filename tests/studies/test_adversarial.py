import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

import attrkit
from attrkit.attention.impose import explain_weights
from attrkit.errors import InputError
from attrkit.schema import faults
from attrkit.studies.attention.adversarial import _slope_of_divergence, adversarial_attention
from attrkit.studies.attention.weights import divergence_of_rows


def test_the_divergence_and_its_slope():
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(5), size=(2, 4))
    np.testing.assert_allclose(divergence_of_rows(p, q), jensenshannon(p, q, base=2, axis=1) ** 2, rtol=1e-12)
    step = 1e-6 * rng.normal(size=p.shape)
    change = divergence_of_rows(p + step, q) - divergence_of_rows(p - step, q)
    # Off the plane where rows sum to 1 the function has a slope of its own, the same for all keys.
    step -= step.mean(1, keepdims=True)
    change = divergence_of_rows(p + step, q) - divergence_of_rows(p - step, q)
    np.testing.assert_allclose(2 * (_slope_of_divergence(p, q) * step).sum(1), change, rtol=1e-4)


def test_where_weights_do_not_matter_the_adversary_shares_almost_nothing(weighted, x):
    x = np.repeat(x[:, :1], 6, axis=1)
    # The same value at every timestep: any weights give the same answer.
    layer = weighted.get_layer("attention")
    layer.set_weights([0 * w for w in layer.get_weights()])
    found = adversarial_attention(weighted, x, epsilon=1e-4, n_steps=100, n_starts=2, show_progress=False)
    assert faults(found) == []
    # From flat weights, one key with all weight is the farthest there is.
    flat, one = np.full(6, 1 / 6), np.eye(6)[0]
    np.testing.assert_allclose(found["jensen_shannon"], jensenshannon(flat, one, base=2) ** 2, rtol=2e-2)


def test_two_keys_have_an_answer_in_closed_form():
    from keras_self_attention import SeqWeightedAttention
    from tensorflow import keras

    given = keras.Input((2, 1))
    model = keras.Model(given, SeqWeightedAttention()(given))
    model.set_weights([np.array([[1.0]]), np.array([0.0])])
    x = np.array([[[1.0], [0.0]], [[0.3], [0.0]]], "float32")
    found = adversarial_attention(model, x, epsilon=0.05, n_starts=8, show_progress=False)
    # The answer is x times the weight of the first key, which may move by 0.05 / x.
    for i, value in enumerate(x[:, 0, 0].astype(float)):
        own = 1 / (1 + np.exp(-value))
        room = [np.clip(own + sign * 0.05 / value, 0, 1) for sign in (-1, 1)]
        best = max(jensenshannon([own, 1 - own], [w, 1 - w], base=2) ** 2 for w in room)
        assert found["jensen_shannon"][i] <= best * (1 + 1e-4)
        np.testing.assert_allclose(found["jensen_shannon"][i], best, rtol=0.02)


# keras-self-attention lets real timesteps attend to padding.
@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
def test_what_is_reported_is_what_the_weights_do(classifier, x):
    x[:, 4:] = 0
    found = adversarial_attention(classifier, x, epsilon=0.02, n_steps=40, n_starts=2, show_progress=False)
    assert (found["output_change"] <= 0.02).all()
    assert (found["jensen_shannon"] > 1e-3).all()
    weights = found["attention"].values
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    adapter = attrkit.adapt(classifier).configured()
    answer = explain_weights(adapter, x, "attention").predict(weights)
    moved = np.abs(answer - found["prediction"].values).sum(1) / 2
    np.testing.assert_allclose(moved, found["output_change"], atol=1e-5)
    own = attrkit.extract(classifier, x, "attention", show_progress=False)["attention"].values
    np.testing.assert_array_equal(weights[..., 4:], own[..., 4:])
    rows = jensenshannon(weights, own, base=2, axis=-1) ** 2
    np.testing.assert_allclose(rows[:, :4].mean(1), found["jensen_shannon"], atol=1e-4)


def test_bad_options(weighted, x):
    with pytest.raises(InputError, match="epsilon must be a number above 0"):
        adversarial_attention(weighted, x, epsilon=0)
    with pytest.raises(InputError, match="learning_rate must be a number above 0"):
        adversarial_attention(weighted, x, epsilon=0.1, learning_rate=-1)
