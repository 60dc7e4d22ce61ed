"""Files that would run code or read other files are refused before they are read."""

import json
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
import zarr

import attrkit
from attrkit.data_files import read_inputs
from attrkit.errors import StoreError
from attrkit.file_checks import check_harmless
from attrkit.schema import build


class Touches:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def trace(tmp_path):
    return tmp_path / "it ran"


def store(path):
    return attrkit.save(build({"attribution": np.ones((2, 3, 1))}), path)


PICKLE = {"id": "pickle", "protocol": 5}
PACKINGS = {
    "filter": {"filters": [PICKLE], "dtype": "|O"},
    "filter after another": {"filters": [{"id": "vlen-utf8"}, PICKLE], "dtype": "|O"},
    "compressor": {"compressor": PICKLE, "filters": None},
    "of no known name": {"filters": [{"id": "someone.elses"}]},
}


@pytest.mark.parametrize("read", [attrkit.load, read_inputs], ids=["results", "inputs"])
@pytest.mark.parametrize("packing", PACKINGS)
def test_arrays_of_zarr_that_are_pickles_are_refused_unread(tmp_path, trace, monkeypatch, read, packing):
    # What newer versions of numcodecs refuse themselves, older ones run.
    monkeypatch.setenv("NUMCODECS_ALLOW_UNSAFE_PICKLE_DECODE", "1")
    monkeypatch.setattr("numcodecs.pickles.ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)
    path = store(tmp_path / "run.zarr")
    described = path / "attribution" / ".zarray"
    described.write_text(json.dumps({**json.loads(described.read_text()), **PACKINGS[packing]}))
    (path / "attribution" / "0.0.0").write_bytes(pickle.dumps(Touches(trace)))
    with pytest.raises(StoreError, match=r"\.zarray is packed by '(pickle|someone.elses)', which may run code"):
        read(path)
    assert not trace.exists()


def test_packing_is_found_in_consolidated_metadata_in_links_and_in_version_3(tmp_path):
    path = store(tmp_path / "run.zarr")
    (path / ".zmetadata").write_text(json.dumps({"metadata": {"x/.zarray": {"filters": [PICKLE]}}}))
    with pytest.raises(StoreError, match=r"\.zmetadata is packed by 'pickle'"):
        check_harmless(path)
    (path / ".zmetadata").unlink()
    check_harmless(path)
    (tmp_path / "elsewhere").mkdir()
    nested = {"name": "sharding_indexed", "configuration": {"codecs": [{"name": "numcodecs.pickle"}]}}
    (tmp_path / "elsewhere" / "zarr.json").write_text(json.dumps({"codecs": [nested]}))
    (path / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "circle").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=r"zarr\.json is packed by 'numcodecs\.pickle'"):
        check_harmless(path)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_what_xarray_and_zarr_write_is_harmless(tmp_path, zarr_format):
    ds = xr.Dataset({"a": ("x", np.arange(3.0)), "b": ("x", ["u", "vé", "w"]), "c": ("x", [True, False, True])})
    ds.to_zarr(tmp_path / "own.zarr", zarr_format=zarr_format, consolidated=zarr_format == 2)
    check_harmless(tmp_path / "own.zarr")
    group = zarr.open_group(tmp_path / "sharded.zarr", mode="w", zarr_format=3)
    group.create_array("a", shape=(8,), chunks=(2,), shards=(4,), dtype="f4")[:] = 1
    check_harmless(tmp_path / "sharded.zarr")


def with_link(path, tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as other:
        other["found"] = np.ones((2, 3, 1))
    with h5py.File(path, "a") as file:
        file["deeper/linked"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/found")


def with_raw_values(path, tmp_path):
    (tmp_path / "secret").write_bytes(b"\1" * 48)
    with h5py.File(path, "a") as file:
        file.create_dataset("raw", (6,), "f8", external=[(str(tmp_path / "secret"), 0, 48)])


def with_values_of_others(path, tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as other:
        other["found"] = np.ones(6)
    layout = h5py.VirtualLayout((6,), "f8")
    layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "found", (6,))
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset("virtual", layout)


@pytest.mark.parametrize("read", [attrkit.load, read_inputs], ids=["results", "inputs"])
@pytest.mark.parametrize("change", [with_link, with_raw_values, with_values_of_others])
def test_netcdf_that_reads_other_files_is_refused(tmp_path, change, read):
    path = store(tmp_path / "run.nc")
    change(path, tmp_path)
    with pytest.raises(StoreError, match=r"is a link to the file|has its values in another file"):
        read(path)


def test_groups_of_hdf5_that_hold_each_other_are_no_hang(tmp_path):
    path = store(tmp_path / "run.nc")
    with h5py.File(path, "a") as file:
        group = file.create_group("group")
        group["own"] = group
        file["soft"] = h5py.SoftLink("/group/own")
    check_harmless(path)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_arrays_of_numpy_that_are_pickles_are_refused_unread(tmp_path, trace, suffix):
    path = tmp_path / f"data{suffix}"
    values = np.array([Touches(trace)], dtype=object)
    np.save(path, values, allow_pickle=True) if suffix == ".npy" else np.savez(path, input=values)
    with pytest.raises(StoreError, match=f"data{suffix} cannot be read"):
        read_inputs(path)
    assert not trace.exists()
