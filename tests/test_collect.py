import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from attrkit import from_arrays, reduce_attention, stack, validate
from attrkit.attention.diagnose import diagnose
from attrkit.collect import as_datasets
from attrkit.errors import AttrkitError, InputError, SchemaError
from attrkit.inputs import label_inputs
from attrkit.schema import build

RNG = np.random.default_rng(0)
VALUES = RNG.normal(size=(2, 5, 3))
STAMPS = pd.date_range("2015-01-01", periods=5)
INPUTS = xr.DataArray(
    VALUES,
    dims=("sample", "timestep", "channel"),
    coords={"sample": ["n", "s"], "timestep": STAMPS, "channel": ["rain", "wind", "heat"]},
)
MASK = np.array([[True] * 5, [True, True, True, False, False]])


def softmax(*shape):
    weights = np.exp(RNG.normal(size=shape))
    return weights / weights.sum(-1, keepdims=True)


# Results of other tools


@pytest.mark.parametrize("values", [VALUES, VALUES.tolist(), xr.DataArray(VALUES, dims=INPUTS.dims)])
def test_an_array_becomes_an_attribution_with_the_labels_of_the_inputs(values):
    tree = from_arrays({"mine": values}, inputs=INPUTS)
    validate(tree)
    ds = tree["mine"].to_dataset()
    np.testing.assert_array_equal(ds["attribution"].values, VALUES)
    xr.testing.assert_equal(ds["input"], INPUTS)
    for dim in INPUTS.dims:
        np.testing.assert_array_equal(ds[dim], INPUTS[dim])
    assert ds.attrs["method"] == "mine"


def test_a_mapping_holds_variables_by_name():
    weights = softmax(2, 5, 5)
    tree = from_arrays({"a": {"attention": weights, "prediction": [0.5, 1.5]}, "b": VALUES[..., 0]}, inputs=INPUTS)
    validate(tree)
    assert list(tree.children) == ["a", "b"]
    assert "attribution" not in tree["a"]
    np.testing.assert_array_equal(tree["a"]["attention"].values, weights)
    np.testing.assert_array_equal(tree["a"]["query_timestep"], STAMPS)
    np.testing.assert_array_equal(tree["a"]["prediction"].values, [0.5, 1.5])
    assert tree["b"]["attribution"].dims == ("sample", "timestep")


def test_the_mask_goes_to_every_group_that_has_none():
    tree = from_arrays({"a": VALUES, "b": {"attribution": VALUES, "mask": ~MASK}}, mask=MASK)
    np.testing.assert_array_equal(tree["a"]["mask"].values, MASK)
    np.testing.assert_array_equal(tree["b"]["mask"].values, ~MASK)


def test_without_inputs_axes_are_counted():
    ds = from_arrays({"mine": VALUES})["mine"]
    assert "input" not in ds
    np.testing.assert_array_equal(ds["timestep"], np.arange(5))


@pytest.mark.parametrize("shape", [(2, 4, 3), (3, 5, 3), (2, 5, 2), (2, 4)])
def test_results_of_another_shape_than_the_inputs_are_refused(shape):
    with pytest.raises(SchemaError, match=r"do not fit each other: .*'attribution'.*'input'"):
        from_arrays({"mine": np.zeros(shape)}, inputs=INPUTS)


def test_results_whose_channels_come_before_their_timesteps_are_refused():
    with pytest.raises(SchemaError, match=r"dims \('sample', 'channel', 'timestep'\); accepted are"):
        from_arrays(
            {"mine": xr.DataArray(VALUES, dims=INPUTS.dims).transpose("sample", "channel", ...)},
            inputs=INPUTS,
        )


@pytest.mark.parametrize("results", [{}, None])
def test_no_results_are_refused(results):
    with pytest.raises(InputError, match="no results were given; name at least one"):
        from_arrays(results)


