"""Steps by need, on functions of JAX whose integrals are known in closed form."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import attrkit
from attrkit.errors import CompletenessWarning, InputError

X = np.random.default_rng(0).uniform(0.2, 1, (6, 5, 2)).astype("float32")
# From one sample to the next the way is longer, and bends more.
LONGER = X * np.array([0.05, 0.2, 1, 2, 4, 8], "float32")[:, None, None]
SHARES = np.linspace(0.1, 1, 10, dtype="float32").reshape(5, 2)


def explain(function, x, n_steps="auto", **options):
    adapter = attrkit.adapt(function, framework="jax") if callable(function) else function
    return attrkit.extract(adapter, x, n_steps=n_steps, show_progress=False, **options)


def along(bend):
    """A bent line: all gradients point one way, so that the attributions share out the change by what is in the sum."""
    return lambda x: bend((SHARES * x).sum((1, 2)))


@pytest.mark.parametrize(
    ("bend", "taken"),
    [
        (lambda s: s**3 - 2 * s, {7}),
        (jnp.exp, {7, 15}),
        (lambda s: jax.nn.sigmoid(3 * s - 6), {7, 15, 31}),
    ],
)
def test_closed_forms(bend, taken):
    ds = explain(along(bend), LONGER)
    sums = (SHARES * LONGER).sum((1, 2))
    slope = (bend(sums) - bend(0 * sums)) / sums
    exact = SHARES * LONGER * np.asarray(slope)[:, None, None]
    size = abs(exact).sum((1, 2))
    assert (abs(ds["attribution"].values - exact).sum((1, 2)) <= 0.01 * size + 1e-6).all()
    assert set(ds["gradient_evaluations"].values.tolist()) <= taken
    assert ds["gradient_evaluations"].values.max() == max(taken)


def test_only_samples_that_need_more_cost_more():
    adapter = attrkit.adapt(along(lambda s: jax.nn.sigmoid(3 * s - 6)), framework="jax")
    ds = explain(adapter, LONGER)
    taken = ds["gradient_evaluations"]
    assert taken.dims == ("sample",)
    assert taken.attrs["units"] == "1"
    assert taken.values[0] == 7 < taken.values[-1]
    assert ds.attrs["gradient_evaluations"] == taken.sum()
    attrkit.schema.validate(ds)
    # What a sample is said does not depend on which others it came with, nor on batches.
    for row in range(len(LONGER)):
        alone = explain(adapter, LONGER[row : row + 1])
        assert alone["gradient_evaluations"].item() == taken.values[row]
        np.testing.assert_allclose(alone["attribution"][0], ds["attribution"][row], rtol=1e-4, atol=1e-6)
    turned = explain(adapter, LONGER[::-1].copy(), batch_size=4)
    np.testing.assert_array_equal(turned["gradient_evaluations"][::-1].values, taken.values)
    np.testing.assert_allclose(turned["attribution"].values[::-1], ds["attribution"].values, rtol=1e-4, atol=1e-6)


def test_a_gap_that_is_small_by_luck_stops_nothing():
    # Two bends of one size take from the sum what the other gives, at any number of steps.
    def both(x):
        steep = jax.nn.sigmoid(40 * (x[:, 0] - 0.3))
        return 1 + x[:, 1, 0] + steep[:, 0] - steep[:, 1]

    x = np.ones((1, 2, 2), "float32")
    with pytest.warns(CompletenessWarning, match=r"1 of 1 samples are not done after 7 steps; .*attributions still"):
        coarse = explain(both, x, max_steps=7)
    assert abs(coarse["completeness_gap"].item()) < 1e-4
    rise = 1 / (1 + np.exp(-28)) - 1 / (1 + np.exp(12))
    assert abs(coarse["attribution"].values[0, 0, 0] - rise) > 0.1
    ds = explain(both, x)
    np.testing.assert_allclose(ds["attribution"].values[0], [[rise, -rise], [1, 0]], atol=0.05)
    assert ds["gradient_evaluations"].item() > 15


def test_where_nothing_changes_nothing_is_taken_twice():
    ds = explain(along(jnp.tanh), 0 * X)
    assert set(ds["gradient_evaluations"].values.tolist()) == {7}
    np.testing.assert_array_equal(ds["attribution"], 0)


def test_what_is_no_number_stops_at_once():
    def broken(x):
        total = x.sum((1, 2))
        return jnp.where(total > 4, jnp.sqrt(jnp.abs(x[:, 0, 0] - x[:, 0, 0])) + total, total)

    x = X * np.array([0.1, 0.1, 0.1, 0.1, 0.1, 10], "float32")[:, None, None]
    with pytest.warns(attrkit.errors.AttrkitWarning, match="are NaN or infinite"):
        ds = explain(broken, x)
    assert ds["gradient_evaluations"].values.max() == 7


def test_several_inputs_and_every_output():
    def forecast(series, static):
        return jnp.tanh(series[:, :, 0] * static[:, :1] + static[:, 1:2])

    given = {"series": LONGER, "static": np.linspace(-3, 4, 12, dtype="float32").reshape(6, 2)}
    options = {"target": "all", "tolerance": 1e-3}
    ds, fine = explain(forecast, given, **options), explain(forecast, given, 512, target="all")
    assert ds["gradient_evaluations"].dims == ("sample", "output")
    assert ds.attrs["gradient_evaluations"] == ds["gradient_evaluations"].sum()
    for name in ("attribution", "attribution_static"):
        np.testing.assert_allclose(ds[name], fine[name], atol=0.005)
    # An input that is handed on stays with its sample when others are done.
    ds, fine = (explain(forecast, given, n, target=0, explain="series") for n in ("auto", 512))
    assert len(set(ds["gradient_evaluations"].values.tolist())) > 1
    size = abs(fine["attribution"]).sum(("timestep", "channel"))
    assert (abs(ds["attribution"] - fine["attribution"]).sum(("timestep", "channel")) <= 0.05 * size + 1e-6).all()


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    scale=st.floats(0.1, 30),
    tolerance=st.sampled_from([1e-4, 0.01, 0.05]),
    most=st.sampled_from([7, 20, 63]),
)
def test_a_sample_is_within_tolerance_or_warned_about(seed, scale, tolerance, most):
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((10, 4)).astype("float32")
    x = (scale * rng.standard_normal((4, 5, 2))).astype("float32")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ds = explain(lambda x: jnp.tanh(x.reshape(len(x), -1) @ weights).sum(1), x, tolerance=tolerance, max_steps=most)
    change = abs(ds["prediction"] - ds["baseline_prediction"])
    share = abs(ds["completeness_gap"]) / np.maximum(change, 1e-3 * abs(ds["prediction"]))
    warned = any(issubclass(w.category, CompletenessWarning) for w in caught)
    assert warned or bool((share <= tolerance).all())
    assert set(ds["gradient_evaluations"].values.tolist()) <= {n for n in (7, 15, 31, 63) if n <= most}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_steps": "many"}, r"n_steps must be a whole number, 1 or more, or \"auto\", got 'many'"),
        ({"n_steps": 50, "tolerance": 0.1}, r"tolerance=0.1 is for n_steps=\"auto\"; with n_steps=50"),
        ({"n_steps": 50, "max_steps": 63}, r"max_steps=63 is for n_steps=\"auto\""),
        ({"quadrature": "midpoint"}, "has a quadrature of its own, got 'midpoint'; leave quadrature= out"),
        ({"tolerance": 0}, "tolerance must be a number above 0, got 0"),
        ({"tolerance": True}, "tolerance must be a number above 0, got True"),
        ({"tolerance": float("nan")}, "tolerance must be a number above 0, got nan"),
        ({"max_steps": 6}, "max_steps must be a whole number, 7 or more, got 6"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        explain(along(jnp.tanh), X, **{"n_steps": "auto", **options})
