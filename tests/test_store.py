import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import attrkit
from attrkit.errors import AttrkitError, AttrkitWarning, InputError, SchemaError, StoreError
from attrkit.inputs import label_inputs
from attrkit.schema import build

STAMPS = pd.date_range("2015-01-01", periods=5, freq="h")
NAMES = ["regen °", "wind", "日本"]
MADE = "2015-01-01T00:00:00+00:00"
SUFFIXES = [".zarr", ".nc"]
both = pytest.mark.parametrize("suffix", SUFFIXES)


def dataset(**attrs):
    """Return two windows with time stamps of their own, a mask, classes, and every kind of attribute."""
    rng = np.random.default_rng(0)
    stamps = [STAMPS, STAMPS + pd.Timedelta("1D")]
    inputs = label_inputs([pd.DataFrame(rng.normal(size=(5, 3)), columns=NAMES, index=i) for i in stamps])
    return build(
        {
            "attribution": rng.normal(size=(2, 5, 3)).astype("float32"),
            "attention": rng.dirichlet(np.ones(5), size=(2, 5)),
            "mask": np.array([[True] * 5, [True, True, False, False, False]]),
            "prediction": rng.normal(size=(2, 2)),
        },
        inputs=inputs,
        coords={"target": ("sample", ["warm", "kält"]), "output": ("output", ["cold", "warm"])},
        attrs={
            "method": "mine",
            "seed": 3,
            "seconds": 0.25,
            "note": "",
            "sign": "größer\nals",
            "created_at": MADE,
            **attrs,
        },
    )


def stamped():
    """Return one window whose timesteps are labelled with time stamps."""
    frame = pd.DataFrame(np.arange(10.0).reshape(5, 2), index=STAMPS, columns=["a", "b"])
    return build(
        {"attribution": np.ones((1, 5))},
        inputs=label_inputs(frame),
        attrs={"method": "other", "created_at": MADE},
    )


def tree():
    return xr.DataTree.from_dict({"mine": dataset(), "é other": stamped()})


EXAMPLES = {"two windows": dataset, "one window": stamped, "tree": tree}


def round_trip(data, path):
    assert attrkit.save(data, path) == path
    back = attrkit.load(path)
    xr.testing.assert_identical(back, data)
    return back


# Round trips


@pytest.mark.parametrize("example", EXAMPLES)
@both
def test_what_was_saved_comes_back_identical(tmp_path, example, suffix):
    data = EXAMPLES[example]()
    back = round_trip(data, tmp_path / f"run{suffix}")
    assert type(back) is type(data)
    assert os.listdir(tmp_path) == [f"run{suffix}"]


@both
def test_dtypes_and_attributes_come_back(tmp_path, suffix):
    back = round_trip(dataset(), tmp_path / f"run{suffix}")
    for name in ("attribution", "attention", "mask", "prediction", "input", "sample"):
        assert back[name].dtype == dataset()[name].dtype
    assert back["time"].dtype.kind == "M"
    assert back["time"].dims == ("sample", "timestep")
    assert back["channel"].values.tolist() == NAMES
    assert back["target"].values.tolist() == ["warm", "kält"]
    assert back.attrs == dataset().attrs


@both
@pytest.mark.parametrize(
    "labels",
    [
        pd.timedelta_range("1h", periods=5),
        pd.date_range("1890-01-01", periods=5, freq="50YS"),
        STAMPS + pd.to_timedelta([0, 1, 10, 100, 1000], "us"),
        np.array("2015-01-01", dtype="datetime64[ns]") + np.arange(5),
        np.linspace(0, 1, 5),
        np.arange(5, dtype="int16"),
        np.array(["a", "bb", "ü", "", "日本"]),
    ],
    ids=["durations", "centuries", "uneven", "nanoseconds", "fractions", "short", "text"],
)
def test_labels_of_any_kind_come_back(tmp_path, suffix, labels):
    round_trip(stamped().assign_coords(timestep=labels), tmp_path / f"run{suffix}")


@both
def test_attributes_of_any_kind_come_back(tmp_path, suffix):
    values = ["", "é", 0, -(2**62), 1e-300, float("inf"), np.float32(0.1), np.int8(3)]
    odd = {f"odd {i}": value for i, value in enumerate(values)}
    ds = dataset(**odd)
    ds["attribution"].attrs |= odd
    ds["channel"].attrs |= odd
    round_trip(ds, tmp_path / f"run{suffix}")


