"""Convergence of integrated gradients on functions whose gap is known for every number of steps."""

import numpy as np
import pytest

import attrkit
from attrkit.errors import InputError
from attrkit.metrics import convergence

QUIET = {"show_progress": False}
STEPS = [2, 3, 6, 8, 13]
N = np.array(STEPS)[:, None]


@pytest.fixture
def x():
    return np.random.default_rng(0).uniform(0.5, 2, size=(4, 6, 3)).astype("float32")


def cubes(x):
    return (x**3).sum(axis=(1, 2))


def both_ways(x):
    """The errors of channel 0 and of channel 1 cancel where they are alike, and channel 2 changes the output."""
    return (x[..., 0] ** 3 - x[..., 1] ** 3 + 5 * x[..., 2]).sum(axis=1)


def measure(f, x, **asked):
    return convergence(attrkit.adapt(f, framework="jax"), x, **{"n_steps": STEPS, **asked}, **QUIET)


# Of x cubed, a rule of n steps has x ** 3 times 3 times its mean of alpha squared, which for the midpoint rule is
# 1 / 3 - 1 / (12 n ** 2), and for the rule of left ends (n - 1) (2 n - 1) / (6 n ** 2).
FACTORS = {"midpoint": 1 - 1 / (4 * N**2), "left": (N - 1) * (2 * N - 1) / (2 * N**2)}


@pytest.mark.parametrize("rule", list(FACTORS))
def test_gaps_and_changes_are_those_of_the_closed_form(x, rule):
    found = measure(cubes, x, quadrature=rule)
    factor = FACTORS[rule]
    change = cubes(x.astype(float))
    assert found["gap_share"].dims == ("n_steps", "sample")
    np.testing.assert_array_equal(found["n_steps"], STEPS)
    np.testing.assert_allclose(found["completeness_gap"], (factor - 1) * change, rtol=1e-3)
    np.testing.assert_allclose(found["gap_share"], np.broadcast_to(1 - factor, (5, 4)), rtol=1e-3)
    assert np.isnan(found["attribution_change"][0]).all()
    moved = (factor[1:] - factor[:-1]) / factor[1:]
    np.testing.assert_allclose(found["attribution_change"][1:], np.broadcast_to(moved, (4, 4)), rtol=1e-3)


def test_rules_are_compared_along_a_dim(x):
    found = measure(cubes, x, quadrature=["gauss_legendre", *FACTORS])
    assert found["gap_share"].dims == ("quadrature", "n_steps", "sample")
    assert float(found["gap_share"].sel(quadrature="gauss_legendre").max()) < 1e-5
    for rule, factor in FACTORS.items():
        np.testing.assert_allclose(found["gap_share"].sel(quadrature=rule).mean("sample"), 1 - factor[:, 0], rtol=1e-3)
    # A gap of 1 / (4 n ** 2) is within 0.01 from six steps on, with a change within 0.05; the rule of two nodes is
    # exact; the rule of left ends has 0.11 with thirteen.
    needed = found["steps_needed"]
    np.testing.assert_array_equal(needed.sel(quadrature="midpoint"), [6] * 4)
    np.testing.assert_array_equal(needed.sel(quadrature="gauss_legendre"), [2] * 4)
    assert needed.sel(quadrature="left").isnull().all()


def test_a_gap_that_is_small_by_luck_is_not_enough(x):
    x[..., 1] = x[..., 0]
    # Almost nothing but errors that cancel.
    x[..., 2] *= 0.02
    found = measure(both_ways, x, quadrature="midpoint", n_steps=[2, 3, 4, 8], tolerance=0.004)
    assert float(found["gap_share"].max()) < 1e-4
    assert float(found["attribution_change"].sel(n_steps=3).min()) > 0.02
    np.testing.assert_array_equal(found["steps_needed"], [4] * 4)
    assert found.attrs["change_tolerance"] == pytest.approx(0.02)


def test_it_is_what_extract_says_for_each_number_of_steps(x):
    found = measure(cubes, x, quadrature="left", baseline=0.3)
    model = attrkit.adapt(cubes, framework="jax")
    with pytest.warns(attrkit.errors.CompletenessWarning):
        runs = {n: attrkit.extract(model, x, n_steps=n, quadrature="left", baseline=0.3, **QUIET) for n in (6, 8)}
    np.testing.assert_array_equal(found["completeness_gap"].sel(n_steps=8), runs[8]["completeness_gap"])
    fine, coarse = (runs[n]["attribution"].values.astype(float).reshape(4, -1) for n in (8, 6))
    expected = np.abs(fine - coarse).sum(1) / np.abs(fine).sum(1)
    np.testing.assert_allclose(found["attribution_change"].sel(n_steps=8), expected, rtol=1e-5)
    assert found.attrs["baseline"] == "0.3"


def test_every_output_has_its_own_gaps(x):
    def two(x):
        import jax.numpy as jnp

        return jnp.stack([cubes(x), x.sum(axis=(1, 2))], axis=1)

    found = measure(two, x, quadrature="midpoint", target="all")
    assert found["gap_share"].dims == ("n_steps", "sample", "output")
    np.testing.assert_allclose(found["gap_share"][:, :, 0], np.broadcast_to(1 - FACTORS["midpoint"], (5, 4)), rtol=1e-3)
    assert float(found["gap_share"][:, :, 1].max()) < 1e-5


def test_several_inputs_count_together(x):
    def product(series, static):
        return (series**3).sum(axis=(1, 2)) + (static**3).sum(axis=1)

    inputs = {"series": x, "static": np.ones((4, 2), "float32")}
    found = measure(product, inputs, quadrature="midpoint")
    np.testing.assert_allclose(found["gap_share"], np.broadcast_to(1 - FACTORS["midpoint"], (5, 4)), rtol=1e-3)


def test_what_does_not_fit_is_refused(x):
    for steps in ([8], [8, 4], [4, 4], 8):
        with pytest.raises(InputError, match="accepted are two or more whole numbers that rise"):
            measure(cubes, x, n_steps=steps)
    with pytest.raises(InputError, match=r"quadrature=\[\] is not known; accepted are some of 'gauss_legendre'"):
        measure(cubes, x, quadrature=[])
    with pytest.raises(InputError, match="quadrature='simpson' is not known"):
        measure(cubes, x, quadrature="simpson")
    with pytest.raises(InputError, match="tolerance must be a number above 0, got 0"):
        measure(cubes, x, tolerance=0)
    with pytest.raises(InputError, match="embedding_reduction='norm' makes attributions that do not add up"):
        measure(cubes, x, embedding_reduction="norm")
