"""Gradients with respect to parameters: those of a float64 reference by the complex step, in every framework."""

import numpy as np
import pytest

import attrkit
from attrkit.attention import find_readers
from attrkit.errors import InputError, RefusedError
from attrkit.studies import adversarial_training
from attrkit.studies.attention.adversarial_training import _started
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


def trained_in_numpy(w, x, penalty, *, epochs, learning_rate, batch_size, seed):
    """Train an adversary by the complex step on the loss itself; return its mean loss of each epoch."""
    base_outputs, base_scores = reference.forward("attention", x)

    def loss(w, rows):
        outputs, scores = reference.with_weights("attention", w, x[rows].astype(complex))
        moved = outputs - base_outputs[rows]
        distance = (np.sign(moved.real) * moved).mean()
        return distance - penalty * (scores * np.log(scores / base_scores[rows])).sum(-1).mean()

    moments, step, means = {name: [0.0, 0.0] for name in w}, 0, []
    total = epochs * -(-len(x) // batch_size)
    for epoch in range(epochs):
        order, losses = np.random.default_rng([seed, epoch]).permutation(len(x)), []
        for at in range(0, len(x), batch_size):
            rows = order[at : at + batch_size]
            losses += [loss(w, rows).real] * len(rows)
            slopes = {name: np.empty(values.shape) for name, values in w.items()}
            for name, values in w.items():
                for place in np.ndindex(*values.shape):
                    moved = {**w, name: values.astype(complex)}
                    moved[name][place] += 1e-30j
                    slopes[name][place] = loss(moved, rows).imag / 1e-30
            rate, step = learning_rate * (1 - step / total), step + 1
            for name, slope in slopes.items():
                first, second = moments[name] = [
                    decay * moment + (1 - decay) * slope**power
                    for decay, moment, power in zip((0.9, 0.999), moments[name], (1, 2), strict=True)
                ]
                w[name] = w[name] - rate * first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        means.append(np.mean(losses))
    return means


def test_an_adversary_is_trained_as_in_numpy_and_the_model_is_put_back(framework):
    x = reference.inputs()
    with built(framework, "attention", "float32") as model:
        ask = {"epochs": 3, "learning_rate": 0.02, "batch_size": 2, "seed": 4}
        if framework in FUNCTIONS:
            with pytest.raises(RefusedError, match="no attention layer on which weights can be imposed"):
                adversarial_training(model, x, lambdas=[0.2], **ask)
            return
        state = attrkit.adapt(model).state()
        found = adversarial_training(model, x, lambdas=[0.2], start="base", show_progress=False, **ask)
        for name, values in attrkit.adapt(model).state().items():
            assert values.tobytes() == state[name].tobytes(), name
        start = _started(attrkit.adapt(model).parameters(), "base", 4)
    assert found["attention"].dims == ("lambda_", "sample", "head", "query_timestep", "key_timestep")
    np.testing.assert_allclose(found["prediction"], reference.expected("attention")["prediction"], atol=1e-5)
    w = {n: values.astype(float) for n, values in as_in_reference(framework, "attention", start).items()}
    expected = trained_in_numpy(w, x, 0.2, **ask)
    np.testing.assert_allclose(found["loss"].sel(lambda_=0.2), expected, rtol=1e-3, atol=1e-4)