@both
def test_units_are_text_that_changes_no_value(tmp_path, suffix):
    ds = dataset()
    all_units = ["output", "output / input", "1", "hours", "s", "°C", "days"]
    ds = ds.assign({f"copy{i}": ds["attribution"].assign_attrs(units=units) for i, units in enumerate(all_units)})
    round_trip(ds, tmp_path / f"run{suffix}")


@pytest.mark.parametrize("suffix", [".nc4", ".h5netcdf"])
def test_further_suffixes_of_netcdf_are_taken(tmp_path, suffix):
    round_trip(stamped(), tmp_path / f"run{suffix}")


@both
def test_units_by_which_values_would_come_back_as_dates_are_refused(tmp_path, suffix):
    ds = dataset()
    ds["attribution"].attrs["units"] = "days since 2000-01-01"
    with pytest.raises(SchemaError, match="attribute 'units' of 'attribution' is 'days since 2000-01-01', which files"):
        attrkit.save(ds, tmp_path / f"run{suffix}")
    assert os.listdir(tmp_path) == []


@both
def test_numbers_of_any_width_come_back(tmp_path, suffix):
    dtypes = ["float16", "float32", "float64", "uint8", "int64"]
    ds = stamped()
    ds = ds.assign({dtype: ds["attribution"].astype(dtype) for dtype in dtypes})
    back = round_trip(ds, tmp_path / f"run{suffix}")
    assert [back[dtype].dtype for dtype in dtypes] == dtypes


@both
def test_gaps_and_further_variables_come_back(tmp_path, suffix):
    ds = dataset().assign_coords(place="Köln", real=("timestep", [True, False, True, True, True]))
    ds["attribution"].values[0, 0] = np.nan
    round_trip(ds.assign(mine=("sample", [1, 2])), tmp_path / f"run{suffix}")


@both
def test_inputs_read_from_a_packed_file_keep_their_values(tmp_path, suffix):
    packed = tmp_path / "packed.nc"
    source = xr.Dataset({"rain": (("sample", "timestep", "channel"), np.linspace(0, 1, 30).reshape(2, 5, 3))})
    packing = {"dtype": "int16", "scale_factor": 0.01, "_FillValue": -1}
    source.to_netcdf(packed, engine="h5netcdf", encoding={"rain": packing})
    read = xr.load_dataset(packed, engine="h5netcdf")["rain"]
    read.values[:] += 0.003
    round_trip(build({"attribution": np.zeros((2, 5, 3))}, inputs=label_inputs(read)), tmp_path / f"run{suffix}")


@pytest.mark.parametrize("first", SUFFIXES)
@pytest.mark.parametrize("second", SUFFIXES)
def test_what_was_loaded_can_be_saved_in_another_format(tmp_path, first, second):
    back = round_trip(tree(), tmp_path / f"first{first}")
    round_trip(back, tmp_path / f"second{second}")
    round_trip(back["mine"].to_dataset().isel(timestep=slice(1, 3), sample=[1]), tmp_path / f"third{second}")


@both
def test_a_mapping_is_saved_as_a_tree(tmp_path, suffix):
    attrkit.save({"a": dataset(), "b": stamped()}, tmp_path / f"run{suffix}")
    back = attrkit.load(tmp_path / f"run{suffix}")
    xr.testing.assert_identical(back, xr.DataTree.from_dict({"a": dataset(), "b": stamped()}))


@both
def test_groups_keep_their_order(tmp_path, suffix):
    names = ["zeta", "alpha", "mid", "b", "ü c"]
    data = xr.DataTree.from_dict({name: stamped() for name in names})
    data.attrs["note"] = "of the tree"
    assert list(round_trip(data, tmp_path / f"run{suffix}").children) == names
    assert data.attrs == {"note": "of the tree"}


