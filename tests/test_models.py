"""Model files: what is loaded as it was, and what is refused before anything in it is built."""

import json
import os
import re
import shutil
import zipfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import h5py
import numpy as np
import pytest
import tensorflow as tf
from keras_self_attention import SeqWeightedAttention
from tensorflow import keras

import attrkit
from attrkit.errors import InputError, RefusedError, StoreError
from attrkit.models import _keras2

layers = keras.layers
KERAS_3 = keras.Model.__module__.startswith("keras.src.models")
SUFFIXES = pytest.mark.parametrize("suffix", [".keras", ".h5"])

OLD = Path(__file__).parent / "data" / "keras2"
EXPECTED = np.load(OLD / "expected.npz")
NAMES = sorted({key.split("/")[0] for key in EXPECTED})


def stored(name, kind):
    """Return the inputs or the predictions that were written beside an old file."""
    return [EXPECTED[key] for key in sorted(EXPECTED) if key.startswith(f"{name}/{kind}")]


def small(*rows):
    return keras.Sequential([layers.Input((6, 2)), *rows, layers.Dense(1)])


def change_description(path, change):
    """Put another description into a model file."""
    if path.suffix == ".h5":
        with h5py.File(path, "a") as file:
            config = file.attrs["model_config"]
            config = json.loads(config)
            change(config)
            file.attrs["model_config"] = json.dumps(config)
        return
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    change(config)
    parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


# Files of Keras 2.14


