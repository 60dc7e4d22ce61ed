import itertools

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from attrkit.baselines import resolve_baseline
from attrkit.errors import AttrkitError, InputError
from attrkit.inputs import DIMS, SYNONYMS, label_inputs
from attrkit.schema import build

VALUES = np.random.default_rng(0).normal(size=(2, 5, 3))
NAMES = ["rain", "wind", "heat"]
STAMPS = pd.date_range("2015-01-01", periods=5, freq="h")


def frame(values, index=None):
    return pd.DataFrame(values, columns=NAMES, index=index)


# Accepted forms

FORMS = {
    "array": VALUES,
    "nested lists": VALUES.tolist(),
    "list of arrays": list(VALUES),
    "tuple of arrays": tuple(VALUES),
    "list of DataFrames": [frame(v) for v in VALUES],
    "tuple of DataFrames": tuple(frame(v) for v in VALUES),
    "list of DataArrays": [xr.DataArray(v, dims=DIMS[1:]) for v in VALUES],
    "list of DataArrays in another order": [xr.DataArray(v.T, dims=("channel", "timestep")) for v in VALUES],
    "list of DataArrays of one sample": [xr.DataArray(v[None], dims=DIMS) for v in VALUES],
    "Dataset": build({"attribution": VALUES, "input": VALUES}),
    "batch, time, feature": xr.DataArray(VALUES, dims=("batch", "time", "feature")),
    "window, step, variable": xr.DataArray(VALUES, dims=("window", "step", "variable")),
    "synonyms in another order": xr.DataArray(VALUES.transpose(2, 0, 1), dims=("feature", "batch", "time")),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_labelled_array(form):
    x = label_inputs(FORMS[form], shape=(5, 3), dtype="float64")
    assert x.name == "input"
    assert x.dims == DIMS
    np.testing.assert_array_equal(x.values, VALUES)
    assert set(x.coords) == set(DIMS)
    np.testing.assert_array_equal(x["sample"], [0, 1])
    np.testing.assert_array_equal(x["timestep"], np.arange(5))


@pytest.mark.parametrize("order", list(itertools.permutations(DIMS)), ids="-".join)
def test_named_dims_come_in_any_order_and_keep_their_labels(order):
    given_array = xr.DataArray(
        VALUES,
        dims=DIMS,
        coords={"sample": ["a", "b"], "timestep": STAMPS, "channel": NAMES},
        attrs={"units": "1"},
    )
    x = label_inputs(given_array.transpose(*order))
    xr.testing.assert_identical(x, given_array.rename("input"))


@pytest.mark.parametrize("shape", [(5, 3), (None, 3), (5, None), (None, None), None])
def test_none_in_the_shape_stands_for_any_length(shape):
    np.testing.assert_array_equal(label_inputs(VALUES, shape=shape).values, VALUES)


def test_a_dataframe_is_one_sample_with_its_stamps_and_names():
    x = label_inputs(frame(VALUES[0], STAMPS), shape=(5, 3))
    np.testing.assert_array_equal(x.values, VALUES[:1])
    np.testing.assert_array_equal(x["timestep"], STAMPS)
    np.testing.assert_array_equal(x["channel"], NAMES)


@pytest.mark.parametrize(
    "index",
    [
        pd.date_range("2015-01-01 02:00", periods=5, freq="h", tz="Asia/Kolkata"),
        pd.date_range("2015-03-29 00:00", periods=5, freq="h", tz="Europe/Berlin"),
    ],
    ids=["half an hour off", "over a clock change"],
)
def test_stamps_with_a_time_zone_become_utc_without_one(index):
    x = label_inputs(frame(VALUES[0], index))
    np.testing.assert_array_equal(x["timestep"], index.tz_convert("UTC").tz_localize(None))


def test_periods_become_the_stamp_they_start_with():
    x = label_inputs(frame(VALUES[0], pd.period_range("2015-01", periods=5, freq="M")))
    np.testing.assert_array_equal(x["timestep"], pd.date_range("2015-01-01", periods=5, freq="MS"))


def test_a_series_is_one_sample_of_one_channel():
    x = label_inputs(pd.Series(VALUES[0, :, 0], index=STAMPS, name="rain"), shape=(5, 1))
    assert x.shape == (1, 5, 1)
    np.testing.assert_array_equal(x["channel"], ["rain"])


@pytest.mark.parametrize("columns", [[0, 1, 2], ["b", "a", "ü"], [("x", 1), ("x", 2), ("y", 1)]], ids=repr)
def test_columns_of_any_name_become_text(columns):
    data = pd.DataFrame(VALUES[0])
    data.columns = pd.Index(columns, tupleize_cols=False)
    np.testing.assert_array_equal(label_inputs(data)["channel"], [str(c) for c in columns])


@pytest.mark.parametrize(
    "dtype",
    [
        "Float64",
        "Int64",
        "float32",
        "int16",
    ],
)
def test_columns_of_pandas_own_number_types_are_taken(dtype):
    x = label_inputs(pd.DataFrame({"a": [1, 2], "b": [3, 4]}).astype(dtype))
    np.testing.assert_array_equal(x.values, [[[1, 3], [2, 4]]])
    assert x.dtype.kind in "fi"


def test_gaps_in_columns_of_pandas_own_types_are_refused_by_place():
    table = pd.DataFrame({"a": [1, None], "b": [3, 4]}).convert_dtypes()
    with pytest.raises(InputError, match="1 NaN or infinite values, the first at sample 0, timestep 1, channel a"):
        label_inputs(table)


def test_tokens_in_a_table_stay_integers():
    table = pd.DataFrame({"a": [1, 2**40]}).convert_dtypes()
    assert label_inputs(table, dtype="int64").values.tolist() == [[[1], [2**40]]]
    with pytest.raises(InputError, match=r"reach from 1 to 1099511627776, the model takes int32"):
        label_inputs(table, dtype="int32")


def test_windows_of_the_same_stamps_share_them_on_the_timesteps():
    x = label_inputs([frame(v, STAMPS) for v in VALUES])
    np.testing.assert_array_equal(x["timestep"], STAMPS)
    assert "time" not in x.coords


def test_windows_of_different_stamps_keep_them_in_time():
    later = STAMPS + pd.Timedelta("1D")
    x = label_inputs([frame(VALUES[0], STAMPS), frame(VALUES[1], later)])
    np.testing.assert_array_equal(x["timestep"], np.arange(5))
    assert x["time"].dims == ("sample", "timestep")
    np.testing.assert_array_equal(x["time"], np.stack([STAMPS, later]))


def test_a_single_dataarray_without_samples_is_one():
    x = label_inputs(xr.DataArray(VALUES[0].T, dims=("feature", "time"), coords={"feature": NAMES, "time": STAMPS}))
    np.testing.assert_array_equal(x.values, VALUES[:1])
    np.testing.assert_array_equal(x["channel"], NAMES)
    np.testing.assert_array_equal(x["timestep"], STAMPS)


def test_one_sample_taken_from_many_keeps_its_label():
    many = xr.DataArray(VALUES, dims=("sample", "time", "feature"), coords={"sample": ["north", "south"]})
    assert label_inputs(many.isel(sample=1))["sample"].values.tolist() == ["south"]
    x = label_inputs([many.isel(sample=1), many.isel(sample=0)])
    assert x["sample"].values.tolist() == ["south", "north"]
    np.testing.assert_array_equal(x.values, VALUES[::-1])


@pytest.mark.parametrize("labels", [("south", "south"), ("south", None)])
def test_windows_without_labels_of_their_own_are_counted(labels):
    arrays = [xr.DataArray(v, dims=DIMS[1:]) for v in VALUES]
    named = [a if label is None else a.assign_coords(sample=label) for a, label in zip(arrays, labels, strict=True)]
    assert label_inputs(named)["sample"].values.tolist() == [0, 1]


def test_windows_of_stamps_and_of_counted_steps_are_counted():
    x = label_inputs([frame(VALUES[0], STAMPS), frame(VALUES[1])])
    np.testing.assert_array_equal(x["timestep"], np.arange(5))


def test_attributes_no_file_can_hold_are_left_out():
    array = xr.DataArray(VALUES, dims=DIMS, coords={"timestep": STAMPS, "channel": NAMES})
    array.attrs = {"units": "1", "flags": [1, 2], "source": None, "scale_factor": 2.0}
    array["timestep"].attrs = {"long_name": "valid time", "units": "UTC"}
    before = array.copy(deep=True)
    x = label_inputs(array)
    assert x.attrs == {"units": "1"}
    assert x["timestep"].attrs == {"long_name": "valid time"}
    build({"attribution": VALUES}, inputs=x)
    xr.testing.assert_identical(array, before)


def test_what_was_explained_before_is_no_label_of_the_inputs():
    ds = build({"attribution": VALUES, "input": VALUES}, coords={"target": ("sample", [0, 1])})
    assert set(label_inputs(ds).coords) == set(DIMS)


@pytest.mark.parametrize(
    "tokens", [np.arange(10).reshape(2, 5), xr.DataArray(np.arange(10).reshape(2, 5), dims=DIMS[:2])]
)
def test_a_model_without_channels_takes_two_axes(tokens):
    x = label_inputs(tokens, shape=(5,), dtype="int32")
    assert x.dims == ("sample", "timestep")
    assert x.dtype == "int32"
    np.testing.assert_array_equal(x.values, np.arange(10).reshape(2, 5))


@pytest.mark.parametrize("kind", [">i2", ">f4"])
def test_values_of_another_byte_order_come_in_that_of_this_machine(kind):
    values = np.arange(12).reshape(1, 6, 2).astype(kind)
    found = label_inputs(values)
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, values)