@pytest.mark.parametrize(
    "results",
    [
        pytest.param(VALUES, id="no mapping"),
        pytest.param({1: VALUES}, id="a number"),
        pytest.param({"a/b": VALUES}, id="a slash"),
        pytest.param({"": VALUES}, id="no text"),
        pytest.param({".": VALUES}, id="a dot"),
    ],
)
def test_names_that_no_group_can_have_are_refused(results):
    with pytest.raises(AttrkitError):
        from_arrays(results)


@pytest.mark.parametrize("dims", [("batch", "time", "feature"), ("window", "step", "variable")])
def test_dims_may_have_the_synonyms_of_the_inputs(dims):
    mask = xr.DataArray(MASK, dims=dims[:2])
    tree = from_arrays({"mine": xr.DataArray(VALUES, dims=dims)}, inputs=INPUTS, mask=mask)
    assert tree["mine"]["attribution"].dims == INPUTS.dims
    assert tree["mine"]["mask"].dims == INPUTS.dims[:2]


def test_a_table_is_one_sample_as_it_is_among_inputs():
    tables = [pd.DataFrame(values, index=STAMPS, columns=["rain", "wind", "heat"]) for values in VALUES]
    ds = from_arrays({"mine": tables[0]}, inputs=tables[0])["mine"]
    np.testing.assert_array_equal(ds["attribution"].values, VALUES[:1])
    ds = from_arrays({"mine": tables}, inputs=tables)["mine"]
    np.testing.assert_array_equal(ds["attribution"].values, VALUES)
    with pytest.raises(SchemaError, match="do not fit each other"):
        from_arrays({"mine": tables[0][["wind", "rain", "heat"]]}, inputs=tables[0])


@pytest.mark.parametrize("values", [[[[1.0], [2.0, 3.0]]], xr.DataArray(VALUES, dims=("time", "step", "channel"))])
def test_results_that_cannot_be_read_are_refused(values):
    with pytest.raises(AttrkitError):
        from_arrays({"mine": values})


# Datasets of anything


def test_datasets_come_by_name_from_every_container():
    a, b = build({"attribution": VALUES}, attrs={"method": "a"}), build({"attribution": VALUES[..., 0]})
    for data in ({"a": a, "b": b}, xr.DataTree.from_dict({"a": a, "b": b})):
        found = as_datasets(data)
        assert list(found) == ["a", "b"]
        xr.testing.assert_identical(found["a"], a)
        xr.testing.assert_identical(found["b"], b)
    assert list(as_datasets(a)) == ["a"]
    assert list(as_datasets(b)) == ["attribution"]
    assert list(as_datasets(xr.DataTree(a))) == ["a"]


@pytest.mark.parametrize("data", [[], None, VALUES, "run.zarr"])
def test_other_containers_are_refused_by_type(data):
    with pytest.raises(InputError, match=f"got a {type(data).__name__}; accepted are a Dataset, a DataTree, a Data"):
        as_datasets(data)


def test_empty_containers_and_bare_arrays_in_them_are_refused():
    with pytest.raises(InputError, match="the dict is empty; at least one"):
        as_datasets({})
    with pytest.raises(InputError, match="'a' is a ndarray; accepted are a Dataset or a DataArray"):
        as_datasets({"a": VALUES})


# Stacking


def test_extractors_that_share_their_axes_become_one_array():
    stacked = stack(from_arrays({"a": VALUES, "b": 2 * VALUES}, inputs=INPUTS))
    assert stacked.dims == ("extractor", "sample", "timestep", "channel")
    assert stacked.name == "attribution"
    np.testing.assert_array_equal(stacked["extractor"], ["a", "b"])
    np.testing.assert_array_equal(stacked.sel(extractor="b").values, 2 * VALUES)
    for dim in INPUTS.dims:
        np.testing.assert_array_equal(stacked[dim], INPUTS[dim])


@pytest.mark.parametrize("order", [("with", "without"), ("without", "with")])
def test_an_attribution_without_channels_is_never_repeated_over_them(order):
    tree = from_arrays({name: VALUES if name == "with" else VALUES[..., 0] for name in order})
    with pytest.raises(InputError, match="without does not resolve channels and the others do; pass channels='sum'"):
        stack(tree)


