"""Gradients with respect to parameters: those of a float64 reference by the complex step, in every framework."""

import numpy as np
import pytest

import attrkit
from attrkit.attention import find_readers
from attrkit.errors import InputError, RefusedError
from tests.contract import reference
from tests.contract.builders import as_in_reference, built
from tests.contract.test_contract import NO_FLOAT64, TOLERANCE

FUNCTIONS = ("jax", "numpy")
RNG = np.random.default_rng(11)
OF_OUTPUT = RNG.normal(size=(reference.SAMPLES, reference.OUTPUTS))
OF_SCORES = RNG.normal(size=(reference.SAMPLES, reference.HEADS, reference.STEPS, reference.STEPS))


def ask(model, kind, x, of_output=OF_OUTPUT, of_scores=OF_SCORES, **settings):
    adapter = attrkit.adapt(model).configured(**settings)
    readers = find_readers(adapter.layers()) if kind == "attention" else {}
    cotangents = {path: [{"attention": of_scores}] for path in readers}
    return adapter.parameter_gradient(x, of_output, readers=readers, reading_cotangents=cotangents)


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("kind", reference.KINDS)
def test_every_adapter_finds_what_the_reference_says(framework, kind, precision, record_property):
    if framework in FUNCTIONS:
        return
    x = reference.inputs().astype(precision)
    expected = reference.weight_gradient(kind, reference.inputs(), OF_OUTPUT, OF_SCORES)
    with built(framework, kind, precision) as model:
        found = as_in_reference(framework, kind, ask(model, kind, x))
        # In passes of two samples and of one.
        parts = as_in_reference(framework, kind, ask(model, kind, x, batch_size=2))
    worst = max(float(np.abs(found[name] - expected[name]).max()) for name in expected)
    record_property("contract", f"{framework} {kind} {precision}: parameters {worst:.1e}")
    tolerance = TOLERANCE["float32" if framework in NO_FLOAT64 else precision]
    for name, values in expected.items():
        assert found[name].dtype == precision
        scale = np.abs(values).max()
        np.testing.assert_allclose(found[name], values, atol=tolerance * max(scale, 1), err_msg=name)
        np.testing.assert_allclose(parts[name], values, atol=tolerance * max(scale, 1), err_msg=name)


def test_new_weights_have_their_own_gradient(framework):
    if framework in FUNCTIONS:
        return
    x = reference.inputs().astype("float32")
    with built(framework, "lstm", "float32") as model:
        adapter = attrkit.adapt(model)
        before = as_in_reference(framework, "lstm", ask(model, "lstm", x))
        head = {name: 2 * values for name, values in adapter.state().items() if name.startswith("head")}
        adapter.assign(head)
        after = as_in_reference(framework, "lstm", ask(model, "lstm", x))
    # The output is linear in the head, whose own gradient does not depend on it.
    np.testing.assert_allclose(after["kernel"], 2 * before["kernel"], atol=1e-5)
    np.testing.assert_allclose(after["head"], before["head"], atol=1e-6)


def test_what_does_not_fit_is_refused(framework):
    x = reference.inputs().astype("float32")
    with built(framework, "attention", "float32") as model:
        if framework in FUNCTIONS:
            with pytest.raises(RefusedError, match=r"is a function|has no gradient"):
                ask(model, "lstm", x)
            return
        with pytest.raises(InputError, match=r"shape \(3, 3\) came for the outputs laid flat, of shape \(sample, 2\)"):
            ask(model, "attention", x, np.ones((len(x), 3)))
        with pytest.raises(InputError, match=r"shape \(6, 6\) a sample came for 'attention' of layer 'body'"):
            ask(model, "attention", x, of_scores=OF_SCORES[:, 0])
        with pytest.raises(InputError, match=r"cotangents came for \[2, 3\] samples, and x has 3"):
            ask(model, "attention", x, OF_OUTPUT[:2])
        with pytest.raises(InputError, match="cotangents came for body, which no reader reads"):
            attrkit.adapt(model).parameter_gradient(x, OF_OUTPUT, reading_cotangents={"body": [{"attention": x}]})
