"""Parameters that are drawn anew, seen from inside a method; labels that are shuffled, with models in closed form."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
from scipy.stats import spearmanr
from tensorflow import keras

import attrkit
from attrkit.errors import InputError, RefusedError
from attrkit.metrics import data_randomisation, parameter_randomisation
from attrkit.metrics.randomisation.redrawn import redrawn

layers = keras.layers
QUIET = {"show_progress": False}


@pytest.fixture
def model():
    keras.utils.set_random_seed(3)
    given = keras.Input((12, 3))
    hidden = layers.LSTM(4, return_sequences=True, name="lstm")(given)
    hidden = layers.MultiHeadAttention(2, 4, name="heads")(hidden, hidden)
    return keras.Model(given, layers.Dense(2, name="last")(layers.Flatten()(hidden)))


@pytest.fixture
def linear():
    keras.utils.set_random_seed(3)
    return keras.Sequential([keras.Input((12, 3)), layers.Flatten(), layers.Dense(1, name="only")])


ORDER = ["last", "heads.attention_output", "heads.value", "heads.key", "heads.query", "lstm"]


class Spy:
    """A method that keeps what the model holds, and fails in one of its calls if it is told to."""

    def __init__(self, fail_at=None):
        self.states, self.fail_at = [], fail_at

    def __call__(self, model, x, target):
        self.states.append(model.state())
        if len(self.states) == self.fail_at:
            raise ZeroDivisionError
        return np.broadcast_to(np.arange(12.0), x.shape[:2])


def changed(state, other):
    return {name for name in state if not np.array_equal(state[name], other[name])}


@pytest.mark.parametrize("how", ["cascading", "independent"])
def test_every_array_of_a_layer_is_drawn_anew(model, x, how):
    # Biases begin as zeros, which have no size to draw from.
    model.set_weights([w + 0.1 if w.ndim < 3 else w for w in model.get_weights()])
    spy, before = Spy(), [v.numpy() for v in model.variables]
    found = parameter_randomisation(model, x, {"spy": spy}, how=how, target=0, **QUIET)
    # The query is called before the key, and this before the value.
    assert found["layer"].values.tolist() == ORDER
    trained, *steps = spy.states
    parameters = attrkit.adapt(model).parameters()
    for i, state in enumerate(steps):
        drawn = ORDER[: i + 1] if how == "cascading" else [ORDER[i]]
        assert changed(state, trained) == {name for name, one in parameters.items() if one.layer in drawn}
        for name in changed(state, trained):
            size = np.sqrt((trained[name] ** 2).mean())
            assert 0.3 < np.sqrt((state[name] ** 2).mean()) / size < 2
            # Other draws for arrays of one shape.
            same = [other for other in changed(state, trained) - {name} if state[other].shape == state[name].shape]
            assert not any(
                np.allclose(state[other] / state[name], (state[other] / state[name]).flat[0]) for other in same
            )
    np.testing.assert_array_equal(found["n_unchanged"], 0)
    np.testing.assert_array_equal(found["n_arrays"], [2, 2, 2, 2, 2, 3])
    np.testing.assert_allclose(found["spearman"], 1)
    for old, variable in zip(before, model.variables, strict=True):
        assert old.tobytes() == variable.numpy().tobytes()
    # Draws are the same again, by the seed, and in both ways.
    again = Spy()
    parameter_randomisation(model, x, {"spy": again}, how="independent", layers="last", target=0, **QUIET)
    other = Spy()
    parameter_randomisation(model, x, {"spy": other}, layers="last", target=0, seed=1, **QUIET)
    np.testing.assert_array_equal(again.states[1]["last.kernel"], steps[0]["last.kernel"])
    assert not np.array_equal(other.states[1]["last.kernel"], steps[0]["last.kernel"])


def test_the_model_is_put_back_when_a_method_fails(model, x):
    before = [v.numpy() for v in model.variables]
    with pytest.raises(ZeroDivisionError):
        parameter_randomisation(model, x, {"spy": Spy(fail_at=4)}, target=0, **QUIET)
    for old, variable in zip(before, model.variables, strict=True):
        assert old.tobytes() == variable.numpy().tobytes()


def test_slopes_of_a_linear_model_are_its_kernels(linear, x):
    linear.set_weights([linear.get_weights()[0], np.array([0.5])])
    found = parameter_randomisation(linear, x, ["gradient", "input_x_gradient"], seed=4, absolute=False, **QUIET)
    old, new = linear.get_weights()[0][:, 0], redrawn(linear.get_weights()[0], seed=4, number=0)[:, 0]
    bias = redrawn(np.array([0.5], "float32"), seed=4, number=1)[0]
    flat = x.reshape(len(x), -1)
    slopes = found.sel(extractor="gradient", layer="only")
    np.testing.assert_allclose(slopes["spearman"], spearmanr(old, new).statistic, atol=1e-6)
    np.testing.assert_allclose(slopes["cosine"], old @ new / np.linalg.norm(old) / np.linalg.norm(new), rtol=1e-5)
    times = found.sel(extractor="input_x_gradient", layer="only")["spearman"]
    np.testing.assert_allclose(times, [spearmanr(row * old, row * new).statistic for row in flat], atol=1e-6)
    moved = np.abs(flat @ old + 0.5 - flat @ new - bias)
    np.testing.assert_allclose(found["prediction_change"].sel(layer="only"), moved, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found["undefined"], 0)


def test_what_cannot_be_changed_is_recorded(model, x):
    # The biases of the heads and of the last layer are zeros, and the key of nothing is zero.
    model.get_layer("heads").set_weights([0 * w for w in model.get_layer("heads").get_weights()])
    found = parameter_randomisation(model, x, "gradient", target=0, how="independent", **QUIET)
    assert found["n_unchanged"].values.tolist() == [1, 2, 2, 2, 2, 0]
    assert '"heads.key.kernel"' in found.attrs["unchanged_arrays"]
    # Only the bias of the last layer, 0 too, could move the output of a model that passes nothing on.
    np.testing.assert_array_equal(found["prediction_change"], 0)
    # Slopes of 0 have no ranks.
    np.testing.assert_array_equal(found["undefined"].sel(metric="spearman"), len(x))
    assert found["spearman"].isnull().all()


def test_the_predicted_output_is_that_of_the_trained_model(model, x):
    chosen = []

    def note(model, x, target):
        chosen.append(target)
        return np.broadcast_to(np.arange(12.0), x.shape[:2])

    found = parameter_randomisation(model, x, {"note": note}, target="predicted", **QUIET)
    assert len(set(chosen[0].tolist())) == 2
    for target in chosen[1:]:
        np.testing.assert_array_equal(target, chosen[0])
    assert (found["prediction_change"] > 0).all()


def test_what_cannot_be_drawn_is_refused(model, x):
    with pytest.raises(RefusedError, match="is a function, which does not show its parameters"):
        parameter_randomisation(lambda x: x.sum((1, 2)), x, "occlusion")
    with pytest.raises(InputError, match="how='both' is not known"):
        parameter_randomisation(model, x, "gradient", how="both")
    with pytest.raises(InputError, match=r"no layer is named .nothing.*last, heads"):
        parameter_randomisation(model, x, "gradient", layers="nothing", target=0, **QUIET)
    empty = keras.Sequential([keras.Input((12, 3)), layers.GlobalAveragePooling1D()])
    with pytest.raises(InputError, match="has no parameters"):
        parameter_randomisation(empty, x, "gradient", target=0, **QUIET)


RNG = np.random.default_rng(3)
X = RNG.standard_normal((60, 6, 2))
Y = (X[:, 2, 0] + 0.5 * X[:, 4, 1] > 0).astype(int)


def fit(x, y, seed):
    weights = np.linalg.lstsq(x.reshape(len(x), -1), 2.0 * y - 1, rcond=None)[0]
    return lambda x: x.reshape(len(x), -1) @ weights


def nearest(x, y, seed):
    """A model that fits any labels: that of the closest sample."""
    return lambda other: y[((other[:, None] - x[None]) ** 2).sum((2, 3)).argmin(1)].astype(float)


def test_labels_are_shuffled_and_what_is_learnt_of_them_is_told():
    order = np.random.default_rng(5).permutation(60)
    options = {"baseline": "mean", "absolute": False, "threshold": 0, "seed": 5, **QUIET}
    found = data_randomisation(fit, (X, Y), X[:7], "occlusion", **options)
    slopes = [fit(X, y, 0)(np.eye(12).reshape(12, 6, 2)) for y in (Y, Y[order])]
    away = (X[:7] - X[:7].mean((0, 1))).reshape(7, -1)
    expected = [spearmanr(slopes[0] * row, slopes[1] * row).statistic for row in away]
    np.testing.assert_allclose(found["spearman"].sel(extractor="occlusion"), expected, atol=1e-6)
    fits = [(fit(X, y, 0)(X) > 0) == y for y in (Y, Y[order])]
    np.testing.assert_array_equal(found["correct"], fits)
    assert found.attrs["labels_moved"] == (Y[order] != Y).sum()
    moved = np.abs(fit(X, Y, 0)(X[:7]) - fit(X, Y[order], 0)(X[:7]))
    np.testing.assert_allclose(found["prediction_change"], moved)
    one = data_randomisation(nearest, (X, Y), X[:7], "occlusion", seed=5, **QUIET)
    np.testing.assert_array_equal(one["correct"], 1)


def test_a_trained_model_is_not_trained_again():
    seen = []

    def spied(x, y, seed):
        seen.append((y.copy(), seed))
        return fit(x, y, seed)

    own = fit(X, Y, 2)
    ask = {"baseline": "mean", "threshold": 0, "seed": 2, **QUIET}
    found = data_randomisation(spied, (X, Y), X[:7], "occlusion", model=own, **ask)
    assert [seed for _, seed in seen] == [2]
    assert not np.array_equal(seen[0][0], Y)
    whole = data_randomisation(spied, (X, Y), X[:7], "occlusion", **ask)
    np.testing.assert_array_equal(found["spearman"], whole["spearman"])


def test_numbers_have_errors():
    y = X[:, 1] + 0.1
    found = data_randomisation(
        lambda x, y, seed: lambda x: x[:, 1] + 0.1, (X, y), X[:5], "occlusion", target=1, baseline=3.0, **QUIET
    )
    np.testing.assert_allclose(found["absolute_error"].sel(labels="true"), 0, atol=1e-12)
    assert found["absolute_error"].sel(labels="shuffled").mean() > 0.5
    # The factory gives one model, whatever the labels: its explanations are the same.
    np.testing.assert_allclose(found["cosine"], 1)


def test_labels_that_are_alike_are_refused():
    with pytest.raises(InputError, match="60 labels of train are the same when they are shuffled"):
        data_randomisation(fit, (X, 0 * Y), X, "occlusion")
    with pytest.raises(InputError, match="accepted is a tuple of inputs and labels"):
        data_randomisation(fit, X, X, "occlusion")