def examples():
    """Generate valid datasets of random sizes, labels, dtypes and variables."""
    text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)

    @st.composite
    def one(draw):
        sizes = {d: draw(st.integers(1, 4)) for d in ("sample", "timestep", "channel", "output", "head")}
        n, t, c, o, h = sizes.values()
        rng = np.random.default_rng(draw(st.integers(0, 99)))
        variables = {"attribution": rng.normal(size=(n, t, c)[: draw(st.integers(2, 3))])}
        if draw(st.booleans()):
            variables["attention"] = rng.random((n, h, t, t)).astype(draw(st.sampled_from(["float32", "float64"])))
        if draw(st.booleans()):
            variables["mask"] = rng.random((n, t)) > 0.5
        if draw(st.booleans()):
            variables["prediction"] = rng.normal(size=(n, o))
        labels = {
            "counted": np.arange(t),
            "stamped": pd.date_range(draw(st.datetimes(pd.Timestamp(1900, 1, 1), pd.Timestamp(2100, 1, 1))), periods=t),
            "named": np.array([f"{i}{draw(text)}" for i in range(t)]),
        }[draw(st.sampled_from(["counted", "stamped", "named"]))]
        attrs = draw(st.dictionaries(st.sampled_from("pqr"), text | st.integers(-(2**62), 2**62) | st.floats(-1, 1)))
        names = draw(st.lists(text, min_size=n, max_size=n))
        return build(
            variables,
            coords={"timestep": ("timestep", labels), "target": ("sample", np.array(names))},
            attrs=attrs,
        )

    return one()


@given(examples(), st.sampled_from(SUFFIXES), st.booleans())
@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_valid_dataset_comes_back_identical(tmp_path, ds, suffix, as_tree):
    path = tmp_path / f"run{suffix}"
    data = xr.DataTree.from_dict({"a": ds, "b": dataset()}) if as_tree else ds
    attrkit.save(data, path, overwrite=True)
    xr.testing.assert_identical(attrkit.load(path), data)


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
@pytest.mark.parametrize("example", EXAMPLES)
def test_saving_and_loading_warn_of_nothing(tmp_path, suffix, example):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        round_trip(EXAMPLES[example](), tmp_path / f"run{suffix}")


@both
def test_saving_leaves_the_data_as_they_were(tmp_path, suffix):
    data, before = tree(), tree()
    attrkit.save(data, tmp_path / f"run{suffix}")
    xr.testing.assert_identical(data, before)


# Where files go


@both
@pytest.mark.parametrize("name", ["with space", "ünï 日本", "a%20b#c?d v1.2"])
def test_any_name_of_a_file_will_do(tmp_path, suffix, name):
    path = tmp_path / name / f"{name}{suffix}"
    round_trip(stamped(), path)
    assert os.listdir(tmp_path / name) == [path.name]


@both
def test_a_path_may_be_text_and_relative(tmp_path, suffix, monkeypatch):
    monkeypatch.chdir(tmp_path)
    attrkit.save(stamped(), f"run{suffix}")
    xr.testing.assert_identical(attrkit.load(f"run{suffix}"), stamped())


@both
def test_what_is_there_is_replaced_only_when_asked(tmp_path, suffix):
    path = tmp_path / f"run{suffix}"
    attrkit.save(dataset(), path)
    with pytest.raises(StoreError, match=rf"run{suffix} exists already; pass overwrite=True"):
        attrkit.save(stamped(), path)
    xr.testing.assert_identical(attrkit.load(path), dataset())
    attrkit.save(stamped(), path, overwrite=True)
    xr.testing.assert_identical(attrkit.load(path), stamped())
    attrkit.save(tree(), path, overwrite=True)
    xr.testing.assert_identical(attrkit.load(path), tree())
    assert os.listdir(tmp_path) == [path.name]


@both
def test_overwriting_nothing_is_saving(tmp_path, suffix):
    attrkit.save(stamped(), tmp_path / f"run{suffix}", overwrite=True)
    xr.testing.assert_identical(attrkit.load(tmp_path / f"run{suffix}"), stamped())


@both
def test_a_file_takes_the_place_of_a_folder_and_a_folder_that_of_a_file(tmp_path, suffix):
    path = tmp_path / f"run{suffix}"
    path.write_text("something")
    attrkit.save(stamped(), path, overwrite=True)
    xr.testing.assert_identical(attrkit.load(path), stamped())
    attrkit.save(dataset(), tmp_path / "other.zarr")
    path.unlink() if path.is_file() else shutil.rmtree(path)
    shutil.copytree(tmp_path / "other.zarr", path)
    attrkit.save(stamped(), path, overwrite=True)
    xr.testing.assert_identical(attrkit.load(path), stamped())
    assert sorted(os.listdir(tmp_path)) == sorted(["other.zarr", path.name])


