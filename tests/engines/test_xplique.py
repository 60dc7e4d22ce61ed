"""xplique's classes behind attrkit's call: xplique by hand, attrkit's numbers, definitions, and what is refused."""

import itertools
import math
import random
import sys
import warnings
from contextlib import nullcontext
from functools import cache

import numpy as np
import pytest
import tensorflow as tf
from keras_self_attention import SeqSelfAttention
from tensorflow import keras

import attrkit
from attrkit.engines import xplique as engine
from attrkit.engines._draws import seed_of_sample
from attrkit.engines.xplique._call import drawing
from attrkit.errors import (
    CompletenessWarning,
    EngineError,
    ForwardMismatchError,
    InputError,
    MissingDependencyError,
    RefusedError,
)

with warnings.catch_warnings():
    import xplique.attributions as attributions

layers = keras.layers
quiet = pytest.mark.filterwarnings("ignore::attrkit.errors.CompletenessWarning")
STEPS, CHANNELS = 6, 3
TARGETS = np.array([0, 1, 1])


@pytest.fixture
def x():
    """Three samples of 6 timesteps and 3 channels."""
    return np.random.default_rng(3).standard_normal((3, STEPS, CHANNELS)).astype("float32")


def explain(model, x, method, **options):
    return attrkit.extract(model, x, f"xplique:{method}", **{"target": 0, "show_progress": False, **options})


def own(model, x, method, **options):
    return attrkit.extract(model, x, method, **{"target": 0, "show_progress": False, **options})


def by_hand(model, x, method, target=TARGETS, **options):
    """What xplique gives without attrkit; its reducers would only touch images."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(getattr(attributions, method)(model, **options).explain(x, np.eye(2)[target]))


def drawn(*rows, steps=STEPS):
    """A model of weights and biases that are none of them zero."""
    model = keras.Sequential([layers.Input((steps, CHANNELS)), *rows])
    rng = np.random.default_rng(1)
    model.set_weights([0.7 * rng.normal(size=w.shape).astype(w.dtype) for w in model.get_weights()])
    return model


MODELS = {
    "Dense": lambda: drawn(layers.Dense(4, activation="tanh"), layers.Flatten(), layers.Dense(2)),
    "Conv1D": lambda: drawn(layers.Conv1D(4, 3, activation="tanh"), layers.Flatten(), layers.Dense(2)),
    "LSTM": lambda: drawn(layers.LSTM(4), layers.Dense(2)),
    "GRU": lambda: drawn(layers.GRU(4), layers.Dense(2)),
    "Bidirectional": lambda: drawn(layers.Bidirectional(layers.LSTM(3)), layers.Dense(2)),
    "SeqSelfAttention": lambda: drawn(
        layers.LSTM(4, return_sequences=True), SeqSelfAttention(attention_width=3), layers.Flatten(), layers.Dense(2)
    ),
}


def rectified():
    """Convolution, pooling, and ReLUs of all kinds that xplique replaces."""
    return drawn(
        *(layers.Conv1D(4, 3, activation="relu"), layers.MaxPooling1D(2), layers.Dense(4), layers.ReLU()),
        *(layers.Dropout(0.5), layers.Flatten(), layers.Dense(5), layers.Activation("relu"), layers.Dense(2)),
    )


def linear():
    return drawn(layers.Flatten(), layers.Dense(2))


@cache
def adapted(kind):
    """One of these models, as attrkit has it: what is compiled for one call is there for the next."""
    return attrkit.adapt({**MODELS, "linear": linear, "rectified": rectified}[kind]())


def agree(one, other, tolerance=1e-5, message=""):
    size = float(np.abs(other).max())
    assert size > 1e-4, message
    np.testing.assert_allclose(one, other, atol=tolerance * size, rtol=0, err_msg=message)


# Numbers that attrkit has too, and xplique by hand


@quiet
@pytest.mark.parametrize("kind", MODELS)
def test_gradients_are_those_of_attrkit_and_of_xplique(x, kind):
    model, hand = adapted(kind), adapted(kind).model
    gradient = own(model, x, "gradient", target=TARGETS)["attribution"]
    saliency = explain(model, x, "Saliency", target=TARGETS)["attribution"]
    agree(saliency, abs(gradient))
    agree(saliency, by_hand(hand, x, "Saliency"))
    assert saliency.attrs["sign"] == "non-negative"

    times = explain(model, x, "GradientInput", target=TARGETS)["attribution"]
    agree(times, own(model, x, "input_x_gradient", target=TARGETS)["attribution"])
    agree(times, by_hand(hand, x, "GradientInput"))

    ds = explain(model, x, "IntegratedGradients", target=TARGETS, steps=9, baseline=0.5)
    options = {"n_steps": 9, "quadrature": "trapezoid", "baseline": 0.5}
    agree(ds["attribution"], own(model, x, "integrated_gradients", target=TARGETS, **options)["attribution"])
    agree(ds["attribution"], by_hand(hand, x, "IntegratedGradients", steps=9, baseline_value=0.5))
    change = np.asarray(hand(x) - hand(np.full_like(x, 0.5)))[np.arange(3), TARGETS]
    total = ds["attribution"].sum(("timestep", "channel"))
    np.testing.assert_allclose(ds["completeness_gap"], total - change, atol=1e-5)


def test_any_baseline(x):
    """xplique has one number; attrkit's may be one a channel, or one a sample."""
    model = adapted("LSTM")
    for baseline in (np.array([0.5, -1.0, 2.0]), x[:, ::-1].copy()):
        ds = explain(model, x, "IntegratedGradients", target=TARGETS, baseline=baseline, steps=100)
        exact = own(model, x, "integrated_gradients", target=TARGETS, baseline=baseline)
        agree(ds["attribution"], exact["attribution"], 2e-3)
        np.testing.assert_allclose(ds["baseline_prediction"], exact["baseline_prediction"], atol=1e-6)
        agree(
            explain(model, x, "Occlusion", target=TARGETS, baseline=baseline)["attribution"],
            own(model, x, "occlusion", target=TARGETS, baseline=baseline)["attribution"],
        )


