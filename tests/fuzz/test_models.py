"""Models with gradients: options of every method, and that neither model nor framework is changed."""

import functools
import inspect
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import attrkit
from attrkit.methods import find_method, method_names
from tests.fuzz import strategies
from tests.fuzz.contract import OF_INPUTS, differing, fuzz, outcome, state

X = strategies.right_inputs().astype("float32")


@functools.cache
def function():
    weights = {"w": jnp.asarray([[1.0], [-2.0]]), "b": jnp.asarray([0.5])}

    def f(weights, x):
        return jnp.tanh(x @ weights["w"] + weights["b"]).mean(axis=1)

    return attrkit.adapt(f, framework="jax", params=weights)


@functools.cache
def network():
    import keras

    keras.utils.set_random_seed(0)
    steps = keras.Input((6, 2))
    hidden = keras.layers.LSTM(3, return_sequences=True, name="lstm")(steps)
    hidden = keras.layers.Attention(name="attention")([hidden, hidden])
    hidden = keras.layers.Dropout(0.5)(hidden)
    hidden = keras.layers.BatchNormalization()(hidden)
    model = keras.Model(steps, keras.layers.Dense(2, "softmax")(keras.layers.Flatten()(hidden)))
    model.layers[1].trainable = False
    # Keras completes its layers in their first call.
    model.predict(X, verbose=0)
    return model


def held(model):
    """Return all that a Keras model holds and says of itself."""
    return (
        [array.tobytes() for array in model.get_weights()],
        [layer.trainable for layer in model._flatten_layers()],
        [sorted(vars(layer)) for layer in model._flatten_layers()],
        [type(layer).call for layer in model._flatten_layers()],
        [str(layer.dtype_policy) for layer in model._flatten_layers()],
    )


@st.composite
def options(draw, names):
    method = draw(st.sampled_from(names))
    known = [
        name
        for name, parameter in inspect.signature(find_method(method)[1]).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name not in ("prediction", "inputs", "mask", "masks")
    ]
    return method, draw(st.sampled_from([*known, "target", "batch_size"])), draw(strategies.odd())


GRADIENTS = ["gradient", "input_x_gradient", "integrated_gradients", "smoothgrad", "occlusion"]


@given(options(GRADIENTS))
@fuzz(60)
def test_options_of_methods_on_a_function_are_taken_or_refused(asked):
    method, name, value = asked
    outcome(
        f"options of {method}",
        lambda: attrkit.extract(function(), X, method, **{"show_progress": False, name: value}),
        about={name: value, "attention": None, "steps": None},
    )


@given(options(method_names()))
@fuzz(25)
def test_options_of_methods_on_a_network_are_taken_or_refused(asked):
    method, name, value = asked
    model = network()
    before = held(model)
    outcome(
        f"options of {method}",
        lambda: attrkit.extract(
            model, X, method, **{"target": 0, "logits": method == "lrp", "show_progress": False, name: value}
        ),
        about={name: value, "attention": None, "steps": None},
    )
    assert held(model) == before


@given(strategies.inputs(), st.sampled_from(["gradient", "attention"]))
@fuzz(25)
def test_inputs_of_a_network_are_explained_or_refused(values, method):
    model = network()
    before = held(model)
    outcome(
        "inputs of a network",
        lambda: attrkit.extract(model, values, method, target=0, show_progress=False),
        about={**dict.fromkeys(OF_INPUTS), "values": values},
    )
    assert held(model) == before


@given(strategies.odd(), st.sampled_from(["layer", "training", "batch_size", "show_progress"]))
@fuzz(25)
def test_layers_are_read_or_refused(value, name):
    model = network()
    before = held(model)
    outcome(
        "layer_outputs", lambda: attrkit.layer_outputs(model, X, **{"layer": "lstm", name: value}), about={name: value}
    )
    assert held(model) == before


@pytest.mark.parametrize("method", ["attention", "lrp", "gradient"])
def test_what_is_interrupted_leaves_the_model_as_it_was(monkeypatch, method):
    """In the middle of a pass with readers or rules, where the model's layers stand intercepted."""
    from attrkit.adapters.keras import KerasModel

    # A new one, of which nothing is compiled.
    model = network.__wrapped__()
    expected = model.predict(X, verbose=0)
    before, found = held(model), state()

    def interrupted(self, *args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(KerasModel, "_asked", interrupted)
    asked = {"target": 0, "logits": method == "lrp", "show_progress": False}
    with pytest.raises(KeyboardInterrupt):
        attrkit.extract(model, X, method, **asked)
    monkeypatch.undo()
    assert held(model) == before
    assert not differing(found, state())
    np.testing.assert_allclose(model.predict(X, verbose=0), expected, rtol=1e-5)
    attrkit.validate(attrkit.extract(model, X, method, **asked))