def test_values_come_in_the_dtype_of_the_model():
    assert label_inputs(VALUES, dtype="float32").dtype == "float32"
    np.testing.assert_allclose(label_inputs(VALUES, dtype="float32").values, VALUES, rtol=1e-6)


@pytest.mark.parametrize(
    "given_inputs",
    [
        VALUES.copy(),
        xr.DataArray(VALUES.copy(), dims=("batch", "time", "feature")),
        frame(VALUES[0].copy(), STAMPS),
    ],
    ids=["array", "DataArray", "DataFrame"],
)
def test_inputs_stay_as_they_were(given_inputs):
    before = given_inputs.copy()
    label_inputs(given_inputs, dtype="float32").values[:] = 0
    np.testing.assert_array_equal(np.asarray(given_inputs), np.asarray(before))


def test_labels_no_file_can_keep_become_text():
    labels = np.array(["a", 1, None], dtype=object)
    x = label_inputs(xr.DataArray(VALUES, dims=DIMS, coords={"channel": labels}))
    assert x["channel"].dtype.kind == "U"
    np.testing.assert_array_equal(x["channel"], ["a", "1", "None"])


def test_further_coordinates_stay():
    array = xr.DataArray(VALUES, dims=DIMS, coords={"place": ("sample", ["x", "y"]), "run": 3})
    x = label_inputs(array)
    np.testing.assert_array_equal(x["place"], ["x", "y"])
    assert int(x["run"]) == 3