def test_draws_are_those_of_xplique(x):
    """The same draws, on the Keras model itself, with nothing of attrkit between them."""
    model, target = adapted("Dense"), np.eye(2)[[1]]
    for method, module, options in (
        ("Rise", "rise", {"nb_samples": 50, "grid_size": 3}),
        ("Lime", "lime", {"nb_samples": 50}),
        ("KernelShap", "kernel_shap", {"nb_samples": 50}),
    ):
        with pytest.warns() if method == "KernelShap" else nullcontext():
            ds = explain(model, x, method, target=1, **options)
        room, begin = drawing(module)
        begin(seed_of_sample(0)(2))
        direct = getattr(room, method)(model.model, batch_size=32, **options).explain(x[2:], target)
        agree(ds["attribution"][2:], np.asarray(direct), 1e-4, method)
    ds = explain(model, x, "SmoothGrad", target=1, nb_samples=8)
    noise = 0.2 * np.random.default_rng(seed_of_sample(0)(2)).standard_normal((8, STEPS, CHANNELS))
    agree(ds["attribution"][2], own(model, x[2] + noise, "gradient", target=1)["attribution"].mean("sample"))


def test_windows(x):
    model, hand = adapted("Conv1D"), adapted("Conv1D").model
    for size, options in (((3, 1), {"window": 3}), ((2, 3), {"window": 2, "per_channel": False})):
        got = explain(model, x, "Occlusion", patch_size=size)["attribution"]
        expected = own(model, x, "occlusion", **options)["attribution"]
        agree(got if "channel" in expected.dims else got[..., 0], expected)
        agree(got, by_hand(hand, x, "Occlusion", [0] * 3, patch_size=size, patch_stride=size))
    # The last window is cut off where xplique would leave two timesteps out.
    cut = explain(model, x, "Occlusion", patch_size=(4, 1))["attribution"].values
    agree(cut[:, :4], by_hand(hand, x, "Occlusion", [0] * 3, patch_size=(4, 1), patch_stride=(4, 1))[:, :4])
    last = x.copy()
    last[:, 4:, 1] = 0
    agree(cut[:, 5, 1], np.asarray(hand(x) - hand(last))[:, 0])
    # Where windows overlap xplique adds up what they find: by 3 in the middle, by 1 at the ends.
    mean = explain(model, x, "Occlusion", patch_size=(3, 1), patch_stride=1)["attribution"].values
    total = by_hand(hand, x, "Occlusion", [0] * 3, patch_size=(3, 1), patch_stride=(1, 1))
    agree(mean[:, 2:4], total[:, 2:4] / 3)


