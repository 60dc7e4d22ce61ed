"""What users may pass, right and wrong: arrays, tables, labels, options."""

import datetime

import numpy as np
import pandas as pd
import xarray as xr
from hypothesis import strategies as st

SIZES = (3, 6, 2)
"""Samples, timesteps and channels of inputs that are right."""

NAMES = [
    "",
    "a/b",
    ".",
    "..",
    "../x",
    "nan",
    "regen °C",
    "日本",
    "<script>alert(1)</script>",
    "a\nb",
    "a\0b",
    " ",
    "%s{0}",
]
"""Names that are hard on files, pages and formats."""


class Unreadable:
    """Fails as whatever it is taken for."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("not to be read")

    def __len__(self):
        raise RuntimeError("not to be counted")

    def __repr__(self):
        return "<Unreadable>"


class OwnError(Exception):
    """Of a function of the user's: it comes out as it is."""


def raises(*args, **kwargs):
    """A function that fails."""
    raise OwnError("of the user's own")


def odd():
    """Values that are of no use for most options, of every type."""
    return st.sampled_from(
        [
            None,
            True,
            False,
            0,
            1,
            2,
            -1,
            7,
            2.0,
            0.5,
            -0.5,
            float("nan"),
            float("inf"),
            10**30,
            -(2**63),
            1j,
            "",
            "x",
            "1",
            "mean",
            b"x",
            np.int64(2),
            np.int8(-1),
            np.float32(0.5),
            np.float64("nan"),
            np.bool_(True),
            np.str_("x"),
            np.datetime64("NaT"),
            pd.NaT,
            pd.NA,
            pd.Timestamp("2015-01-01"),
            datetime.timedelta(1),
            [],
            (),
            {},
            set(),
            [None],
            [1, "x"],
            [[1.0, 2.0], [3.0]],
            (1, 2, 3),
            {"a": 1},
            {0: "x"},
            range(3),
            slice(0, 2),
            np.zeros(0),
            np.zeros(3),
            np.zeros((2, 2)),
            np.array(None),
            np.array(["a", "b"]),
            np.ma.masked,
            pd.Series([1.0, 2.0]),
            pd.DataFrame({"a": [1.0]}),
            xr.DataArray(1.0),
            xr.DataArray([1.0, 2.0], dims="x"),
            xr.Dataset(),
            int,
            object(),
            len,
            raises,
            Unreadable(),
            iter([1]),
            Ellipsis,
        ]
    )


def dtypes():
    """Types of arrays, those of no use among them."""
    return st.sampled_from(
        [
            "float16",
            "float32",
            "float64",
            "longdouble",
            "int8",
            "uint8",
            "int64",
            "uint64",
            "bool",
            "complex64",
            "object",
            "str",
            "bytes",
            "datetime64[ns]",
            "timedelta64[s]",
            ">f4",
            ">i2",
        ]
    )


@st.composite
def arrays(draw, sizes=SIZES):
    """Arrays of any rank, type and layout, most of them close to what is right."""
    other = [sizes[:-1], (), (*sizes, 1), sizes[::-1], (1, *sizes[1:]), (0, *sizes[1:]), (sizes[0] + 1, *sizes[1:])]
    if len(sizes) == 3:
        samples, timesteps, channels = sizes
        other += [(samples, 0, channels), (samples, 1, channels), (samples, timesteps, 0), (samples, timesteps, 1)]
        other += [(samples, timesteps, channels + 1), (samples,)]
    shape = draw(st.sampled_from([sizes] * 8 + other))
    kind = draw(st.sampled_from(["float32", "float64"]) | dtypes())
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    values = np.asarray(3 * rng.standard_normal(shape))
    with np.errstate(all="ignore"):
        values = np.asarray(
            values.astype("int64").astype(kind) if kind in ("object", "uint64") else values.astype(kind)
        )
    if values.dtype.kind == "f" and values.size:
        for place, bad in draw(
            st.lists(st.tuples(st.integers(0, values.size - 1), st.sampled_from([np.nan, np.inf, 1e300])), max_size=2)
        ):
            with np.errstate(all="ignore"):
                values.flat[place] = bad
    layout = draw(st.sampled_from(["as it is", "read-only", "strided", "fortran", "masked", "list", "subclass"]))
    if layout == "read-only":
        values.flags.writeable = False
    elif layout == "strided" and values.ndim:
        values = np.repeat(values, 2, axis=0)[::2]
    elif layout == "fortran":
        values = np.asfortranarray(values)
    elif layout == "masked":
        values = np.ma.masked_array(values, mask=rng.random(values.shape) > draw(st.sampled_from([0.5, 1.0])))
    elif layout == "list":
        values = values.tolist()
    elif layout == "subclass" and values.ndim == 2:
        values = values.view(np.matrix)
    return values


