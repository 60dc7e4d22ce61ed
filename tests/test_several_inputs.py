"""Several inputs of a model, labelled and told apart; without any framework."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import attrkit
from attrkit.errors import InputError
from attrkit.inputs import Input, label_each

SERIES = np.random.default_rng(0).standard_normal((3, 5, 2))
STATIC = np.random.default_rng(1).standard_normal((3, 4))
UNKNOWN = [Input("series", None, ""), Input("static", None, ""), Input("lengths", None, "")]


def test_a_tuple_is_named_in_the_models_order():
    found = label_each((SERIES, STATIC), UNKNOWN, dtype="float32")
    assert list(found) == ["series", "static"]
    assert found["series"].dims == ("sample", "timestep", "channel")
    assert found["static"].dims == ("sample", "channel")
    assert {array.dtype for array in found.values()} == {np.dtype("float32")}
    assert list(label_each((SERIES, STATIC), [])) == ["input_0", "input_1"]


def test_one_array_is_the_first_input():
    assert list(label_each(SERIES, UNKNOWN)) == ["series"]
    assert list(label_each({"series": SERIES}, UNKNOWN)) == ["series"]


def test_what_is_no_sequence_is_handed_on_as_it_is():
    lengths, seen = np.array([5, 3, 2]), np.ones((3, 5), bool)
    found = label_each({"series": SERIES, "lengths": lengths, "seen": seen}, UNKNOWN)
    np.testing.assert_array_equal(found["lengths"], lengths)
    np.testing.assert_array_equal(found["seen"], seen)
    assert not isinstance(found["lengths"], xr.DataArray)


def test_a_table_of_static_inputs_keeps_its_names():
    known = [Input("series", (5, 2), "float64"), Input("static", (4,), "float32")]
    found = label_each([SERIES, pd.DataFrame(STATIC, columns=list("abcd"))], known)
    assert found["static"]["channel"].values.tolist() == list("abcd")
    assert found["static"].dtype == "float32"
    with pytest.raises(InputError, match=r"input 'static': inputs have .*2 channels, the model takes"):
        label_each([SERIES, STATIC[:, :2]], known)


def f(series, static, lengths):
    return (series.sum((1, 2)) / lengths) * static.sum(1)


def test_a_function_of_several_inputs_is_occluded_one_by_one():
    given = {"series": SERIES, "static": STATIC, "lengths": np.array([5, 4, 3])}
    ds = attrkit.extract(f, given, "occlusion", window=2, stride=1, show_progress=False)
    whole = f(**given)
    for step, channel in ((0, 0), (4, 1)):
        changed = SERIES.copy()
        changed[:, slice(0, 2) if step == 0 else slice(3, 5), channel] = 0
        np.testing.assert_allclose(ds["attribution"][:, step, channel], whole - f(**{**given, "series": changed}))
    without = STATIC.copy()
    without[:, 2] = 0
    np.testing.assert_allclose(ds["attribution_static"][:, 2], whole - f(**{**given, "static": without}))
    assert set(ds.data_vars) >= {"input", "input_static"}


def test_nothing_to_explain_is_refused():
    with pytest.raises(InputError, match=r"none of the inputs \['lengths'\] can be explained"):
        attrkit.extract(f, {"lengths": np.array([1, 2])}, "occlusion")
    with pytest.raises(InputError, match="an empty mapping came"):
        attrkit.extract(f, {}, "occlusion")
    with pytest.raises(InputError, match=r"inputs differ in their samples: \{'series': 3, 'static': 2\}"):
        attrkit.extract(f, {"series": SERIES, "static": STATIC[:2]}, "occlusion")
