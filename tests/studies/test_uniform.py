import keras_self_attention
import numpy as np
import pytest
from tensorflow import keras

import attrkit
from attrkit.errors import InputError, RefusedError
from attrkit.schema import faults
from attrkit.studies import uniform_attention, uniform_training

layers = keras.layers

RNG = np.random.default_rng(5)
# One timestep has a mark in the first channel; the label is what stands there in the second.
X = RNG.standard_normal((200, 5, 2)).astype("float32")
X[..., 0] = np.eye(5)[RNG.integers(0, 5, 200)]
Y = (X[..., 1] * X[..., 0]).sum(1)
TRAIN, TEST = (X[:150], Y[:150]), (X[150:], Y[150:])


def fit(x, y, seed):
    """The label is a product, which attention that finds the mark makes and a mean of timesteps does not."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    pooled = keras_self_attention.SeqWeightedAttention(name="attention")
    model = keras.Sequential([keras.Input((5, 2)), pooled, layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.1), "mse")
    model.fit(x, y, epochs=20, verbose=0)
    return model


def test_data_that_need_attention():
    calls = []

    def spied(x, y, seed):
        calls.append(seed)
        return fit(x, y, seed)

    found = uniform_training(spied, TRAIN, TEST, seeds=[3, 4], show_progress=False)
    assert faults(found) == []
    assert calls == [3, 3, 4, 4]
    assert found["absolute_error"].dims == ("attention", "seed", "sample")
    assert found.attrs["models_trained"] == 4
    assert found.attrs["layers"] == "attention"
    error = found["absolute_error"].mean("sample")
    assert (error.sel(attention="learned") < 0.5 * error.sel(attention="uniform")).all()

    learned = [fit(*TRAIN, seed) for seed in (3, 4)]
    for i, seed in enumerate((3, 4)):
        own = learned[i].predict(TEST[0], verbose=0)
        np.testing.assert_allclose(found["prediction"].sel(attention="learned", seed=seed), own, atol=1e-5)
        # A uniform model here is linear in the mean of the timesteps.
        outputs = found["prediction"].sel(attention="uniform", seed=seed).values[:, 0]
        design = np.c_[TEST[0].mean(1), np.ones(50)]
        rest = outputs - design @ np.linalg.lstsq(design, outputs, rcond=None)[0]
        np.testing.assert_allclose(rest, 0, atol=1e-5)
        wrong = abs(outputs - TEST[1])
        np.testing.assert_allclose(found["absolute_error"].sel(attention="uniform", seed=seed), wrong, atol=1e-6)
        np.testing.assert_allclose(found["output_change"].sel(seed=seed), abs(own[:, 0] - outputs), atol=1e-5)
    calls.clear()
    again = uniform_training(spied, TRAIN, TEST, seeds=[3, 4], models=learned, show_progress=False)
    assert (calls, again.attrs["models_trained"]) == ([3, 4], 2)
    np.testing.assert_allclose(again["absolute_error"], found["absolute_error"], atol=1e-5)


def test_inside_a_block_the_learned_model_is_the_model_as_it_is():
    model = fit(*TRAIN, 0)
    with uniform_attention():
        found = uniform_training(fit, TRAIN, TEST, seeds=[0], models=[model], show_progress=False)
    own = attrkit.adapt(model).configured().predict(TEST[0])
    np.testing.assert_allclose(found["prediction"].sel(attention="learned")[0], own, atol=1e-6)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="1 models came for 2 seeds"):
        uniform_training(fit, TRAIN, TEST, seeds=[0, 1], models=[None])
    with pytest.raises(InputError, match="train is a ndarray"):
        uniform_training(fit, X, TEST)
    model = fit(*TRAIN, 0)
    with pytest.raises(RefusedError, match="no attention layer was made uniform while model_factory ran"):
        uniform_training(lambda x, y, seed: model, TRAIN, TEST, seeds=[0], show_progress=False)

    def plain(x, y, seed):
        layer = layers.Attention()
        layer([x[:2], x[:2]])
        return keras.Sequential([keras.Input((5, 2)), layers.Flatten(name="flat"), layers.Dense(1, name="head")])

    with pytest.raises(RefusedError, match=r"no attention layer that could be made uniform; .* flat \(Flatten\), head"):
        uniform_training(plain, TRAIN, TEST, seeds=[0], show_progress=False)