@pytest.mark.parametrize("error", [OSError("no space"), KeyboardInterrupt()], ids=["full", "interrupted"])
def test_a_rename_that_fails_leaves_what_was_there(tmp_path, monkeypatch, error):
    path = tmp_path / "run.zarr"
    attrkit.save(stamped(), path)

    replace = Path.replace

    def fail(self, to):
        # zarr renames its own files, in a thread that an error of ours would stop for good.
        if to == path:
            raise error
        return replace(self, to)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(StoreError if isinstance(error, OSError) else KeyboardInterrupt):
        attrkit.save(dataset(), path, overwrite=True)
    monkeypatch.undo()
    xr.testing.assert_identical(attrkit.load(path), stamped())
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("name", ["run", "run.csv", "run.zip", "run.nc.gz", "run."])
def test_other_suffixes_are_refused_before_anything_is_done(tmp_path, name):
    with pytest.raises(StoreError, match=r"ends in '.*'; accepted are .zarr, .nc, .nc4, .h5netcdf"):
        attrkit.save(stamped(), tmp_path / "new" / name)
    with pytest.raises(StoreError, match=r"accepted are .zarr, .nc"):
        attrkit.load(tmp_path / name)
    assert os.listdir(tmp_path) == []


# What is not saved


@both
def test_data_that_are_not_valid_are_not_written(tmp_path, suffix):
    path = tmp_path / "new" / f"run{suffix}"
    with pytest.raises(SchemaError, match="dimension 'channel' has no coordinate"):
        attrkit.save(dataset().drop_vars("channel"), path)
    with pytest.raises(SchemaError, match="group 'b': none of attribution, attention, activation"):
        attrkit.save({"a": dataset(), "b": xr.Dataset(attrs={"schema": "attrkit-2"})}, path)
    with pytest.raises(InputError, match="got a int; accepted are a Dataset"):
        attrkit.save(3, path)
    assert os.listdir(tmp_path) == []


@both
@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()], ids=["full", "interrupted"])
def test_a_write_that_fails_leaves_things_as_they_were(tmp_path, monkeypatch, suffix, there, error):
    path = tmp_path / f"run{suffix}"
    if there:
        attrkit.save(stamped(), path)

    def write_some(self, part, **kwargs):
        if suffix == ".zarr":
            part = part.root
            part.mkdir()
        (part / "half" if suffix == ".zarr" else part).write_text("half")
        raise error

    monkeypatch.setattr(xr.Dataset, "to_zarr" if suffix == ".zarr" else "to_netcdf", write_some)
    with pytest.raises(StoreError if isinstance(error, OSError) else KeyboardInterrupt) as caught:
        attrkit.save(dataset(), path, overwrite=True)
    if isinstance(error, OSError):
        assert str(caught.value) == f"{path} could not be written: disk full"
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ([path.name] if there else [])
    if there:
        xr.testing.assert_identical(attrkit.load(path), stamped())


@both
def test_a_dataset_no_file_can_hold_leaves_nothing_behind(tmp_path, suffix):
    odd = stamped().assign(mine=("sample", np.array([{}], dtype=object)))
    with pytest.raises((ValueError, StoreError), match="infer dtype"):
        attrkit.save(odd, tmp_path / f"run{suffix}")
    assert os.listdir(tmp_path) == []


def several_levels():
    index = pd.MultiIndex.from_product([[1], [3, 4, 5, 6, 7]])
    return stamped().drop_vars("timestep").assign_coords(xr.Coordinates.from_pandas_multiindex(index, "timestep"))


ODD = {
    "objects": lambda: dataset().assign(mine=("sample", np.array([{}, []], dtype=object))),
    "two indices": several_levels,
    "a name with a slash": lambda: dataset().assign({"a/b": ("sample", [1, 2])}),
    "stamps with units": lambda: stamped().assign_coords(timestep=("timestep", STAMPS, {"units": "UTC"})),
    "a group with a slash": lambda: {"a/b": dataset()},
    "a group without a name": lambda: {"": dataset()},
}


@both
@pytest.mark.parametrize("kind", ODD)
def test_a_dataset_no_file_can_hold_is_refused_by_an_error_of_ours(tmp_path, suffix, kind):
    odd = ODD[kind]()
    with pytest.raises(AttrkitError):
        attrkit.save(odd, tmp_path / f"run{suffix}")
    assert os.listdir(tmp_path) == []


@both
@pytest.mark.parametrize("below", [(), ("deeper",)])
def test_a_folder_that_is_a_file_is_refused(tmp_path, suffix, below):
    (tmp_path / "file").write_text("something")
    with pytest.raises(StoreError, match="could not be written"):
        attrkit.save(stamped(), tmp_path.joinpath("file", *below, f"run{suffix}"))


