"""Faithfulness of a Keras model on TensorFlow, and of its attention."""

import numpy as np
import pytest
from tensorflow import keras

import attrkit
from attrkit.errors import AttrkitWarning
from attrkit.metrics import faithfulness


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((7, 2))
    hidden = keras.layers.LSTM(4, return_sequences=True)(inputs)
    mixed = keras.layers.MultiHeadAttention(1, 4, name="attention")(hidden, hidden)
    flat = keras.layers.GlobalAveragePooling1D()(mixed)
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax", kernel_initializer="normal")(flat))


X = np.random.default_rng(0).standard_normal((5, 7, 2)).astype("float32")


def test_curves_are_what_the_model_says(model):
    methods = {"attention": ("attention", {"reduce": "mean"}), "gradient": "input_x_gradient"}
    tree = attrkit.compare(model, X, methods, target="predicted", show_progress=False)
    ds = faithfulness(model, tree, channels="sum", operator="zero", n_removed=[2, 4], n_random=2, show_progress=False)
    assert ds["extractor"].values.tolist() == ["attention", "gradient", "random"]
    assert ds.attrs["outputs"] == "probability"
    np.testing.assert_allclose(ds["prediction"], model.predict(X, verbose=0).max(axis=1), rtol=1e-5)
    scores = attrkit.stack(tree, channels="sum")
    for name in ("attention", "gradient"):
        for k in (2, 4):
            changed, kept = X.copy(), X.copy()
            for i in range(len(X)):
                order = np.argsort(-scores.sel(extractor=name).values[i])
                changed[i, order[:k]] = 0
                kept[i, order[k:]] = 0
            at = np.arange(len(X)), ds["predicted"].values
            for curve, x in (("deletion", changed), ("insertion", kept)):
                found = ds[curve].sel(extractor=name, n_removed=k)
                found = found.sel(order="most_relevant_first") if "order" in found.dims else found
                np.testing.assert_allclose(found, model.predict(x, verbose=0)[at], rtol=1e-5)
    # Per sample: as it is; the first two and four, the last two and four, all but the first two and four; of each of
    # four rankings.
    assert ds.attrs["forward_evaluations"] <= 5 + 5 * 4 * 6


def test_an_operator_that_is_padding_to_the_model_is_warned_of():
    keras.utils.set_random_seed(0)
    layers = [keras.Input((7, 2)), keras.layers.Masking(), keras.layers.LSTM(3), keras.layers.Dense(1)]
    masking = keras.Sequential(layers)
    x = X.copy()
    x[0, 5:] = 0
    ds = attrkit.extract(masking, x, "occlusion", baseline="mean", show_progress=False)
    with pytest.warns(AttrkitWarning, match="operator 'zero': with all removed, the model masks 33 of 33 real"):
        found = faithfulness(masking, ds, channels="sum", operator="zero", n_random=1, show_progress=False)
    np.testing.assert_array_equal(found["items"], [5, 7, 7, 7, 7])
