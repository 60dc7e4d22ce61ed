"""Datasets as the arguments of a metric of Quantus 0.6, and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import attrkit
from attrkit.errors import InputError, RefusedError

LAST, FIRST = ("sample", "timestep", "channel"), ("sample", "channel", "timestep")
either = pytest.mark.parametrize("dims", [LAST, FIRST], ids=["channels last", "channels first"])


def dataset(shape=(2, 5, 3), *, channels=True, seed=0, target=1):
    rng = np.random.default_rng(seed)
    x, values = rng.normal(size=(2, *shape))
    given = values if channels else values.sum(-1)
    return attrkit.from_arrays({"quantus": given}, inputs=x, target=target)["quantus"].to_dataset()


def as_quantus_turns_it(given):
    """What Quantus has after `general_preprocess`: only x_batch is moved."""
    x, a = given["x_batch"], given["a_batch"]
    return (x if given["channel_first"] or x.ndim == 2 else np.moveaxis(x, -1, -2)), a


@either
@pytest.mark.parametrize("channel_first", [None, True, False])
@pytest.mark.parametrize("channels", [True, False])
def test_attributions_lie_on_the_inputs_as_quantus_turns_them(dims, channel_first, channels):
    ds = dataset((2, 4, 4), channels=channels)
    given = attrkit.to_quantus(ds, dims=dims, channel_first=channel_first)
    assert set(given) == {"x_batch", "y_batch", "a_batch", "channel_first"}
    assert given["channel_first"] is (dims == FIRST if channel_first is None else channel_first)
    np.testing.assert_array_equal(given["x_batch"], ds["input"].transpose(*dims).values)
    x, a = as_quantus_turns_it(given)
    assert a.ndim == x.ndim
    # Where each value of the input has come to, and that of the attribution beside it.
    place = {round(float(value), 9): at for at, value in np.ndenumerate(x)}
    for (i, t, c), value in np.ndenumerate(ds["input"].values):
        at = place[round(float(value), 9)]
        known = ds["attribution"].values[i, t, c] if channels else ds["attribution"].values[i, t]
        assert np.broadcast_to(a, x.shape)[at] == known


@given(
    st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)),
    st.booleans(),
    st.sampled_from([LAST, FIRST]),
    st.sampled_from([None, True, False]),
)
@settings(max_examples=30, deadline=None)
def test_what_was_written_is_read_back(shape, channels, dims, channel_first):
    ds = dataset(shape, channels=channels)
    again = attrkit.from_quantus(**attrkit.to_quantus(ds, dims=dims, channel_first=channel_first), dims=dims)
    if shape[2] == 1 and not channels:
        # Of one channel, an attribution that has it and one that has none are the same array.
        again["attribution"] = again["attribution"].isel(channel=0)
    assert again.drop_attrs().identical(ds.drop_attrs())


@either
def test_inputs_without_channels_go_as_they_are(dims):
    ds = attrkit.from_arrays({"quantus": np.eye(3)}, inputs=np.ones((3, 3)), target=0)["quantus"].to_dataset()
    given = attrkit.to_quantus(ds, dims=dims)
    np.testing.assert_array_equal(given["a_batch"], np.eye(3))
    assert attrkit.from_quantus(**given, dims=dims).drop_attrs().identical(ds.drop_attrs())


def test_the_arrays_are_those_that_quantus_asserts():
    given = attrkit.to_quantus(dataset(), dims=LAST)
    assert all(type(given[key]) is np.ndarray for key in ("x_batch", "y_batch", "a_batch"))
    assert given["y_batch"].dtype == np.int64
    assert given["a_batch"].flags.c_contiguous


@pytest.mark.parametrize("dims", [None, "channel first", LAST[:2], ("channel", "sample", "timestep")])
@pytest.mark.parametrize("call", [attrkit.to_quantus, lambda ds, dims: attrkit.from_quantus(a_batch=ds, dims=dims)])
def test_the_order_is_never_guessed(dims, call):
    with pytest.raises(InputError, match="in which order the model takes its axes, which is never guessed; accepted"):
        call(dataset(), dims=dims)


def test_channel_first_is_a_truth_value():
    with pytest.raises(InputError, match="channel_first='yes' is not known"):
        attrkit.to_quantus(dataset(), dims=LAST, channel_first="yes")


def test_attributions_in_another_order_are_refused():
    x = np.ones((2, 5, 3))
    with pytest.raises(
        InputError, match=r"a_batch is read as .*Quantus has the axes of a_batch in the order \('sample'"
    ):
        attrkit.from_quantus(a_batch=x, x_batch=x, dims=LAST)
    np.testing.assert_array_equal(attrkit.from_arrays({"a": x}, inputs=x)["a"]["attribution"].values, x)


def test_one_value_a_timestep_may_have_an_axis_of_its_own():
    x, a = np.ones((2, 3, 5)), np.arange(10.0).reshape(2, 5)
    for a_batch in (a, a[:, None]):
        ds = attrkit.from_quantus(a_batch=a_batch, x_batch=x, dims=FIRST)
        assert ds["attribution"].dims == ("sample", "timestep")
        np.testing.assert_array_equal(ds["attribution"].values, a)


@pytest.mark.parametrize("values", [np.ones(3), np.ones((1, 2, 3, 4)), [[1.0], [1.0, 2.0]]])
def test_arrays_of_other_axes_are_refused(values):
    with pytest.raises(InputError, match="a_batch"):
        attrkit.from_quantus(a_batch=values, dims=LAST)


# What Quantus has no argument for


def test_labels_become_places_among_the_outputs():
    ds = dataset(target=["rain", "sun"])
    with pytest.raises(InputError, match=r"target 'rain' is no index along one axis.*labels of outputs are \[\]"):
        attrkit.to_quantus(ds, dims=LAST)
    ds["prediction"] = (("sample", "output"), np.zeros((2, 3)))
    ds = ds.assign_coords(output=["sun", "snow", "rain"])
    assert attrkit.to_quantus(ds, dims=LAST)["y_batch"].tolist() == [2, 0]


def test_labels_of_several_axes_are_no_indices():
    ds = dataset(target="3, rain")
    ds["prediction"] = (("sample", "output"), np.zeros((2, 1)))
    with pytest.raises(InputError, match="target '3, rain' is no index along one axis"):
        attrkit.to_quantus(ds.assign_coords(output=["3, rain"]), dims=LAST)


@pytest.mark.parametrize("target", [-1, [0, -2]])
def test_indices_count_from_0(target):
    with pytest.raises(InputError, match="are no indices; accepted are whole numbers from 0"):
        attrkit.to_quantus(dataset(target=target), dims=LAST)


def test_one_of_several_outputs_is_taken_first():
    values = np.random.default_rng(0).normal(size=(2, 4, 5, 3))
    named = ("sample", "output", "timestep", "channel")
    ds = attrkit.from_arrays({"a": values}, inputs=np.ones((2, 5, 3)), dims=named)["a"].to_dataset()
    with pytest.raises(InputError, match=r"attributions of the outputs \[0, 1, 2, 3\]; take one: ds.sel\(output=0\)"):
        attrkit.to_quantus(ds, dims=LAST)
    given = attrkit.to_quantus(ds.sel(output=3), dims=FIRST)
    assert given["y_batch"].tolist() == [3, 3]
    np.testing.assert_array_equal(given["a_batch"], values[:, 3].transpose(0, 2, 1))


def test_a_dataset_without_a_target_is_refused():
    with pytest.raises(InputError, match="the coordinate 'target', which y_batch is made of, is missing"):
        attrkit.to_quantus(dataset().drop_vars("target"), dims=LAST)


def test_padding_is_refused_by_sample():
    ds = dataset()
    ds["mask"] = (("sample", "timestep"), np.array([[True] * 5, [True] * 4 + [False]]))
    with pytest.raises(RefusedError, match=r"samples \[1\] of 'quantus' are padded, and Quantus has no masks"):
        attrkit.to_quantus(ds, dims=LAST)
    short = attrkit.to_quantus(ds.isel(timestep=slice(0, 4)), dims=LAST)
    assert short["x_batch"].shape == (2, 4, 3)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda ds: ds.drop_vars("input"), InputError, "has no input; it holds"),
        (lambda ds: ds.drop_vars("attribution"), InputError, "has no attribution"),
        (lambda ds: ds.assign(attribution=ds["attribution"] * np.nan), InputError, "holds NaN or infinite values"),
        (lambda ds: ds.assign(input_static=ds["input"]), RefusedError, r"several inputs \(input_static\)"),
        (lambda ds: {"a": ds, "b": ds}, InputError, r"got \['a', 'b'\]; a metric is called with one: tree\['a'\]"),
    ],
)
def test_what_no_metric_can_be_called_with_is_refused(change, error, message):
    with pytest.raises(error, match=message):
        attrkit.to_quantus(change(dataset()), dims=LAST)