# What is not loaded


@both
def test_a_file_that_is_not_there_is_named(tmp_path, suffix):
    with pytest.raises(StoreError, match=rf"there is no file .*run{suffix}"):
        attrkit.load(tmp_path / f"run{suffix}")


@pytest.mark.parametrize("keep", [0, 4, 0.1, 0.5, 0.99])
def test_a_netcdf_file_that_was_cut_is_refused(tmp_path, keep):
    path = tmp_path / "run.nc"
    attrkit.save(tree(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    with pytest.raises(StoreError, match=r"run\.nc cannot be read as h5netcdf"):
        attrkit.load(path)


@pytest.mark.parametrize("part", [".zgroup", ".zattrs", "attribution/.zarray"])
@pytest.mark.parametrize("text", ["", "{", '{"zarr_format": 3}', '{"zarr_format": 9}'])
def test_a_zarr_folder_whose_metadata_were_cut_is_refused(tmp_path, text, part):
    path = tmp_path / "run.zarr"
    attrkit.save(stamped(), path)
    assert (path / part).exists()
    (path / part).write_text(text)
    with pytest.raises(AttrkitError, match=r"run\.zarr"):
        attrkit.load(path)


def test_a_zarr_folder_with_metadata_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "run.zarr"
    attrkit.save(stamped(), path)
    (path / ".zgroup").write_text("[]")
    with pytest.raises(StoreError, match=r"run\.zarr cannot be read as zarr"):
        attrkit.load(path)


def test_a_zarr_folder_whose_values_were_cut_is_refused(tmp_path):
    path = tmp_path / "run.zarr"
    attrkit.save(stamped(), path)
    chunks = [file for file in (path / "attribution").iterdir() if not file.name.startswith(".")]
    assert chunks
    for file in chunks:
        file.write_bytes(file.read_bytes()[:9])
    with pytest.raises(StoreError, match=r"run\.zarr cannot be read as zarr"):
        attrkit.load(path)


@pytest.mark.parametrize("name", ["run.zarr", "run.nc"])
def test_a_folder_or_file_of_something_else_is_refused(tmp_path, name):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / name).write_text("something")
    (tmp_path / "folder" / name).mkdir(parents=True)
    for place in ("text", "folder"):
        with pytest.raises(StoreError, match=f"{name} cannot be read as"):
            attrkit.load(tmp_path / place / name)


def write(data, path):
    if path.suffix == ".zarr":
        data.to_zarr(path, consolidated=False, zarr_format=2)
    else:
        data.to_netcdf(path, engine="h5netcdf")


@both
def test_a_valid_file_that_is_not_ours_is_refused_with_its_faults(tmp_path, suffix):
    path = tmp_path / f"weather{suffix}"
    foreign = xr.Dataset({"rain": (("time", "lat"), np.zeros((2, 3)))}, coords={"time": [0, 1]})
    write(foreign, path)
    with pytest.raises(SchemaError) as caught:
        attrkit.load(path)
    for part in (
        str(path),
        "'schema' is missing",
        "variables are ['rain']",
        "dimension 'lat' has no coordinate",
    ):
        assert part in str(caught.value)


@both
def test_a_tree_that_is_not_ours_is_refused_with_its_groups(tmp_path, suffix):
    path = tmp_path / f"weather{suffix}"
    foreign = xr.DataTree.from_dict({"a": dataset(), "b": xr.Dataset({"rain": ("time", [1, 2])})})
    write(foreign, path)
    with pytest.raises(
        SchemaError, match=r"weather.*not an attrkit tree:\n  - group 'b': attribute 'schema' is missing"
    ):
        attrkit.load(path)


@both
def test_a_file_of_another_version_is_refused_with_both(tmp_path, suffix):
    path = tmp_path / f"run{suffix}"
    future = dataset().assign_attrs(schema="attrkit-99")
    write(future, path)
    with pytest.raises(SchemaError, match="'schema' is 'attrkit-99'; this version reads 'attrkit-2'"):
        attrkit.load(path)


def test_a_zarr_store_of_version_3_is_read_too(tmp_path):
    ds = build({"attribution": np.zeros((2, 5))}, attrs={"created_at": MADE})
    ds.to_zarr(tmp_path / "run.zarr", consolidated=False, zarr_format=3)
    xr.testing.assert_identical(attrkit.load(tmp_path / "run.zarr"), ds)


@both
def test_zeros_and_empty_text_are_no_gaps(tmp_path, suffix):
    ds = build({"attribution": np.zeros((2, 3))}, coords={"target": ("sample", ["", "a"])}, attrs={"created_at": MADE})
    ds = ds.assign({f"of {kind}": ds["attribution"].astype(kind) for kind in ("int64", "uint8", "bool", "float32")})
    back = round_trip(ds, tmp_path / f"run{suffix}")
    assert {name: v.dtype for name, v in back.data_vars.items()} == {name: v.dtype for name, v in ds.data_vars.items()}


@both
def test_what_was_loaded_is_in_memory(tmp_path, suffix):
    path = tmp_path / f"run{suffix}"
    attrkit.save(dataset(), path)
    back = attrkit.load(path)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    np.testing.assert_array_equal(back["attribution"].values, dataset()["attribution"].values)


# What a file holds is checked


@both
def test_a_file_carries_a_checksum_that_a_loaded_dataset_does_not(tmp_path, suffix):
    path = attrkit.save(tree(), tmp_path / f"run{suffix}")
    with xr.open_datatree(path, engine="zarr" if suffix == ".zarr" else "h5netcdf") as opened:
        assert len(opened.attrs["attrkit_sha256"]) == 64
    assert attrkit.load(path).attrs == {}


@both
@pytest.mark.parametrize("change", ["value", "label", "attribute", "further"])
def test_what_another_program_has_changed_is_refused_and_says_how_to_take_it(tmp_path, suffix, change):
    path = attrkit.save(dataset(), tmp_path / f"run{suffix}")
    engine = "zarr" if suffix == ".zarr" else "h5netcdf"
    ds = xr.load_dataset(path, engine=engine, **({"consolidated": False} if suffix == ".zarr" else {}))
    if change == "value":
        ds["attribution"].values[0, 0, 0] += 1e-7
    elif change == "label":
        ds = ds.assign_coords(channel=["a", "b", "c"])
    elif change == "attribute":
        ds.attrs["note"] = "another"
    else:
        ds["mine"] = "sample", [1, 2]
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    ds = ds.drop_encoding()
    write(ds, path)
    with pytest.raises(
        StoreError, match=r"holds something else than was written.*take the attribute 'attrkit_sha256' off"
    ):
        attrkit.load(path)
    del ds.attrs["attrkit_sha256"]
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    write(ds, path)
    with pytest.warns(AttrkitWarning, match="has no checksum"):
        attrkit.load(path)


@both
def test_a_group_that_is_gone_is_missed(tmp_path, suffix):
    data = tree()
    path = attrkit.save(data, tmp_path / f"run{suffix}")
    if suffix == ".zarr":
        shutil.rmtree(path / "mine")
    else:
        import h5py

        with h5py.File(path, "a") as file:
            del file["mine"]
    for lazy in (False, True):
        with pytest.raises(StoreError, match="damaged"):
            attrkit.load(path, lazy=lazy)


def test_a_lost_chunk_is_missed_though_it_holds_nothing_but_zeros(tmp_path):
    path = attrkit.save(build({"attribution": np.zeros((2, 3))}), tmp_path / "run.zarr")
    (path / "attribution" / "0.0").unlink()
    for lazy in (False, True):
        with pytest.raises(StoreError, match="damaged"):
            attrkit.load(path, lazy=lazy)


def test_what_a_file_would_give_back_as_something_else_is_not_written(tmp_path):
    with pytest.raises(StoreError, match=r"run\.nc (was not|could not be) written"):
        attrkit.save(stamped().assign_attrs(note="cut \0 off"), tmp_path / "run.nc")
    assert os.listdir(tmp_path) == []


@both
def test_links_lead_to_stores(tmp_path, suffix):
    (tmp_path / "with space é").mkdir()
    path = attrkit.save(dataset(), tmp_path / "with space é" / f"run{suffix}")
    link = tmp_path / f"link{suffix}"
    link.symlink_to(path)
    xr.testing.assert_identical(attrkit.load(link), dataset())
    attrkit.save(stamped(), link, overwrite=True)
    xr.testing.assert_identical(attrkit.load(link), stamped())


@pytest.mark.parametrize("path", [3, None, [], {}], ids=str)
def test_what_is_no_path_is_refused(path):
    for call in (attrkit.load, lambda path: attrkit.save(stamped(), path)):
        with pytest.raises(InputError, match=f"path is a {type(path).__name__}; accepted is a str or Path"):
            call(path)
