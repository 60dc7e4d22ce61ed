"""Paths with spaces, letters of other scripts and links, wherever a path is taken; names that lead out of a folder."""

import io
import json
import zipfile

import numpy as np
import pytest
import xarray as xr

import attrkit
from attrkit.data_files import read_inputs
from attrkit.errors import AttrkitError, InputError
from attrkit.schema import build
from attrkit.store import local_store
from attrkit.studies.running.steps import begin_store

HARD = "with space, ünï 日本 'quotes' #1 %20 [x] $HOME ?a"


@pytest.fixture(params=["folder", "link"])
def folder(request, tmp_path):
    """A folder with a name that is hard, or a link to one."""
    real = tmp_path / HARD
    real.mkdir()
    if request.param == "folder":
        return real
    (tmp_path / "link ü").symlink_to(real, target_is_directory=True)
    return tmp_path / "link ü"


def result():
    rng = np.random.default_rng(0)
    return build(
        {"attribution": rng.normal(size=(2, 4, 2)), "input": rng.normal(size=(2, 4, 2))}, attrs={"method": "m"}
    )


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_results_go_anywhere_and_come_back(folder, suffix):
    path = attrkit.save(result(), folder / f"{HARD}{suffix}")
    assert attrkit.load(str(path)).attrs["method"] == "m"
    assert attrkit.load(path, lazy=True).sizes["sample"] == 2


def test_streamed_results_go_anywhere(folder):
    asked = {"store": folder / f"{HARD}.zarr", "chunk_size": 1, "show_progress": False}
    ds = attrkit.extract(lambda x: x.sum(axis=(1, 2)), np.ones((3, 4, 2)), "occlusion", **asked)
    np.testing.assert_array_equal(ds["attribution"], 1)
    assert sorted(path.name for path in folder.iterdir()) == [f"{HARD}.zarr"]


def test_steps_of_a_study_go_anywhere(folder):
    store = begin_store(folder / f"{HARD}.zarr")
    store.write("seed 0/step", result(), {"key": "k"})
    xr.testing.assert_equal(begin_store(store.path).read("seed 0/step", "k"), result())
    assert sorted(path.name for path in folder.iterdir()) == [f"{HARD}.zarr"]


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".nc", ".zarr"])
def test_data_are_read_from_anywhere(folder, suffix):
    path, values = folder / f"{HARD}{suffix}", np.ones((3, 2))
    if suffix == ".npy":
        np.save(path, values)
    elif suffix == ".npz":
        np.savez(path, values)
    elif suffix == ".csv":
        path.write_text("t,a,b\n0,1,1\n1,1,1\n2,1,1\n")
    else:
        ds = xr.Dataset({"x": (("time", "channel"), values)})
        ds.to_zarr(local_store(path), zarr_format=2) if suffix == ".zarr" else ds.to_netcdf(path, engine="h5netcdf")
    np.testing.assert_array_equal(read_inputs(path), values)


def test_figures_go_anywhere(folder):
    attrkit.plot.heatmap(result()).save([folder / f"{HARD}.{kind}" for kind in ("png", "svg", "pdf")], dpi=30)
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize("name", ["../x", "a/b", ".", "..", "/x", ""])
def test_names_that_are_paths_name_no_group_and_no_variable(tmp_path, name):
    (tmp_path / "inner").mkdir()
    for suffix in (".zarr", ".nc"):
        with pytest.raises(InputError, match="cannot name a group"):
            attrkit.save({name: result()}, tmp_path / "inner" / f"run{suffix}")
        with pytest.raises(AttrkitError, match=r"variable has the name|conflicting|name"):
            attrkit.save(result().assign({name: ("sample", [1, 2])}), tmp_path / "inner" / f"run{suffix}")
    assert [path.name for path in tmp_path.rglob("*")] == ["inner"]


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out", "C:\\out", "..\\out"])
def test_a_keras_archive_with_names_that_lead_out_is_refused_and_writes_nothing(tmp_path, name):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {}}))
        archive.writestr(name, "x")
    path = tmp_path / "model.keras"
    path.write_bytes(held.getvalue())
    with pytest.raises(AttrkitError, match="to be written outside of the model's folder"):
        attrkit.load_model(path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
