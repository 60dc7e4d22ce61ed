"""Several inputs of a model, labelled and told apart; without any framework."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import attrkit
from attrkit.errors import InputError, RefusedError, SchemaError
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


class OnAnotherDevice:
    """A tensor as torch has them on a GPU: only a copy on the host can be read."""

    def __init__(self, values):
        self.values, self.ndim, self.detach = values, values.ndim, lambda: self

    def cpu(self):
        return self.values

    def __array__(self, dtype=None, copy=None):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


def test_tensors_on_another_device_are_read():
    ids = np.arange(6).reshape(3, 2)
    found = label_each({"ids": OnAnotherDevice(ids), "static": OnAnotherDevice(STATIC)}, [])
    np.testing.assert_array_equal(found["ids"], ids)
    assert found["static"].dims == ("sample", "channel")


def test_what_an_earlier_run_explained_stands_beside_a_static_input():
    once = attrkit.extract(lambda x: x.sum((1, 2)), SERIES, "occlusion", show_progress=False)
    found = label_each({"series": once, "static": STATIC}, [])
    np.testing.assert_array_equal(found["series"], SERIES)
    assert found["static"].dims == ("sample", "channel")


@pytest.mark.parametrize("order", [("series", "static"), ("static", "series")])
def test_an_input_that_cannot_be_read_is_named(order):
    given = {"series": SERIES, "static": [[1.0, 2.0], [3.0]]}
    with pytest.raises(InputError, match=r"input 'static'.* cannot be read as one array: .*accepted are arrays of"):
        label_each({name: given[name] for name in order}, [])


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


def test_a_method_of_your_own_returns_bare_arrays_by_name():
    given = {"series": SERIES, "static": STATIC, "lengths": np.array([5, 4, 3])}

    def doubled(model, x, target):
        return {name: 2 * values for name, values in x.items()}

    for method in (doubled, lambda model, x, target: {"attribution": doubled(model, x, target)}):
        ds = attrkit.extract(f, given, method, show_progress=False)
        np.testing.assert_array_equal(ds["attribution"], 2 * SERIES)
        np.testing.assert_array_equal(ds["attribution_static"], 2 * STATIC)
    with pytest.raises(SchemaError, match=r"'static' is static, .*\(sample, 1, channel\); .* has 4 timesteps"):
        attrkit.extract(f, given, lambda model, x: {**x, "static": x["static"][:, 0]}, show_progress=False)


def test_nothing_to_explain_is_refused():
    with pytest.raises(InputError, match=r"none of the inputs \['lengths'\] can be explained"):
        attrkit.extract(f, {"lengths": np.array([1, 2])}, "occlusion")
    with pytest.raises(InputError, match="an empty mapping came"):
        attrkit.extract(f, {}, "occlusion")
    with pytest.raises(InputError, match=r"inputs differ in their samples: \{'series': 3, 'static': 2\}"):
        attrkit.extract(f, {"series": SERIES, "static": STATIC[:2]}, "occlusion")


def two(a, b):
    return (a * b).sum((1, 2))


def labelled(values, **coords):
    return xr.DataArray(values, dims=("sample", "timestep", "channel"), coords=coords)


def explain(given, **options):
    return attrkit.extract(two, given, "occlusion", show_progress=False, **options)


def test_inputs_that_label_their_samples_differently_are_refused():
    with pytest.raises(InputError, match=r"'a' and 'b' label their samples differently.*array.sel"):
        explain({"a": labelled(SERIES, sample=list("xyz")), "b": labelled(SERIES, sample=list("zyx"))})
    ds = explain({"a": SERIES, "b": labelled(SERIES, sample=list("xyz"))})
    assert ds["sample"].values.tolist() == list("xyz")


def test_time_stamps_of_each_input_stay_its_own():
    days = {name: pd.date_range(start, periods=7, freq="D") for name, start in (("a", "2020"), ("b", "2021"))}
    frames = {name: pd.DataFrame(SERIES.reshape(-1, 2)[:7], index=index) for name, index in days.items()}
    ds = explain({name: attrkit.windows(frame, 5) for name, frame in frames.items()})
    assert str(ds["time"].values[0, 0])[:4] == "2020"
    assert str(ds["time_b"].values[0, 0])[:4] == "2021"


def test_each_input_has_its_own_padding():
    a, b = attrkit.pad([*SERIES]), attrkit.pad([SERIES[0], SERIES[1, :3], SERIES[2, :1]])
    ds = explain({"a": a, "b": b}, baseline="mean")
    assert bool(ds["mask"].all())
    np.testing.assert_array_equal(ds["mask_b"], b["mask"])
    np.testing.assert_array_equal(ds["attribution_b"].values[~b["mask"].values], 0)
    assert float(abs(ds["attribution"].values[1, :3]).min()) > 0
    said = explain({"a": SERIES, "b": SERIES}, mask={"b": b["mask"].values})
    np.testing.assert_array_equal(said["mask_b"], b["mask"])
    with pytest.raises(InputError, match=r"a mask is given for 'c'; the inputs are \['a', 'b'\]"):
        explain({"a": SERIES, "b": SERIES}, mask={"c": b["mask"].values})


def test_what_has_no_place_among_the_inputs_is_refused():
    given = {"series": SERIES, "static": STATIC}
    with pytest.raises(InputError, match="a mask is given for 'static', which is static: it has no timesteps"):
        attrkit.extract(
            lambda series, static: series.sum((1, 2)) + static.sum(1),
            given,
            "occlusion",
            mask={"static": STATIC > 0},
            show_progress=False,
        )

    def mine(model, x, target):
        return {"attribution": {"serie": x["series"]}}

    with pytest.raises(SchemaError, match=r"attribution holds \['serie'\].*\['series', 'static'\]"):
        attrkit.extract(lambda series, static: series.sum((1, 2)) + static.sum(1), given, mine, show_progress=False)


def test_a_mask_is_read_by_its_labels():
    keep = np.arange(5)[None] < np.array([5, 3, 1])[:, None]
    x = labelled(SERIES, sample=list("xyz"))
    turned = xr.DataArray(keep, dims=("sample", "timestep"), coords={"sample": list("xyz")}).sel(sample=list("zyx")).T
    ds = attrkit.extract(lambda x: x.sum((1, 2)), x, "occlusion", mask=turned, show_progress=False)
    np.testing.assert_array_equal(ds["mask"], keep)


def test_what_was_explained_keeps_its_padding():
    x = attrkit.pad([SERIES[0], SERIES[1, :3] + 4], value=-5.0)
    once = attrkit.extract(lambda x: x.sum((1, 2)), x, "occlusion", baseline="mean", window=2, show_progress=False)
    again = attrkit.extract(lambda x: x.sum((1, 2)), once, "occlusion", baseline="mean", window=2, show_progress=False)
    xr.testing.assert_equal(again["attribution"], once["attribution"])
    np.testing.assert_array_equal(again["mask"], x["mask"])
    # Neither the mean nor a window takes padding for something real.
    np.testing.assert_allclose(once["baseline"], np.concatenate([SERIES[0], SERIES[1, :3] + 4]).mean(axis=0))
    np.testing.assert_array_equal(once["attribution"].values[~x["mask"].values], 0)


def test_a_single_input_goes_where_its_name_says():
    def either(a=None, b=None):
        return (a if a is not None else 10 * b).sum((1, 2))

    ds = attrkit.extract(either, {"b": SERIES}, "occlusion", show_progress=False)
    np.testing.assert_allclose(ds["prediction"], 10 * SERIES.sum((1, 2)))


def test_static_inputs_beside_token_ids_are_static():
    def scored(ids, static):
        return ids.sum(1) * static.sum(1)

    given = {"ids": np.arange(12).reshape(3, 4), "static": STATIC}
    ds = attrkit.extract(scored, given, "occlusion", show_progress=False)
    assert ds["attribution_static"].dims == ("sample", "channel_static")
    mean = attrkit.extract(scored, given, "occlusion", baseline={"static": "mean"}, show_progress=False)
    np.testing.assert_allclose(mean["baseline_static"], STATIC.mean(axis=0))


@pytest.mark.parametrize("baseline", [SERIES[0], pd.Series([0.0, 1.0]), [0.0, 1.0], xr.DataArray([0.0], dims="time")])
def test_an_array_says_which_input_it_is_the_baseline_of(baseline):
    with pytest.raises(InputError, match=r"one array, of shape .*the inputs \['a', 'b'\].*give a dict by input name"):
        explain({"a": SERIES, "b": SERIES}, baseline=baseline)
    with pytest.raises(InputError, match=r"the baseline cannot be read .*accepted is a dict by input name"):
        explain({"a": SERIES, "b": SERIES}, baseline=[[0.0], [1.0, 2.0]])
    by_number = explain({"a": SERIES, "b": SERIES}, baseline=np.float32(0.5))
    by_name = explain({"a": SERIES, "b": SERIES}, baseline={"a": xr.DataArray(0.5), "b": [0.5, 0.5]})
    np.testing.assert_array_equal(by_name["attribution_b"], by_number["attribution_b"])


def test_samples_in_the_wrong_place_are_refused():
    # Running sums over samples: the first is right, whatever the batch.
    with pytest.raises(RefusedError, match=r"in another place of the batch.*batch_first=True"):
        attrkit.extract(lambda x: x.sum((1, 2)).cumsum(), SERIES, "occlusion", show_progress=False)
    with pytest.raises(RefusedError, match="3 of the model's 3 outputs for the first batch are NaN or infinite"):
        attrkit.extract(lambda x: x.sum((1, 2)) * np.nan, SERIES, "occlusion", show_progress=False)


def test_a_function_of_the_output_is_checked_each_time():
    adapter = attrkit.adapt(lambda x: x.sum(1))
    attrkit.extract(adapter, SERIES, "occlusion", target=0, show_progress=False)
    for target, error, message in (
        (lambda outputs: (outputs - outputs.mean(0))[:, 0], RefusedError, "depends on the other samples"),
        (lambda outputs: outputs.sum(), InputError, "one value for the whole batch; one a sample is needed"),
        (lambda outputs: outputs.logits, InputError, "the function given as target fails on the model's outputs"),
        (lambda outputs: 3.0, InputError, "returns a float; accepted is one value a sample"),
    ):
        with pytest.raises(error, match=message):
            attrkit.extract(adapter, SERIES, "occlusion", target=target, show_progress=False)


def test_what_is_explained_can_be_named():
    given = {"series": SERIES, "static": STATIC, "lengths": np.array([5, 4, 3])}
    whole = attrkit.extract(f, given, "occlusion", show_progress=False)
    ds = attrkit.extract(f, given, "occlusion", explain="series", show_progress=False)
    xr.testing.assert_allclose(ds["attribution"], whole["attribution"])
    assert "attribution_static" not in ds
    with pytest.raises(InputError, match=r"explain=\['lengths'\] cannot be explained or is no input; the inputs are"):
        attrkit.extract(f, given, "occlusion", explain=["lengths"], show_progress=False)
    with pytest.raises(InputError, match=r"'static' is static, of shape .*what is explained has one sequence at least"):
        attrkit.extract(f, given, "occlusion", explain="static", show_progress=False)