INDEXES = [
    lambda n: pd.RangeIndex(n),
    lambda n: pd.Index([f"c{i}" for i in range(n)]),
    lambda n: pd.Index((NAMES * (1 + n // len(NAMES)))[:n]),
    lambda n: pd.Index(["same"] * n),
    lambda n: pd.Index([None, *range(1, n)][:n]),
    lambda n: pd.Index([np.nan, np.nan, *range(2, n)][:n], dtype=float),
    lambda n: pd.Index([1.5] * n),
    lambda n: days(n),
    lambda n: days(n)[::-1],
    lambda n: days(n).tz_localize("Europe/Berlin"),
    lambda n: pd.DatetimeIndex([pd.NaT, *days(n)[1:]][:n]),
    lambda n: pd.DatetimeIndex([pd.NaT] * n),
    lambda n: pd.timedelta_range("1h", periods=n) if n else pd.TimedeltaIndex([]),
    lambda n: pd.period_range("2015-01", periods=n, freq="M"),
    lambda n: pd.interval_range(0, n) if n else pd.Index([]),
    lambda n: pd.CategoricalIndex([f"k{i}" for i in range(n)]),
    lambda n: pd.MultiIndex.from_arrays([range(n), range(n)]) if n else pd.Index([]),
    lambda n: pd.Index([(i, i) for i in range(n)], tupleize_cols=False),
    lambda n: pd.Index([datetime.date(2015, 1, 1 + i) for i in range(n)]),
    lambda n: pd.Index([b"x%d" % i for i in range(n)]),
    lambda n: pd.Index([True, False, *range(2, n)][:n], dtype=object),
]


def days(length):
    """Return the first days of a year."""
    return pd.date_range("2015-01-01", periods=length, freq="D")


def indexes(length):
    """Labels of rows or columns: in order and not, repeated, with gaps, of every type."""
    return st.sampled_from(INDEXES).map(lambda make: make(length))


@st.composite
def frames(draw):
    """Tables of one sample."""
    rows, columns = draw(st.sampled_from([(6, 2)] * 4 + [(0, 2), (6, 0), (1, 2), (6, 1), (5, 2)]))
    kind = draw(
        st.sampled_from(["float64", "float32", "int64", "Int64", "Float64", "bool", "object", "str", "category"])
    )
    values = np.arange(rows * columns, dtype=float).reshape(rows, columns)
    frame = pd.DataFrame(values).astype("int64").astype(kind) if kind != "float64" else pd.DataFrame(values)
    if kind in ("Int64", "Float64") and frame.size and draw(st.booleans()):
        frame.iloc[0, 0] = pd.NA
    frame.index = draw(indexes(rows))
    frame.columns = draw(indexes(columns))
    return frame.iloc[:, 0] if columns and draw(st.integers(0, 5)) == 0 else frame


@st.composite
def labelled(draw):
    """DataArrays: dims in any order and by any name, labels of any kind, further coordinates, lazy ones."""
    values = np.random.default_rng(0).standard_normal(SIZES)
    dims = draw(
        st.sampled_from([("sample", "timestep", "channel")] * 4)
        | st.permutations(("sample", "timestep", "channel")).map(tuple)
        | st.sampled_from([("batch", "time", "feature"), ("sample", "lat", "lon"), ("x", "y", "z")])
        | st.sampled_from([("time", "timestep", "channel"), ("window", "step", "variable"), ("sample", "time", "")])
    )
    array = xr.DataArray(values.transpose([2, 1, 0] if dims[0] == "channel" else [0, 1, 2]), dims=dims)
    for dim in dims:
        if draw(st.booleans()):
            index = draw(indexes(array.sizes[dim]))
            if index.nlevels > 1:
                array = array.assign_coords(xr.Coordinates.from_pandas_multiindex(index, dim))
            else:
                array = array.assign_coords({dim: index})
    for name in draw(
        st.lists(st.sampled_from(["time", "mask", "input", "target", "output", "a/b", "", "real"]), max_size=2)
    ):
        own = draw(st.sampled_from([(), dims[:1], dims[:2], dims]))
        if name in dims or name in array.coords:
            continue
        kind = draw(st.sampled_from(["float64", "bool", "str", "object", "datetime64[ns]"]))
        coordinate = np.ones([array.sizes[dim] for dim in own])
        array = array.assign_coords({name: (own, coordinate.astype("int64").astype(kind))})
    array = array.astype(
        draw(st.sampled_from(["float64", "float32", "int64"]) | dtypes().filter(lambda k: k != "bytes"))
    )
    form = draw(
        st.sampled_from(["as it is", "as it is", "dask", "one sample", "Dataset", "attributes", "scalar labels"])
    )
    if form == "dask":
        array = array.chunk(2) if array.dtype.kind != "O" else array
    elif form == "one sample":
        array = array.isel({dims[0]: 1})
    elif form == "scalar labels":
        array = array.isel({dims[2]: 0})
    elif form == "Dataset":
        name = draw(st.sampled_from(["input", "x"]))
        return array.to_dataset(name=name) if name not in array.coords else array
    elif form == "attributes":
        array.attrs = {"units": "days since 2000-01-01", "flag": True, 3: None, "odd": {"a": 1}, "scale_factor": 2.0}
    return array


def inputs():
    """All kinds of inputs of a model that takes (sample, 6, 2)."""
    windows = st.lists(frames() | arrays((*SIZES[:2], 1)), max_size=3)
    return (
        arrays()
        | labelled()
        | frames()
        | windows
        | windows.map(tuple)
        | odd()
        | st.dictionaries(st.sampled_from(["x", "y", "", "a/b"]), arrays(), max_size=2)
    )


def right_inputs():
    """An array that is right in every way."""
    return np.random.default_rng(3).standard_normal(SIZES)