# Refused forms


@pytest.mark.parametrize("shape", [(5, 3), (None, 3)])
def test_a_single_unlabelled_sample_is_refused_with_the_way_out(shape):
    with pytest.raises(InputError, match=r"shape \(5, 3\).*\(sample, timestep, channel\).*inputs\[None\]"):
        label_inputs(VALUES[0], shape=shape)


@pytest.mark.parametrize(
    ("inputs", "shape", "message"),
    [
        (
            VALUES.transpose(0, 2, 1),
            (5, 3),
            r"3 timesteps, 5 channels.*\(sample, 5, 3\).*swapped.*transpose\(0, 2, 1\)",
        ),
        (VALUES, (5, 4), r"3 channels.*\(sample, 5, 4\); the model takes 4 channels, these are 3"),
        (VALUES, (None, 4), r"\(sample, any, 4\); the model takes 4 channels, these are 3"),
        (
            VALUES,
            (3, 3),
            r"5 timesteps.*\(sample, 3, 3\); cut a longer series with attrkit.windows\(series, 3\)",
        ),
        (VALUES, (8, 3), r"2 samples, 5 timesteps, 3 channels, the model takes \(sample, 8, 3\)$"),
        (VALUES, (5,), r"shape \(2, 5, 3\); accepted is \(sample, timestep\)"),
        (FORMS["batch, time, feature"], (5,), r"model's input has 2 dims with the batch, these have 3"),
        (frame(VALUES[0]), (5, 4), "4 channels, these are 3"),
    ],
    ids=["swapped", "channels", "channels of any length", "longer", "shorter", "rank", "named rank", "frame"],
)
def test_another_shape_is_refused_with_what_came_and_what_is_taken(inputs, shape, message):
    with pytest.raises(InputError, match=message):
        label_inputs(inputs, shape=shape)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_with_their_place(bad):
    values = VALUES.copy()
    values[1, 3, 2] = values[1, 4, 0] = bad
    with pytest.raises(InputError, match=r"2 NaN or infinite values, the first at sample 1, timestep 3, channel 2"):
        label_inputs(values)
    with pytest.raises(InputError, match=r"first at sample 0, timestep 2015-01-01T03:00.*, channel heat; fill them"):
        label_inputs(frame(values[1], STAMPS))