# Definitions


@quiet
def test_a_linear_model_has_one_answer(x):
    model, start = adapted("linear"), np.array([0.5, -1.0, 2.0], "float32")
    weights = model.model.layers[-1].get_weights()[0].T[TARGETS].reshape(x.shape)
    exact = weights * (x - start)
    for method, options in {
        "IntegratedGradients": {"steps": 2},
        "Occlusion": {},
        "KernelShap": {"nb_samples": 100},
        "Lime": {"nb_samples": 200, "interpretable_model": _regression()},
    }.items():
        ds = explain(model, x, method, target=TARGETS, baseline=start, **options)
        agree(ds["attribution"], exact, 1e-4, method)
    for method in ("SmoothGrad", "Saliency", "SquareGrad"):
        expected = {"Saliency": abs(weights), "SquareGrad": weights**2}.get(method, weights)
        agree(explain(model, x, method, target=TARGETS)["attribution"], expected, 1e-5, method)
    ds = explain(model, x, "VarGrad", target=TARGETS)["attribution"]
    np.testing.assert_allclose(ds, 0, atol=1e-5)
    assert ds.attrs == {**ds.attrs, "units": "(output / input)^2", "sign": "non-negative"}


def _regression():
    from sklearn.linear_model import LinearRegression

    return LinearRegression()


def test_noise_is_that_which_was_asked_for(x):
    """Of a square, the gradient is twice the input: its mean and variance under noise are known."""
    square = attrkit.adapt(drawn(layers.Lambda(lambda given: given**2), layers.Flatten(), layers.Dense(2)))
    weights = square.model.layers[-1].get_weights()[0][:, 0].reshape(x.shape[1:])
    options = {"noise": 0.5, "nb_samples": 400}
    mean, square_mean, variance = (
        explain(square, x, method, **options)["attribution"].values
        for method in ("SmoothGrad", "SquareGrad", "VarGrad")
    )
    expected = (2 * weights * options["noise"]) ** 2
    np.testing.assert_allclose(variance.mean(axis=0), np.broadcast_to(expected, x.shape[1:]), rtol=0.25)
    assert np.abs(mean - 2 * weights * x).max() < 5 * np.abs(weights).max() / math.sqrt(400)
    agree(variance, (square_mean - mean**2) * 400 / 399, 1e-3)


def shapley(model, x, groups, target):
    """Shapley values of groups of values, by their definition, over all sets."""
    count = max(groups.ravel()) + 1
    found = np.zeros((len(x), count))

    def value(members):
        return np.asarray(model(np.where(np.isin(groups, members), x, 0).astype("float32")))[np.arange(len(x)), target]

    for one in range(count):
        others = [other for other in range(count) if other != one]
        for size in range(count):
            weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            for members in itertools.combinations(others, size):
                found[:, one] += weight * (value([*members, one]) - value(list(members)))
    return found


def test_kernel_shap_is_shapley_values_but_for_a_constant(x):
    model, halves = adapted("LSTM"), np.repeat(np.arange(3), 2)[:, None] * np.ones((1, CHANNELS), int)
    large = {"batch_size": 1500}
    with pytest.warns(CompletenessWarning):
        ds = explain(model, x, "KernelShap", target=TARGETS, feature_mask=halves, nb_samples=1500, **large)
    values = ds["attribution"].values[:, ::2, 0]
    exact = shapley(model.model, x, halves, TARGETS)
    shift = ds["completeness_gap"].values[:, None] / 3
    np.testing.assert_allclose(values - shift, exact, atol=5e-3 * np.abs(exact).max())
    assert np.abs(values - exact).max() > 0.03 * np.abs(exact).max()