@pytest.mark.parametrize(("channels", "wanted"), [("sum", VALUES.sum(-1)), ("abs_sum", abs(VALUES).sum(-1))])
def test_channels_are_summed_when_asked(channels, wanted):
    stacked = stack(from_arrays({"a": VALUES, "b": VALUES[..., 0]}), channels=channels)
    assert stacked.dims == ("extractor", "sample", "timestep")
    np.testing.assert_allclose(stacked.sel(extractor="a").values, wanted)
    np.testing.assert_array_equal(stacked.sel(extractor="b").values, VALUES[..., 0])


def test_another_word_for_channels_is_refused():
    with pytest.raises(InputError, match="channels='mean' is not known; accepted are 'sum', 'abs_sum'"):
        stack(from_arrays({"a": VALUES}), channels="mean")


def test_an_attribution_of_one_output_is_never_repeated_over_several():
    several = build({"attribution": xr.DataArray(np.zeros((2, 4, 5)), dims=("sample", "output", "timestep"))})
    with pytest.raises(InputError, match="output"):
        stack({"one": build({"attribution": VALUES[..., 0]}), "several": several})


@pytest.mark.parametrize(
    "other",
    [
        build({"attribution": VALUES[:, :4]}),
        build({"attribution": VALUES[:1]}),
        build({"attribution": VALUES}, coords={"timestep": ("timestep", STAMPS)}),
        build({"attribution": VALUES}, coords={"channel": ("channel", [2, 1, 0])}),
    ],
    ids=["shorter", "fewer samples", "other labels", "another order"],
)
def test_axes_that_differ_are_refused_and_never_joined_with_gaps(other):
    with pytest.raises(InputError, match=r"do not share their axes: \{'a': .*'b': .*select the same"):
        stack({"a": build({"attribution": VALUES}), "b": other})


def test_units_are_kept_only_where_all_have_the_same():
    a, b = (build({"attribution": VALUES}) for _ in range(2))
    a["attribution"].attrs["units"] = b["attribution"].attrs["units"] = "output"
    assert stack({"a": a, "b": b}).attrs["units"] == "output"
    b["attribution"].attrs["units"] = "output / input"
    assert stack({"a": a, "b": b}).attrs["units"] == "differ by extractor"


def test_attention_is_reduced_only_when_said_how():
    weights = softmax(2, 5, 5)
    tree = from_arrays({"attention": {"attention": weights}, "mine": VALUES[..., 0]}, inputs=INPUTS)
    with pytest.raises(
        InputError,
        match=r"'attention' holds attention of queries by keys and no attribution; .*attention='mean'",
    ):
        stack(tree)
    np.testing.assert_allclose(stack(tree, attention="mean").sel(extractor="attention").values, weights.mean(1))
    np.testing.assert_allclose(stack(tree, attention="last").sel(extractor="attention").values, weights[:, -1])


def test_weighted_attention_needs_no_reduction():
    weights = softmax(2, 5)
    tree = from_arrays({"weighted": {"attention": weights}, "square": {"attention": softmax(2, 5, 5)}}, inputs=INPUTS)
    stacked = stack(tree, attention="max")
    np.testing.assert_allclose(stacked.sel(extractor="weighted").values, weights)


def test_one_head_is_stacked_when_named():
    weights = softmax(2, 4, 5, 5)
    tree = from_arrays({"heads": {"attention": weights}}, inputs=INPUTS)
    with pytest.raises(InputError, match="attention has 4 heads"):
        stack(tree, attention="mean")
    np.testing.assert_allclose(stack(tree, attention="mean", head=2).values[0], weights[:, 2].mean(1))


def test_one_layer_is_stacked_when_named():
    weights = softmax(2, 3, 1, 5, 5)
    tree = from_arrays({"layers": {"attention": weights}, "mine": VALUES[..., 0]}, inputs=INPUTS)
    with pytest.raises(InputError, match="attention has 3 layers"):
        stack(tree, attention="mean")
    stacked = stack(tree, attention="mean", layer=1)
    np.testing.assert_allclose(stacked.sel(extractor="layers").values, weights[:, 1, 0].mean(1))


