"""Windows cut from one series, and series of several lengths padded to one."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from attrkit import pad, windows
from attrkit.errors import InputError
from attrkit.inputs import DIMS, label_inputs

SERIES = np.random.default_rng(0).standard_normal((5, 3))
NAMES = ["rain", "wind", "heat"]
STAMPS = pd.date_range("2015-01-01", periods=5, freq="h")

# Windows


@given(
    n=st.integers(1, 30),
    channels=st.integers(1, 3),
    length=st.integers(1, 30),
    stride=st.integers(1, 30),
    named=st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_windows_are_those_of_a_slow_loop(n, channels, length, stride, named):
    values = np.arange(n * channels, dtype=float).reshape(n, channels)
    stamps = pd.date_range("2015-01-01", periods=n, freq="h")
    series = pd.DataFrame(values, index=stamps) if named else values
    slow, times = [], []
    start = 0
    while start + length <= n:
        slow.append([values[start + i] for i in range(length)])
        times.append([stamps[start + i] for i in range(length)])
        start += stride
    if not slow:
        with pytest.raises(InputError, match=f"the series has {n} timesteps, a window needs {length}"):
            windows(series, length, stride=stride)
        return
    x = windows(series, length, stride=stride)
    assert x.dims == DIMS
    np.testing.assert_array_equal(x.values, slow)
    np.testing.assert_array_equal(x["sample"], np.arange(len(slow)))
    np.testing.assert_array_equal(x["timestep"], np.arange(length))
    assert ("time" in x.coords) == named
    if named:
        np.testing.assert_array_equal(x["time"], np.array(times, dtype="datetime64[ns]"))


@pytest.mark.parametrize(
    "series",
    [
        pd.DataFrame(SERIES, columns=NAMES, index=STAMPS),
        xr.DataArray(SERIES.T, dims=("feature", "time"), coords={"feature": NAMES, "time": STAMPS}),
        xr.DataArray(SERIES[None], dims=DIMS, coords={"channel": NAMES, "timestep": STAMPS}),
    ],
    ids=["DataFrame", "DataArray", "DataArray of one sample"],
)
def test_windows_keep_stamps_and_names(series):
    x = windows(series, 2, stride=3)
    np.testing.assert_array_equal(x.values, [SERIES[:2], SERIES[3:]])
    np.testing.assert_array_equal(x["channel"], NAMES)
    np.testing.assert_array_equal(x["time"], np.stack([STAMPS[:2], STAMPS[3:]]))
    xr.testing.assert_identical(label_inputs(x), x.rename("input"))


@pytest.mark.parametrize(("length", "stride"), [(0, 1), (-1, 1), (2, 0), (2, -1)])
def test_windows_of_no_length_or_no_stride_are_refused(length, stride):
    with pytest.raises(InputError, match=r"(length|stride) must be a whole number, 1 or more, got"):
        windows(SERIES, length, stride=stride)


@pytest.mark.parametrize(
    ("series", "message"),
    [
        (SERIES[:, 0], r"a series is \(timestep, channel\), got an array of shape \(5,\)"),
        (np.stack([SERIES] * 2), r"a series is \(timestep, channel\), got an array of shape \(2, 5, 3\)"),
        (xr.DataArray([SERIES] * 2, dims=DIMS), "cut from one series, got 2 samples"),
        (xr.DataArray(SERIES, dims=("a", "b")), "accepted are"),
        (xr.DataArray(SERIES[:, 0], dims="time"), "without channels"),
    ],
    ids=["one axis", "three axes", "samples", "unknown dims", "no channels"],
)
def test_windows_of_something_else_than_one_series_are_refused(series, message):
    with pytest.raises(InputError, match=message):
        windows(series, 2)


def test_windows_of_a_length_that_is_no_integer_are_refused():
    with pytest.raises(InputError, match="length"):
        windows(SERIES, 2.5)


# Padding


@settings(deadline=None, max_examples=50)
@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5), side=st.sampled_from(["left", "right"]))
def test_every_series_is_there_and_all_else_is_padding(lengths, side):
    rng = np.random.default_rng(0)
    series = [rng.standard_normal((length, 2)) for length in lengths]
    x = pad(series, value=-7.0, side=side)
    for one, padded, mask in zip(series, x.values, x["mask"].values, strict=True):
        np.testing.assert_array_equal(padded[mask], one)
        np.testing.assert_array_equal(padded[~mask], -7.0)
        np.testing.assert_array_equal(
            np.flatnonzero(mask), np.arange(len(one)) + (0 if side == "right" else max(lengths) - len(one))
        )


def test_stamps_and_names_stay_with_their_series():
    frames = [
        pd.DataFrame({"rain": np.arange(n, dtype=float)}, index=pd.date_range(start, periods=n))
        for n, start in ((3, "2012-01-01"), (2, "2012-02-01"))
    ]
    x = pad(frames)
    assert x["channel"].values.tolist() == ["rain"]
    assert str(x["time"].values[1, 1])[:10] == "2012-02-02"
    assert np.isnat(x["time"].values[1, 2])


def test_token_ids_stay_integers():
    x = pad([np.array([4, 5, 6]), [7]])
    assert x.dims == ("sample", "timestep")
    np.testing.assert_array_equal(x, [[4, 5, 6], [7, 0, 0]])
    assert x.dtype.kind == "i"


@pytest.mark.parametrize(
    ("series", "options", "message"),
    [
        ([], {}, "one a sample; got a list of none"),
        ("ab", {}, "got a str of none"),
        ([np.ones((3, 2)), np.ones((3, 1))], {}, r"series 1 has \{'timestep': 3, 'channel': 1\}, series 0"),
        ([np.ones((3, 2, 1))], {}, r"a series is \(timestep, channel\).*got shape \(3, 2, 1\)"),
        ([np.ones((3, 2))], {"side": "top"}, "side='top' is not known; accepted are 'right', 'left'"),
    ],
)
def test_what_cannot_be_padded_is_refused(series, options, message):
    with pytest.raises(InputError, match=message):
        pad(series, **options)
