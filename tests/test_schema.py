import itertools

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from attrkit import validate
from attrkit.errors import AttrkitError, SchemaError
from attrkit.inputs import label_inputs
from attrkit.schema import CONTENT, VARIABLES, VERSION, build, default_dims, faults, installed_version

SIZES = {
    "sample": 2,
    "timestep": 4,
    "channel": 3,
    "query_timestep": 4,
    "key_timestep": 4,
    "layer": 2,
    "head": 3,
    "output": 5,
    "height": 6,
}


def readings(name):
    """Every order of dims that the schema accepts for a variable, with nothing in the place of ``...``."""
    ways = [((d.strip("[]"),), ()) if d.startswith("[") else ((d,),) for d in VARIABLES[name].dims if d != "..."]
    return [tuple(itertools.chain(*way)) for way in itertools.product(*ways)]


ACCEPTED = {name: readings(name) for name in VARIABLES}


def variable(name, dims):
    return xr.DataArray(np.zeros([SIZES[d] for d in dims], dtype=bool if name == "mask" else float), dims=dims)


def valid(**attrs):
    return build({"attribution": np.zeros((2, 4, 3))}, attrs=attrs)


@pytest.fixture
def labelled():
    """Inputs with time stamps, names, attributes and a further coordinate."""
    return xr.DataArray(
        np.arange(24.0).reshape(2, 4, 3),
        dims=("sample", "timestep", "channel"),
        coords={
            "sample": ["north", "south"],
            "timestep": ("timestep", pd.date_range("2015-01-01", periods=4), {"long_name": "valid time"}),
            "channel": ["rain", "wind", "heat"],
            "time": (("sample", "timestep"), np.arange(8.0).reshape(2, 4)),
        },
        attrs={"units": "1"},
    )


# Building


@pytest.mark.parametrize(
    "value",
    [
        np.ones((2, 4, 3)),
        np.ones((2, 4, 3)).tolist(),
        xr.Variable(("sample", "timestep", "channel"), np.ones((2, 4, 3))),
        xr.DataArray(np.ones((2, 4, 3)), dims=("sample", "timestep", "channel"), name="other"),
    ],
    ids=["array", "list", "Variable", "DataArray"],
)
def test_one_dataset_comes_of_arrays_variables_and_dataarrays(value):
    ds = build({"attribution": value}, attrs={"method": "mine"})
    xr.testing.assert_identical(
        ds.drop_attrs(),
        xr.Dataset(
            {"attribution": (("sample", "timestep", "channel"), np.ones((2, 4, 3)))},
            coords={"sample": np.arange(2), "timestep": np.arange(4), "channel": np.arange(3)},
        ),
    )
    assert ds.attrs["schema"] == VERSION
    assert ds.attrs["method"] == "mine"
    assert ds.attrs["attrkit_version"] == installed_version("attrkit")
    assert pd.Timestamp(ds.attrs["created_at"]).tzinfo is not None
    assert ds["attribution"].attrs["long_name"] == "attribution"
    assert ds["timestep"].attrs["long_name"] == "timestep"


@pytest.mark.parametrize(
    ("name", "ndim", "dims"),
    [
        ("attribution", 2, ("sample", "timestep")),
        ("attribution", 3, ("sample", "timestep", "channel")),
        ("attention", 2, ("sample", "key_timestep")),
        ("attention", 3, ("sample", "query_timestep", "key_timestep")),
        ("attention", 4, ("sample", "head", "query_timestep", "key_timestep")),
        ("attention", 5, ("sample", "layer", "head", "query_timestep", "key_timestep")),
        ("activation", 2, ("sample", "channel")),
        ("activation", 3, ("sample", "timestep", "channel")),
        ("input", 2, ("sample", "timestep")),
        ("prediction", 1, ("sample",)),
        ("prediction", 2, ("sample", "output")),
        ("completeness_gap", 1, ("sample",)),
        ("mask", 2, ("sample", "timestep")),
    ],
)
def test_a_bare_array_gets_the_dims_of_its_name(name, ndim, dims):
    assert default_dims(name, ndim) == dims


@pytest.mark.parametrize(
    ("name", "ndim"), [("attribution", 4), ("attention", 6), ("mask", 3), ("mine", 1), ("mine", 2)]
)
def test_a_bare_array_without_a_reading_of_its_own_is_refused(name, ndim):
    with pytest.raises(SchemaError, match=f"{ndim} dims for '{name}'.*DataArray with named dims"):
        default_dims(name, ndim)


@pytest.mark.parametrize("name", ["attribution", "attention", "input", "mask", "baseline"])
def test_one_axis_is_no_reading_where_the_schema_has_none(name):
    with pytest.raises(SchemaError, match=f"1 dims for '{name}'"):
        default_dims(name, 1)