def test_a_head_goes_only_to_attention_that_has_heads():
    weights = softmax(2, 4, 5, 5)
    tree = from_arrays({"heads": {"attention": weights}, "plain": {"attention": weights[:, 0]}})
    stacked = stack(tree, attention="mean", head=0)
    np.testing.assert_array_equal(stacked.sel(extractor="heads").values, stacked.sel(extractor="plain").values)
    for choice in ({"head": 0}, {"layer": "first"}):
        with pytest.raises(InputError, match=f"no extractor has attention with several {next(iter(choice))}s"):
            stack(from_arrays({"a": VALUES}), **choice)


def test_a_group_with_nothing_to_stack_is_refused():
    with pytest.raises(InputError, match=r"'units' has no attribution; it holds \['activation'\]"):
        stack({"units": build({"activation": VALUES})})


def test_stacking_leaves_its_arguments_as_they_were():
    tree = from_arrays({"a": VALUES, "b": {"attention": softmax(2, 5, 5)}}, inputs=INPUTS)
    before = tree.copy(deep=True)
    stack(tree, channels="sum", attention="mean")
    xr.testing.assert_identical(tree, before)


# Attention as one value a timestep

WEIGHTS = softmax(2, 5, 5)


@pytest.mark.parametrize("how", ["mean", "max", "last", STAMPS[1], "2015-01-02", np.datetime64("2015-01-02")], ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_reduced_over_the_queries_that_are_real(how, masked):
    ds = build({"attention": WEIGHTS} | ({"mask": MASK} if masked else {}), inputs=INPUTS)
    reduced = reduce_attention(ds, how)
    lengths = MASK.sum(1) if masked else np.array([5, 5])
    pick = {
        "mean": lambda w: w.mean(0),
        "max": lambda w: w.max(0),
        "last": lambda w: w[-1],
    }.get(str(how), lambda w: w[1])
    wanted = np.stack([pick(w[:n]) for w, n in zip(WEIGHTS, lengths, strict=True)])
    np.testing.assert_allclose(reduced["attribution"].values, wanted)
    assert reduced["attribution"].dims == ("sample", "timestep")
    assert reduced["attribution"].attrs["cell_methods"] == f"query_timestep: {how}"
    np.testing.assert_array_equal(reduced["timestep"], STAMPS)
    xr.testing.assert_identical(reduced.drop_vars("attribution"), ds)
    validate(reduced)


def test_a_mask_may_have_gaps():
    mask = np.array([[False, True, False, True, False]] * 2)
    reduced = reduce_attention(build({"attention": WEIGHTS, "mask": mask}), "last")
    np.testing.assert_array_equal(reduced["attribution"].values, WEIGHTS[:, 3])


@pytest.mark.parametrize("how", ["mean", "max", "last", 0])
def test_a_sample_of_padding_alone_has_no_attention(how):
    mask = np.array([[True] * 5, [False] * 5])
    reduced = reduce_attention(build({"attention": WEIGHTS, "mask": mask}), how)["attribution"]
    assert np.isfinite(reduced[0]).all()
    assert np.isnan(reduced[1]).all()


def test_a_padded_query_has_no_attention():
    reduced = reduce_attention(build({"attention": WEIGHTS, "mask": MASK}), 3)["attribution"]
    np.testing.assert_array_equal(reduced[0], WEIGHTS[0, 3])
    assert np.isnan(reduced[1]).all()


def test_a_query_is_given_by_its_label():
    ds = build({"attention": WEIGHTS})
    np.testing.assert_array_equal(reduce_attention(ds, 3)["attribution"].values, WEIGHTS[:, 3])
    labelled = ds.assign_coords(query_timestep=[10, 20, 30, 40, 50])
    np.testing.assert_array_equal(reduce_attention(labelled, 20)["attribution"].values, WEIGHTS[:, 1])


def test_queries_may_be_others_than_the_timesteps():
    weights = softmax(2, 3, 5)
    reduced = reduce_attention(build({"attention": weights, "mask": MASK}, inputs=INPUTS), "mean")
    np.testing.assert_allclose(reduced["attribution"].values, weights.mean(1))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("median", "how='median' is no query; accepted are 'mean', 'max', 'last' or a timestep from 0 to 4"),
        (5, "how=5 is no query"),
        (None, "how=None is no query"),
        ([1, 2], r"how=\[1, 2\] is no query"),
        (True, "how=True is no query"),
        (np.array([1, 2]), "is no query"),
        (slice(1, 2), "is no query"),
    ],
)
def test_an_unknown_reduction_is_refused(how, message):
    with pytest.raises(InputError, match=message):
        reduce_attention(build({"attention": WEIGHTS}), how)