def test_values_beyond_the_dtype_of_the_model_are_refused():
    with np.errstate(over="ignore"), pytest.raises(InputError, match="infinite"):
        label_inputs(np.full((1, 5, 3), 1e300), dtype="float32")


@pytest.mark.parametrize("dtype", ["int64", "uint8"])
def test_integers_are_refused_where_the_model_takes_floats(dtype):
    with pytest.raises(InputError, match=rf"inputs are {dtype}, the model takes float32; .*inputs.astype\('float32'\)"):
        label_inputs(np.ones((2, 5, 3), dtype=dtype), dtype="float32")


def test_floats_are_refused_where_the_model_takes_integers():
    with pytest.raises(InputError, match=r"inputs are float64, the model takes integers \(int32\), such as token ids"):
        label_inputs(np.ones((2, 5)), shape=(5,), dtype="int32")


@pytest.mark.parametrize(
    "values",
    [
        np.full((2, 5, 3), "a"),
        np.full((2, 5, 3), None),
        np.ones((2, 5, 3), dtype=bool),
        np.ones((2, 5, 3), dtype=complex),
        np.full((2, 5, 3), np.datetime64("2015")),
    ],
    ids=lambda values: values.dtype.name,
)
@pytest.mark.parametrize(("dtype", "accepted"), [("float32", "float32"), (None, "floats or integers")])
def test_values_that_are_no_numbers_are_refused(values, dtype, accepted):
    with pytest.raises(InputError, match=f"dtype .*; accepted are {accepted}"):
        label_inputs(values, dtype=dtype)


def test_columns_that_are_no_numbers_are_named():
    with pytest.raises(InputError, match=r"columns \['place', 'day'\] are not numbers; drop or encode"):
        label_inputs(pd.DataFrame({"rain": [1.0], "place": ["x"], "day": pd.to_datetime(["2015"])}))
    with pytest.raises(InputError, match=r"columns \['wet'\] are not numbers"):
        label_inputs(pd.DataFrame({"rain": [1.0], "wet": [True]}))


@pytest.mark.parametrize("shape", [(0, 5, 3), (2, 0, 3), (2, 5, 0)])
def test_an_empty_axis_is_refused(shape):
    with pytest.raises(InputError, match=f"empty: got {shape[0]} samples, {shape[1]} timesteps, {shape[2]} channels"):
        label_inputs(np.zeros(shape))


@pytest.mark.parametrize("inputs", [[], (), 3.0, np.zeros(5), np.zeros((1, 2, 3, 4)), None], ids=repr)
def test_arrays_of_another_rank_are_refused(inputs):
    with pytest.raises(InputError, match=r"unlabelled array of shape .*; accepted is \(sample, timestep, channel\)"):
        label_inputs(inputs)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([VALUES[0], VALUES[1, :3]], r"one shape, got \[\(3, 3\), \(5, 3\)\]; attrkit.pad makes them"),
        ([frame(VALUES[0]), frame(VALUES[1, :3])], "lengths from 3 to 5; attrkit.pad makes"),
        (
            [frame(VALUES[0]), frame(VALUES[1]).drop(columns="rain")],
            "window 1 has other channels than window 0",
        ),
        ([frame(VALUES[0]), frame(VALUES[1])[NAMES[::-1]]], "window 1 has other channels than window 0"),
        ([xr.DataArray(VALUES, dims=DIMS)] * 2, "window 0 has 2 samples; a list holds one a window"),
        ([frame(VALUES[0]), frame(VALUES[1]).astype({"rain": str})], r"columns \['rain'\] are not numbers"),
    ],
    ids=["arrays", "frames", "channels", "order of channels", "samples", "text"],
)
def test_windows_that_do_not_match_are_refused(inputs, message):
    with pytest.raises(InputError, match=message):
        label_inputs(inputs)


