"""Results of other tools into trees, trees into one array, attention into one value a timestep."""

import numpy as np
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import attrkit
from attrkit.schema import build
from tests.fuzz import strategies
from tests.fuzz.contract import fuzz, outcome, refused

VARIABLES = ["attribution", "attention", "activation", "input", "prediction", "mask", "completeness_gap", "mine"]
ABOUT = dict.fromkeys(
    (
        "result",
        "attribution",
        "array",
        "input",
        "label",
        "dims",
        "name",
        "mask",
        "column",
        "coordinate",
        "variable",
        "DataFrame",
        "delta",
    )
)


def values():
    return strategies.arrays() | strategies.labelled() | strategies.frames() | strategies.odd()


def results():
    pairs = st.tuples(strategies.arrays(), strategies.arrays((3,)))
    mappings = st.dictionaries(st.sampled_from(VARIABLES) | strategies.odd().filter(hashable), values(), max_size=3)
    names = st.sampled_from(["a", "b", *strategies.NAMES, 3, None])
    return st.dictionaries(names, values() | pairs | mappings, min_size=1, max_size=2)


def hashable(value):
    try:
        hash(value)
    except TypeError:
        return False
    return True


@given(results() | strategies.odd(), st.none() | values(), st.none() | strategies.odd())
@fuzz(120)
def test_results_of_other_tools_are_brought_into_shape_or_refused(given_results, inputs, dims):
    about = {**ABOUT, "results": given_results, "inputs": inputs, "target": None}
    outcome(
        "from_arrays",
        lambda: attrkit.from_arrays(given_results, inputs=inputs, dims=dims),
        about={**about, "dims": dims},
    )


@given(st.sampled_from(["inputs", "mask", "target", "dims"]), strategies.odd() | values())
@fuzz(100)
def test_arguments_of_from_arrays_are_taken_or_refused(name, value):
    results = {"mine": np.zeros(strategies.SIZES)}
    about = {**ABOUT, name: value}
    found = outcome("from_arrays", lambda: attrkit.from_arrays(results, **{name: value}), about=about)
    if not refused(found) and name == "target" and value is not None:
        assert found["mine"]["target"].dims == ("sample",)


def datasets():
    """Datasets of the schema, some of which do not go together."""
    rng = np.random.default_rng(0)
    first = build({"attribution": rng.normal(size=(3, 6, 2))}, attrs={"method": "first"})
    return [
        first,
        first.isel(sample=[0]),
        first.isel(timestep=slice(2, None)),
        build({"attribution": rng.normal(size=(3, 6))}, attrs={"method": "second"}),
        build({"attention": rng.random((3, 6, 6))}, attrs={"method": "attention"}),
        build({"attention": rng.random((3, 6))}, attrs={"method": "weights"}),
        build({"attention": rng.random((3, 2, 6, 6))}, attrs={"method": "heads"}),
        build({"activation": rng.normal(size=(3, 4))}, attrs={"method": "layer"}),
        build({"attribution": np.full((3, 6, 2), np.nan)}, attrs={"method": "none"}),
        first.assign_coords(channel=["a", "b"]),
        first.drop_vars("attribution"),
        first.assign_attrs(schema="attrkit-99"),
        first.transpose(),
        first["attribution"],
        xr.Dataset(),
    ]


def collections():
    several = st.lists(st.sampled_from(datasets()), max_size=3)
    mappings = several.map(lambda found: {f"e{i}": ds for i, ds in enumerate(found)})
    trees = several.map(
        lambda found: xr.DataTree.from_dict({f"e{i}": ds for i, ds in enumerate(found) if isinstance(ds, xr.Dataset)})
    )
    named = st.dictionaries(st.sampled_from(strategies.NAMES), st.sampled_from(datasets()), max_size=2)
    return mappings | trees | named | st.sampled_from(datasets()) | strategies.odd()


@given(collections(), st.sampled_from([None, "sum", "abs_sum"]) | strategies.odd(), st.none() | strategies.odd())
@fuzz(100)
def test_extractors_are_stacked_or_refused(data, channels, attention):
    def check(found):
        assert found.dims[0] == "extractor"

    about = {"data": data, "channels": channels, "attention": attention, "extractor": None, "attribution": None}
    outcome(
        "stack",
        lambda: attrkit.stack(data, channels=channels, attention=attention),
        about={**about, "Dataset": None, "empty": None},
        valid=check,
    )


@given(
    st.sampled_from(datasets()) | strategies.odd(),
    strategies.odd() | st.just("last"),
    strategies.odd(),
    strategies.odd(),
)
@fuzz(100)
def test_attention_is_reduced_or_refused(data, how, layer, head):
    for asked in ({"how": how}, {"how": "mean", "head": head}, {"how": "mean", "layer": layer}):
        outcome(
            "reduce_attention",
            lambda a=asked: attrkit.reduce_attention(data, **a),
            about={**asked, "attention": None, "data": data, "Dataset": None},
            valid=lambda found: None,
        )


@given(collections())
@fuzz(25)
def test_what_is_saved_is_what_is_valid(tmp_path_factory, data):
    """A store is written whole, or there is none."""
    folder = tmp_path_factory.mktemp("saved")
    for suffix in (".nc", ".zarr"):
        path = folder / f"run{suffix}"
        found = outcome(
            "save",
            lambda p=path: attrkit.save(data, p),
            about={"data": data, "attrkit": None, "variable": None, "written": None, "group": None, "empty": None},
            valid=lambda found: None,
            apart=["warning filters"],
        )
        if refused(found):
            assert not path.exists()
        else:
            attrkit.validate(attrkit.load(path))
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


@given(
    st.sampled_from(["validate", "save", "load", "load_model", "from_shap", "from_quantus", "from_inseq"]),
    strategies.odd(),
)
@fuzz(100)
def test_what_is_no_result_and_no_path_is_refused(tmp_path_factory, name, value):
    calls = {
        "save": lambda: attrkit.save(datasets()[0], value),
        "from_quantus": lambda: attrkit.from_quantus(a_batch=value, dims=("sample", "timestep", "channel")),
    }
    found = outcome(
        f"odd values to {name}",
        calls.get(name, lambda: getattr(attrkit, name)(value)),
        about={
            "value": value,
            "path": None,
            "file": None,
            "suffix": None,
            "results": None,
            "explanation": None,
            "tree": None,
            "a_batch": None,
        },
        valid=lambda found: None,
    )
    assert refused(found) or name == "from_quantus", "nothing of this is a result or a path"
