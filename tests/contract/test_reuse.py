"""What is compiled for a model is kept from call to call, is never stale, and does not keep the model."""

import gc
import weakref

import numpy as np
import pytest

import attrkit
from attrkit.adapters._shared import _KEPT
from attrkit.errors import RefusedError
from tests.contract import reference
from tests.contract.builders import built

FUNCTIONS = ("jax", "numpy")


@pytest.fixture
def ask():
    def ask(model, x, method="gradient", **options):
        target = np.resize(reference.TARGET, len(x))
        ds = attrkit.extract(model, x, method, target=target, show_progress=False, **options)
        return ds["attribution"].values

    return ask


def compiled(model):
    """Return how many functions are kept for a model, and of how many shapes."""
    functions = _KEPT[id(model)]._functions.values()
    return len(functions), sum(f._cache_size() for f in functions if hasattr(f, "_cache_size"))


def test_a_further_call_compiles_nothing(framework, ask):
    with built(framework, "lstm", "float32") as model:
        if framework in FUNCTIONS:
            ask(model, reference.inputs().astype("float32"), "occlusion")
            # What a function closes over may change: it is looked at anew in each call.
            assert id(model) not in _KEPT
            return
        x = np.repeat(reference.inputs().astype("float32"), 3, axis=0)
        whole = ask(model, x), ask(model, x, "integrated_gradients", n_steps=5)
        before = compiled(model)
        assert before[0] or framework in ("torch", "keras-torch")
        # Fewer samples go in passes that are there already.
        n = len(x) - 1
        np.testing.assert_allclose(ask(model, x[:n]), whole[0][:n], rtol=1e-4, atol=1e-7)
        ig = ask(model, x[:n], "integrated_gradients", n_steps=5)
        np.testing.assert_allclose(ig, whole[1][:n], rtol=1e-4, atol=1e-7)
        assert compiled(model)[0] == before[0]
        # A pass of another number of samples is gathered anew, which is next to nothing, and differentiated as before.
        assert compiled(model)[1] <= before[1] + 4


def test_new_weights_are_seen(framework, ask):
    if framework in FUNCTIONS:
        return
    x = reference.inputs().astype("float32")
    with built(framework, "gru", "float32") as model:
        before = ask(model, x)
        if framework == "torch":
            import torch

            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.mul_(1.5)
        else:
            model.set_weights([1.5 * weights for weights in model.get_weights()])
        kept = ask(model, x)
        assert np.abs(kept - before).max() > 1e-3
        _KEPT.clear()
        np.testing.assert_allclose(ask(model, x), kept, rtol=1e-4, atol=1e-7)


def test_another_structure_is_compiled_anew(framework, ask):
    if not framework.startswith("keras"):
        return
    x = reference.inputs().astype("float32")
    with built(framework, "conv", "float32") as model:
        before = ask(model, x)
        model.get_layer("head").activation = lambda values: 2 * values
        np.testing.assert_allclose(ask(model, x), 2 * before, rtol=1e-4, atol=1e-7)


def test_a_model_is_let_go(framework, ask):
    if framework in FUNCTIONS:
        return
    with built(framework, "lstm", "float32") as model:
        for method in ("gradient", "lrp"):
            ask(model, reference.inputs().astype("float32"), method)
        key, kept = id(model), weakref.ref(model)
        assert key in _KEPT
        del model
    gc.collect()
    assert kept() is None
    assert key not in _KEPT


def test_predictions_come_with_the_gradient(framework):
    if framework in FUNCTIONS:
        return
    x = reference.inputs().astype("float32")
    with built(framework, "gru", "float32") as model:
        ds = attrkit.extract(model, x, "gradient", target=reference.TARGET, show_progress=False)
        assert ds.attrs["gradient_evaluations"] == len(x)
        assert "forward_evaluations" not in ds.attrs
        np.testing.assert_allclose(ds["prediction"], reference.expected("gru")["prediction"], rtol=1e-4, atol=1e-6)
        # The largest output is known after a pass only.
        chosen = attrkit.extract(model, x, "gradient", target="predicted", show_progress=False)
        assert chosen.attrs["forward_evaluations"] == len(x)
        np.testing.assert_array_equal(chosen["target"], ds["prediction"].values.argmax(axis=1))
        lose_weights(framework, model)
        with pytest.raises(RefusedError, match="are NaN or infinite"):
            attrkit.extract(model, x, "gradient", target=reference.TARGET, show_progress=False)


def lose_weights(framework, model):
    if framework == "torch":
        import torch

        with torch.no_grad():
            next(model.parameters()).fill_(np.nan)
    else:
        model.set_weights([np.nan * weights for weights in model.get_weights()])