def test_lime_is_a_weighted_ridge_regression(x):
    """At a kernel so wide that all sets weigh the same, and of so many sets, coefficients are effects."""
    model = adapted("linear")
    ds = explain(model, x, "Lime", feature_mask="timestep", nb_samples=1500, batch_size=1500)
    effects = (model.model.layers[-1].get_weights()[0][:, 0].reshape(x.shape[1:]) * x).sum(-1)
    agree(ds["attribution"].values[:, :, 0], effects, 0.03)
    assert float(ds["attribution"].std("channel").max()) < 1e-6


def test_rise_finds_what_the_output_depends_on(x):
    model = linear()
    weights = model.layers[-1].get_weights()
    weights[0][:] = 0
    weights[0].reshape(STEPS, CHANNELS, 2)[4, 1, 0] = 1
    model.set_weights(weights)
    given = np.abs(x) + 1
    ds = explain(model, given, "Rise", nb_samples=300, grid_size=6)
    found = ds["attribution"].values.reshape(3, -1)
    assert (found.argmax(axis=1) == 4 * CHANNELS + 1).all()


@pytest.mark.parametrize("kind", ["GuidedBackprop", "DeconvNet"])
def test_gradients_through_relu(x, kind):
    model = drawn(layers.Flatten(), layers.Dense(6, activation="relu"), layers.Dense(4), layers.ReLU(), layers.Dense(2))
    ds = explain(model, x, kind, target=0)
    (w1, b1), (w2, b2), (w3, _) = (layer.get_weights() for layer in model.layers if layer.get_weights())
    first = x.reshape(3, -1) @ w1 + b1
    second = np.maximum(first, 0) @ w2 + b2
    slope = np.broadcast_to(w3[:, 0], (3, 4))
    for inner, weight in ((second, w2), (first, w1)):
        slope = np.maximum(slope, 0) * ((inner > 0) if kind == "GuidedBackprop" else 1) @ weight.T
    agree(ds["attribution"].values.reshape(3, -1), slope)
    agree(ds["attribution"], by_hand(model, x, kind, [0] * 3))
    assert ds.attrs["gradient_evaluations"] == 3

    model = adapted("rectified")
    got = explain(model, x, kind, target=TARGETS)
    agree(got["attribution"], by_hand(model.model, x, kind))
    assert np.abs(got["attribution"] - own(model, x, "gradient", target=TARGETS)["attribution"]).max() > 1e-2


# Every class

FURTHER = {
    "IntegratedGradients": {"steps": 5},
    "KernelShap": {"feature_mask": "timestep", "nb_samples": 20},
    "Lime": {"feature_mask": "timestep", "nb_samples": 20},
    "Rise": {"nb_samples": 40, "grid_size": 3},
    "SmoothGrad": {"nb_samples": 4},
    "SquareGrad": {"nb_samples": 4},
    "VarGrad": {"nb_samples": 4},
}
DRAWS = ["KernelShap", "Lime", "Rise", "SmoothGrad", "SquareGrad", "VarGrad"]


def state():
    tf.random.set_seed(5)
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)

    def read():
        following = tf.random.normal((2,)).numpy().tolist()
        held = tf.config.functions_run_eagerly(), keras.mixed_precision.dtype_policy().name, tf.executing_eagerly()
        return following, np.random.normal(), random.random(), held, list(warnings.filters)  # noqa: NPY002

    return read


