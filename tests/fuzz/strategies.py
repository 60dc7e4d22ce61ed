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


def raises(*args, **kwargs):
    """A function that fails."""
    raise ZeroDivisionError("of the user's own")


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
    shape = draw(
        st.sampled_from([sizes] * 6 + [sizes[:2], sizes[:1], (), (*sizes, 1), sizes[::-1], (1, *sizes[1:])])
        | st.sampled_from([(0, *sizes[1:]), (sizes[0], 0, sizes[2]), (sizes[0], 1, sizes[2]), (*sizes[:2], 0)])
        | st.sampled_from([(*sizes[:2], 1), (*sizes[:2], sizes[2] + 1), (sizes[0] + 1, *sizes[1:])])
    )
    kind = draw(st.sampled_from(["float32", "float64"]) | dtypes())
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    values = 3 * rng.standard_normal(shape)
    with np.errstate(all="ignore"):
        values = values.astype("int64").astype(kind) if kind in ("object", "uint64") else values.astype(kind)
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


def indexes(length):
    """Labels of rows or columns: in order and not, repeated, with gaps, of every type."""
    days = pd.date_range("2015-01-01", periods=max(length, 1), freq="D")[:length]
    return st.sampled_from(
        [
            pd.RangeIndex(length),
            pd.Index([f"c{i}" for i in range(length)]),
            pd.Index((NAMES * (1 + length // len(NAMES)))[:length]),
            pd.Index(["same"] * length),
            pd.Index([None, *range(1, length)][:length]),
            pd.Index([np.nan, np.nan, *range(2, length)][:length], dtype=float),
            pd.Index([1.5] * length),
            days,
            days[::-1],
            days.tz_localize("Europe/Berlin"),
            pd.DatetimeIndex([pd.NaT, *days[1:]][:length]),
            pd.DatetimeIndex([pd.NaT] * length),
            pd.timedelta_range("1h", periods=length) if length else pd.TimedeltaIndex([]),
            pd.period_range("2015-01", periods=length, freq="M"),
            pd.interval_range(0, length) if length else pd.Index([]),
            pd.CategoricalIndex([f"k{i}" for i in range(length)]),
            pd.MultiIndex.from_arrays([range(length), range(length)]) if length else pd.Index([]),
            pd.Index([(i, i) for i in range(length)], tupleize_cols=False),
            pd.Index([datetime.date(2015, 1, 1 + i) for i in range(length)]),
            pd.Index([b"x%d" % i for i in range(length)]),
            pd.Index([True, False, *range(2, length)][:length], dtype=object),
        ]
    )


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
        | st.sampled_from([("time", "timestep", "channel"), ("window", "step", "variable"), ("sample", "time", 3)])
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
        return array.to_dataset(name=draw(st.sampled_from(["input", "x"])))
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
