"""Files of inputs, models and studies: what they hold, cut short or changed, and what their paths are called."""

import io
import json

import numpy as np
import pandas as pd
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from attrkit.data_files import read_inputs
from tests.fuzz import strategies
from tests.fuzz.contract import fuzz, outcome, refused


def written(values, suffix):
    """Return the bytes of a data file."""
    held = io.BytesIO()
    if suffix == ".npy":
        np.save(held, values, allow_pickle=True)
    elif suffix == ".npz":
        np.savez(held, input=values, other=values)
    else:
        held.write(
            pd.DataFrame(np.asarray(values, object).reshape(len(values), -1) if np.ndim(values) else [])
            .to_csv()
            .encode()
        )
    return held.getvalue()


@st.composite
def damaged(draw, whole):
    """Bytes of a file: as they are, cut short, or with some of them changed."""
    data = bytearray(whole)
    how = draw(st.sampled_from(["as it is", "cut", "changed", "changed", "longer", "other"]))
    if how == "cut":
        return bytes(data[: draw(st.integers(0, max(len(data) - 1, 0)))])
    if how == "changed" and data:
        for place, bits in draw(
            st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(1, 255)), min_size=1, max_size=3)
        ):
            data[place] ^= bits
    if how == "longer":
        data += draw(st.binary(max_size=20))
    return draw(st.binary(max_size=60)) if how == "other" else bytes(data)


@st.composite
def files(draw):
    suffix = draw(st.sampled_from([".npy", ".npz", ".csv"]))
    values = draw(
        st.sampled_from([np.ones((3, 6, 2)), np.array(["a", "b"]), np.array([{}, []], object), np.zeros((1, 2))])
    )
    return suffix, draw(damaged(written(values, suffix)))


@given(files(), st.sampled_from([None, 2]))
@fuzz(150)
def test_data_files_are_read_or_refused(tmp_path_factory, file, length):
    suffix, data = file
    path = tmp_path_factory.getbasetemp() / f"data{suffix}"
    path.write_bytes(data)
    found = outcome(
        "data files",
        lambda: read_inputs(path, length=length),
        about={"path": path, path.name: None, "column": None, "timestep": None},
        valid=lambda found: None,
    )
    assert refused(found) or isinstance(found, np.ndarray | pd.DataFrame | xr.DataArray)
    if isinstance(found, np.ndarray):
        assert found.dtype.kind != "O", "an object was read, and with it a pickle"


@st.composite
def tables(draw):
    """Text that is nearly CSV."""
    cell = st.sampled_from(
        ["1", "2.5", "-3e5", "nan", "inf", "", "x", "2015-01-01", "2015-01-01T00:00+02:00", '"', "=1+1", "1,5", "日"]
    )
    rows = draw(st.lists(st.lists(cell, max_size=4), max_size=5))
    head = draw(st.lists(st.sampled_from(["a", "a", "b", "", "time", "x/y"]), max_size=4))
    return draw(st.sampled_from(["", "\ufeff"])) + "\n".join(
        draw(st.sampled_from([",", ";"])).join(row) for row in [head, *rows]
    )


@given(tables(), st.sampled_from([None, 1, 2]))
@fuzz(150)
def test_tables_are_read_or_refused(tmp_path_factory, text, length):
    path = tmp_path_factory.getbasetemp() / "table.csv"
    path.write_text(text, encoding="utf-8")
    found = outcome(
        "tables",
        lambda: read_inputs(path, length=length),
        about={"path": path, path.name: None, "column": None, "timestep": None, "label": None},
        valid=lambda found: None,
    )
    assert refused(found) or isinstance(found, pd.DataFrame | xr.DataArray)


@given(strategies.odd(), st.sampled_from(["path", "length", "stride"]))
@fuzz(60)
def test_arguments_for_files_are_taken_or_refused(tmp_path_factory, value, name):
    path = tmp_path_factory.getbasetemp() / "long.csv"
    pd.DataFrame(np.ones((5, 2))).to_csv(path)
    asked = {"path": path, "length": 2, name: value}
    outcome("data files", lambda: read_inputs(**asked), about={name: value, "file": None}, valid=lambda found: None)


@st.composite
def configurations(draw):
    """Configurations of a study that name no code that is there."""
    values = st.sampled_from(
        [
            '"x"',
            "1",
            "-1",
            "1.5",
            "true",
            "[]",
            "{}",
            '["a"]',
            "nan",
            "2015-01-01",
            '"none"',
            '"../../x.py:f"',
            '"os:system"',
            "'''x'''",
        ]
    )
    keys = st.sampled_from(
        ["factory", "data", "store", "out", "seeds", "extractors", "tests", "gate", "nothing", "a.b", '"/"']
    )
    lines = draw(st.lists(st.tuples(keys, values), max_size=5))
    return "\n".join(f"{key} = {value}" for key, value in lines) + draw(
        st.sampled_from(["", "\n[data]\ntrain = 1\ntest = 'x.npz'", "\n["])
    )


@given(configurations())
@fuzz(80)
def test_configurations_are_read_or_refused(tmp_path_factory, text):
    from attrkit.study_config import read_config

    folder = tmp_path_factory.getbasetemp() / "config"
    folder.mkdir(exist_ok=True)
    path = folder / "study.toml"
    path.write_text(text, encoding="utf-8")
    about = {"study": None, "factory": None, "data": None, "config": None}
    found = outcome(
        "configurations", lambda: read_config(path), about={**about, **json.loads("{}")}, valid=lambda found: None
    )
    assert refused(found), "no factory is there"
