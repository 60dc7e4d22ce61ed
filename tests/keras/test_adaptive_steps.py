"""Steps by need, on Keras models that were trained."""

import numpy as np
import pytest
from tensorflow import keras

import attrkit
from attrkit.errors import AttrkitWarning

layers = keras.layers


@pytest.fixture(scope="module")
def classifier():
    """A classifier that tells where a bump is, and samples."""
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(0)
    kind, x = rng.integers(0, 3, 600), 0.5 * rng.standard_normal((600, 12, 2)).astype("float32")
    x[np.arange(600), 3 * kind + 2, 0] += 3
    model = keras.Sequential([layers.Input((12, 2)), layers.GRU(12), layers.Dense(3, activation="softmax")])
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(x[:500], kind[:500], epochs=15, verbose=0)
    found = model.predict(x[500:], verbose=0).argmax(1)
    assert (found == kind[500:]).mean() > 0.9
    return model, x[500:530]


def by_sample(a):
    return a.sum(("timestep", "channel"))


@pytest.mark.parametrize("logits", [True, False])
@pytest.mark.filterwarnings("ignore::attrkit.errors.SaturationWarning")
def test_a_trained_classifier_is_explained_as_by_many_steps(classifier, logits, tmp_path):
    model, x = classifier
    options = {"target": "predicted", "logits": logits, "show_progress": False}
    ds = attrkit.extract(model, x, n_steps="auto", **options)
    fine = attrkit.extract(model, x, n_steps=512, **options)["attribution"]
    assert bool((by_sample(abs(ds["attribution"] - fine)) <= 0.03 * by_sample(abs(fine))).all())
    taken = ds["gradient_evaluations"]
    assert len(np.unique(taken)) > 1
    assert ds.attrs["gradient_evaluations"] == int(taken.sum())
    attrkit.save(ds, tmp_path / "adaptive.nc")
    np.testing.assert_array_equal(attrkit.load(tmp_path / "adaptive.nc")["gradient_evaluations"], taken)


def test_batches_and_other_samples_do_not_change_a_sample(classifier):
    model, x = classifier
    options = {"target": 0, "n_steps": "auto", "logits": True, "show_progress": False}
    adapter = attrkit.adapt(model)
    whole = attrkit.extract(adapter, x, **options)
    for part in (attrkit.extract(adapter, x, batch_size=7, **options), attrkit.extract(adapter, x[20:], **options)):
        own = whole.isel(sample=slice(-part.sizes["sample"], None))
        np.testing.assert_array_equal(part["gradient_evaluations"], own["gradient_evaluations"])
        np.testing.assert_allclose(part["attribution"], own["attribution"], atol=1e-4)


def test_token_ids_and_an_input_that_is_handed_on():
    tokens, static = keras.Input((8,), dtype="int32", name="tokens"), keras.Input((3,), name="static")
    embed = layers.Embedding(20, 4)
    hidden = layers.GRU(6)(embed(tokens))
    gate = layers.Dense(6, activation="sigmoid")(static)
    model = keras.Model([tokens, static], layers.Dense(1)(layers.Multiply()([hidden, gate])))
    rng = np.random.default_rng(2)
    # The higher a token's number, the further it is from the baseline.
    embed.set_weights([np.linspace(0.01, 8, 20)[:, None] * rng.standard_normal((20, 4))])
    given = {
        "tokens": (2 * np.arange(9)[:, None] + rng.integers(0, 4, (9, 8))).astype("int32"),
        "static": (4 * rng.standard_normal((9, 3))).astype("float32"),
    }
    options = {"explain": "tokens", "show_progress": False}
    ds = attrkit.extract(model, given, n_steps="auto", **options)
    fine = attrkit.extract(model, given, n_steps=512, **options)["attribution"]
    assert ds["attribution"].dims == ("sample", "timestep")
    # Of a sample that goes on when others are done, the other input goes on too.
    assert len(np.unique(ds["gradient_evaluations"])) > 1
    difference, size = (abs(a).sum("timestep") for a in (ds["attribution"] - fine, fine))
    assert bool((difference <= 0.05 * size).all())


def test_a_cap_that_is_too_low_is_warned_about(classifier):
    model, x = classifier
    options = {"target": "predicted", "n_steps": "auto", "show_progress": False, "logits": True}
    with pytest.warns(AttrkitWarning, match=r"of 30 samples are not done after 7 steps; they miss up to .*max_steps"):
        ds = attrkit.extract(model, x, max_steps=7, tolerance=1e-4, **options)
    assert set(ds["gradient_evaluations"].values.tolist()) == {7}
