"""Stores that were damaged at random places: what is read is what was written, or it is refused."""

import io
import json
import shutil
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import attrkit
import attrkit.errors
from attrkit.schema import build
from tests.fuzz.contract import fuzz, outcome, refused
from tests.fuzz.models import any_shape

ZARRS = ["warning filters"]

RNG = np.random.default_rng(0)


def example():
    """A small result with labels of every kind."""
    inputs = xr.DataArray(
        RNG.normal(size=(2, 3, 2)).astype("float32"),
        {"sample": ["a", "bé"], "timestep": pd.date_range("2015-01-01", periods=3), "channel": ["rain", "wind"]},
        ("sample", "timestep", "channel"),
    )
    return build(
        {"attribution": np.zeros((2, 3, 2)), "mask": np.ones((2, 3), bool), "prediction": RNG.normal(size=2)},
        inputs=inputs,
        coords={"target": ("sample", ["warm", "cold"])},
        attrs={"method": "mine", "seed": 3, "seconds": 0.25, "note": "größer"},
    )


DATASET = example()
TREE = xr.DataTree.from_dict({"b": DATASET, "a": DATASET.isel(sample=[1])}, name=None)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Every kind of store, and what it holds."""
    folder = tmp_path_factory.mktemp("whole")
    found = {}
    for name, data in {"dataset": DATASET, "tree": TREE}.items():
        for suffix in (".nc", ".zarr"):
            found[attrkit.save(data, folder / f"{name}{suffix}")] = data
    streamed = folder / "streamed.zarr"
    x = RNG.normal(size=(5, 3, 2))
    attrkit.extract(any_shape, x, "occlusion", store=streamed, chunk_size=2, show_progress=False)
    found[streamed] = attrkit.load(streamed)
    return found


def check_equal(found, written):
    assert type(found) is type(written)
    xr.testing.assert_identical(found, written)


def fresh_copy(whole, place):
    """Copy a store into a folder that holds nothing else."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    copy = place / whole.name
    shutil.copytree(whole, copy) if whole.is_dir() else shutil.copy(whole, copy)
    return copy


def read(path, written, subject):
    """Load a store that may be damaged; without its checksum it may be read, and a warning says so."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = attrkit.load(path)
        except attrkit.errors.AttrkitError as err:
            outcome(subject, lambda: attrkit.load(path), about={"path": path, path.name: None}, apart=ZARRS)
            return err
    if any("has no checksum" in str(warning.message) for warning in caught):
        return None
    check_equal(outcome(subject, lambda: attrkit.load(path), about={"path": path}, apart=ZARRS), written)
    return found


@given(st.data())
@fuzz(80)
def test_bytes_that_were_changed_are_noticed(stores, tmp_path_factory, data):
    whole = data.draw(st.sampled_from(sorted(stores)))
    files = sorted(path for path in [whole, *whole.rglob("*")] if path.is_file()) if whole.is_dir() else [whole]
    file = data.draw(st.sampled_from(files))
    raw = bytearray(file.read_bytes())
    how = data.draw(st.sampled_from(["change", "change", "change", "cut", "empty", "longer", "delete"]))
    if how == "change":
        for place, bits in data.draw(
            st.lists(st.tuples(st.integers(0, len(raw) - 1), st.integers(1, 255)), min_size=1, max_size=2)
        ):
            raw[place] ^= bits
    elif how == "cut":
        del raw[data.draw(st.integers(0, len(raw) - 1)) :]
    elif how == "empty":
        raw.clear()
    elif how == "longer":
        raw += data.draw(st.binary(min_size=1, max_size=9))
    copy = fresh_copy(whole, tmp_path_factory.getbasetemp() / "damaged")
    damaged = copy / file.relative_to(whole) if whole.is_dir() else copy
    if how == "delete":
        damaged.unlink()
    else:
        damaged.write_bytes(bytes(raw))
    read(copy, stores[whole], f"damaged {whole.name}")


@given(st.data())
@fuzz(20)
def test_folders_that_are_gone_are_noticed(stores, tmp_path_factory, data):
    whole = data.draw(st.sampled_from(sorted(path for path in stores if path.is_dir())))
    copy = fresh_copy(whole, tmp_path_factory.getbasetemp() / "gone")
    folder = data.draw(st.sampled_from(sorted(path for path in copy.rglob("*") if path.is_dir())))
    shutil.rmtree(folder)
    assert refused(read(copy, stores[whole], f"folders of {whole.name}")), f"{folder} is gone"
    shutil.rmtree(copy)


def test_chunks_that_are_gone_are_noticed_without_reading_values(stores, tmp_path):
    for whole in (path for path in stores if path.is_dir()):
        for chunk in [path for path in whole.rglob("*") if path.is_file() and not path.name.startswith(".")]:
            copy = tmp_path / whole.name
            shutil.copytree(whole, copy)
            (copy / chunk.relative_to(whole)).unlink()
            with pytest.raises(attrkit.errors.StoreError, match="missing"):
                attrkit.load(copy, lazy=True)
            shutil.rmtree(copy)


def archive():
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as found:
        found.writestr("attribution/0", "x")
    return held.getvalue()


FOREIGN = [
    b"",
    b"x",
    b"\x89HDF\r\n\x1a\n",
    b"CDF\x01",
    b"PK\x03\x04",
    b"\x80\x04.",
    b"{}",
    b"<html>",
    archive(),
    b"\0" * 500,
]


@given(st.sampled_from(FOREIGN) | st.binary(max_size=200), st.sampled_from([".nc", ".zarr", ".nc4", ".h5netcdf"]))
@fuzz(60)
def test_files_of_something_else_are_refused(tmp_path_factory, raw, suffix):
    path = tmp_path_factory.getbasetemp() / f"foreign{suffix}"
    path.write_bytes(raw)
    assert refused(
        outcome("foreign files", lambda: attrkit.load(path), about={"path": path, path.name: None}, apart=ZARRS)
    )


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "pickle", "<f8", "|O", "sample", "2"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "filters", "compressor", "shape", "chunks", "dtype", "zarr_format"]), inner
        )
    ),
    max_leaves=8,
)


@given(st.data())
@fuzz(40)
def test_metadata_of_something_else_are_refused(stores, tmp_path_factory, data):
    """Well-formed JSON in the place of zarr's own."""
    whole = data.draw(st.sampled_from(sorted(path for path in stores if path.is_dir())))
    copy = fresh_copy(whole, tmp_path_factory.getbasetemp() / "metadata")
    names = [path for path in sorted(copy.rglob(".*")) if path.is_file()]
    file = data.draw(st.sampled_from(names))
    held = json.loads(file.read_text())
    if data.draw(st.booleans()) and isinstance(held, dict) and held:
        held[data.draw(st.sampled_from(sorted(held)))] = data.draw(JSON)
    else:
        held = data.draw(JSON)
    file.write_text(json.dumps(held))
    read(copy, stores[whole], f"metadata of {whole.name}")
