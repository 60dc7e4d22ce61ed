"""Model files: what is refused before anything in them is built."""

import json

import h5py
import numpy as np
import pytest
from keras_self_attention import SeqWeightedAttention
from tensorflow import keras

import attrkit
from attrkit.errors import RefusedError, StoreError

layers = keras.layers


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_attention_layers_load_by_themselves(tmp_path, suffix):
    model = keras.Sequential([layers.Input((6, 2)), SeqWeightedAttention(), layers.Dense(1)])
    model.save(tmp_path / f"model{suffix}")
    x = np.ones((2, 6, 2), "float32")
    np.testing.assert_array_equal(attrkit.load_model(tmp_path / f"model{suffix}")(x), model(x))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_lambdas_are_refused_unless_allowed(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    keras.Sequential([layers.Input((6, 2)), layers.Lambda(lambda t: 2 * t), layers.Flatten(), layers.Dense(1)]).save(
        path
    )
    with pytest.raises(RefusedError, match=r"holds a Lambda layer.*allow_code_execution=True"):
        attrkit.load_model(path)


def test_a_lambda_in_other_letters_is_still_one(tmp_path):
    path = tmp_path / "model.h5"
    keras.Sequential([layers.Input((6, 2)), layers.Lambda(lambda t: 2 * t), layers.Dense(1)]).save(path)
    with h5py.File(path, "a") as file:
        config = file.attrs["model_config"]
        text = config.decode() if isinstance(config, bytes) else config
        file.attrs["model_config"] = text.replace('"Lambda"', '"\\u004cambda"')
        assert json.loads(file.attrs["model_config"]) == json.loads(text)
    with pytest.raises(RefusedError, match="holds a Lambda layer"):
        attrkit.load_model(path)


def test_files_that_are_no_models(tmp_path):
    (tmp_path / "text.keras").write_text("nothing")
    (tmp_path / "text.h5").write_text("nothing")
    for name in ("text.keras", "text.h5"):
        with pytest.raises(StoreError, match="is not a Keras model file"):
            attrkit.load_model(tmp_path / name)
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["w"] = [1.0]
    with pytest.raises(StoreError, match="holds weights only"):
        attrkit.load_model(tmp_path / "weights.h5")