@quiet
@pytest.mark.parametrize("method", engine._OFFERED)
def test_every_class_gives_a_labelled_result_and_leaves_the_rest_alone(x, method):
    from xplique.attributions.base import BlackBoxExplainer

    model, options = adapted("rectified"), FURTHER.get(method, {})
    weights, held = model.model.get_weights(), dict(BlackBoxExplainer._cache_models)
    calls = [layer.call for layer in model.model.layers]
    expected = state()()
    read = state()
    ds = explain(model, x, method, target=TARGETS, **options)
    assert read() == expected
    assert [layer.call for layer in model.model.layers] == calls
    assert held == BlackBoxExplainer._cache_models
    for before, after in zip(weights, model.model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    attrkit.validate(ds)
    assert ds["attribution"].dims == ("sample", "timestep", "channel")
    assert ds["attribution"].dtype == "float32"
    assert ds.attrs["method"] == f"xplique:{method}"
    assert ds.attrs["engine"] == "xplique"
    assert ds.attrs["engine_version"].startswith("2.")
    assert all(f'"{name}"' in ds.attrs["method_options"] for name in options)

    size = float(abs(ds["attribution"]).max())
    alone = explain(model, x[:2], method, target=TARGETS[:2], batch_size=5, **options)
    np.testing.assert_allclose(alone["attribution"], ds["attribution"][:2], atol=1e-5 * size)
    if method in DRAWS:
        other = explain(model, x, method, target=TARGETS, seed=1, **options)
        assert float(abs(other["attribution"] - ds["attribution"]).max()) > 1e-4 * size


@cache
def masked():
    return attrkit.adapt(drawn(layers.Masking(), layers.GRU(4), layers.Dense(2), steps=None))


@quiet
@pytest.mark.parametrize("method", sorted(set(engine._OFFERED) - {"GuidedBackprop", "DeconvNet"}))
def test_padding_is_not_perturbed(x, method):
    mask = np.arange(STEPS)[None] < np.array([6, 4, 3])[:, None]
    given = np.where(mask[..., None], x, 0).astype("float32")
    model = masked()
    options = dict(FURTHER.get(method, {}))
    if method in ("IntegratedGradients", "KernelShap", "Lime", "Occlusion", "Rise"):
        options["baseline"] = 0.5
    ds = explain(model, given, method, **options)
    np.testing.assert_array_equal(ds["mask"], mask)
    np.testing.assert_array_equal(ds["attribution"].values[~mask], 0)
    assert (ds["attribution"].values[mask] != 0).all()
    if method not in DRAWS:
        # The same sample without its padding.
        short = explain(model, given[2:, :3], method, **options)
        agree(ds["attribution"].values[2:, :3], short["attribution"].values)


@quiet
def test_what_else_may_be_explained(x):
    """Several inputs, functions of the output, scores before a softmax, sequences of outputs, token ids."""
    series, static = layers.Input((STEPS, CHANNELS), name="series"), layers.Input((2,), name="static")
    joined = layers.Concatenate()([layers.GRU(3)(series), static])
    two = keras.Model([series, static], layers.Dense(2, activation="tanh")(joined))
    two = attrkit.adapt(two)
    inputs = {"series": x, "static": x[:, 0, :2] + 1}
    for theirs, ours, options in (
        ("GradientInput", "input_x_gradient", {}),
        ("IntegratedGradients", "integrated_gradients", {"steps": 150, "baseline": {"series": 0.3, "static": -0.2}}),
    ):
        got = explain(two, inputs, theirs, target=TARGETS, explain=["series", "static"], **options)
        options.pop("steps", None)
        expected = own(two, inputs, ours, target=TARGETS, explain=["series", "static"], **options)
        for name in ("attribution", "attribution_static"):
            agree(got[name], expected[name], 1e-3)
    for method, options in (("KernelShap", {"nb_samples": 60}), ("SmoothGrad", {"nb_samples": 3})):
        ds = explain(two, inputs, method, explain=["series", "static"], **options)
        assert ds["attribution_static"].dims == ("sample", "channel_static")
        assert float(abs(ds["attribution_static"]).max()) > 0
    for method in ("Occlusion", "Rise"):
        with pytest.raises(RefusedError, match=f"xplique:{method} takes one input, and series, static are explained"):
            explain(two, inputs, method, explain=["series", "static"])
    one = explain(two, inputs, "Occlusion", explain="series", baseline=0.1)
    agree(one["attribution"], own(two, inputs, "occlusion", explain="series", baseline=0.1)["attribution"])

    sequence = drawn(layers.LSTM(4, return_sequences=True), layers.Dense(2))
    for target in ((2, 1), lambda outputs: outputs[:, -1, 0] ** 2):
        agree(
            explain(sequence, x, "GradientInput", target=target)["attribution"],
            own(sequence, x, "input_x_gradient", target=target)["attribution"],
        )
    soft = drawn(layers.Flatten(), layers.Dense(4, activation="relu"), layers.Dense(2, activation="softmax"))
    agree(
        explain(soft, x, "GradientInput", logits=True)["attribution"],
        own(soft, x, "input_x_gradient", logits=True)["attribution"],
    )
    with pytest.raises(RefusedError, match=r"the softmax of dense.*logits=True explains the score before it"):
        explain(soft, x, "GuidedBackprop")
    bare = drawn(layers.Flatten(), layers.Dense(4, activation="relu"), layers.Dense(2))
    bare.set_weights(soft.get_weights())
    agree(
        explain(soft, x, "GuidedBackprop", logits=True)["attribution"],
        explain(bare, x, "GuidedBackprop")["attribution"],
    )

    ids = np.random.default_rng(0).integers(1, 9, (4, STEPS))
    words = keras.Sequential(
        [layers.Input((STEPS,), dtype="int32"), layers.Embedding(9, 4), layers.LSTM(4), layers.Dense(2)]
    )
    agree(explain(words, ids, "GradientInput")["attribution"], own(words, ids, "input_x_gradient")["attribution"])
    agree(explain(words, ids, "Occlusion")["attribution"], own(words, ids, "occlusion")["attribution"])
    assert float(abs(explain(words, ids, "KernelShap", nb_samples=30)["attribution"]).max()) > 0
    with pytest.raises(RefusedError, match="part of a token id is another token"):
        explain(words, ids, "Rise")


def test_functions_in_double_precision(x):
    """Large values keep their last digits: what xplique leaves alone is not rounded."""
    far = x.astype(float) + 1.7e9

    def function(series):
        return (series - 1.7e9).sum((1, 2))[:, None]

    ds = explain(function, far, "Occlusion", baseline="mean")
    assert ds["attribution"].dtype == "float64"
    np.testing.assert_allclose(ds["attribution"], far - far.mean(axis=(0, 1)), atol=1e-5)
    with pytest.raises(RefusedError, match="gradient"):
        explain(function, far, "Saliency")


def test_functions_of_jax(x):
    import jax.numpy as jnp

    function = attrkit.adapt(lambda given: jnp.sum(given**2, axis=(1, 2))[:, None], framework="jax")
    agree(explain(function, x, "Saliency")["attribution"], 2 * abs(x))
    agree(explain(function, x, "GradientInput")["attribution"], 2 * x**2)
    with pytest.raises(RefusedError, match="replaces the ReLUs of a Keras model on TensorFlow"):
        explain(function, x, "GuidedBackprop")


@quiet
def test_costs_are_counted(x):
    model = adapted("Conv1D")
    ds = explain(model, x, "IntegratedGradients", steps=7)
    assert (ds.attrs["gradient_evaluations"], ds.attrs["forward_evaluations"]) == (21, 3 + 2)
    assert explain(model, x, "Occlusion").attrs["forward_evaluations"] == 3 + 3 * 19
    assert explain(model, x, "SmoothGrad", nb_samples=5).attrs["gradient_evaluations"] == 15


# Refusals


def nested():
    return drawn(
        keras.Sequential([layers.Input((STEPS, CHANNELS)), layers.Dense(3, activation="relu")]),
        layers.Flatten(),
        layers.Dense(2),
    )


@keras.utils.register_keras_serializable()
class Rectified(layers.Layer):
    def call(self, inputs):
        return tf.nn.relu(inputs)


def operated():
    given = layers.Input((STEPS, CHANNELS))
    hidden = layers.Dense(3, activation="relu")(given)
    return keras.Model(given, layers.Dense(2)(layers.Flatten()(keras.ops.relu(hidden) + hidden[:, ::-1])))


UNSEEN = {
    "LSTM": (MODELS["LSTM"], r"lstm\S* \(LSTM\)"),
    "Bidirectional": (MODELS["Bidirectional"], r"\(Bidirectional\)"),
    "SeqSelfAttention": (MODELS["SeqSelfAttention"], r"\(LSTM\), \S+ \(SeqSelfAttention\)"),
    "TimeDistributed": (
        lambda: drawn(layers.TimeDistributed(layers.Dense(3, activation="relu")), layers.Flatten(), layers.Dense(2)),
        r"\(TimeDistributed\)",
    ),
    "Lambda": (lambda: drawn(layers.Lambda(tf.nn.relu), layers.Flatten(), layers.Dense(2)), r"\(Lambda\)"),
    "own layer": (lambda: drawn(Rectified(), layers.Flatten(), layers.Dense(2)), r"\(Rectified\)"),
    "layer as activation": (
        lambda: drawn(layers.Dense(3, activation=layers.ReLU()), layers.Flatten(), layers.Dense(2)),
        r"of dense\S* \(Dense\)",
    ),
    "tanh": (MODELS["Conv1D"], r"the tanh of conv1d\S* \(Conv1D\)"),
    "model in the model": (nested, r"\(Sequential\)"),
    "function": (operated, r"relu\S* \(Relu\)"),
    "slope": (
        lambda: drawn(layers.ReLU(negative_slope=0.3), layers.Flatten(), layers.Dense(2)),
        r"with negative_slope",
    ),
    "max_value": (lambda: drawn(layers.ReLU(6.0), layers.Flatten(), layers.Dense(2)), r"\(ReLU\) with max_value"),
}


@pytest.mark.parametrize("kind", UNSEEN)
def test_layers_that_pass_plain_gradients_are_refused(x, kind):
    make, place = UNSEEN[kind]
    for method in ("GuidedBackprop", "DeconvNet"):
        with pytest.raises(RefusedError, match=f"would pass a plain gradient, without a word, through .*{place}"):
            explain(make(), x, method)


def test_other_refusals(x, monkeypatch):
    with pytest.raises(RefusedError, match="changes the gradient of ReLUs, and the model has none"):
        explain(adapted("linear"), x, "GuidedBackprop")

    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.flat, self.head = layers.Flatten(), layers.Dense(2, activation="relu")

        def call(self, inputs):
            return self.head(self.flat(inputs))

    subclassed = Subclassed()
    subclassed(x)
    with pytest.raises(RefusedError, match="must be Sequential, with an Input, or functional; this is a Subclassed"):
        explain(subclassed, x, "DeconvNet")
    for method in ("GradCAM", "GradCAMPP", "FEM", "SobolAttributionMethod", "HsicAttributionMethod"):
        with pytest.raises(RefusedError, match=f"xplique:{method} .*image.*; use "):
            explain(adapted("rectified"), x, method)
    half = attrkit.adapt(drawn(layers.Flatten(), layers.Dense(2, activation="relu", dtype="float64")))
    with pytest.raises(RefusedError, match=r"gates ReLUs in float32, and dense\S* computes in float64"):
        explain(half, x, "GuidedBackprop")
    with pytest.raises(RefusedError, match="gives the most weight to what is least like the sample"):
        explain(adapted("linear"), x, "Lime", distance_mode="cosine")

    import xplique.attributions.guided_backpropagation as module

    def other(model, policy):
        clone = keras.models.clone_model(model)
        clone.set_weights([2 * w for w in model.get_weights()])
        return clone

    monkeypatch.setattr(module, "override_relu_gradient", other)
    with pytest.raises(ForwardMismatchError, match="the clone predicts something else"):
        explain(adapted("rectified"), x, "GuidedBackprop")


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("Saliencey", {}, "xplique has no method 'Saliencey'; did you mean 'Saliency'"),
        ("Saliency", {"baseline": 1.0}, "xplique:Saliency has no baseline"),
        ("Saliency", {"reducer": "max"}, "xplique:Saliency has no option 'reducer'"),
        ("IntegratedGradients", {"steps": 1}, "steps must be a whole number, 2 or more"),
        ("IntegratedGradients", {"baseline_value": 1.0}, "has no option 'baseline_value'"),
        ("SmoothGrad", {"noise": -1}, "noise must be one number, 0 or more"),
        ("SmoothGrad", {"nb_samples": 0}, "nb_samples must be a whole number, 1 or more"),
        ("VarGrad", {"nb_samples": 1}, "nb_samples must be a whole number, 2 or more"),
        ("Occlusion", {"patch_size": (7, 1)}, "patch_size must be within the input's shape"),
        ("Occlusion", {"patch_size": (3, 1, 1)}, "patch_size must have 2 numbers"),
        ("Occlusion", {"patch_size": (3, 1), "patch_stride": (2, 1)}, "patch_stride must divide patch_size"),
        ("Rise", {"grid_size": 7}, "grid_size must be at most the 6 timesteps"),
        ("Rise", {"preservation_probability": 1}, "preservation_probability must be between 0 and 1"),
        ("KernelShap", {"nb_samples": 18}, "fits 18 features to nb_samples=18 outputs"),
        ("KernelShap", {"feature_mask": np.zeros((1, 1), int)}, "makes one of all values"),
        ("Lime", {"feature_mask": "sample"}, "unknown feature_mask 'sample'"),
        ("Lime", {"kernel_width": 0}, "kernel_width must be greater than 0"),
        ("Lime", {"kernel_width": 0.01}, "so small that no set of features has any weight"),
        ("Lime", {"prob": 1.5}, "prob must be between 0 and 1"),
        ("Lime", {"interpretable_model": "ridge"}, "must be a linear model of scikit-learn, got str"),
        ("Lime", {"distance_mode": "manhattan"}, "accepted is 'euclidean'"),
    ],
)
def test_wrong_options(x, method, options, message):
    with pytest.raises(InputError, match=message):
        explain(adapted("Dense"), x, method, **options)


