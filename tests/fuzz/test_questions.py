"""What is asked of a model: targets, baselines, masks, batches, seeds, options, methods."""

import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import attrkit
from attrkit.errors import InputError
from tests.fuzz import questions, strategies
from tests.fuzz.contract import fuzz, outcome, refused
from tests.fuzz.models import model

X = strategies.right_inputs()


def explain(method="occlusion", **asked):
    given_target = {"target": 0, **asked}
    return attrkit.extract(model, X, method, show_progress=False, **given_target)


@given(questions.targets(), questions.output_labels(), st.sampled_from(["occlusion", "attention"]))
@fuzz(150)
def test_targets_are_explained_or_refused(target, labels, method):
    found = outcome(
        "targets",
        lambda: explain(method, target=target, output_labels=labels),
        about={"target": target, "output": None, "output_labels": labels, "attention": None},
    )
    if not refused(found) and "output" not in found["attribution"].dims:
        assert found["target"].dims == ("sample",)


@given(
    questions.baselines()
    | strategies.odd()
    | st.dictionaries(st.sampled_from(["x", "y"]), questions.baselines(), max_size=2)
)
@fuzz(120)
def test_baselines_are_taken_or_refused(baseline):
    found = outcome(
        "baselines",
        lambda: explain(baseline=baseline),
        about={"baseline": baseline, "columns": None, "label": None, "input": None},
    )
    if not refused(found) and isinstance(baseline, float | int) and not isinstance(baseline, bool):
        assert float(found.attrs["baseline"]) == float(f"{float(baseline):g}")


@given(questions.masks() | strategies.odd(), st.sampled_from([0.0, "mean"]))
@fuzz(120)
def test_masks_are_taken_or_refused(mask, baseline):
    found = outcome(
        "masks",
        lambda: explain(mask=mask, baseline=baseline),
        about={"mask": mask, "column": None, "baseline": None, "labels": None},
    )
    if not refused(found) and "mask" in found:
        assert not found["attribution"].values[~found["mask"].values].any()


ASKED = [
    *("batch_size", "seed", "layer", "explain", "embedding", "embedding_reduction", "logits", "show_progress"),
    *("store", "chunk_size", "client", "output_labels", "baseline", "mask", "method"),
]


@given(st.sampled_from(ASKED), strategies.odd())
@fuzz(250)
def test_arguments_of_extract_are_taken_or_refused(tmp_path_factory, name, value):
    asked = {"method": "occlusion", "target": 0, "show_progress": False, name: value}
    if name == "store" and isinstance(value, str | bytes):
        value = asked["store"] = tmp_path_factory.getbasetemp() / str(value)
    outcome("arguments of extract", lambda: attrkit.extract(model, X, **asked), about={name: value})


COMPARED = [
    "methods",
    "batch_size",
    "seed",
    "layer",
    "explain",
    "logits",
    "output_labels",
    "baseline",
    "mask",
    "target",
]


def methods():
    one = st.sampled_from(
        ["occlusion", "gradient", "attention", "nothing", "captum:None", ":", "a:b:c", strategies.raises]
    )
    several = st.lists(one | strategies.odd(), max_size=3)
    pairs = st.tuples(one, st.sampled_from([{}, {"window": 2}, {"nothing": 1}, None, 3, {1: 2}]))
    named = st.dictionaries(
        st.sampled_from([*strategies.NAMES, "own", 3, None]) | st.text(max_size=3),
        one | pairs | strategies.odd(),
        max_size=3,
    )
    return one | several | named | strategies.odd()


@given(st.sampled_from(COMPARED), strategies.odd())
@fuzz(80)
def test_arguments_of_compare_are_taken_or_refused(name, value):
    asked = {"methods": ["occlusion"], "target": 0, "show_progress": False, name: value}
    outcome(
        "arguments of compare",
        lambda: attrkit.compare(model, X, **asked),
        about={name: value, "method": None, "group": None, "outputs": None},
    )


@given(methods())
@fuzz(120)
def test_methods_are_run_or_refused(given_methods):
    found = outcome(
        "methods",
        lambda: attrkit.compare(model, X, given_methods, target=0, show_progress=False),
        about={
            "methods": given_methods,
            "method": None,
            "name": None,
            "function": None,
            "gradient": None,
            "attention": None,
            "toolkit": None,
            "option": None,
        },
    )
    assert refused(found) or len(found.children)


def odd_options(names):
    return st.dictionaries(st.sampled_from(names), strategies.odd(), min_size=1, max_size=2)


OCCLUSION = ["window", "stride", "per_channel", "nothing"]


@given(odd_options(OCCLUSION))
@fuzz(120)
def test_options_of_occlusion_are_taken_or_refused(options):
    found = outcome("options of occlusion", lambda: explain(**options), about=options)
    if not refused(found) and "window" in options:
        assert isinstance(options["window"], int | np.integer)


def results_of_a_method():
    return (
        strategies.arrays()
        | strategies.labelled()
        | strategies.odd()
        | st.dictionaries(
            st.sampled_from(
                ["attribution", "attention", "activation", "input", "prediction", "mask", "completeness_gap"]
            )
            | st.sampled_from(["target", "sample", "timestep", "mine", "a/b", "", 3]),
            strategies.arrays() | strategies.labelled() | strategies.odd(),
            max_size=3,
        )
    )


@given(results_of_a_method(), st.sampled_from([0, "all", None]))
@fuzz(150)
def test_what_a_method_of_ones_own_returns_is_taken_or_refused(result, target):
    def mine(model, x, target):
        return result

    about = {
        "mine": result,
        "result": None,
        "attribution": None,
        "attention": None,
        "masked": None,
        "target": None,
        "array": None,
        "arrays": None,
        "dims": None,
        "outputs": None,
    }
    found = outcome(
        "results of a method",
        lambda: attrkit.extract(model, X, mine, target=target, show_progress=False),
        about={**about, "variable": None, "coordinate": None, "label": None, "attrkit": None},
    )
    if not refused(found) and "activation" not in found:
        np.testing.assert_array_equal(found["input"].values, X)


@pytest.mark.parametrize("name", ["compare", "from_arrays", "windows", "save"])
def test_a_call_with_a_wrong_keyword_is_refused_by_python(name):
    call = getattr(attrkit, name)
    with pytest.raises(TypeError, match="nothing"):
        call(**dict.fromkeys(inspect.signature(call).parameters), nothing=1)


def test_what_extract_does_not_know_is_an_option_of_the_method():
    with pytest.raises(InputError, match="occlusion has no option 'nothing'"):
        explain(nothing=1)