@pytest.mark.parametrize(
    "inputs",
    [
        pytest.param([frame(VALUES[0]), VALUES[1]], id="frame and array"),
        pytest.param([[[1.0, 2.0], [3.0]]], id="ragged rows"),
        pytest.param([xr.Dataset({"input": (DIMS[1:], VALUES[0])})] * 2, id="Datasets"),
    ],
)
def test_lists_of_something_else_are_refused(inputs):
    with pytest.raises(AttrkitError):
        label_inputs(inputs)


@pytest.mark.parametrize("dims", [("a", "b", "c"), ("sample", "timestep", "x"), ("sample", "lat", "channel")])
def test_dims_of_unknown_names_are_refused_never_guessed(dims):
    with pytest.raises(InputError, match=rf"dims \('{dims[0]}', .*accepted are \('sample', 'timestep', 'channel'\)"):
        label_inputs(xr.DataArray(VALUES, dims=dims))


@pytest.mark.parametrize("dims", [("sample", "time", "timestep"), ("time", "step", "channel"), ("sample", "feature")])
def test_dims_that_mean_one_axis_twice_or_no_time_are_refused(dims):
    with pytest.raises(InputError, match="the DataArray has dims"):
        label_inputs(xr.DataArray(np.zeros((2, 5, 3)[: len(dims)]), dims=dims))


def test_a_coordinate_with_the_name_a_dim_would_get_is_refused():
    array = xr.DataArray(VALUES[0], dims=("time", "channel"), coords={"timestep": ("time", range(5))})
    with pytest.raises(InputError, match=r"coordinates \['timestep'\], of which two mean one axis"):
        label_inputs(array)


def test_labels_of_several_levels_are_refused():
    levels = xr.Coordinates.from_pandas_multiindex(pd.MultiIndex.from_product([["a"], range(5)]), "timestep")
    with pytest.raises(InputError, match=r"labels of timestep are a MultiIndex; .*reset_index\('timestep'\)"):
        label_inputs(xr.DataArray(VALUES, dims=DIMS, coords=levels))


@pytest.mark.parametrize("dim", DIMS)
def test_labels_that_repeat_are_refused(dim):
    array = xr.DataArray(VALUES, dims=DIMS)
    with pytest.raises(InputError, match=rf"labels of {dim} repeat: \['a', 'a'.*\]; every {dim} needs a label"):
        label_inputs(array.assign_coords({dim: ["a"] * array.sizes[dim]}))


def test_stamps_that_repeat_are_refused():
    with pytest.raises(InputError, match=r"labels of timestep repeat: \['2015-01-01T00:00:00"):
        label_inputs(frame(VALUES[0], STAMPS[[0, 1, 1, 2, 3]]))


def test_a_table_of_two_indices_is_refused():
    index = pd.MultiIndex.from_product([["a"], range(5)])
    with pytest.raises(InputError, match="MultiIndex; pass one frame a sample"):
        label_inputs(frame(VALUES[0], index))


def test_a_mapping_is_refused_with_its_keys():
    with pytest.raises(InputError, match=r"mapping with keys \['a', 'b'\]; the model has one input"):
        label_inputs({"a": VALUES, "b": VALUES})


def test_a_dataset_without_inputs_is_refused_with_what_it_holds():
    with pytest.raises(InputError, match=r"must hold 'input', got \['rain'\]"):
        label_inputs(xr.Dataset({"rain": (("sample", "timestep"), VALUES[..., 0])}))


def test_synonyms_are_other_names_of_our_dims():
    assert set(SYNONYMS.values()) == set(DIMS)
    assert not set(SYNONYMS) & set(DIMS)