def test_labels_of_the_inputs_land_on_every_axis_that_is_the_same(labelled):
    ds = build({"attribution": np.zeros((2, 4, 3)), "attention": np.zeros((2, 4, 4))}, inputs=labelled)
    for dim in ("timestep", "query_timestep", "key_timestep"):
        np.testing.assert_array_equal(ds[dim], labelled["timestep"])
        assert ds[dim].attrs["long_name"] == "valid time"
    np.testing.assert_array_equal(ds["sample"], ["north", "south"])
    np.testing.assert_array_equal(ds["channel"], ["rain", "wind", "heat"])
    np.testing.assert_array_equal(ds["time"], labelled["time"])
    xr.testing.assert_equal(ds["input"], labelled)
    assert ds["input"].attrs["units"] == "1"


def test_attention_over_another_number_of_keys_counts_them(labelled):
    ds = build({"attention": np.zeros((2, 4, 7))}, inputs=labelled)
    np.testing.assert_array_equal(ds["query_timestep"], labelled["timestep"])
    np.testing.assert_array_equal(ds["key_timestep"], np.arange(7))


@pytest.mark.parametrize("dims", [("sample", "channel"), ("sample", "timestep", "channel"), ("sample", "timestep")])
def test_the_inputs_stay_out_of_a_layers_output(labelled, dims):
    sizes = {"sample": 2, "timestep": 3, "channel": 9}
    ds = build({"activation": xr.DataArray(np.zeros([sizes[d] for d in dims]), dims=dims)}, inputs=labelled)
    assert "input" not in ds
    assert ds.sizes == {d: sizes[d] for d in dims}
    np.testing.assert_array_equal(ds["sample"], ["north", "south"])


def test_units_of_a_layer_never_get_the_names_of_input_channels(labelled):
    ds = build({"activation": np.zeros((2, 4, 3))}, inputs=labelled)
    np.testing.assert_array_equal(ds["channel"], np.arange(3))


def test_an_input_given_by_name_stays(labelled):
    ds = build({"attribution": np.zeros((2, 4, 3)), "input": labelled * 2}, inputs=labelled)
    xr.testing.assert_equal(ds["input"], labelled * 2)


def test_further_coordinates_are_kept(labelled):
    ds = build({"attribution": np.zeros((2, 4, 3))}, inputs=labelled, coords={"target": ("sample", ["warm", "cold"])})
    np.testing.assert_array_equal(ds["target"], ["warm", "cold"])


def test_coordinates_given_go_before_those_of_the_inputs(labelled):
    names = ["u", "v", "w"]
    ds = build({"attribution": np.zeros((2, 4, 3))}, inputs=labelled, coords={"channel": ("channel", names)})
    np.testing.assert_array_equal(ds["channel"], names)


@pytest.mark.parametrize("coords", [{"channel": ("channel", ["u", "v"])}, {"target": ("sample", [1, 2, 3])}])
def test_coordinates_given_of_another_length_are_refused(coords):
    with pytest.raises(SchemaError, match=next(iter(coords))):
        build({"attribution": np.zeros((2, 4, 3))}, coords=coords)


@pytest.mark.parametrize(
    "target", [["warm", "cold"], ("sample", ["warm", "cold"]), xr.DataArray(["warm", "cold"], dims="sample")]
)
def test_coordinates_come_in_every_form_of_xarray(labelled, target):
    key = "sample" if isinstance(target, list) else "target"
    ds = build({"attribution": np.zeros((2, 4, 3))}, inputs=labelled, coords={key: target})
    np.testing.assert_array_equal(ds[key], ["warm", "cold"])


@pytest.mark.parametrize(
    "target",
    [
        ["warm", "cold"],
        [["warm"], ["cold", "mild"]],
        ("place", "sample", ["warm", "cold"]),
        xr.DataArray([1.0, 2.0], dims="sample", coords={"sample": ["north", "east"]}),
    ],
    ids=["no dims", "ragged", "no pair", "other labels"],
)
def test_coordinates_that_do_not_fit_are_refused(labelled, target):
    with pytest.raises(SchemaError, match="'target'"):
        build({"attribution": np.zeros((2, 4, 3))}, inputs=labelled, coords={"target": target})


@pytest.mark.parametrize("value", [[[1.0, 2.0], [3.0]], xr.Dataset({"a": 1})], ids=["ragged", "Dataset"])
def test_what_is_no_array_is_refused_by_name(value):
    with pytest.raises(SchemaError, match=r"'attribution' is a .* that cannot be read as an array"):
        build({"attribution": value})


