"""Steps by need on all adapters: the integral of the float64 reference, within what was asked for."""

import numpy as np
import pytest

import attrkit
from attrkit.errors import RefusedError
from tests.contract import reference
from tests.contract.builders import built

TOLERANCE = 1e-4


def exact(kind):
    """The integral of the reference's gradients, by 40 nodes of Gauss and Legendre."""
    x = reference.inputs()
    nodes, weights = np.polynomial.legendre.leggauss(40)
    points = [reference.BASELINE + (node + 1) / 2 * (x - reference.BASELINE) for node in nodes]
    slopes = sum(weight / 2 * reference.gradient(kind, point) for point, weight in zip(points, weights, strict=True))
    return (x - reference.BASELINE) * slopes


@pytest.mark.parametrize("kind", reference.KINDS)
def test_every_adapter_stops_at_the_integral(framework, kind):
    options = {"target": reference.TARGET, "baseline": reference.BASELINE, "show_progress": False}
    with built(framework, kind, "float32") as model:
        x = reference.inputs().astype("float32")
        if framework == "numpy":
            with pytest.raises(RefusedError, match="no gradient"):
                attrkit.extract(model, x, n_steps="auto", **options)
            return
        ds = attrkit.extract(model, x, n_steps="auto", tolerance=TOLERANCE, **options)
    change = abs(ds["prediction"].values[np.arange(len(x)), reference.TARGET] - ds["baseline_prediction"].values)
    assert (abs(ds["completeness_gap"].values) <= TOLERANCE * change).all()
    difference = abs(ds["attribution"].values - exact(kind)).sum((1, 2))
    assert (difference <= 5 * TOLERANCE * abs(exact(kind)).sum((1, 2))).all()
    taken = ds["gradient_evaluations"]
    assert set(taken.values.tolist()) <= {7, 15, 31}
    assert ds.attrs["gradient_evaluations"] == int(taken.sum())