@pytest.mark.parametrize("how", ["median", "2015-02-01", 3])
def test_an_unknown_reduction_of_stamped_queries_is_refused(how):
    with pytest.raises(InputError, match=r"is no query; accepted are 'mean', .*from 2015-01-01.* to 2015-01-05"):
        reduce_attention(build({"attention": WEIGHTS}, inputs=INPUTS), how)


@pytest.mark.parametrize(
    ("head", "wanted", "said"),
    [
        (1, lambda w: w[:, 1], "head: 1"),
        ("mean", lambda w: w.mean(1), "head: mean"),
        ("max", lambda w: w.max(1), "head: max"),
    ],
)
def test_one_head_is_taken_or_all_are_joined(head, wanted, said):
    weights = softmax(2, 4, 5, 5)
    reduced = reduce_attention(build({"attention": weights}), "mean", head=head)["attribution"]
    np.testing.assert_allclose(reduced.values, wanted(weights).mean(1))
    assert reduced.attrs["cell_methods"] == f"{said} query_timestep: mean"


def test_the_only_head_and_layer_need_no_name():
    weights = softmax(2, 1, 1, 5, 5)
    reduced = reduce_attention(build({"attention": weights}))["attribution"]
    np.testing.assert_allclose(reduced.values, weights[:, 0, 0].mean(1))
    assert reduced.attrs["cell_methods"] == "layer: 0 head: 0 query_timestep: mean"


def test_a_layer_is_taken_by_name():
    weights = softmax(2, 3, 4, 5, 5)
    ds = build({"attention": weights}, coords={"layer": ("layer", ["first", "second", "third"])})
    reduced = reduce_attention(ds, "last", layer="second", head=0)["attribution"]
    np.testing.assert_allclose(reduced.values, weights[:, 1, 0, -1])
    for layer in (None, "fourth", "mean"):
        with pytest.raises(
            InputError, match=rf"3 layers, layer={layer!r} is not one; accepted are \['first', 'second'"
        ):
            reduce_attention(ds, layer=layer, head=0)
    for head in (None, 4, "sum"):
        with pytest.raises(
            InputError, match=rf"4 heads, head={head!r} is not one; accepted are \[0, .*'mean' or 'max'"
        ):
            reduce_attention(ds, layer="first", head=head)


def test_weighted_attention_has_one_value_a_timestep_already():
    weights = softmax(2, 5)
    ds = build({"attention": weights}, inputs=INPUTS)
    reduced = reduce_attention(ds)["attribution"]
    np.testing.assert_allclose(reduced.values, weights)
    np.testing.assert_array_equal(reduced["timestep"], STAMPS)
    assert reduced.attrs["cell_methods"] == "none: one weight a timestep"
    with pytest.raises(InputError, match="there are no queries to take 'last' of"):
        reduce_attention(ds, "last")


@pytest.mark.parametrize("choice", [{"head": 7}, {"layer": "first"}])
def test_a_head_or_layer_that_is_not_there_is_refused(choice):
    with pytest.raises(InputError, match=next(iter(choice))):
        reduce_attention(build({"attention": WEIGHTS}), **choice)