def test_how_a_file_packed_the_inputs_is_forgotten(labelled):
    labelled.encoding = {"dtype": "int16", "scale_factor": 0.1}
    ds = build({"attribution": np.zeros((2, 4, 3))}, inputs=labelled)
    assert all(variable.encoding == {} for variable in ds.variables.values())
    assert labelled.encoding == {"dtype": "int16", "scale_factor": 0.1}


def test_building_leaves_what_it_was_given_as_it_was(labelled):
    given_inputs, array = (
        labelled.copy(deep=True),
        xr.DataArray(np.zeros((2, 4)), dims=("sample", "timestep")),
    )
    before = array.copy(deep=True)
    build({"attribution": array}, inputs=labelled)
    xr.testing.assert_identical(labelled, given_inputs)
    xr.testing.assert_identical(array, before)


@pytest.mark.parametrize(
    "second",
    [
        xr.DataArray(np.zeros((2, 5)), dims=("sample", "timestep")),
        xr.DataArray(np.zeros((3, 4)), dims=("sample", "timestep")),
        xr.DataArray(np.zeros((2, 4)), dims=("sample", "timestep"), coords={"timestep": [1, 2, 3, 4]}),
        xr.DataArray(np.zeros((2, 4)), dims=("sample", "timestep"), coords={"timestep": [3, 2, 1, 0]}),
    ],
    ids=["longer", "more samples", "other labels", "same labels in another order"],
)
def test_arrays_that_do_not_fit_are_refused_and_never_joined_with_gaps(second):
    first = xr.DataArray(np.zeros((2, 4, 3)), dims=("sample", "timestep", "channel"), coords={"timestep": range(4)})
    with pytest.raises(SchemaError, match=r"do not fit each other: .*'attribution': .*'input': .*'timestep'"):
        build({"attribution": second, "input": first})


def test_an_attribution_of_another_length_than_the_inputs_is_refused(labelled):
    with pytest.raises(SchemaError, match=r"'timestep': 3.*'timestep': 4"):
        build({"attribution": np.zeros((2, 3, 3))}, inputs=labelled)


def test_errors_are_also_those_that_plain_python_would_raise():
    assert issubclass(SchemaError, AttrkitError)
    with pytest.raises(ValueError, match="none of attribution, attention, activation"):
        build({"prediction": np.zeros(2)})


# Validating


def test_every_fault_is_listed_at_once():
    ds = xr.Dataset(
        {
            "attribution": (("sample", "feature", "timestep"), np.zeros((2, 3, 4))),
            "mask": (("sample", "timestep"), np.ones((2, 4), dtype=int)),
            "prediction": (("sample",), np.zeros(2), {"classes": ["a", "b"]}),
        },
        coords={"sample": [7, 7], "timestep": range(4)},
        attrs={"schema": "attrkit-0", "baseline": None},
    )
    with pytest.raises(SchemaError) as caught:
        validate(ds)
    text = str(caught.value)
    for part in (
        "not an attrkit dataset:",
        "'schema' is 'attrkit-0'; this version reads 'attrkit-2'",
        "'attribution' has dims ('sample', 'feature', 'timestep'); "
        "accepted are (sample, [output], timestep, [channel])",
        "'mask' has dtype int64; accepted are boolean",
        "dimension 'feature' has no coordinate",
        "coordinate 'sample' repeats labels, ",
        "attribute 'baseline' of the dataset is a NoneType",
        "attribute 'classes' of 'prediction' is a list; accepted are text and numbers",
    ):
        assert part in text
    assert len(faults(ds)) == 7


@pytest.mark.parametrize(("name", "dims"), [(name, dims) for name, ways in ACCEPTED.items() for dims in ways])
def test_every_reading_of_every_variable_is_accepted(name, dims):
    content = {} if name in CONTENT else {"attribution": variable("attribution", ("sample", "timestep"))}
    validate(build({**content, name: variable(name, dims)}))


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize("change", ["unknown dim", "missing first", "backwards"])
def test_other_dims_are_refused_by_name(name, change):
    dims = ACCEPTED[name][0]
    wrong = {"unknown dim": ("place", *dims), "missing first": dims[1:], "backwards": dims[::-1]}[change]
    sizes = {**SIZES, "place": 1}
    ds = xr.Dataset(
        {name: (wrong, np.zeros([sizes[d] for d in wrong], dtype=bool if name == "mask" else float))},
        coords={d: np.arange(sizes[d]) for d in wrong},
        attrs={"schema": VERSION},
    )
    refused = any(fault.startswith(f"{name!r} has dims {wrong}; accepted are (") for fault in faults(ds))
    assert refused == (wrong not in ACCEPTED[name])


