"""Adversaries where the answer is known: weights that do not matter, weights that decide, answers alone."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy
from tensorflow import keras

import attrkit
from attrkit.errors import InputError, RefusedError
from attrkit.schema import faults
from attrkit.studies.attention.adversarial_training import adversarial_training
from attrkit.studies.attention.outputs import ABSOLUTE, TOTAL_VARIATION
from attrkit.studies.attention.training_loss import kullback_leibler, loss_of, real_shares, shares_of_rows

layers = keras.layers
QUIET = {"show_progress": False}


def test_the_divergence_is_that_of_scipy_and_padding_has_no_part():
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(5), size=(2, 4, 3))
    real = np.ones(p.shape, bool)
    np.testing.assert_allclose(kullback_leibler(p, q, real)[0], entropy(p, q, axis=-1), rtol=1e-12)
    real[1:, :, 3:] = False
    shares = [p[1:, :, :3] / p[1:, :, :3].sum(-1, keepdims=True), q[1:, :, :3] / q[1:, :, :3].sum(-1, keepdims=True)]
    found, slope = kullback_leibler(p, q, real)
    np.testing.assert_allclose(found[1:], entropy(*shares, axis=-1), rtol=1e-12)
    np.testing.assert_array_equal(slope[~real], 0)
    # A row of padding alone, and one that has lost a key, are numbers.
    real[2] = False
    p[0, 0] = [0, 0, 0.5, 0.5, 0]
    found, slope = kullback_leibler(p, q, real)
    np.testing.assert_array_equal(found[2], 0)
    np.testing.assert_allclose(found[0, 0], entropy(p[0, 0], q[0, 0]), rtol=1e-12)
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("measure", [TOTAL_VARIATION, ABSOLUTE])
@pytest.mark.parametrize("heads", [(), (2,)], ids=["one", "two heads"])
def test_slopes_of_the_loss_are_its_differences(measure, heads):
    rng = np.random.default_rng(1)
    prediction, base = rng.dirichlet(np.ones(3), size=(2, 4))
    weights, own = rng.dirichlet(np.ones(5), size=(2, 4, *heads, 6))
    keys, queries = np.arange(5) < rng.integers(2, 6, (4, 1)), np.arange(6) < rng.integers(1, 7, (4, 1))
    real = np.broadcast_to(keys.reshape(4, *[1] * (len(heads) + 1), 5), weights.shape)
    rows = shares_of_rows(weights, queries)
    np.testing.assert_allclose(rows.reshape(4, -1).sum(1), 1)
    np.testing.assert_array_equal(rows[~np.broadcast_to(queries.reshape(4, *[1] * len(heads), 6), rows.shape)], 0)
    fixed = {"base_prediction": base, "base_weights": own, "real": real, "rows": rows, "measure": measure}

    def value(prediction, weights):
        found = loss_of(prediction, weights, **fixed, penalty=0.3)
        return found.distance - 0.3 * found.divergence, found

    _, found = value(prediction, weights)
    for i, base_of in enumerate((prediction, weights)):
        step = 1e-6 * rng.normal(size=base_of.shape)
        ends = [
            value(*(prediction + sign * step, weights) if i == 0 else (prediction, weights + sign * step))[0]
            for sign in (1, -1)
        ]
        slope = found.by_output if i == 0 else found.by_weights
        np.testing.assert_allclose(2 * (slope * step).reshape(4, -1).sum(1), ends[0] - ends[1], rtol=1e-5, atol=1e-12)


@pytest.fixture
def indifferent():
    """Values that are the same at every timestep, queries and keys that are not."""
    keras.utils.set_random_seed(2)
    given = keras.Input((6, 3))
    query, key = layers.Dense(4, name="query")(given), layers.Dense(4, name="key")(given)
    value = layers.Dense(3)(layers.RepeatVector(6)(layers.GlobalAveragePooling1D()(given)))
    hidden = layers.GlobalAveragePooling1D()(layers.Attention(name="attention")([query, value, key]))
    return keras.Model(given, layers.Dense(2, "softmax")(hidden))


def unchanged(model, before):
    for old, variable in zip(before, model.variables, strict=True):
        assert old.tobytes() == variable.numpy().tobytes()


def test_where_weights_do_not_matter_they_go_far_and_the_answer_stays(indifferent, x):
    before = [v.numpy() for v in indifferent.variables]
    found = adversarial_training(indifferent, x, lambdas=[0, 0.1], start="base", epochs=60, learning_rate=0.05, **QUIET)
    assert faults(found) == []
    unchanged(indifferent, before)
    alone, far = found.sel(lambda_=0), found.sel(lambda_=0.1)
    assert (alone["jensen_shannon"] < 0.01).all()
    assert far["jensen_shannon"].mean() > 0.3
    assert (found["output_change"] < 0.01).all()
    assert (np.diff(far["loss"][::10]) < 0).all()
    assert found["loss"].sel(lambda_=0.1)[-1] < -0.1
    # What is reported is what the weights are.
    own = attrkit.extract(indifferent, x, "attention", **QUIET)["attention"].values
    np.testing.assert_allclose(far["attention"].sum("key_timestep"), 1, rtol=1e-5)
    rows = jensenshannon(far["attention"].values, own, base=2, axis=-1) ** 2
    np.testing.assert_allclose(far["jensen_shannon"], rows.mean(1), atol=1e-5)
    change = np.abs(found["adversary_prediction"] - found["prediction"]).sum("output") / 2
    np.testing.assert_allclose(found["output_change"], change.transpose(*found["output_change"].dims), atol=1e-6)


def test_answers_alone_are_imitated_from_afresh(weighted, x):
    before = [v.numpy() for v in weighted.variables]
    found = adversarial_training(
        weighted, x, lambdas=[0], epochs=150, learning_rate=0.05, batch_size=4, seed=3, **QUIET
    )
    unchanged(weighted, before)
    spread = float(found["prediction"].std())
    # It began far away.
    assert found["loss"][0, 0] > 0.2 * spread
    assert float(found["output_change"].mean()) < 0.05 * spread


def test_where_weights_decide_divergence_has_a_price(weighted, x):
    found = adversarial_training(
        weighted, x, lambdas=[0.0, 0.05, 5.0], start="base", epochs=100, learning_rate=0.05, **QUIET
    )
    apart, moved = (found[name].mean("sample").values for name in ("jensen_shannon", "output_change"))
    assert (np.diff(apart) > 0).all()
    assert moved[0] < 0.02 < moved[2]
    again = adversarial_training(weighted, x, lambdas=[0.05], start="base", epochs=100, learning_rate=0.05, **QUIET)
    np.testing.assert_allclose(again["attention"].sel(lambda_=0.05), found["attention"].sel(lambda_=0.05), atol=1e-6)


# keras-self-attention lets real timesteps attend to padding.
@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
def test_other_inputs_are_reported_on_and_padding_is_left_out(classifier, x):
    x[:5, 4:] = 0
    found = adversarial_training(
        classifier, x[:5], lambdas=[0.1], test=x[3:], start="base", epochs=3, batch_size=2, **QUIET
    )
    assert found["sample"].values.tolist() == [0, 1, 2, 3, 4]
    assert found["output_change"].attrs["long_name"] == TOTAL_VARIATION
    own = attrkit.extract(classifier, x[3:], "attention", **QUIET)["attention"].values
    other = found["attention"].sel(lambda_=0.1).values
    real = np.ones((5, 6, 6), bool)
    real[:2, :, 4:] = False
    shares = [real_shares(values, real)[0] for values in (other, own)]
    rows = jensenshannon(*shares, base=2, axis=-1) ** 2
    expected = [rows[i, : 4 if i < 2 else 6].mean() for i in range(5)]
    np.testing.assert_allclose(found["jensen_shannon"].sel(lambda_=0.1), expected, atol=1e-5)
    assert found.attrs["reported_on"] == "other inputs"
    again = adversarial_training(
        classifier, x[:5], lambdas=[0.1], test=x[3:], on_train=True, start="base", epochs=3, batch_size=2, **QUIET
    )
    np.testing.assert_array_equal(again["attention"], found["attention"])
    alone = adversarial_training(classifier, x[:5], lambdas=[0.1], start="base", epochs=3, batch_size=2, **QUIET)
    on_train = again["train_attention"].rename(train_sample="sample")
    np.testing.assert_allclose(on_train, alone["attention"], atol=1e-6)


def test_the_model_is_put_back_when_training_fails(weighted, x):
    before = [v.numpy() for v in weighted.variables]
    with pytest.raises(InputError, match="a lower learning_rate than 1e"):
        adversarial_training(weighted, x, lambdas=[1], epochs=3, learning_rate=1e38, **QUIET)
    unchanged(weighted, before)


def test_bad_options(weighted, x):
    for options, said in (
        ({"lambdas": []}, "lambdas must be numbers, 0 or more, one at least"),
        ({"lambdas": [-1]}, "lambdas must be numbers"),
        ({"lambdas": 0.1}, "lambdas must be numbers"),
        ({"lambdas": [1, 1]}, "give each once"),
        ({"lambdas": [1], "start": "warm"}, "start='warm' is not known"),
        ({"lambdas": [1], "learning_rate": 0}, "learning_rate must be a number above 0"),
        ({"lambdas": [1], "test_mask": x}, "test_mask= is of the inputs that test= gives"),
        ({"lambdas": [1], "on_train": True}, "leave on_train= out"),
    ):
        with pytest.raises(InputError, match=said):
            adversarial_training(weighted, x, **options, **QUIET)
    weighted.trainable = False
    with pytest.raises(RefusedError, match="parameters are frozen"):
        adversarial_training(weighted, x, lambdas=[1], **QUIET)
