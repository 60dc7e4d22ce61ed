"""What may be asked of a model of two outputs on samples of (6, 2): targets, baselines and masks, right and wrong."""

import numpy as np
import pandas as pd
import xarray as xr
from hypothesis import strategies as st

from tests.fuzz import strategies


def targets():
    """Outputs to explain: by number, place, label, one a sample, as a table, a function, a word."""
    index = st.sampled_from(
        [0, 1, -1, 2, -3, "cold", "warm", "hot", 0.0, True, np.int64(1), (0,), (1, 0), ("output", 1)]
    )
    several = st.lists(index, min_size=2, max_size=4)
    shapes = st.sampled_from(
        [np.eye(2)[[0, 1, 0]], np.eye(3), np.array([0, 1, 1]), np.array([0.0, 1.0, 1.0]), np.array(1)]
    )
    tables = st.sampled_from(
        [
            pd.Series(["cold", "warm", "cold"]),
            pd.Series([0, 1, 5]),
            pd.Categorical(["cold", "warm", "cold"]),
            pd.Index([0, 1, 1]),
            xr.DataArray([1, 0, 1], dims="sample"),
            xr.DataArray([[1, 0, 1]], dims=("a", "sample")),
            pd.array([1, None, 0], dtype="Int64"),
        ]
    )
    functions = st.sampled_from(
        [
            lambda outputs: outputs[:, 0],
            lambda outputs: outputs,
            lambda outputs: outputs.sum(),
            lambda outputs: None,
            lambda outputs: "text",
            lambda outputs: outputs[:, 7],
            lambda outputs: outputs[:1, 0],
            lambda outputs: outputs[:, 0] * np.nan,
            lambda: 1,
            strategies.raises,
        ]
    )
    words = st.sampled_from(["all", "predicted", "cold", "hot", "", "0", None])
    return (
        index
        | several
        | several.map(tuple)
        | several.map(lambda entries: np.array(entries, dtype=object))
        | shapes
        | tables
        | functions
        | words
        | strategies.odd()
    )


def output_labels():
    """Labels of the two outputs of a model, right and wrong."""
    return (
        st.sampled_from([None, ["cold", "warm"], ("cold", "warm"), ["a", "a"], ["a"], [0, 1], [1, 0], ["", "a/b"]])
        | strategies.odd()
    )


@st.composite
def baselines(draw):
    """Arrays of every rank, type and kind, most of which broadcast to the inputs."""
    shape = draw(
        st.sampled_from([(), (2,), (6, 2), (3, 6, 2), (6,), (3,), (1, 6, 2), (3, 1, 2), (2, 6), (3, 6, 2, 1), (0,)])
    )
    values = np.full(shape, draw(st.sampled_from([0.0, 1.5, np.nan, np.inf, 1e300])))
    kind = draw(
        st.sampled_from(["float64", "float32", "int64", "bool", "complex64", "object", "str", "datetime64[ns]"])
    )
    with np.errstate(all="ignore"):
        values = np.asarray(np.nan_to_num(values)).astype(kind) if kind != "float64" else values
    form = draw(st.sampled_from(["array", "labelled", "list", "masked", "frame"]))
    if form == "labelled" and len(shape) in (2, 3):
        dims = draw(st.permutations(("sample", "timestep", "channel")[-len(shape) :]))
        first = draw(st.sampled_from([None, 0, 5]))
        coords = {} if first is None else {dims[0]: np.arange(first, first + shape[0])}
        return xr.DataArray(values, coords, dims)
    if form == "masked":
        return np.ma.masked_array(values, mask=np.arange(values.size).reshape(shape) % 2 == 0)
    if form == "frame" and len(shape) == 2:
        return pd.DataFrame(values, columns=draw(strategies.indexes(shape[1])))
    return values.tolist() if form == "list" else values


@st.composite
def masks(draw):
    """Arrays that say which timesteps are real, most of them of the right shape."""
    shape = draw(st.sampled_from([(3, 6)] * 4 + [(3, 6, 2), (6,), (6, 3), (3, 1), (1, 6), (0, 6), ()]))
    values = np.asarray(np.arange(int(np.prod(shape))).reshape(shape) % 3 != draw(st.integers(0, 3)))
    if draw(st.booleans()) and values.ndim == 2:
        values[: draw(st.integers(0, 3))] = False
    values = values.astype(draw(st.sampled_from(["bool", "bool", "int64", "float32", "str", "object", "complex64"])))
    form = draw(st.sampled_from(["array", "labelled", "list", "masked", "frame", "by name", "torn"]))
    if form == "labelled" and values.ndim == 2:
        dims = draw(st.permutations(("sample", "timestep")))
        coords = {"timestep": range(shape[1])[::-1]} if dims[1] == "timestep" and draw(st.booleans()) else {}
        return xr.DataArray(values, dims=dims, coords=coords)
    if form == "masked":
        return np.ma.masked_array(values, mask=np.ones(shape, bool))
    if form == "frame" and values.ndim == 2:
        return pd.DataFrame(values)
    if form == "by name":
        return {draw(st.sampled_from(["x", "y", "mask"])): values}
    if form == "torn" and values.ndim and values.dtype.kind == "f" and values.size:
        values.flat[0] = np.nan
    return values.tolist() if form == "list" else values
