"""Models in half precision: what is found is that of single precision, to their digits, and says which it was."""

import warnings

import numpy as np
import pytest

import attrkit
from attrkit.errors import AttrkitWarning, CompletenessWarning, RefusedError
from tests.contract import reference
from tests.contract.answers import FUNCTIONS
from tests.contract.builders import built
from tests.contract.test_contract import ASKED

# Of the largest value; twice that for a difference of two outputs.
TOLERANCE = {"float16": 5e-3, "bfloat16": 0.03}
QUIET = {"target": reference.TARGET, "show_progress": False}


def precision_of(framework, half):
    """Keras computes in half of what its weights are in, others have their weights in it."""
    return f"mixed_{half}" if framework.startswith("keras") else half


def holds(framework, kind, half):
    # numpy has no bfloat16, and JAX on a processor none of the products of float16 that attention of Keras asks for.
    return (framework, half) != ("numpy", "bfloat16") and (framework, kind, half) != (
        "keras-jax",
        "attention",
        "float16",
    )


@pytest.mark.parametrize("half", TOLERANCE)
@pytest.mark.parametrize("kind", ["lstm", "attention"])
def test_what_is_found_is_that_of_single_precision_to_the_digits_of_half(framework, kind, half, record_property):
    if not holds(framework, kind, half):
        return
    expected, x = reference.expected(kind), reference.inputs().astype("float32")
    found = {}
    with built(framework, kind, precision_of(framework, half)) as model, warnings.catch_warnings():
        # That the outputs are rounded is warned about.
        warnings.simplefilter("ignore", AttrkitWarning)
        for name, (method, options) in ASKED.items():
            if method == "lrp":
                with pytest.raises(
                    RefusedError, match=r"no gradient|no rules|magnifies .* attrkit.to_float32\(model\)"
                ):
                    attrkit.extract(model, x, method, **QUIET)
            elif framework != "numpy" or method == "occlusion":
                ds = attrkit.extract(model, x, method, batch_size=len(x), **QUIET, **options)
                assert ds.attrs["half_precision"] == half
                assert {str(ds[key].dtype) for key in ("attribution", "prediction", "input")} == {"float32"}
                found[name] = ds["attribution"].values
                found.setdefault("prediction", ds["prediction"].values)
        if kind == "attention" and framework not in FUNCTIONS:
            found["attention"] = attrkit.extract(model, x, "attention", **QUIET)["attention"].values
            assert found["attention"].dtype == "float32"
            held = attrkit.extract(model, x, "gradient", hold_attention=True, **QUIET)
            found["gradient with attention held"] = held["attribution"].values
    # A difference of outputs is as exact as these are.
    sizes = {name: np.abs(expected["prediction" if name == "occlusion" else name]).max() for name in found}
    shares = {name: np.abs(values - expected[name]).max() / sizes[name] for name, values in found.items()}
    measured = ", ".join(f"{name} {share:.1e}" for name, share in shares.items())
    record_property("contract", f"{framework} {kind} {half}: {measured}")
    for name, share in shares.items():
        assert share <= TOLERANCE[half] * (2 if name == "occlusion" else 1), measured
    # It was not in single precision all the same.
    assert max(shares.values()) > 1e-5


@pytest.mark.parametrize("half", TOLERANCE)
def test_the_copy_in_single_precision_is_exact(framework, half):
    if framework in FUNCTIONS:
        return
    x = reference.inputs().astype("float32")
    with built(framework, "lstm", precision_of(framework, half)) as model:
        twin = attrkit.to_float32(model)
        # A torch module holds rounded weights, as a Keras model does not.
        expected = attrkit.extract(attrkit.adapt(model), x, "gradient", **QUIET)
        ds = attrkit.extract(twin, x, "lrp", **QUIET)
        gradient = attrkit.extract(twin, x, "gradient", **QUIET)
    assert "half_precision" not in gradient.attrs
    assert float(np.abs(ds["completeness_gap"]).max()) < 1e-5
    scale = float(np.abs(expected["attribution"]).max())
    np.testing.assert_allclose(gradient["attribution"], expected["attribution"], atol=TOLERANCE[half] * scale)
    if framework.startswith("keras"):
        np.testing.assert_allclose(gradient["attribution"], reference.expected("lstm")["gradient"], atol=1e-5)


def test_a_gap_is_said_to_be_of_the_precision(framework):
    if framework == "numpy":
        return
    x = reference.inputs().astype("float32")
    with built(framework, "lstm", precision_of(framework, "bfloat16")) as model:
        # One step misses more than a percent in any precision: what is advised is to look without rounding.
        with pytest.warns(
            CompletenessWarning, match=r"computes in bfloat16, which keeps 2 digits; .*to_float32\(model\)"
        ):
            attrkit.extract(model, 3 * x, "integrated_gradients", n_steps=1, **QUIET)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CompletenessWarning)
            ds = attrkit.extract(model, x, "integrated_gradients", n_steps="auto", **QUIET)
    assert int(ds["gradient_evaluations"].max()) <= 255


@pytest.mark.parametrize("scale", [1e-3, 3.0])
def test_differences_of_outputs_that_are_rounding_are_warned_of(framework, scale):
    if framework == "numpy":
        return
    x = scale * reference.inputs().astype("float32")
    with (
        built(framework, "lstm", precision_of(framework, "bfloat16")) as model,
        warnings.catch_warnings(record=True) as w,
    ):
        warnings.simplefilter("always")
        attrkit.extract(model, x, "occlusion", window=6, per_channel=False, **QUIET)
    said = [str(one.message) for one in w if "what outputs are rounded by is more than 5%" in str(one.message)]
    assert len(said) == (scale == 1e-3)


def test_gradients_that_float16_cannot_hold_are_warned_of(framework):
    if framework in FUNCTIONS:
        return
    x = reference.inputs().astype("float32")
    with built(framework, "lstm", precision_of(framework, "float16")) as model:
        adapter = attrkit.adapt(model)
        state = adapter.state()
        adapter.assign({name: 1e-5 * values for name, values in state.items() if name.startswith("head")})
        with pytest.warns(AttrkitWarning, match="3 of 3 samples are below 6.1e-05, where float16 loses its digits"):
            attrkit.extract(model, x, "gradient", **QUIET)
        adapter.assign(state)
        with warnings.catch_warnings():
            warnings.simplefilter("error", AttrkitWarning)
            attrkit.extract(model, x, "gradient", **QUIET)