@pytest.mark.parametrize(
    ("dims", "fits"),
    [
        (("sample", "height", "channel"), True),
        (("sample", "timestep", "height", "channel"), True),
        (("sample", "timestep", "height"), True),
        (("sample", "channel", "height"), False),
        (("height", "sample", "channel"), False),
        (("sample", "height", "timestep", "channel"), False),
    ],
)
def test_a_layers_output_may_have_further_dims_between_time_and_channels(dims, fits):
    ds = xr.Dataset({"activation": (dims, np.zeros([SIZES[d] for d in dims]))}, attrs={"schema": VERSION})
    ds = ds.assign_coords({d: np.arange(SIZES[d]) for d in dims})
    assert (not faults(ds)) == fits


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_any_variables_with_right_dims_are_valid_together(data):
    names = data.draw(st.sets(st.sampled_from(sorted(VARIABLES))))
    names |= {data.draw(st.sampled_from(CONTENT))}
    chosen = {name: data.draw(st.sampled_from(ACCEPTED[name])) for name in sorted(names)}
    ds = build({name: variable(name, dims) for name, dims in chosen.items()})
    assert faults(ds) == []
    assert set(ds.sizes) == set(ds.indexes) == {d for dims in chosen.values() for d in dims}


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_any_other_order_of_dims_is_refused(data):
    name = data.draw(st.sampled_from(sorted(set(VARIABLES) - {"activation"})))
    order = tuple(data.draw(st.permutations(data.draw(st.sampled_from(ACCEPTED[name])))))
    ds = valid().drop_vars("attribution").assign({name: variable(name, order)})
    wrong = [fault for fault in faults(ds) if fault.startswith(f"{name!r} has dims")]
    assert len(wrong) == (order not in ACCEPTED[name])


@pytest.mark.parametrize(
    ("name", "values", "accepted"),
    [
        ("attribution", np.zeros((2, 4), dtype=complex), "numbers"),
        ("attribution", np.zeros((2, 4), dtype="<U3"), "numbers"),
        ("attribution", np.zeros((2, 4), dtype=bool), "numbers"),
        ("attribution", np.zeros((2, 4), dtype=object), "numbers"),
        ("mask", np.zeros((2, 4)), "boolean"),
    ],
)
def test_variables_of_another_dtype_are_refused(name, values, accepted):
    content = {} if name == "attribution" else {"attribution": np.zeros((2, 4))}
    with pytest.raises(SchemaError, match=f"'{name}' has dtype {values.dtype}; accepted are {accepted}"):
        build({**content, name: values})


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8", "int64"])
def test_numbers_of_any_width_are_valid(dtype):
    assert build({"attribution": np.zeros((2, 4), dtype=dtype)})["attribution"].dtype == dtype


@pytest.mark.parametrize(
    "value",
    [None, True, np.True_, {"a": 1}, [1, 2], (1,), np.zeros(2), b"text", pd.Timestamp("2015-01-01")],
    ids=repr,
)
@pytest.mark.parametrize("owner", ["the dataset", "'attribution'", "'timestep'"])
def test_attributes_that_no_file_can_hold_are_refused_with_their_owner(value, owner):
    ds = valid()
    (ds if owner == "the dataset" else ds[owner.strip("'")]).attrs["odd"] = value
    with pytest.raises(SchemaError, match=f"attribute 'odd' of {owner} is a {type(value).__name__}; accepted are text"):
        validate(ds)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("attribution", "units", "days since 2000-01-01"),
        ("timestep", "units", "hours since 2000-01-01"),
        ("time", "units", "UTC"),
        ("time", "calendar", "standard"),
        ("attribution", "scale_factor", 2.0),
        ("attribution", "add_offset", 1),
        ("attribution", "_FillValue", 0.0),
        ("attribution", "missing_value", 0.0),
    ],
)
def test_attributes_by_which_files_store_values_are_refused(name, key, value):
    ds = valid().assign_coords(time=("timestep", pd.date_range("2015-01-01", periods=4)))
    ds[name].attrs[key] = value
    with pytest.raises(SchemaError, match=f"attribute '{key}' of '{name}' is {value!r}, which files take for how"):
        validate(ds)


def test_attributes_are_named_by_text():
    ds = valid()
    ds.attrs[3] = "three"
    with pytest.raises(SchemaError, match="attribute 3 of the dataset"):
        validate(ds)


def test_complex_attributes_are_refused():
    with pytest.raises(SchemaError, match="attribute 'odd' of the dataset is a complex"):
        valid(odd=np.complex128(1j))


