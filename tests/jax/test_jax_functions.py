"""Functions made of JAX operations."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attrkit
from attrkit.errors import InputError, RefusedError

KERNEL = np.array([[0.5], [-1.0]], "float32")


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((4, 6, 2)).astype("float32")


def linear(x):
    return x.sum(axis=1) @ KERNEL


def recurrent(x):
    """A loop with state, as models are written in JAX."""
    state, _ = jax.lax.scan(lambda h, now: (jnp.tanh(0.5 * h + now), None), jnp.zeros(x[:, 0].shape), x.swapaxes(0, 1))
    return state


def explain(model, x, method="gradient", **options):
    return attrkit.extract(model, x, method, show_progress=False, **options)


def test_a_jitted_function_is_known_and_any_other_says_so(x):
    expected = np.broadcast_to(KERNEL[:, 0], x.shape)
    for model in (jax.jit(linear), attrkit.adapt(linear, framework="jax"), jax.tree_util.Partial(linear)):
        ds = explain(model, x)
        np.testing.assert_allclose(ds["attribution"], expected, rtol=1e-6)
        assert ds.attrs["framework"] == "jax"
        assert ds.attrs["framework_version"] == jax.__version__
    with pytest.raises(RefusedError, match=r"say so: attrkit.adapt\(function, framework='jax'\)"):
        explain(linear, x)


def test_a_scan_is_explained(x):
    ds = explain(jax.jit(recurrent), x, "integrated_gradients", target=1, n_steps=32)
    np.testing.assert_allclose(ds["attribution"][..., 0], 0, atol=1e-7)
    np.testing.assert_allclose(ds["attribution"].sum(("timestep", "channel")), recurrent(x)[:, 1], atol=1e-5)


def test_batches_do_not_change_results(x):
    model = attrkit.adapt(recurrent, framework="jax")
    for method in ("gradient", "smoothgrad", "occlusion"):
        whole = explain(model, x, method, target=0)
        part = explain(model, x, method, target=0, batch_size=3)
        np.testing.assert_allclose(part["attribution"], whole["attribution"], atol=1e-6)


def test_what_a_function_closes_over_is_looked_up_at_every_call(x):
    weights = {"scale": 1.0}
    adapter = attrkit.adapt(lambda x: weights["scale"] * x.sum(axis=(1, 2)), framework="jax")
    for scale in (1.0, 3.0):
        weights["scale"] = scale
        for method in ("gradient", "occlusion", "integrated_gradients"):
            ds = explain(adapter, x, method)
            times = 1 if method == "gradient" else x
            np.testing.assert_allclose(ds["attribution"], scale * times * np.ones_like(x), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(ds["prediction"], scale * x.sum(axis=(1, 2)), rtol=1e-5)


def test_parameters_bound_to_a_function(x):
    def apply(parameters, x):
        return x.sum(axis=1) @ parameters["kernel"]

    ds = explain(attrkit.adapt(partial(apply, {"kernel": 2 * KERNEL}), framework="jax"), x)
    np.testing.assert_allclose(ds["attribution"], np.broadcast_to(2 * KERNEL[:, 0], x.shape), rtol=1e-6)


def test_weights_that_are_handed_in_compile_nothing_anew(x):
    traced = []

    def apply(parameters, x):
        traced.append(1)
        return x.sum(axis=1) @ parameters["kernel"]

    adapter = attrkit.adapt(apply, params={"kernel": KERNEL})
    assert [spec.name for spec in adapter.inputs] == ["x"]
    for scale in (1, 2, 3):
        adapter.params = {"kernel": scale * KERNEL}
        ds = explain(adapter, x)
        np.testing.assert_allclose(ds["attribution"], np.broadcast_to(scale * KERNEL[:, 0], x.shape), rtol=1e-6)
        np.testing.assert_allclose(ds["prediction"], x.sum(axis=1) @ (scale * KERNEL[:, 0]), rtol=1e-4, atol=1e-5)
        if scale == 1:
            once = len(traced)
    assert len(traced) == once


def test_a_function_is_compiled_once_for_all_chunks(x, tmp_path):
    traced = []

    def model(x):
        traced.append(1)
        return (x**2).sum(axis=(1, 2))

    counts = []
    for chunk_size in (10, 2):
        traced.clear()
        store = tmp_path / f"{chunk_size}.zarr"
        ds = explain(attrkit.adapt(model, framework="jax"), x, store=store, chunk_size=chunk_size, batch_size=2)
        np.testing.assert_allclose(ds["attribution"], 2 * x, rtol=1e-5)
        counts.append(len(traced))
    assert counts[1] <= counts[0] + 1


def test_params_belong_to_functions_of_jax(x):
    with pytest.raises(InputError, match="one of numpy"):
        attrkit.adapt(lambda p, x: x, framework="numpy", params=1)
    with pytest.raises(InputError, match="has its own"):
        attrkit.adapt(attrkit.adapt(lambda x: x), params=1)


def test_float64_where_jax_has_it(x):
    model = attrkit.adapt(recurrent, framework="jax")
    with jax.enable_x64(True):
        ds = explain(model, x.astype("float64"), "integrated_gradients", target=0, n_steps=64)
    assert ds["prediction"].dtype == ds["attribution"].dtype == "float64"
    np.testing.assert_allclose(ds["completeness_gap"], 0, atol=1e-12)


def test_several_inputs_come_by_name(x):
    def forecast(series, static):
        return (series[:, -1] * static).sum(axis=1)

    static = np.arange(8, dtype="float32").reshape(4, 2)
    model = attrkit.adapt(forecast, framework="jax")
    ds = explain(model, {"series": x, "static": static})
    expected = np.zeros_like(x)
    expected[:, -1] = static
    np.testing.assert_allclose(ds["attribution"], expected)
    np.testing.assert_allclose(ds["attribution_static"], x[:, -1], rtol=1e-6)
    times = explain(model, {"static": static, "series": x}, "input_x_gradient")
    np.testing.assert_allclose(times["attribution_static"], static * x[:, -1], rtol=1e-6)


def test_a_function_of_one_dict_is_wrapped(x):
    def forecast(batch):
        return batch["a"][:, -1, 0] + 2 * batch["b"][:, 0, 1]

    model = attrkit.adapt(lambda **batch: forecast(batch), framework="jax")
    ds = explain(model, {"a": x, "b": x})
    assert float(ds["attribution"].sum()) == len(x)
    assert float(ds["attribution_b"].sum()) == 2 * len(x)


def test_an_input_that_the_output_does_not_depend_on_gets_zeros(x):
    model = attrkit.adapt(lambda a, b: a.sum(axis=(1, 2)), framework="jax")
    ds = explain(model, {"a": x, "b": x})
    np.testing.assert_array_equal(ds["attribution"], 1)
    np.testing.assert_array_equal(ds["attribution_b"], 0)


def test_several_outputs_and_functions_of_them(x):
    model = jax.jit(lambda x: {"price": x[:, -1], "volume": x.sum(axis=(1, 2))})
    ds = explain(model, x, target=("volume", 0))
    np.testing.assert_array_equal(ds["attribution"], 1)
    ds = explain(model, x, target=lambda outputs: outputs["price"][:, 0] ** 2)
    np.testing.assert_allclose(ds["attribution"][:, -1, 0], 2 * x[:, -1, 0], rtol=1e-6)
    assert explain(model, x, target="all").sizes["output"] == 3


@pytest.mark.parametrize(
    "function",
    [
        lambda x: jax.lax.stop_gradient(x).sum(axis=(1, 2)),
        lambda x: jnp.argmax(x[:, -1], axis=-1),
        lambda x: jnp.ones(len(x)),
    ],
)
def test_no_path_from_input_to_output_is_refused(x, function):
    with pytest.raises(RefusedError, match="no differentiable path"):
        explain(jax.jit(function), x)


def test_functions_that_fail_or_have_no_answer_a_sample_are_refused(x):
    with pytest.raises(InputError, match="the model fails on these inputs"):
        explain(jax.jit(lambda x: x @ jnp.ones((3, 1))), x)
    with pytest.raises(RefusedError, match=r"batch of 4 samples the model gives output \(\)"):
        explain(jax.jit(lambda x: x.sum()), x)
    with pytest.raises(RefusedError, match="depends on the other samples of the batch"):
        explain(jax.jit(lambda x: x[:, 0] - x[:, 0].mean(axis=0)), x, target=0)
    with pytest.raises(RefusedError, match="no gradient with respect to integers"):
        explain(jax.jit(lambda ids: 1.0 * ids.sum(axis=1)), np.ones((2, 3), int))
