"""What holds for every synthetic data set."""

import json
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import xarray as xr

import attrkit
from attrkit import datasets
from attrkit.errors import InputError
from attrkit.inputs import DIMS, label_inputs
from attrkit.schema import attribute_faults

SMALL = {"n_timesteps": 12, "n_channels": 6, "box_size": (4, 2)}
MAKERS = {
    **{
        name: partial(datasets.ismail, name, "moving_middle", **SMALL)
        for name in ("gaussian", "autoregressive", "narma", "harmonic", "pseudo_periodic", "car", "gaussian_process")
    },
    "positional_time": partial(datasets.ismail, "gaussian", "positional_time", **SMALL),
    "rare_feature": partial(datasets.rare_feature, n_timesteps=12, n_channels=6),
    "rare_time": partial(datasets.rare_time, n_timesteps=12, n_channels=6),
    "hidden_states": partial(datasets.hidden_states, n_timesteps=12),
    "freq_shapes": datasets.freq_shapes,
    "seq_comb": partial(datasets.seq_comb, n_timesteps=113),
    "low_var": partial(datasets.low_var, n_timesteps=61),
}

each = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@each
def test_it_is_labelled(make):
    data = make(n_samples=5)
    assert data["input"].dims == data["saliency"].dims == DIMS
    assert data["input"].dtype == np.float64
    assert data["saliency"].dtype == data["has_saliency"].dtype == bool
    assert np.isfinite(data["input"]).all()
    np.testing.assert_array_equal(data["has_saliency"], data["saliency"].any(["timestep", "channel"]))
    for dim, size in data.sizes.items():
        np.testing.assert_array_equal(data[dim], np.arange(size))
    assert not [fault for key, value in data.attrs.items() for fault in attribute_faults(key, value)]


@each
def test_a_sample_depends_on_the_seed_and_its_number_only(make):
    # Samples are drawn in blocks of 256.
    many = make(n_samples=260, seed=3)
    few = make(n_samples=7, seed=3)
    xr.testing.assert_equal(many.isel(sample=slice(7)), few)
    other = make(n_samples=7, seed=4)
    assert not (few["input"] == other["input"]).any()
    # No series is that of another sample or channel.
    series = many["input"].transpose("sample", "channel", "timestep").values.reshape(-1, many.sizes["timestep"])
    assert len(np.unique(series, axis=0)) == len(series)


@each
def test_it_can_be_made_again_from_its_attributes(make):
    data = make(n_samples=4, seed=5)
    again = getattr(datasets, data.attrs["process"])(**json.loads(data.attrs["parameters"]), seed=data.attrs["seed"])
    xr.testing.assert_identical(again, data)


@each
def test_a_file_keeps_it(make, tmp_path):
    data = make(n_samples=2)
    data.to_netcdf(tmp_path / "data.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "data.nc", engine="h5netcdf") as read:
        xr.testing.assert_identical(read.load(), data)


@each
def test_it_goes_into_attrkit(make):
    data = make(n_samples=2)
    xr.testing.assert_equal(label_inputs(data), data["input"])


@pytest.mark.parametrize(
    "name", [name for name in MAKERS if name not in ("rare_feature", "rare_time", "hidden_states")]
)
def test_labels_are_balanced_and_in_no_order(name):
    label = MAKERS[name](n_samples=80)["label"].values
    classes = label.max() + 1
    assert classes == (4 if name in ("freq_shapes", "seq_comb", "low_var") else 2)
    rounds = label.reshape(-1, classes)
    np.testing.assert_array_equal(np.sort(rounds, axis=1), np.tile(np.arange(classes), (len(rounds), 1)))
    assert len(np.unique(rounds, axis=0)) > 1


@each
@pytest.mark.parametrize("wrong", [{"n_samples": 0}, {"n_samples": 2.0}, {"n_samples": 2, "seed": -1}])
def test_counts_that_are_none_are_refused(make, wrong):
    with pytest.raises(InputError, match="must be a whole number"):
        make(**wrong)


def test_white_box_attributions_are_those_of_occlusion():
    data = datasets.rare_feature(n_samples=3, n_timesteps=8, n_channels=4, n_salient=2, per_sample=False)
    salient = data["saliency"].values[0]
    ds = attrkit.extract(
        lambda x: ((salient * x) ** 2).sum(axis=(1, 2)), data, "occlusion", baseline=0.0, show_progress=False
    )
    np.testing.assert_allclose(ds["prediction"], data["target"].sum("timestep"), rtol=1e-6)
    np.testing.assert_allclose(ds["attribution"], (data["input"] ** 2).where(data["saliency"], 0), atol=1e-5)


def test_importing_the_data_sets_loads_nothing_heavy():
    code = "import sys, attrkit.datasets; print(*[m for m in ('scipy', 'sklearn', 'sktime') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []
