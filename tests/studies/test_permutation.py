import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import attrkit
from attrkit.errors import InputError, RefusedError
from attrkit.schema import faults
from attrkit.studies.attention.permutation import _shuffle, permute_attention


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 7), st.integers(0, 7))
def test_a_shuffle_moves_real_keys_among_themselves(seed, keys, padded):
    weights = np.random.default_rng(seed).random((2, 3, keys + padded))
    real = np.arange(keys + padded) < keys
    real = np.random.default_rng(seed).permutation(real)
    found = _shuffle(weights, real, seed, 0, 0)
    np.testing.assert_array_equal(found[..., ~real], weights[..., ~real])
    np.testing.assert_array_equal(np.sort(found[..., real]), np.sort(weights[..., real]))


def test_every_order_is_as_likely():
    weights = np.array([0.1, 0.2, 0.7])
    found = [tuple(_shuffle(weights, np.ones(3, bool), 0, 0, k)) for k in range(3000)]
    _, counts = np.unique(found, axis=0, return_counts=True)
    assert len(counts) == 6
    # Three standard deviations of a share of a sixth.
    np.testing.assert_allclose(counts / 3000, 1 / 6, atol=3 * np.sqrt(5 / 36 / 3000))


def test_the_answer_of_a_linear_model_moves_as_its_weights_do(weighted, x):
    found = permute_attention(weighted, x, n_permutations=4, seed=2, show_progress=False)
    assert faults(found) == []
    weights = attrkit.extract(weighted, x, "attention", show_progress=False)["attention"].values
    kernel, bias = weighted.layers[-1].get_weights()
    values = x @ kernel[:, 0]
    for i in range(len(x)):
        for k in range(4):
            moved = _shuffle(weights[i], np.ones(6, bool), 2, i, k) @ values[i] + bias[0]
            expected = abs(moved - found["prediction"].values[i, 0])
            np.testing.assert_allclose(found["output_change"][i, k], expected, atol=1e-5)
    np.testing.assert_allclose(found["largest_weight"], weights.max(1), rtol=1e-6)
    np.testing.assert_array_equal(found["median_output_change"], found["output_change"].median("permutation"))
    assert found["output_change"].attrs["long_name"] == "mean absolute difference of the outputs"


def test_flat_weights_change_nothing(weighted, x):
    layer = weighted.get_layer("attention")
    layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    found = permute_attention(weighted, x, n_permutations=3, show_progress=False)
    np.testing.assert_allclose(found["output_change"], 0, atol=1e-6)


def test_a_sample_is_shuffled_alike_in_any_company(classifier, x):
    x[2:, 4:] = 0
    ask = {"n_permutations": 5, "show_progress": False}
    whole = permute_attention(classifier, x, **ask)
    assert whole["output_change"].attrs["long_name"] == "total variation distance"
    assert ((whole["output_change"] >= 0) & (whole["output_change"] <= 1)).all()
    xr.testing.assert_allclose(whole, permute_attention(classifier, x, batch_size=3, **ask), atol=1e-6)
    first = permute_attention(classifier, x[:3], **ask)
    xr.testing.assert_allclose(whole.isel(sample=slice(3)), first, atol=1e-6)
    again = permute_attention(classifier, x, seed=1, **ask)
    assert abs(whole["output_change"] - again["output_change"]).max() > 1e-4


def test_what_cannot_be_shuffled_is_refused(weighted, x):
    from tensorflow import keras

    plain = keras.Sequential([keras.Input((6, 3)), keras.layers.Flatten(), keras.layers.Dense(1)])
    with pytest.raises(RefusedError, match=r"no attention layer.*flatten \(Flatten\)"):
        permute_attention(plain, x)
    with pytest.raises(InputError, match="n_permutations must be a whole number"):
        permute_attention(weighted, x, n_permutations=0)
    with pytest.raises(InputError, match="'nothing'"):
        permute_attention(weighted, x, layer="nothing")
