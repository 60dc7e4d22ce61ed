"""A study from a file: trained, tested and written by the command line; and what is refused in the file."""

import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import attrkit
from attrkit.cli import app
from attrkit.errors import InputError, StoreError
from attrkit.study_config import read_config

TRAIN = '''
from helper import build

def train(x, y, seed):
    """Train a small classifier with attention."""
    return build(x, y, seed)
'''

HELPER = """
from tensorflow import keras

def build(x, y, seed):
    keras.utils.set_random_seed(seed)
    steps = keras.Input(x.shape[1:])
    hidden = keras.layers.Dense(8, "tanh")(steps)
    found = keras.layers.AdditiveAttention()([hidden, hidden])
    model = keras.Model(steps, keras.layers.Dense(2, "softmax")(keras.layers.GlobalAveragePooling1D()(found)))
    model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=15, verbose=0)
    return model
"""

CONFIG = """
factory = "train.py:train"
out = "results"
seeds = [0, 1]
gate = 0.6

[data]
train = "train.npz"
test = "test.nc"

[extractors]
attention = "attention"
short_ig = {method = "integrated_gradients", n_steps = 8}

[tests]
agreement = {n_random = 5}
permutation = {n_permutations = 5}
adversarial = {epsilon = 0.05, n_steps = 10, n_starts = 1}
faithfulness = {}
seed_variance = {}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a study")
    (folder / "train.py").write_text(TRAIN)
    (folder / "helper.py").write_text(HELPER)
    (folder / "study.toml").write_text(CONFIG)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((150, 6, 2)).astype("float32")
    y = (x[..., 0].mean(axis=1) > 0).astype(int)
    np.savez(folder / "train.npz", inputs=x[:120], labels=y[:120])
    test = xr.Dataset({"input": (("sample", "timestep", "channel"), x[120:]), "label": ("sample", y[120:])})
    test.to_netcdf(folder / "test.nc", engine="h5netcdf")
    return folder


@pytest.fixture(scope="module")
def done(folder):
    found = CliRunner().invoke(app, ["study", str(folder / "study.toml"), "--quiet"])
    assert found.exit_code == 0, (found.output, found.exception)
    return found


def test_the_command_writes_store_tables_figures_and_protocol(folder, done):
    out = folder / "results"
    tree = attrkit.studies.open_study(out / "study.zarr")
    assert tree["agreement"].sizes["seed"] == 2
    assert tree["adversarial"].attrs["epsilon"] == 0.05
    assert tree["extractors/short_ig"].attrs["method"] == "integrated_gradients"
    frame = pd.read_csv(out / "tables" / "agreement.csv")
    pd.testing.assert_frame_equal(frame, attrkit.studies.tables(tree)["agreement"], check_dtype=False)
    for name in ("agreement", "removal", "ranking", "permutation", "adversarial"):
        assert (out / "figures" / f"{name}.png").stat().st_size > 5000
        assert (out / "figures" / f"{name}.pdf").stat().st_size > 5000
    for name in ("models", "faithfulness_tests", "cost"):
        assert {file.suffix for file in (out / "tables").glob(f"{name}.*")} == {".csv", ".md", ".tex"}
    text = (out / "protocol.md").read_text()
    assert "`train.train`" in text
    assert re.search(r"Shuffled attention weights move the output by \d\.\d+ \[", text)
    assert str(out / "study.zarr") in done.output.replace("\n", "")


def test_the_same_command_goes_on_with_what_is_there(folder, done):
    before = attrkit.studies.open_study(folder / "results" / "study.zarr")
    again = CliRunner().invoke(app, ["study", str(folder / "study.toml"), "--quiet"])
    assert again.exit_code == 0, again.output
    after = attrkit.studies.open_study(folder / "results" / "study.zarr")
    xr.testing.assert_identical(before["steps"].to_dataset(), after["steps"].to_dataset())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("gate = 0.6", "gates = 0.6", "study.toml has 'gates', which is not known"),
        ('factory = "train.py:train"', "", "study.toml has no factory"),
        ("train.py:train", "train.py:fit", "train.py has no function 'fit'; it has build, train"),
        ("train.py:train", "there.py:train", "there is no file"),
        ("train.py:train", "no_such_module:train", "No module named 'no_such_module'"),
        ("train.py:train", "train", "accepted are 'file.py:function' and 'module:function'"),
        ('"train.npz"', '"train.csv"', "accepted are files in .npz, .nc and .zarr"),
        ('"train.npz"', '"other.npz"', "there is no file"),
        ('test = "test.nc"', 'check = "test.nc"', "[data] has 'check', which is not known"),
        ('test = "test.nc"', 'test = {split = "test"}', "or say dataset = NAME"),
        ('train = "train.npz"', 'dataset = "mnist"\ntrain = {}', "dataset='mnist' is not known; accepted are ismail"),
        ("{method = ", "{methods = ", "extractor 'short_ig' is"),
    ],
    ids=lambda value: re.sub(r"\W+", "_", str(value))[:30],
)
def test_what_is_wrong_in_a_file_is_said_by_name(folder, tmp_path, old, new, message):
    for file in ("train.py", "helper.py", "train.npz", "test.nc"):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    assert CONFIG.count(old) == 1
    (tmp_path / "study.toml").write_text(CONFIG.replace(old, new))
    found = CliRunner().invoke(app, ["study", str(tmp_path / "study.toml")])
    assert found.exit_code == 1
    assert message in found.output
    assert not (tmp_path / "results").exists()


def test_data_by_name_and_none(folder, tmp_path):
    (tmp_path / "train.py").write_text("def train(x, y, seed): pass\n")
    text = (
        'factory = "train.py:train"\nstore = "s.zarr"\ngate = "none"\nchannels = "none"\n[data]\ndataset = "low_var"\n'
    )
    (tmp_path / "c.toml").write_text(text + "train = {n_samples = 6, seed = 0}\ntest = {n_samples = 4, seed = 1}\n")
    asked = read_config(tmp_path / "c.toml")
    assert (asked["gate"], asked["channels"]) == (None, None)
    assert (asked["out"], asked["store"]) == (tmp_path / "c", tmp_path / "s.zarr")
    xr.testing.assert_identical(asked["data"][1], attrkit.datasets.low_var(n_samples=4, seed=1))
    (tmp_path / "c.toml").write_text(text + "train = {n_sample = 6}\ntest = {}\n")
    with pytest.raises(
        InputError, match=r"\[data\] train has 'n_sample', which is not known; accepted are .*n_samples"
    ):
        read_config(tmp_path / "c.toml")
    (tmp_path / "c.toml").write_text(text + "train = {n_timesteps = 100}\ntest = {}\n")
    with pytest.raises(InputError, match=r"\[data\] train needs n_samples for low_var"):
        read_config(tmp_path / "c.toml")
    (tmp_path / "c.toml").write_text("factory =")
    with pytest.raises(StoreError, match="cannot be read"):
        read_config(tmp_path / "c.toml")
