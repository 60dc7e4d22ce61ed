"""Arrays and tuples of other tools: orders of axes, pairs with a convergence delta, several inputs, targets."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import attrkit
from attrkit.errors import InputError, SchemaError

RNG = np.random.default_rng(0)
X, VALUES = RNG.normal(size=(2, 3, 5, 4))
FIRST = ("sample", "channel", "timestep")


def swapped(array):
    return array.transpose(0, 2, 1)


def test_channels_come_first_where_the_user_says_so():
    tree = attrkit.from_arrays({"a": swapped(VALUES), "b": VALUES.sum(-1)}, inputs=swapped(X), dims=FIRST)
    attrkit.validate(tree)
    wanted = attrkit.from_arrays({"a": VALUES, "b": VALUES.sum(-1)}, inputs=X)
    assert tree.equals(wanted)


def test_inputs_that_have_names_are_not_named_again():
    x = xr.DataArray(X, dims=("batch", "time", "feature"), coords={"feature": list("abcd")})
    ds = attrkit.from_arrays({"a": swapped(VALUES)}, inputs=x, dims=("batch", "feature", "time"))["a"]
    np.testing.assert_array_equal(ds["attribution"].values, VALUES)
    np.testing.assert_array_equal(ds["channel"], list("abcd"))


@given(st.permutations(["sample", "output", "timestep", "channel"]))
@settings(max_examples=24, deadline=None)
def test_any_order_of_axes_is_brought_to_ours(order):
    values = xr.DataArray(np.arange(120.0).reshape(2, 3, 4, 5), dims=("sample", "output", "timestep", "channel"))
    ds = attrkit.from_arrays({"a": values.transpose(*order).values}, dims=order)["a"]
    assert ds["attribution"].dims == values.dims
    np.testing.assert_array_equal(ds["attribution"].values, values.values)


def test_swapped_axes_are_refused_with_the_way_out():
    with pytest.raises(SchemaError, match=r"\(3, 4, 5\), the input \(3, 5, 4\); .*dims=\('sample', 'channel', 'times"):
        attrkit.from_arrays({"a": swapped(VALUES)}, inputs=X)


@pytest.mark.parametrize("dims", ["abc", ("sample", "channel"), ("sample", "time", "timestep"), ("sample", "x"), 3])
def test_dims_that_name_no_axes_are_refused(dims):
    with pytest.raises(InputError, match="does not name axes; accepted are 'sample', 'timestep', 'channel' and"):
        attrkit.from_arrays({"a": VALUES}, dims=dims)


@pytest.mark.parametrize("shape", [(5,), (2, 2, 3, 4, 5)])
def test_arrays_of_other_axes_than_dims_are_refused(shape):
    with pytest.raises(InputError, match=r"and dims=\('sample', 'channel', 'timestep'\) names 3 axes"):
        attrkit.from_arrays({"a": np.zeros(shape)}, dims=FIRST)


# A convergence delta


def test_a_pair_is_an_attribution_and_its_gap():
    gap = np.array([0.1, 0.2, 0.3])
    ds = attrkit.from_arrays({"a": (VALUES, gap)}, inputs=X)["a"]
    np.testing.assert_array_equal(ds["attribution"].values, VALUES)
    np.testing.assert_array_equal(ds["completeness_gap"].values, gap)
    ds = attrkit.from_arrays({"a": {"attribution": (VALUES, gap), "prediction": gap}}, inputs=X)["a"]
    assert {"attribution", "completeness_gap", "prediction"} < set(ds.data_vars)


def test_a_gap_for_every_draw_is_refused():
    with pytest.raises(InputError, match=r"has 15 values for 3 samples; .*delta.reshape\(samples, -1\).mean\(1\)"):
        attrkit.from_arrays({"a": (VALUES, np.zeros(15))}, inputs=X)


def test_two_gaps_are_refused():
    with pytest.raises(InputError, match="a completeness_gap and a convergence delta beside its attribution; give one"):
        attrkit.from_arrays({"a": {"attribution": (VALUES, np.zeros(3)), "completeness_gap": np.zeros(3)}})


def test_a_tuple_of_samples_is_no_pair():
    ds = attrkit.from_arrays({"a": (VALUES[0], VALUES[1])})["a"]
    np.testing.assert_array_equal(ds["attribution"].values, VALUES[:2])


# Several inputs

STATIC = RNG.normal(size=(3, 2))
SEVERAL = {"series": X, "static": STATIC}


@pytest.mark.parametrize("given", [(VALUES, STATIC), {"attribution": {"series": VALUES, "static": STATIC}}], ids=type)
def test_attributions_of_several_inputs_go_by_name(given):
    ds = attrkit.from_arrays({"a": given}, inputs=SEVERAL)["a"].to_dataset()
    attrkit.validate(ds)
    assert ds["attribution_static"].dims == ("sample", "channel_static")
    np.testing.assert_array_equal(ds["attribution_static"].values, STATIC)
    np.testing.assert_array_equal(ds["input_static"].values, STATIC)
    np.testing.assert_array_equal(ds["attribution"].values, VALUES)
    np.testing.assert_array_equal(ds["input"].values, X)


def test_several_inputs_with_a_gap_and_masks(tmp_path):
    long = RNG.normal(size=(3, 7, 2))
    masks = {"series": np.arange(5) < [[5], [4], [2]], "long": np.arange(7) < [[7], [7], [1]]}
    given = {"a": ((swapped(VALUES), swapped(long)), np.zeros(3))}
    inputs = {"series": swapped(X), "long": swapped(long)}
    tree = attrkit.from_arrays(given, inputs=inputs, mask=masks, dims=FIRST)
    ds = tree["a"]
    assert ds["attribution_long"].dims == ("sample", "timestep_long", "channel_long")
    np.testing.assert_array_equal(ds["attribution_long"].values, long)
    np.testing.assert_array_equal(ds["mask"].values, masks["series"])
    np.testing.assert_array_equal(ds["mask_long"].values, masks["long"])
    np.testing.assert_array_equal(ds["completeness_gap"].values, np.zeros(3))
    assert attrkit.load(attrkit.save(tree, tmp_path / "run.zarr")).identical(tree)


def test_padding_that_the_inputs_know_goes_along():
    one = attrkit.pad([np.ones((3, 2)), np.ones((1, 2))])
    two = attrkit.pad([np.ones((2, 1)), np.ones((4, 1))])
    ds = attrkit.from_arrays({"a": (one.values, two.values)}, inputs={"one": one, "two": two})["a"]
    np.testing.assert_array_equal(ds["mask"].values, one["mask"].values)
    np.testing.assert_array_equal(ds["mask_two"].values, two["mask"].values)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (VALUES, r"1 attributions came for the inputs \['series', 'static'\]; give one each"),
        ((VALUES, STATIC, STATIC), "3 attributions came for"),
        ({"attribution": {"other": VALUES}}, r"attributions of \['other'\] came; the inputs are"),
        ((VALUES, VALUES), r"the attribution of 'static' has shape \(3, 5, 4\); its input has dims"),
    ],
)
def test_attributions_that_belong_to_no_input_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        attrkit.from_arrays({"a": given}, inputs=SEVERAL)


def test_inputs_that_cannot_have_been_explained_are_refused():
    with pytest.raises(InputError, match=r"inputs \['lengths'\] cannot have been explained"):
        attrkit.from_arrays({"a": (VALUES, STATIC)}, inputs={"series": X, "lengths": np.array([1, 2, 3])})


def test_masks_by_name_need_inputs_by_name():
    with pytest.raises(InputError, match="name the inputs as well"):
        attrkit.from_arrays({"a": VALUES}, mask={"series": np.ones((3, 5), bool)})
    with pytest.raises(SchemaError, match=r"mask holds \['other'\]"):
        attrkit.from_arrays({"a": (VALUES, STATIC)}, inputs=SEVERAL, mask={"other": np.ones((3, 5), bool)})


# Targets


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        (1, [1, 1, 1]),
        ("rain", ["rain"] * 3),
        ([0, 1, 0], [0, 1, 0]),
        (np.array(["a", "b", "a"]), ["a", "b", "a"]),
        (pd.Series(["a", "b", "a"]), ["a", "b", "a"]),
    ],
    ids=str,
)
def test_what_was_explained_is_a_coordinate(target, wanted):
    ds = attrkit.from_arrays({"a": VALUES}, inputs=X, target=target)["a"]
    assert ds["target"].values.tolist() == wanted
    assert ds["target"].dims == ("sample",)


@pytest.mark.parametrize("target", [0.5, [0, 1], np.eye(3), True, [None, 1, 2]], ids=str)
def test_targets_that_name_no_outputs_are_refused(target):
    with pytest.raises(InputError, match="accepted are an index or a label, or 3 of them, one a sample"):
        attrkit.from_arrays({"a": VALUES}, target=target)
