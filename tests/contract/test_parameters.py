"""What a model holds is named, set, and put back bit for bit, in every framework."""

import numpy as np
import pytest

import attrkit
from attrkit.errors import InputError, RefusedError
from tests.contract import reference
from tests.contract.builders import built

FUNCTIONS = ("jax", "numpy")

# Names by layer, in the order of the layers; those of torch are in the order of its attributes.
KERAS = {
    "lstm": ["body.kernel", "body.recurrent_kernel", "body.bias", "head.kernel", "head.bias"],
    "conv": ["body.kernel", "body.bias", "head.kernel", "head.bias"],
    "attention": [
        *("embed.kernel", "embed.bias"),
        *(f"body.{part}.{name}" for part in ("query", "key", "value") for name in ("kernel", "bias")),
        *("body.attention_output.kernel", "body.attention_output.bias", "head.kernel", "head.bias"),
    ],
}
HEAD = ("head.weight", "head.bias")
TORCH = {
    "lstm": [*(f"body.{name}_l0" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")), *HEAD],
    "conv": ["body.weight", "body.bias", *HEAD],
    "attention": [
        *("body.in_proj_weight", "body.in_proj_bias", "body.out_proj.weight", "body.out_proj.bias"),
        *(*HEAD, "embed.weight", "embed.bias"),
    ],
}


def prediction(model, x):
    return attrkit.extract(model, x, "gradient", target=0, show_progress=False)["prediction"].values


@pytest.mark.parametrize("kind", KERAS)
def test_every_parameter_has_a_name_and_its_values(framework, kind):
    if framework in FUNCTIONS:
        return
    with built(framework, kind, "float32") as model:
        found = attrkit.adapt(model).parameters()
        names = TORCH[kind] if framework == "torch" else KERAS[kind]
        assert list(found) == names
        assert [f"{one.layer}.{one.name}" for one in found.values()] == names
        head = found["head.weight" if framework == "torch" else "head.kernel"].values
        expected = reference.weights(kind)["head"]
        np.testing.assert_array_equal(head.T if framework == "torch" else head, expected.astype("float32"))
        assert not any(one.frozen for one in found.values())


def test_arrays_that_are_set_are_what_the_next_pass_uses(framework):
    if framework in FUNCTIONS:
        with built(framework, "lstm", "float32") as model:
            adapter = attrkit.adapt(model)
            for ask in (adapter.parameters, adapter.state, lambda: adapter.assign({}), adapter.state_kept().__enter__):
                with pytest.raises(RefusedError, match="is a function, which does not show its parameters"):
                    ask()
        return
    x = reference.inputs().astype("float32")
    with built(framework, "gru", "float32") as model:
        adapter = attrkit.adapt(model)
        before, state = prediction(model, x), adapter.state()
        # Linear in the head.
        adapter.assign({name: 2 * values for name, values in state.items() if name.startswith("head")})
        np.testing.assert_allclose(prediction(model, x), 2 * before, rtol=1e-5)
        for name, values in adapter.state().items():
            factor = 2 if name.startswith("head") else 1
            np.testing.assert_array_equal(values, factor * state[name])
            # Copies.
            values[...] = 7
        np.testing.assert_allclose(prediction(model, x), 2 * before, rtol=1e-5)


def test_a_wrong_name_or_shape_sets_nothing(framework):
    if framework in FUNCTIONS:
        return
    with built(framework, "conv", "float32") as model:
        adapter = attrkit.adapt(model)
        state = adapter.state()
        first = next(iter(state))
        for wrong, said in (
            ({"body.kernels": state[first]}, "holds no 'body.kernels'; it holds body"),
            ({"head.bias": np.zeros(3)}, r"'head.bias' came with shape \(3,\) of float64; accepted are numbers of sh"),
            ({"head.bias": np.array(["a", "b"])}, "of <U1; accepted are numbers"),
        ):
            with pytest.raises(InputError, match=said):
                adapter.assign({first: 0 * state[first], **wrong})
        for name, values in adapter.state().items():
            np.testing.assert_array_equal(values, state[name])


def test_all_is_put_back_bit_for_bit(framework):
    if framework in FUNCTIONS:
        return
    x = reference.inputs().astype("float32")
    with built(framework, "attention", "float32") as model:
        adapter = attrkit.adapt(model)
        odd = np.array([-0.0, np.nan], "float32")
        adapter.assign({"head.bias": odd})
        state = adapter.state()

        def change():
            with adapter.state_kept():
                adapter.assign({name: np.zeros_like(values) for name, values in state.items()})
                np.testing.assert_array_equal(prediction(model, x), 0)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            change()
        found = adapter.state()
        assert list(found) == list(state)
        for name, values in found.items():
            assert values.tobytes() == state[name].tobytes(), name
        adapter.assign({"head.bias": np.zeros(2)})
        expected = reference.expected("attention")["prediction"] - reference.weights("attention")["head_bias"]
        np.testing.assert_allclose(prediction(model, x), expected, atol=1e-5)