# Baselines

X = label_inputs([frame(v, STAMPS) for v in VALUES])
BASELINES = {
    "zero": (0.0, (), "0"),
    "integer": (2, (), "2"),
    "number": (-1.5, (), "-1.5"),
    "numpy number": (np.float32(0.5), (), "0.5"),
    "mean": ("mean", ("channel",), "mean of the inputs over sample and timestep"),
    "channel": ([1.0, 2.0, 3.0], ("channel",), "array over channel"),
    "timestep, channel": (VALUES[0], ("timestep", "channel"), "array over timestep, channel"),
    "all": (VALUES * 2, DIMS, "array over sample, timestep, channel"),
    "named channel": (xr.DataArray([1.0, 2.0, 3.0], dims="feature"), ("channel",), "array over channel"),
    "named sample": (xr.DataArray([1.0, 2.0], dims="sample"), ("sample",), "array over sample"),
    "named, another order": (
        xr.DataArray(VALUES[0].T, dims=("channel", "time")),
        ("timestep", "channel"),
        "array over timestep, channel",
    ),
}


@pytest.mark.parametrize("form", BASELINES)
def test_a_baseline_keeps_the_dims_it_varies_over(form):
    baseline, dims, said = BASELINES[form]
    values, text = resolve_baseline(baseline, X)
    assert values.dims == dims
    assert values.dtype == X.dtype
    assert text == said
    for dim in dims:
        np.testing.assert_array_equal(values[dim], X[dim])
    wanted = VALUES.mean(axis=(0, 1)) if form == "mean" else np.asarray(baseline)
    wanted = VALUES[0] if form == "named, another order" else wanted
    np.testing.assert_allclose(values.values, wanted)
    assert (X - values).dims == X.dims


def test_the_mean_of_inputs_without_channels_is_one_a_timestep():
    x = X.isel(channel=0, drop=True)
    values, text = resolve_baseline("mean", x)
    np.testing.assert_allclose(values.values, x.values.mean(axis=0))
    assert text == "mean of the inputs over sample"


def test_a_baseline_comes_in_the_dtype_of_the_inputs():
    assert resolve_baseline([1, 2, 3], X.astype("float32"))[0].dtype == "float32"


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        (
            "median",
            r"unknown baseline 'median'; accepted are a number, 'mean', .*\(3,\), \(5, 3\) or \(2, 5, 3\)",
        ),
        ([1.0, 2.0], r"shape \(2,\) and dtype float64; accepted are"),
        (np.zeros((3, 5)), r"shape \(3, 5\)"),
        (np.zeros((1, 5, 3)), r"shape \(1, 5, 3\)"),
        (np.zeros((1, 2, 5, 3)), r"shape \(1, 2, 5, 3\)"),
        (None, "dtype object"),
        (True, "dtype bool"),
        (1j, "dtype complex128"),
        (["a", "b", "c"], "dtype <U1"),
        (np.nan, "NaN or infinite"),
        ([0.0, np.inf, 0.0], "NaN or infinite"),
        (xr.DataArray([1.0, 2.0], dims="channel"), "the baseline has 2 channels, the inputs have 2 samples"),
        (xr.DataArray([1.0, 2.0, 3.0], dims="place"), "the baseline has 3 places"),
        (xr.DataArray(["a", "b", "c"], dims="channel"), "<U1"),
        ([[1.0, 2.0], [3.0]], "accepted"),
    ],
)
def test_other_baselines_are_refused_with_what_is_accepted(baseline, message):
    with pytest.raises(InputError, match=message):
        resolve_baseline(baseline, X)


def test_a_baseline_with_names_goes_to_the_channels_of_these_names():
    baseline = xr.DataArray([1.0, 2.0, 3.0], dims="channel", coords={"channel": NAMES[::-1]})
    try:
        values, _ = resolve_baseline(baseline, X)
    except InputError:
        return
    np.testing.assert_array_equal(values.sel(channel=NAMES), [3.0, 2.0, 1.0])


def test_a_baseline_with_names_the_inputs_lack_is_refused():
    with pytest.raises(InputError, match="channel"):
        resolve_baseline(xr.DataArray([1.0, 2.0, 3.0], dims="channel", coords={"channel": ["u", "v", "w"]}), X)


