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

OPTIONS = {
    "occlusion": {"baseline": reference.BASELINE},
    "gradient": {},
    "input_x_gradient": {},
    "integrated_gradients": {"baseline": reference.BASELINE, "n_steps": reference.N_STEPS},
    "smoothgrad": {"seed": reference.SEED, "n_samples": reference.N_NOISY},
}


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("kind", reference.KINDS)
def test_every_adapter_finds_what_the_reference_says(framework, kind, precision, record_property):
    expected, x = reference.expected(kind), reference.inputs().astype(precision)
    found = {}
    with built(framework, kind, precision) as model:
        adapter = attrkit.adapt(model)
        for method, options in OPTIONS.items():
            if framework == "numpy" and method != "occlusion":
                with pytest.raises(RefusedError, match="no gradient"):
                    attrkit.extract(adapter, x, method, target=reference.TARGET)
                continue
            # Batches of one size, so that each framework compiles little.
            options = {**options, "batch_size": len(x), "show_progress": False}
            ds = attrkit.extract(adapter, x, method, target=reference.TARGET, **options)
            found[method] = ds["attribution"].values
            found.setdefault("prediction", ds["prediction"].values)
        if kind == "attention" and framework not in ("jax", "numpy"):
            ds = attrkit.extract(adapter, x, "attention", show_progress=False)
            assert ds["attention"].dims == ("sample", "head", "query_timestep", "key_timestep")
            found["attention"] = ds["attention"].values
        else:
            with pytest.raises(RefusedError, match="gives attention weights"):
                attrkit.extract(adapter, x, "attention", show_progress=False)
    # In the precision that was asked for, not in a narrower one with a cast behind it.
    assert {str(found[name].dtype) for name in ("prediction", "gradient") if name in found} == {precision}
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