def test_failures_of_xplique_are_named(x, monkeypatch):
    def fail(self, *args, **kwargs):
        raise AssertionError("something is off")

    monkeypatch.setattr(attributions.Saliency, "explain", fail)
    with pytest.raises(EngineError, match=r"xplique\.Saliency failed: something is off"):
        explain(adapted("linear"), x, "Saliency")


def test_without_xplique(x, monkeypatch):
    monkeypatch.setitem(sys.modules, "xplique", None)
    with pytest.raises(
        MissingDependencyError, match=r"xplique is needed for 'xplique:Rise': pip install 'attrkit\[xplique"
    ):
        explain(adapted("linear"), x, "Rise")
    assert "Rise" in engine.names()


def half_and_whole(policy):
    """A model that computes in half precision, and the same weights in single precision."""
    found = []
    for kind in (policy, "float32"):
        own = {"dtype": kind}
        model = keras.Sequential(
            [
                layers.Input((STEPS, CHANNELS)),
                layers.Dense(4, "tanh", **own),
                layers.Flatten(**own),
                layers.Dense(2, **own),
            ]
        )
        rng = np.random.default_rng(1)
        model.set_weights([0.7 * rng.normal(size=w.shape).astype("float32") for w in model.get_weights()])
        found.append(model)
    return found


@quiet
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_models_in_half_precision(x, policy):
    half, whole = half_and_whole(policy)
    for name in ("Saliency", "GradientInput", "Occlusion"):
        found, expected = (explain(model, x, name)["attribution"] for model in (half, whole))
        np.testing.assert_allclose(found, expected, rtol=0, atol=0.03 * float(abs(expected).max()))