def test_keys_that_are_no_timesteps_are_refused():
    with pytest.raises(InputError, match="runs over 3 keys, the input has 5 timesteps"):
        reduce_attention(build({"attention": softmax(2, 5, 3)}, inputs=INPUTS))


def test_keys_that_are_no_timesteps_are_refused_without_an_input_too():
    with pytest.raises(InputError, match="3 keys"):
        reduce_attention(build({"attention": softmax(2, 5, 3), "mask": MASK}))


@pytest.mark.parametrize("data", [WEIGHTS, xr.DataArray(WEIGHTS), xr.DataTree(), None], ids=type)
def test_something_else_than_a_dataset_is_refused(data):
    with pytest.raises(InputError, match=f"got a {type(data).__name__}; accepted is a Dataset"):
        reduce_attention(data)


def test_attention_that_lost_its_samples_or_timesteps_is_refused():
    ds = build({"attention": WEIGHTS, "mask": MASK})
    with pytest.raises(InputError, match=r"attention has dims .*keep them: ds.isel\(sample=\[0\]\)"):
        reduce_attention(ds.isel(sample=0))
    with pytest.raises(InputError, match="runs over 5 keys, the input has 1 timesteps"):
        reduce_attention(ds.isel(timestep=0))


def test_a_dataset_without_attention_is_refused():
    with pytest.raises(InputError, match=r"there is no attention to reduce; variables are \['attribution'\]"):
        reduce_attention(build({"attribution": VALUES}))


@given(
    arrays(float, (2, 3, 3), elements=st.floats(0, 1)),
    arrays(bool, (2, 3)).map(lambda m: m | (np.arange(3) == 0)),
    st.sampled_from(["mean", "max", "last"]),
)
@settings(max_examples=50, deadline=None)
def test_any_mask_leaves_padded_queries_out(weights, mask, how):
    ds = build({"attention": weights, "mask": mask})
    pick = {"mean": lambda w: w.mean(0), "max": lambda w: w.max(0), "last": lambda w: w[-1]}[how]
    wanted = np.stack([pick(w[m]) for w, m in zip(weights, mask, strict=True)])
    np.testing.assert_allclose(reduce_attention(ds, how)["attribution"].values, wanted)


# What is wrong with attention


def labelled_weights(values, *dims):
    return xr.DataArray(values, dims=("sample", *dims, "key_timestep"))


def test_flat_rows_have_the_largest_entropy_and_are_noted():
    measures, notes = diagnose(labelled_weights(np.full((2, 3, 4), 0.25), "query_timestep"))
    np.testing.assert_allclose(measures["attention_entropy"].values, [1, 1])
    assert list(measures) == ["attention_entropy"]
    assert len(notes) == 1
    assert "flat (entropy 1.000" in notes[0]


def test_rows_on_one_key_have_no_entropy_and_no_note():
    measures, notes = diagnose(labelled_weights(np.eye(4)[None], "query_timestep"))
    np.testing.assert_allclose(measures["attention_entropy"].values, [0])
    assert notes == []


def test_entropy_by_hand():
    rows = np.array([[[0.5, 0.5, 0, 0], [1, 0, 0, 0]], [[0.25] * 4, [0.25] * 4]])
    measures, notes = diagnose(labelled_weights(rows, "query_timestep"))
    np.testing.assert_allclose(measures["attention_entropy"].values, [0.25, 1])
    assert notes == []


def test_one_key_says_nothing():
    measures, notes = diagnose(labelled_weights(np.ones((2, 1, 1)), "query_timestep"))
    assert np.isnan(measures["attention_entropy"].values).all()
    assert len(notes) == 1
    assert "one key only" in notes[0]


def test_layers_and_heads_are_measured_each():
    weights = labelled_weights(softmax(2, 3, 4, 5, 5), "layer", "head", "query_timestep")
    measures, _ = diagnose(weights, key_mask=MASK, query_mask=MASK)
    for measure in measures.values():
        assert measure.dims == ("sample", "layer", "head")
    validate(build({"attention": weights, **measures}))


