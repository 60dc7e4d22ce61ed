"""Trained nets of Keras, chunk by chunk: the methods, what they draw, attention at another precision."""

import numpy as np
import pytest
import tensorflow as tf
import xarray as xr
from keras_self_attention import SeqSelfAttention
from typer.testing import CliRunner

import attrkit
from attrkit.cli import app
from attrkit.errors import CompletenessWarning, InputError, StoreError
from tests.streaming.common import alike

N = 40


@pytest.fixture(scope="module")
def data():
    x = np.random.default_rng(0).standard_normal((N, 8, 3)).astype("float32")
    return x, (x[:, 2:4, 0].sum(axis=1) - x[:, 6, 1])[:, None]


@pytest.fixture(scope="module")
def model(data):
    from tensorflow import keras

    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Input((8, 3)),
        keras.layers.LSTM(4, return_sequences=True, name="lstm"),
        SeqSelfAttention(attention_width=4, name="attention"),
        keras.layers.Flatten(),
        keras.layers.Dense(1),
    ]
    net = keras.Sequential(layers)
    net.compile("adam", "mse")
    net.fit(*data, epochs=5, verbose=0)
    return net


METHODS = {
    "gradient": {},
    "integrated_gradients": {"n_steps": 8},
    "smoothgrad": {"n_samples": 3, "seed": 4},
    "lrp": {},
    "attention": {"reduce": "mean"},
    "occlusion": {},
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore::attrkit.errors.CompletenessWarning")
def test_each_method_gives_what_it_gives_all_at_once(method, model, data, tmp_path):
    x, _ = data
    asked = {**METHODS[method], "batch_size": 16, "show_progress": False}
    whole = attrkit.extract(model, x, method, **asked)
    streamed = attrkit.extract(model, x, method, **asked, store=tmp_path / "out.zarr", chunk_size=16)
    assert whole.attrs.keys() == streamed.attrs.keys()
    xr.testing.assert_allclose(alike(streamed), alike(whole), rtol=1e-4, atol=1e-6)


def test_what_is_drawn_for_a_sample_is_the_same_in_every_chunk(model, data, tmp_path):
    x = np.repeat(data[0][:1], 12, axis=0)
    asked = {"n_samples": 2, "batch_size": 4, "show_progress": False}
    found = attrkit.extract(model, x, "smoothgrad", **asked, store=tmp_path / "out.zarr", chunk_size=4)["attribution"]
    # Whatever else is drawn meanwhile.
    tf.random.set_seed(3)
    again = attrkit.extract(model, x, "smoothgrad", **asked, store=tmp_path / "again.zarr", chunk_size=4)
    assert again["attribution"].values.tobytes() == found.values.tobytes()
    whole = attrkit.extract(model, x, "smoothgrad", **asked)["attribution"]
    np.testing.assert_allclose(found, whole, rtol=1e-4, atol=1e-6)
    # The same input, and noise of its own in each place.
    assert len(np.unique(found.values.round(5), axis=0)) == 12


def test_warnings_of_all_chunks_are_one(model, data, tmp_path):
    asked = {"n_steps": 1, "batch_size": 8, "show_progress": False}
    with pytest.warns(CompletenessWarning) as caught:
        attrkit.extract(model, data[0], "integrated_gradients", **asked, store=tmp_path / "out.zarr", chunk_size=8)
    assert len(caught) == 1
    assert "of 5 chunks" in str(caught[0].message)


def test_other_weights_are_another_question(model, data, tmp_path):
    asked = {"batch_size": 8, "show_progress": False, "store": tmp_path / "out.zarr"}
    attrkit.extract(model, data[0], "gradient", **asked)
    before = model.get_weights()
    model.set_weights([w * (1 + 1e-6) for w in before])
    with pytest.raises(StoreError, match=r"model\.weights is"):
        attrkit.extract(model, data[0], "gradient", **asked)
    model.set_weights(before)
    attrkit.extract(model, data[0], "gradient", **asked)


def test_attention_is_kept_in_the_precision_that_is_named(model, data, tmp_path):
    asked = {"reduce": "mean", "batch_size": 8, "show_progress": False}
    whole = attrkit.extract(model, data[0], "attention", **asked)
    half = attrkit.extract(
        model, data[0], "attention", precision="float16", **asked, store=tmp_path / "half.zarr", chunk_size=8
    )
    assert half["attention"].dtype == "float16"
    assert '"precision": "float16"' in half.attrs["method_options"]
    np.testing.assert_allclose(half["attention"], whole["attention"], rtol=1e-3)
    np.testing.assert_allclose(half["attribution"], whole["attribution"], rtol=1e-5)
    least = attrkit.extract(
        model, data[0], "attention", weights=False, **asked, store=tmp_path / "least.zarr", chunk_size=8
    )
    assert "attention" not in least
    np.testing.assert_allclose(least["attribution"], whole["attribution"], rtol=1e-5)
    np.testing.assert_allclose(least["attention_entropy"], whole["attention_entropy"], rtol=1e-5)


def test_attention_of_which_nothing_would_be_kept_is_refused(model, data):
    with pytest.raises(InputError, match="give reduce"):
        attrkit.extract(model, data[0], "attention", weights=False)
    with pytest.raises(InputError, match="precision='int8' is not known; accepted are 'float16', 'float32'"):
        attrkit.extract(model, data[0], "attention", precision="int8")
    for option, value in (("precision", np.zeros(0)), ("weights", np.zeros(2)), ("weights", "no")):
        with pytest.raises(InputError, match=rf"{option}=.* is not known; accepted are"):
            attrkit.extract(model, data[0], "attention", **{option: value})


def test_the_command_line_goes_on_where_it_was_stopped(model, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model.save("net.keras")
    np.save("x.npy", data[0])
    call = ["extract", "net.keras", "x.npy", "--method", "gradient", "--out", "o.zarr", "--stream", "--quiet"]
    for _ in range(2):
        done = CliRunner().invoke(app, call)
        assert done.output == "wrote o.zarr\n"
    whole = attrkit.extract(model, data[0], "gradient", show_progress=False)
    np.testing.assert_allclose(attrkit.load("o.zarr")["attribution"], whole["attribution"], rtol=1e-4, atol=1e-6)
    refused = CliRunner().invoke(app, [*call, "--overwrite"])
    assert refused.exit_code == 1
    assert "--stream goes with one --method" in refused.output