@SUFFIXES
@pytest.mark.parametrize("name", NAMES)
def test_keras2_files_predict_what_they_did(name, suffix):
    model = attrkit.load_model(OLD / f"{name}{suffix}")
    x = stored(name, "x")
    found = model(x if len(x) > 1 else x[0])
    assert isinstance(found, list | tuple) == (name == "encoder_decoder")
    for got, expected in zip(found if isinstance(found, list | tuple) else [found], stored(name, "y"), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttrkitWarning")
def test_a_keras2_attention_model_is_explained_from_either_file():
    (x,) = stored("attention", "x")
    runs = []
    for suffix in (".keras", ".h5"):
        model = attrkit.load_model(OLD / f"attention{suffix}")
        attention = attrkit.extract(model, x, "attention", show_progress=False)["attention"]
        gradients = attrkit.extract(model, x, "integrated_gradients", target=1, n_steps=64, show_progress=False)
        np.testing.assert_allclose(attention.sum("key_timestep"), 1, atol=1e-5)
        start = np.asarray(model(np.zeros_like(x)))[:, 1]
        total = gradients["attribution"].sum(["timestep", "channel"])
        np.testing.assert_allclose(total, stored("attention", "y")[0][:, 1] - start, atol=1e-3)
        runs.append((attention.values, gradients["attribution"].values))
    for one, other in zip(*runs, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    # What Keras 2.14 finds, and every other Keras must: written beside the file by write.py.
    np.testing.assert_allclose(runs[0][0], EXPECTED["attention/weights"].reshape(runs[0][0].shape), atol=1e-6)
    np.testing.assert_allclose(runs[0][1], EXPECTED["attention/gradients"], atol=1e-5)


def test_weights_of_keras2_go_into_a_model_that_is_built():
    (x,), (y,) = stored("attention", "x"), stored("attention", "y")
    for name in ("attention.weights.h5", "attention.h5", "attention.keras"):
        model = attrkit.load_model(OLD / "attention.h5")
        for variable in model.variables:
            variable.assign(np.zeros(variable.shape, "float32"))
        assert attrkit.load_model(OLD / name, into=model) is model
        np.testing.assert_allclose(model(x), y, atol=1e-6)


def test_weights_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(StoreError, match="do not fit the model of into="):
        attrkit.load_model(OLD / "attention.weights.h5", into=small(layers.LSTM(3)))
    with pytest.raises(StoreError, match="holds weights only"):
        attrkit.load_model(OLD / "attention.weights.h5")
    small(layers.LSTM(3)).save_weights(tmp_path / "model.weights.h5")
    with pytest.raises(StoreError, match="do not fit the model of into="):
        attrkit.load_model(tmp_path / "model.weights.h5", into=small(layers.LSTM(4)))


@pytest.mark.parametrize("name", ["model.weights.h5", "model.h5", "model.keras"])
def test_weights_that_do_not_fit_leave_the_model_as_it_was(tmp_path, name):
    x = np.random.default_rng(0).standard_normal((4, 6, 2)).astype("float32")
    norms = [layers.Normalization(), layers.Normalization()]
    norms[0].adapt(x)
    norms[1].adapt(3 * x + 1)
    model = small(norms[0], layers.LSTM(3))
    (model.save_weights if "weights" in name else model.save)(tmp_path / name)
    other = keras.Sequential([layers.Input((6, 2)), norms[1], layers.LSTM(3), layers.Dense(2)])
    weights, expected = other.get_weights(), other(x)
    with pytest.raises(StoreError, match="do not fit the model of into="):
        attrkit.load_model(tmp_path / name, into=other)
    for got, before in zip(other.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(got, before)
    np.testing.assert_array_equal(other(x), expected)


@pytest.mark.parametrize("name", ["attention.h5", "attention.weights.h5"])
def test_keras2_weights_that_do_not_fit_leave_the_model_as_it_was(name):
    whole = attrkit.load_model(OLD / "attention.h5")
    rest = [type(layer).from_config(layer.get_config()) for layer in whole.layers if layer.weights]
    rest[-1].units += 1
    other = keras.Sequential([layers.Input(whole.input_shape[1:]), *rest])
    weights = other.get_weights()
    with pytest.raises(StoreError, match=r"do not fit the model of into=.*of shape"):
        attrkit.load_model(OLD / name, into=other)
    for got, before in zip(other.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(got, before)


def test_weights_left_over_or_missing_are_named(tmp_path):
    model = attrkit.load_model(OLD / "attention.h5")
    is_layer = lambda value: isinstance(value, layers.Layer)  # noqa: E731
    shutil.copy(OLD / "attention.weights.h5", tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "a") as file:
        file["_layer_checkpoint_dependencies/gru/cell/vars/0"] = np.ones(3)
        with pytest.raises(StoreError, match="weights for _layer_checkpoint_dependencies/gru/cell, which the model"):
            _keras2.by_place(model, file, is_layer=is_layer)
        del file["_layer_checkpoint_dependencies/gru"], file["_layer_checkpoint_dependencies/dense"]
        with pytest.raises(StoreError, match="no weights for layer dense"):
            _keras2.by_place(model, file, is_layer=is_layer)


def test_other_values_than_the_file_holds_are_found():
    model = attrkit.load_model(OLD / "attention.h5")
    with h5py.File(OLD / "attention.h5") as file:
        pairs = _keras2.by_order(model, file["model_weights"])
    _keras2.compare(pairs)
    model.layers[-1].weights[1].assign([0.0, 1.0])
    with pytest.raises(StoreError, match="weight 1 of layer 'dense"):
        _keras2.compare(pairs)


def test_what_early_keras2_wrote_is_translated():
    first = {"class_name": "LSTM", "config": {"name": "a", "batch_input_shape": [None, 4, 2], "time_major": False}}
    dense = {"class_name": "Dense", "config": {"name": "b", "activation": "hard_sigmoid"}}
    if not KERAS_3:
        pytest.skip("only Keras 3 needs a translation")
    found = _keras2.translate({"class_name": "Sequential", "config": [first, dense]})["config"]["layers"]
    assert [layer["class_name"] for layer in found] == ["InputLayer", "LSTM", "Dense"]
    assert found[0]["config"]["batch_shape"] == [None, 4, 2]
    assert found[1]["config"] == {"name": "a"}
    assert found[2]["config"]["activation"]["config"] == _keras2.HARD_SIGMOID
    first["config"]["time_major"] = True
    with pytest.raises(StoreError, match=r"layer 'a' \(LSTM\) has time_major=True"):
        _keras2.translate(first)
    operation = {"class_name": "TFOpLambda", "config": {"name": "tf.math.add", "function": "math.add"}}
    with pytest.raises(StoreError, match=r"'tf.math.add' is a TensorFlow operation.*TF_USE_LEGACY_KERAS=1"):
        _keras2.translate(operation)


@SUFFIXES
def test_files_of_keras_3_need_it(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    small(layers.Flatten()).save(path)
    if KERAS_3:
        attrkit.load_model(path)
        return
    if suffix == ".h5":
        with h5py.File(path, "a") as file:
            file.attrs["keras_version"] = "3.5.0"
    else:
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        parts["metadata.json"] = b'{"keras_version": "3.5.0"}'
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
    with pytest.raises(StoreError, match=r"written by Keras 3.5.0, and Keras 2.*install keras>=3"):
        attrkit.load_model(path)


@SUFFIXES
def test_attention_layers_load_by_themselves(tmp_path, suffix):
    model = small(SeqWeightedAttention())
    model.save(tmp_path / f"model{suffix}")
    x = np.ones((2, 6, 2), "float32")
    np.testing.assert_array_equal(attrkit.load_model(tmp_path / f"model{suffix}")(x), model(x))


# Keras files that hold more than a model


@SUFFIXES
def test_lambdas_are_refused_unless_allowed(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    small(layers.Lambda(lambda t: 2 * t), layers.Flatten()).save(path)
    with pytest.raises(RefusedError, match=r"holds a Lambda layer.*allow_code_execution=True"):
        attrkit.load_model(path)


def test_a_lambda_in_other_letters_is_still_one(tmp_path):
    path = tmp_path / "model.h5"
    small(layers.Lambda(lambda t: 2 * t)).save(path)
    with h5py.File(path, "a") as file:
        config = file.attrs["model_config"]
        text = config.decode() if isinstance(config, bytes) else config
        file.attrs["model_config"] = text.replace('"Lambda"', '"\\u004cambda"')
        assert json.loads(file.attrs["model_config"]) == json.loads(text)
    with pytest.raises(RefusedError, match="holds a Lambda layer"):
        attrkit.load_model(path)


FOREIGN = [
    {"module": "os", "class_name": "function", "config": "system", "registered_name": "SeqSelfAttention"},
    {"module": "builtins", "class_name": "function", "config": "eval", "registered_name": "function"},
    {"module": "keras", "class_name": "function", "config": "utils.get_file", "registered_name": "get_file"},
    {"module": "keras.utils", "class_name": "get_file", "config": {}, "registered_name": "get_file"},
    {"module": "keras.src", "class_name": "layers.Lambda", "config": {}, "registered_name": None},
    {"module": "keras.layers", "class_name": "X", "config": {}, "registered_name": "Lambda"},
    {"module": "keras.layers", "class_name": "TorchModuleWrapper", "config": {}, "registered_name": None},
    {"module": None, "class_name": "TFOpLambda", "config": {"function": "io.gfile.rmtree"}},
    {"module": None, "class_name": "TFOpLambda", "config": {"function": "load_op_library"}},
]


@SUFFIXES
@pytest.mark.parametrize("entry", FOREIGN, ids=lambda entry: f"{entry['module']}.{entry['class_name']}")
def test_what_is_no_part_of_a_model_is_refused(tmp_path, suffix, entry):
    path = shutil.copy(OLD / f"weighted{suffix}", tmp_path)
    change_description(Path(path), lambda config: config["config"]["layers"][-1]["config"].update(activation=entry))
    with pytest.raises(RefusedError, match=r"allow_code_execution=True"):
        attrkit.load_model(path)


@pytest.mark.parametrize("name", ["../evil", "assets/../../evil", "/evil", "C:/evil"])
def test_an_archive_that_writes_outside_of_its_folder_is_refused(tmp_path, name):
    path = shutil.copy(OLD / "weighted.keras", tmp_path / "model.keras")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, "text")
    with pytest.raises(RefusedError, match=rf"'{re.escape(name)}', a file to be written outside"):
        attrkit.load_model(path)
    assert not (tmp_path.parent / "evil").exists()


@pytest.mark.parametrize("name", ["weighted.h5", "weighted.keras", "attention.weights.h5"])
def test_weights_that_are_read_from_another_file_are_refused(tmp_path, name):
    path = Path(shutil.copy(OLD / name, tmp_path))
    weights = path
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            parts = {part: archive.read(part) for part in archive.namelist()}
        weights = tmp_path / "inner.h5"
        weights.write_bytes(parts["model.weights.h5"])
    places = []
    with h5py.File(weights, "a") as file:
        file.visititems(lambda place, held: places.append(place) if isinstance(held, h5py.Dataset) else None)
        place = places[0]
        with h5py.File(tmp_path / "secret.h5", "w") as other:
            other["found"] = file[place][()]
        del file[place]
        # A link within the file is followed by name, and is no harm.
        file["soft"] = h5py.SoftLink("/nowhere")
        file[place] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/found")
    if path.suffix == ".keras":
        parts["model.weights.h5"] = weights.read_bytes()
        with zipfile.ZipFile(path, "w") as archive:
            for part, content in parts.items():
                archive.writestr(part, content)
    with pytest.raises(StoreError, match=rf"{name}: '\S*{place}' is a link to the file '\S*secret.h5'"):
        attrkit.load_model(path, into=small(layers.LSTM(3)) if "weights" in name else None)


def test_files_that_are_no_models(tmp_path):
    for name in ("text.keras", "text.h5"):
        (tmp_path / name).write_text("nothing")
        with pytest.raises(StoreError, match="is not a Keras model file"):
            attrkit.load_model(tmp_path / name)
    for suffix in (".keras", ".h5"):
        whole = (OLD / f"weighted{suffix}").read_bytes()
        (tmp_path / f"short{suffix}").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(StoreError, match=r"short\.\w+"):
            attrkit.load_model(tmp_path / f"short{suffix}")
    shutil.copy(OLD / "weighted.h5", tmp_path / "model.pt")
    with pytest.raises(StoreError, match=r"ends in .pt, but is a Keras file by what it holds"):
        attrkit.load_model(tmp_path / "model.pt")
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(StoreError, match=r"no model file that is known; accepted are .keras"):
        attrkit.load_model(tmp_path / "notes.txt")
    for path in (None, b"model.keras", small()):
        with pytest.raises(InputError, match=rf"path is a {type(path).__name__}; accepted is a str or Path"):
            attrkit.load_model(path)
    with pytest.raises(StoreError, match="there is no file"):
        attrkit.load_model(tmp_path / "missing.keras")
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["w"] = [1.0]
    with pytest.raises(StoreError, match="holds weights only"):
        attrkit.load_model(tmp_path / "weights.h5")


# SavedModel folders


class Exported(tf.Module):
    """Two inputs, one of them of weights that are not trained through Keras."""

    def __init__(self):
        super().__init__()
        self.w = tf.Variable([[1.0], [2.0]])

    @tf.function(input_signature=[tf.TensorSpec([None, 6, 2], tf.float32, name="x")])
    def serve(self, x):
        return tf.reduce_sum(tf.tanh(x @ self.w), axis=1)


def test_saved_models_have_predictions_and_gradients(tmp_path):
    program = Exported()
    tf.saved_model.save(program, str(tmp_path / "model"), signatures=program.serve)
    model = attrkit.load_model(tmp_path / "model")
    x = np.random.default_rng(0).standard_normal((5, 6, 2)).astype("float32")
    ds = attrkit.extract(model, x, "gradient", show_progress=False)
    slope = 1 - np.tanh(x @ np.float32([[1], [2]])) ** 2
    np.testing.assert_allclose(ds["attribution"], slope * np.float32([1, 2]), atol=1e-6)
    np.testing.assert_allclose(ds["prediction"], np.asarray(program.serve(x))[:, 0], atol=1e-6)
    for ask in (lambda: attrkit.extract(model, x, "attention"), lambda: attrkit.layer_outputs(model, x, "lstm")):
        with pytest.raises(RefusedError, match=r"program without layers.*load the model from its .keras or .h5"):
            ask()
    with pytest.raises(InputError, match="is a folder, a whole model"):
        attrkit.load_model(tmp_path / "model", into=small())


def test_a_keras_model_is_loaded_from_its_saved_model(tmp_path):
    model = small(layers.LSTM(3, return_sequences=True), SeqWeightedAttention())
    if hasattr(model, "export"):
        model.export(str(tmp_path / "export"))
    else:
        tf.saved_model.save(model, str(tmp_path / "export"))
    x = np.random.default_rng(0).standard_normal((5, 6, 2)).astype("float32")
    expected = attrkit.extract(model, x, "integrated_gradients", show_progress=False)["attribution"]
    loaded = attrkit.load_model(tmp_path / "export")
    found = attrkit.extract(loaded, x, "integrated_gradients", show_progress=False)["attribution"]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    if not KERAS_3:
        model.save(tmp_path / "whole", save_format="tf")
        whole = attrkit.load_model(tmp_path / "whole")
        assert "attention" in attrkit.extract(whole, x, "attention", show_progress=False)


class Writer(tf.Module):
    def __init__(self, file):
        super().__init__()
        self.file = file

    @tf.function(input_signature=[tf.TensorSpec([None, 6, 2], tf.float32)])
    def serve(self, x):
        with tf.control_dependencies([tf.io.write_file(self.file, "text")]):
            return tf.identity(x)


def test_saved_models_that_write_files_are_refused(tmp_path):
    program = Writer(str(tmp_path / "marker"))
    tf.saved_model.save(program, str(tmp_path / "model"), signatures=program.serve)
    (tmp_path / "marker").unlink(missing_ok=True)
    with pytest.raises(RefusedError, match=r"the operation WriteFile.*allow_code_execution=True"):
        attrkit.load_model(tmp_path / "model")
    assert not (tmp_path / "marker").exists()
    attrkit.load_model(tmp_path / "model", allow_code_execution=True)


def test_folders_that_are_no_models(tmp_path):
    with pytest.raises(StoreError, match=r"a folder without saved_model.pb"):
        attrkit.load_model(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"\x00nothing")
    with pytest.raises(StoreError, match="is not a SavedModel"):
        attrkit.load_model(tmp_path)
    program = Exported()
    tf.saved_model.save(program, str(tmp_path / "model"), signatures=program.serve)
    whole = (tmp_path / "model" / "saved_model.pb").read_bytes()
    (tmp_path / "model" / "saved_model.pb").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreError, match="is not a SavedModel, or is cut short"):
        attrkit.load_model(tmp_path / "model")