def test_the_share_on_padding_is_that_of_real_queries():
    rows = np.array([[[0.7, 0.2, 0.1], [0.5, 0.1, 0.4], [0, 0, 1]], [[1, 0, 0], [0, 0.5, 0.5], [0.2, 0.2, 0.6]]])
    real = np.array([[True, True, False], [True, True, True]])
    measures, notes = diagnose(labelled_weights(rows, "query_timestep"), query_mask=real, key_mask=real)
    np.testing.assert_allclose(measures["attention_on_padding"].values, [(0.1 + 0.4) / 2, 0])
    assert len(notes) == 1
    assert "up to 25% of their weight on padding (mean over samples 12.5%)" in notes[0]


def test_a_sample_of_padding_alone_has_no_measures():
    mask = np.array([[True, True], [False, False]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measures, notes = diagnose(labelled_weights(softmax(2, 2, 2), "query_timestep"), query_mask=mask, key_mask=mask)
    for measure in measures.values():
        assert np.isnan(measure.values).tolist() == [False, True]
    assert not any("padding" in note for note in notes)


def test_weighted_attention_on_padding():
    measures, notes = diagnose(
        labelled_weights([[0.9, 0.1], [0.5, 0.5]]), key_mask=np.array([[True, False], [True] * 2])
    )
    np.testing.assert_allclose(measures["attention_on_padding"].values, [0.1, 0])
    assert "up to 10%" in notes[-1]


def test_no_weight_on_padding_is_no_note():
    mask = np.array([[True, True, False]])
    measures, notes = diagnose(labelled_weights([[0.9, 0.1, 0.0]]), key_mask=mask)
    np.testing.assert_allclose(measures["attention_on_padding"].values, [0])
    np.testing.assert_allclose(
        measures["attention_entropy"].values, [-(0.9 * np.log(0.9) + 0.1 * np.log(0.1)) / np.log(2)]
    )
    assert notes == []


def test_entropy_is_that_of_the_weight_on_real_keys():
    mask = np.array([[True, True, False, False], [True] * 4])
    measures, _ = diagnose(labelled_weights(np.full((2, 4), 0.25)), key_mask=mask)
    np.testing.assert_allclose(measures["attention_entropy"].values, [1, 1])


@given(st.integers(2, 6), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_entropy_lies_between_none_and_all_of_the_largest(keys, seed):
    weights = np.random.default_rng(seed).dirichlet(np.full(keys, 0.5), size=(2, 3))
    measures, _ = diagnose(labelled_weights(weights, "query_timestep"))
    assert ((measures["attention_entropy"] >= -1e-9) & (measures["attention_entropy"] <= 1 + 1e-9)).all()


def test_inputs_made_by_label_inputs_and_by_hand_give_the_same_tree():
    first, second = (
        from_arrays({"m": VALUES}, inputs=INPUTS),
        from_arrays({"m": VALUES}, inputs=label_inputs(INPUTS)),
    )
    xr.testing.assert_equal(first, second)


def test_dims_in_another_order_are_read_by_their_names():
    ds = build({"attribution": VALUES, "input": VALUES, "mask": MASK}, attrs={"method": "mine"})
    turned = ds.transpose("channel", "timestep", "sample")
    np.testing.assert_array_equal(stack({"a": ds, "b": turned}).sel(extractor="b"), VALUES)
    assert as_datasets(turned)["mine"]["mask"].dims == ("sample", "timestep")


def test_a_result_with_masked_values_is_refused():
    with pytest.raises(AttrkitError, match="has masked values"):
        from_arrays({"mine": np.ma.masked_array(VALUES, VALUES > 0)})


@pytest.mark.parametrize("name", [3, None, "", "../x", "a/b", "."])
def test_a_name_that_is_a_path_is_refused_before_the_work(name):
    with pytest.raises(InputError, match="cannot name a group"):
        from_arrays({name: VALUES}, inputs="nothing that could be read")
