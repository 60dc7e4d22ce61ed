"""Stores of earlier versions of the schema: files that earlier commits have written, and what becomes of them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import attrkit
from attrkit.errors import SchemaError, StoreError
from attrkit.migrations import MIGRATED, STEPS, migrate
from attrkit.schema import VERSION, build

STORES = Path(__file__).parent / "data" / "stores"

X = np.random.default_rng(0).standard_normal((2, 4, 2)).astype("float32")


@pytest.fixture
def earlier(tmp_path):
    """Return where a store lies; of a folder, which is kept as an archive, a copy."""

    def unpacked(name):
        if (STORES / name).exists():
            return STORES / name
        shutil.unpack_archive(STORES / f"{name}.zip", tmp_path)
        return tmp_path / name

    return unpacked


def kept(path):
    """Return the attributes that stand in a file."""
    engine = "zarr" if path.suffix == ".zarr" else "h5netcdf"
    group = None if path.suffix == ".zarr" else "integrated_gradients"
    options = {"consolidated": False} if path.suffix == ".zarr" else {"group": group}
    with xr.open_dataset(path, engine=engine, **options) as opened:
        return dict(opened.attrs)


@pytest.mark.parametrize("name", ["first.zarr", "first.nc"])
def test_what_the_first_commit_wrote_is_brought_to_this_schema(earlier, name):
    path = earlier(name)
    # What the user had passed, which says nothing to a reader.
    assert kept(path)["target"] == "-1"
    assert kept(path)["schema"] == "attrkit-1"
    found = attrkit.load(path)
    ds = found if isinstance(found, xr.Dataset) else found["integrated_gradients"].to_dataset()
    attrkit.validate(found)
    assert ds.attrs["target"] == "warm"
    assert (ds.attrs["schema"], ds.attrs[MIGRATED]) == (VERSION, "attrkit-1")
    np.testing.assert_array_equal(ds["input"], X)
    np.testing.assert_array_equal(ds["target"], ["warm", "warm"])
    explained = ds["prediction"].sel(output="warm") - ds["baseline_prediction"]
    np.testing.assert_allclose(ds["attribution"].sum(("timestep", "channel")), explained, atol=1e-4)


def test_trees_of_earlier_commits_are_brought_here_group_by_group(earlier):
    tree = attrkit.load(earlier("first.nc"))
    assert sorted(tree.children) == ["attention", "integrated_gradients"]
    assert {node.attrs[MIGRATED] for node in tree.children.values()} == {"attrkit-1"}
    np.testing.assert_allclose(tree["attention"]["attention"].sum("key_timestep"), 1, rtol=1e-5)


@pytest.mark.parametrize("lazy", [False, True])
def test_streamed_stores_of_earlier_commits_are_read_and_still_checked(earlier, lazy):
    path = earlier("streamed.zarr")
    assert "files" in json.loads((path / "sample/.attrkit.json").read_text())
    ds = attrkit.load(path, lazy=lazy)
    assert (ds.attrs["schema"], ds.attrs[MIGRATED], ds.attrs["target"]) == (VERSION, "attrkit-1", "warm")
    np.testing.assert_allclose(ds["attribution"].sel(channel=1), X[..., 1], atol=1e-5)
    (path / "attribution" / "1.0.0").unlink()
    with pytest.raises(StoreError, match=r"attribution/1\.0\.0 is missing"):
        attrkit.load(path, lazy=lazy)


def test_what_was_brought_here_is_saved_as_what_it_is_now(earlier, tmp_path):
    ds = attrkit.load(earlier("first.zarr"))
    xr.testing.assert_identical(attrkit.load(attrkit.save(ds, tmp_path / "again.nc")), ds)


def test_an_earlier_version_that_xarray_has_read_is_refused_with_the_way_here(earlier):
    with (
        xr.open_dataset(earlier("first.zarr"), engine="zarr", consolidated=False) as ds,
        pytest.raises(
            SchemaError, match=r"is 'attrkit-1'; this version reads 'attrkit-2'\. attrkit\.load brings files"
        ),
    ):
        attrkit.validate(ds)


def test_migrating_changes_no_dataset_in_place_and_none_of_this_version():
    now = build({"attribution": np.ones((2, 3))}, attrs={"method": "mine"})
    assert migrate(now) is now
    old = now.assign_attrs(schema="attrkit-1")
    before = old.copy(deep=True)
    assert migrate(old).attrs["schema"] == VERSION
    xr.testing.assert_identical(old, before)


@pytest.mark.parametrize(
    ("recorded", "labels", "expected"),
    [
        ("-1", ["warm", "warm"], "warm"),
        ("None", [0, 0], "0"),
        ("one a sample", ["warm", "cold"], "one a sample"),
        ("function mean", ["mean", "mean"], "function mean"),
    ],
)
def test_what_was_explained_is_named_as_its_coordinate_names_it(recorded, labels, expected):
    coords = {"target": ("sample", labels)}
    old = build({"attribution": np.ones((2, 3))}, coords=coords, attrs={"target": recorded})
    old = old.assign_attrs(schema="attrkit-1")
    assert migrate(old).attrs["target"] == expected


def test_every_step_leads_to_this_version():
    for version in STEPS:
        seen = {version}
        while version in STEPS:
            version = STEPS[version][0]
            assert version not in seen, "steps in a circle"
            seen.add(version)
        assert version == VERSION


@pytest.mark.parametrize(
    ("made_by", "advice"),
    [("2.1.0", "pip install 'attrkit>=2.1.0'"), ("unknown'; rm -rf", "pip install --upgrade attrkit")],
)
def test_a_store_of_a_later_version_says_which_attrkit_to_install(tmp_path, made_by, advice):
    later = build({"attribution": np.ones((2, 3))}).assign_attrs(schema="attrkit-7", attrkit_version=made_by)
    for suffix in (".nc", ".zarr"):
        path = tmp_path / f"later{suffix}"
        later.to_netcdf(path, engine="h5netcdf") if suffix == ".nc" else later.to_zarr(path, zarr_format=2)
        with pytest.raises(SchemaError) as caught:
            attrkit.load(path)
        assert "'attrkit-7'; this version reads 'attrkit-2'" in str(caught.value)
        assert str(caught.value).endswith(advice)