@pytest.mark.parametrize(
    "value", ["", "größer", 3, 2.5, float("inf"), np.int32(3), np.float32(0.5), np.str_("a")], ids=repr
)
def test_text_and_numbers_are_valid_attributes(value):
    assert valid(odd=value).attrs["odd"] == value


@pytest.mark.parametrize("labels", [["a", "b", "a"], [0.0, 1.0, 0.0], pd.to_datetime(["2015", "2016", "2015"])])
def test_labels_that_repeat_are_refused(labels):
    with pytest.raises(SchemaError, match=r"coordinate 'channel' repeats labels, .*(a|0\.0|2015).* for one"):
        build({"attribution": np.zeros((2, 4, 3))}, coords={"channel": ("channel", labels)})


def test_labels_without_an_index_are_checked_too():
    ds = valid().assign_coords(channel=["a", "b", "a"]).drop_indexes("channel")
    with pytest.raises(SchemaError, match="coordinate 'channel' repeats labels"):
        validate(ds)


def test_a_label_that_repeats_is_shown_as_plain_python():
    with pytest.raises(SchemaError, match="coordinate 'channel' repeats labels, 7 for one"):
        validate(valid().assign_coords(channel=[7, 8, 7]))


def test_labels_of_several_levels_are_refused():
    index = pd.MultiIndex.from_product([[1, 2], [3, 4]])
    levels = xr.Coordinates.from_pandas_multiindex(index, "timestep")
    with pytest.raises(SchemaError, match=r"'timestep' is a MultiIndex, .*reset_index\('timestep'\)"):
        validate(valid().assign_coords(levels))


@pytest.mark.parametrize("name", ["a/b", "", ".", "..", 1], ids=repr)
def test_variables_are_named_by_text_that_is_no_path(name):
    with pytest.raises(SchemaError, match=f"a variable has the name {name!r}"):
        validate(valid().assign({name: ("sample", [1, 2])}))


@pytest.mark.parametrize("data", [np.zeros(3), xr.DataArray(1.0), {"a": 1}, None, "run.zarr"], ids=lambda d: type(d))
def test_something_else_is_refused_by_its_type(data):
    with pytest.raises(SchemaError, match=f"got a {type(data).__name__}; accepted are a Dataset and a DataTree"):
        validate(data)


def test_variables_of_other_names_are_free():
    validate(valid().assign(mine=("place", [1, 2])).assign_coords(place=["a", "b"]))


@pytest.mark.parametrize("version", ["attrkit-3", "", 1])
def test_another_version_of_the_schema_is_refused(version):
    with pytest.raises(SchemaError, match=f"'schema' is {version!r}; this version reads 'attrkit-2'"):
        validate(valid().assign_attrs(schema=version))


# Trees


def test_groups_of_a_tree_may_differ_in_dims_and_labels(labelled):
    other = build({"attention": np.zeros((5, 7, 7))})
    validate(xr.DataTree.from_dict({"a": build({"attribution": np.zeros((2, 4, 3))}, inputs=labelled), "b": other}))


def test_a_tree_without_groups_is_refused():
    with pytest.raises(SchemaError, match=r"not an attrkit tree:\n  - the tree has no groups"):
        validate(xr.DataTree())


def test_a_root_that_holds_something_is_refused():
    root = xr.Dataset(coords={"sample": [0, 1]})
    with pytest.raises(SchemaError, match=r"the root holds \['sample'\]; it must stay empty"):
        validate(xr.DataTree.from_dict({"/": root, "a": valid()}))


def test_groups_within_groups_are_refused():
    with pytest.raises(SchemaError, match="group 'a' holds a group 'b'; groups are siblings"):
        validate(xr.DataTree.from_dict({"a": valid(), "a/b": valid()}))


def test_faults_of_every_group_are_listed_with_its_name():
    tree = xr.DataTree.from_dict({"good": valid(), "bad": valid().drop_vars("channel"), "worse": xr.Dataset()})
    found = faults(tree)
    assert found[0] == "group 'bad': dimension 'channel' has no coordinate"
    assert [fault.split(":")[0] for fault in found[1:]] == ["group 'worse'"] * 2


def test_a_package_that_is_not_installed_has_an_unknown_version():
    assert installed_version("no-such-package-here") == "unknown"


def test_labels_of_label_inputs_are_those_of_the_dataset():
    x = label_inputs(pd.DataFrame(np.zeros((4, 2)), columns=["a", "b"], index=pd.date_range("2015", periods=4)))
    ds = build({"attribution": np.zeros((1, 4, 2))}, inputs=x)
    for dim in x.dims:
        np.testing.assert_array_equal(ds[dim], x[dim])
