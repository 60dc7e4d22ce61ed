"""One contract for all adapters: the same weights give the same answers, those of a float64 numpy reference."""

import inspect
from functools import cached_property

import numpy as np
import pytest

import attrkit
from attrkit.adapters import adapters
from attrkit.adapters.base import Adapter
from attrkit.errors import RefusedError
from tests.contract import reference
from tests.contract.builders import built

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}

# On these backends Keras 3 computes products of float64 in float32, by its own rules of promotion.
NO_FLOAT64 = ("keras-jax", "keras-torch")

# By the name of what the reference expects: the method, and its options.
ASKED = {
    "occlusion": ("occlusion", {"baseline": reference.BASELINE}),
    "gradient": ("gradient", {}),
    "input_x_gradient": ("input_x_gradient", {}),
    "integrated_gradients": ("integrated_gradients", {"baseline": reference.BASELINE, "n_steps": reference.N_STEPS}),
    "smoothgrad": ("smoothgrad", {"seed": reference.SEED, "n_samples": reference.N_NOISY}),
    "relevance": ("lrp", {}),
}
FUNCTIONS = ("jax", "numpy")


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("kind", reference.KINDS)
def test_every_adapter_finds_what_the_reference_says(framework, kind, precision, record_property):
    expected, x = reference.expected(kind), reference.inputs().astype(precision)
    found = {}
    with built(framework, kind, precision) as model:
        adapter = attrkit.adapt(model)
        asked = dict(ASKED)
        if kind == "attention" and framework not in FUNCTIONS:
            asked["gradient with attention held"] = ("gradient", {"hold_attention": True})
        for name, (method, options) in asked.items():
            refused = "no gradient" if framework == "numpy" else "has no rules for a JaxFunction"
            if (framework == "numpy" and method != "occlusion") or (framework == "jax" and method == "lrp"):
                with pytest.raises(RefusedError, match=refused):
                    attrkit.extract(adapter, x, method, target=reference.TARGET)
                continue
            # Batches of one size, so that each framework compiles little.
            options = {**options, "batch_size": len(x), "show_progress": False}
            ds = attrkit.extract(adapter, x, method, target=reference.TARGET, **options)
            found[name] = ds["attribution"].values
            found |= {key: ds[key].values for key in ("bias_relevance", "epsilon_relevance") if key in ds}
            found.setdefault("prediction", ds["prediction"].values)
        if kind == "attention" and framework not in FUNCTIONS:
            ds = attrkit.extract(adapter, x, "attention", show_progress=False)
            assert ds["attention"].dims == ("sample", "head", "query_timestep", "key_timestep")
            found["attention"] = ds["attention"].values
        else:
            with pytest.raises(RefusedError, match="gives attention weights"):
                attrkit.extract(adapter, x, "attention", show_progress=False)
    # In the precision that was asked for, not in a narrower one with a cast behind it.
    assert {str(values.dtype) for values in found.values()} == {precision}
    differences = {name: float(np.abs(values - expected[name]).max()) for name, values in found.items()}
    measured = ", ".join(f"{name} {difference:.1e}" for name, difference in differences.items())
    record_property("contract", f"{framework} {kind} {precision}: {measured}")
    assert max(differences.values()) <= TOLERANCE["float32" if framework in NO_FLOAT64 else precision], measured


def subclasses(cls):
    for child in cls.__subclasses__():
        yield child
        yield from subclasses(child)


def test_adapters_have_the_same_functions():
    adapters()
    found = [cls for cls in subclasses(Adapter) if cls.__module__.startswith("attrkit.")]
    assert len(found) > 6
    for cls in found:
        for name, value in vars(cls).items():
            base = vars(Adapter).get(name)
            if inspect.isfunction(base) and not name.startswith("__"):
                kinds = [(p.name, p.kind, p.default) for p in inspect.signature(base).parameters.values()]
                own = [(p.name, p.kind, p.default) for p in inspect.signature(value).parameters.values()]
                assert own == kinds, f"{cls.__name__}.{name}{inspect.signature(value)} is not the base's"
            elif isinstance(base, property):
                assert isinstance(value, property | cached_property), f"{cls.__name__}.{name} is no property"
