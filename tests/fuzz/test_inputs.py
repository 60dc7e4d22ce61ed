"""Inputs of every kind, right and wrong, into `attrkit.extract`, `windows` and `pad`."""

import numpy as np
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import attrkit
from attrkit.inputs import label_inputs
from tests.fuzz import strategies
from tests.fuzz.contract import OF_INPUTS, fuzz, outcome, refused
from tests.fuzz.models import any_shape, model

ABOUT = (*OF_INPUTS, "mapping")


def about(values):
    return {**dict.fromkeys(ABOUT), "values": values}


def holds_the_input(ds, given):
    """Whether the result's input is what was given, where that is an array."""
    if isinstance(given, np.ndarray) and not isinstance(given, np.ma.MaskedArray) and given.shape == ds["input"].shape:
        np.testing.assert_array_equal(ds["input"].values, given.astype(ds["input"].dtype))


@given(strategies.inputs())
@fuzz(60)
def test_inputs_of_a_function_are_explained_or_refused(values):
    for function in (model, any_shape):
        found = outcome(
            "inputs",
            lambda f=function: attrkit.extract(f, values, "occlusion", target=0, show_progress=False),
            about=about(values),
        )
        if not refused(found):
            holds_the_input(found, values)
            assert np.isfinite(found["input"].values).all()
            assert 0 not in found["input"].shape


@given(strategies.inputs(), strategies.inputs())
@fuzz(40)
def test_several_inputs_are_explained_or_refused(first, second):
    def two(x, y):
        return np.asarray(x, float).reshape(len(x), -1).sum(axis=1) + np.asarray(y, float).reshape(len(y), -1).sum(
            axis=1
        )

    names = {"x": None, "y": None}
    for given_inputs in ({"x": first, "y": second}, (first, second)):
        outcome(
            "several inputs",
            lambda g=given_inputs: attrkit.extract(two, g, "occlusion", show_progress=False),
            about={**about(first), "other": second, **names},
        )


@given(strategies.inputs(), strategies.odd(), strategies.odd())
@fuzz(60)
def test_windows_are_cut_or_refused(series, length, stride):
    def check(found):
        assert found.dims == ("sample", "timestep", "channel")
        assert found.sizes["timestep"] == length
        assert 0 not in found.shape

    outcome(
        "windows",
        lambda: attrkit.windows(series, length, stride=stride),
        about={**about(series), "series": None, "length": length, "stride": stride},
        valid=check,
    )
    outcome(
        "windows",
        lambda: attrkit.windows(series, 2),
        about={**about(series), "series": None},
        valid=lambda found: check_windows(found, 2),
    )


def check_windows(found, length):
    assert found.dims == ("sample", "timestep", "channel")
    assert found.sizes["timestep"] == length


@given(
    st.lists(strategies.inputs(), max_size=3) | strategies.inputs() | strategies.odd(),
    strategies.odd() | st.just(0.0),
    st.sampled_from(["right", "left"]) | strategies.odd(),
)
@fuzz(60)
def test_series_are_padded_or_refused(series, value, side):
    def check(found):
        assert found.dims[:2] == ("sample", "timestep")
        assert found["mask"].dtype == bool
        padding = found.values[~found["mask"].values]
        np.testing.assert_array_equal(padding, np.full_like(padding, value))

    outcome(
        "pad",
        lambda: attrkit.pad(series, value=value, side=side),
        about={**about(series), "series": None, "value": value, "side": side},
        valid=check,
    )


@given(strategies.inputs(), st.sampled_from([None, (6, 2), (None, 2), (6,), (None, None)]), strategies.dtypes())
@fuzz(60)
def test_what_a_model_takes_is_labelled_or_refused(values, shape, dtype):
    dtype = dtype if np.dtype(dtype).kind in "fiu" else None

    def check(found):
        assert found.dims in (("sample", "timestep", "channel"), ("sample", "timestep"))
        assert all(dim in found.coords for dim in found.dims)
        # What is handed to a model of half precision is rounded by the model.
        assert dtype is None or found.dtype == np.dtype("float32" if dtype == "float16" else dtype)
        assert np.isfinite(found.values).all()

    outcome("labels", lambda: label_inputs(values, shape=shape, dtype=dtype), about=about(values), valid=check)


@given(strategies.labelled())
@fuzz(60)
def test_labels_are_those_that_came(values):
    """Of what is taken, every value stands under its own label, whatever the order of the dims."""
    found = outcome("labels", lambda: label_inputs(values), about=about(values), valid=lambda found: None)
    if refused(found) or not isinstance(values, xr.DataArray) or not {*found.dims} <= {*values.dims}:
        return
    for place in ({"sample": 0, "timestep": 0}, {"sample": -1, "timestep": -1}):
        place = {dim: at for dim, at in place.items() if dim in values.dims}
        np.testing.assert_array_equal(
            found.isel(place).values.ravel(), np.asarray(values.isel(place).values).astype(found.dtype).ravel()
        )
