"""A study of Keras models: attention tests over seeds, and a model that is put back as it was."""

import numpy as np
import pytest
from keras_self_attention import SeqSelfAttention
from tensorflow import keras

import attrkit
from attrkit.errors import AttrkitWarning

TRAINED = []


def data(count=48):
    rng = np.random.default_rng(0)
    sides = []
    for _ in range(2):
        x = rng.standard_normal((count, 7, 2)).astype("float32")
        sides.append((x, (x[:, 3, 0] > 0).astype(int)))
    return sides


def build(seed):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.layers.Input((7, 2)),
            keras.layers.GRU(6, return_sequences=True, name="gru"),
            SeqSelfAttention(attention_width=7, name="attention"),
            keras.layers.Flatten(name="flatten"),
            keras.layers.Dense(2, activation="softmax", name="classes"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy")
    return model


def train(x, y, seed):
    """Train another model at every call: the number of the call is the seed of its weights."""
    TRAINED.append(seed)
    model = build(len(TRAINED))
    model.fit(x, y, epochs=8, verbose=0)
    return model


def test_attention_is_tested_over_seeds_and_a_model_is_put_back_as_it_was(tmp_path):
    TRAINED.clear()
    asked = {"store": tmp_path / "s.zarr", "seeds": [0, 1], "show_progress": False, "n_samples": 10, "logits": False}
    extractors = ["attention", "gradient"]
    options = {"permutation": {"n_permutations": 3}, "adversarial": {"n_steps": 4, "n_starts": 1}}
    first = attrkit.study(train, data(), **asked, extractors=extractors, tests=options)
    assert first["permutation"]["output_change"].sizes == {"seed": 2, "sample": 10, "permutation": 3}
    assert first["adversarial"].attrs["epsilon"] == 0.01
    assert (first["adversarial"]["output_change"] <= 0.01).all()
    with pytest.warns(AttrkitWarning, match="seed 0: the factory trains another model than when the study began"):
        second = attrkit.study(train, data(), **asked, extractors=[*extractors, "input_x_gradient"], tests=options)
    assert TRAINED == [0, 1, 0, 1]
    # What is new was asked of the model that the study began with.
    rows = second["data"]["sample"]
    np.testing.assert_allclose(
        second["extractors/input_x_gradient"]["prediction"], first["model"]["prediction"].sel(sample=rows), rtol=1e-5
    )
    np.testing.assert_array_equal(
        second["extractors/gradient"]["attribution"], first["extractors/gradient"]["attribution"]
    )