def test_a_baseline_of_no_dims_is_recorded_as_its_number():
    assert resolve_baseline(xr.DataArray(1.5), X)[1] == "1.5"


def test_a_baseline_that_integers_cannot_hold_is_refused():
    with pytest.raises(InputError, match=r"0\.5|integer"):
        resolve_baseline(0.5, label_inputs(np.ones((2, 5), dtype=int)))


@pytest.mark.parametrize(
    "baseline",
    [
        pd.Series([3.0, 2.0, 1.0], index=NAMES[::-1]),
        pd.Series([3.0, 2.0, 1.0], index=NAMES[::-1]).convert_dtypes(),
        pd.Series([1.0, 2.0, 3.0]),
        pd.DataFrame([[3.0, 2.0, 1.0]] * 5, columns=NAMES[::-1], index=STAMPS[::-1]),
        pd.DataFrame([[3.0, 2.0, 1.0]] * 5, columns=NAMES[::-1]),
        pd.DataFrame([[3.0, 2.0, 1.0]] * 5, columns=NAMES[::-1], index=STAMPS.tz_localize("UTC")),
        xr.DataArray([3.0, 2.0, 1.0], dims="feature", coords={"feature": NAMES[::-1]}),
    ],
    ids=["Series", "Float64", "Series without labels", "DataFrame", "counted rows", "time zone", "DataArray"],
)
def test_a_table_goes_to_the_labels_of_the_inputs(baseline):
    values, _ = resolve_baseline(baseline, X)
    assert (values == xr.DataArray([1.0, 2.0, 3.0], dims="channel")).all()
    for dim in values.dims:
        np.testing.assert_array_equal(values[dim], X[dim])


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        (pd.Series([1.0, 2.0, 3.0], index=["u", "v", "w"]), r"labels of channel are \['u', 'v', 'w'\], .*\['rain',"),
        (frame(VALUES[0], STAMPS + pd.Timedelta("1h")), "labels of timestep are"),
        (pd.Series(["a", "b", "c"], index=NAMES), "are not numbers"),
        (pd.Series([1.0, 2.0], index=NAMES[:2]), r"shape \(2,\)"),
        (xr.DataArray(VALUES[0], dims=("time", "step")), "two mean one axis"),
        (xr.Dataset({"a": 1}), "accepted are a number"),
    ],
)
def test_tables_that_do_not_fit_are_refused(baseline, message):
    with pytest.raises(InputError, match=message):
        resolve_baseline(baseline, X)


def test_a_baseline_beyond_the_dtype_of_the_inputs_is_refused():
    with pytest.raises(InputError, match="NaN or infinite values as float32"):
        resolve_baseline(1e300, X.astype("float32"))


@pytest.mark.parametrize("baseline", ["mean", np.nan, 2**40])
def test_a_baseline_of_tokens_is_made_of_tokens(baseline):
    tokens = label_inputs(np.array([[1], [2]]), dtype="int32")
    with pytest.raises(InputError, match="the inputs are int32, which cannot hold the baseline"):
        resolve_baseline(baseline, tokens)


@pytest.mark.parametrize(
    "values",
    [
        np.ma.masked_array(VALUES, VALUES > 1),
        np.ma.masked_array(VALUES, np.ones(VALUES.shape, bool)),
        [np.ma.masked_array(one, one > 1) for one in VALUES],
    ],
    ids=["some", "all", "windows"],
)
def test_masked_values_are_refused_and_never_read_as_what_is_beneath(values):
    with pytest.raises(InputError, match=r"has masked values, .*fill them.*mask="):
        label_inputs(values)
    with pytest.raises(InputError, match="the baseline has masked values"):
        resolve_baseline(np.ma.masked, label_inputs(VALUES))


def test_a_masked_array_that_masks_nothing_is_an_array():
    np.testing.assert_array_equal(label_inputs(np.ma.masked_array(VALUES)), VALUES)


def test_a_baseline_that_is_a_date_is_refused():
    with pytest.raises(InputError, match=r"the baseline has shape .* and dtype datetime64"):
        resolve_baseline(np.datetime64("NaT"), label_inputs(VALUES))
