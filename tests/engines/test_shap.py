"""SHAP's explainers behind attrkit's call: definitions, shap run by hand, what is left alone, and what is refused."""

import functools
import itertools
import logging
import math
import sys

import numpy as np
import pytest
import shap
import tensorflow as tf
from tensorflow import keras

import attrkit
from attrkit.engines import shap as engine
from attrkit.engines.shap.partition import tree_of
from attrkit.errors import (
    AttrkitWarning,
    EngineError,
    InputError,
    MissingDependencyError,
    RefusedError,
)

pytestmark = [
    # A mean over draws misses some of the change in output, which `completeness_gap` is there to say.
    pytest.mark.filterwarnings("ignore::attrkit.errors.CompletenessWarning"),
]

OFFERED = ("Exact", "Gradient", "Kernel", "Partition", "Permutation", "Sampling")
GAMES = tuple(name for name in OFFERED if name != "Gradient")
DRAWS = ("Gradient", "Kernel", "Partition", "Permutation", "Sampling")

LENGTH, CHANNELS = 3, 2
"""Of the functions that are explained: 6 features have 64 sets."""


@pytest.fixture
def x():
    """Four samples of 3 timesteps and 2 channels."""
    return np.random.default_rng(3).standard_normal((4, LENGTH, CHANNELS))


@pytest.fixture
def background():
    """Three rows to compare with."""
    return np.random.default_rng(4).standard_normal((3, LENGTH, CHANNELS)) + 0.3


def explain(model, x, name, **options):
    return attrkit.extract(model, x, f"shap:{name}Explainer", **{"show_progress": False, **options})


def curved(x):
    """Features interact in all orders."""
    return np.tanh(x.reshape(len(x), -1) @ np.linspace(-1, 1.3, 6)) + x[:, 0, 0] * x[:, 1, 1] * x[:, 2, 0]


def curved_in_time(x):
    """Of series of any length."""
    return np.tanh(x).sum((1, 2)) + x[:, 0, 0] * x[:, 1, 0] * x[:, 2, 0]


def paired(x):
    """Features interact in pairs."""
    return (x[:, :-1] * x[:, 1:]).sum((1, 2)) + x[:, :, 0].sum(1) ** 2 + x[:, 0, 1]


@functools.cache
def gru():
    """Return a model, and its adapter: what is compiled for it is compiled once."""
    keras.utils.set_random_seed(2)
    layers = [keras.layers.Input((LENGTH, CHANNELS)), keras.layers.GRU(4), keras.layers.Dense(2)]
    model = keras.Sequential(layers)
    return model, attrkit.adapt(model)


def value_of(function, own, rows, groups):
    """Return what a set of groups, of flat indices, is worth: the mean with the others of the background."""
    every = np.array(list(itertools.product([False, True], repeat=len(groups))))
    inside = np.zeros((len(every), own.size), bool)
    for k, group in enumerate(groups):
        inside[:, group] = every[:, [k]]
    mixed = np.where(inside.reshape(-1, 1, *own.shape), own, rows)
    means = function(mixed.reshape(-1, *own.shape)).reshape(len(every), -1).mean(1)
    worth = dict(zip(map(tuple, every), means, strict=True))
    return lambda held: worth[tuple(k in held for k in range(len(groups)))]


def shapley(function, own, rows, groups):
    """Return Shapley values by their definition, of shape (group,)."""
    value, n = value_of(function, own, rows, groups), len(groups)
    found = np.zeros(n)
    for i in range(n):
        others = [k for k in range(n) if k != i]
        for size in range(n):
            weight = math.factorial(size) * math.factorial(n - size - 1) / math.factorial(n)
            for held in itertools.combinations(others, size):
                found[i] += weight * (value({*held, i}) - value(held))
    return found


SINGLE = [[i] for i in range(LENGTH * CHANNELS)]


def all_shapley(function, x, background, groups=SINGLE):
    return np.stack([shapley(function, own, background, groups) for own in x])


# Definitions


@pytest.mark.parametrize("name", GAMES)
def test_a_linear_model_has_one_answer(x, background, name):
    weights = np.linspace(-1, 2, 6).reshape(3, 2)
    ds = explain(lambda x: (x * weights).sum((1, 2)) + 3, x, name, background=background)
    # A draw of SamplingExplainer is of one row.
    atol = 0.2 if name == "Sampling" else 1e-10
    np.testing.assert_allclose(ds["attribution"], weights * (x - background.mean(0)), atol=atol)
    np.testing.assert_allclose(ds["baseline_prediction"], (background * weights).sum((1, 2)).mean() + 3)
    np.testing.assert_allclose(ds["completeness_gap"], 0, atol=1e-5 if name == "Sampling" else 1e-10)
    baseline = np.array([0.5, -1.0])
    ds = explain(lambda x: (x * weights).sum((1, 2)) + 3, x, name, baseline=baseline)
    np.testing.assert_allclose(ds["attribution"], weights * (x - baseline), atol=1e-10)


@pytest.mark.parametrize(
    ("name", "atol"), [("Exact", 1e-12), ("Kernel", 1e-9), ("Permutation", 0.25), ("Sampling", 0.2)]
)
def test_shapley_values_by_their_definition(x, background, name, atol):
    expected = all_shapley(curved, x, background).reshape(x.shape)
    options = {"nsamples": 6000} if name == "Sampling" else {}
    ds = explain(curved, x, name, background=background, **options)
    np.testing.assert_allclose(ds["attribution"], expected, atol=atol * abs(expected).max())
    np.testing.assert_allclose(ds["baseline_prediction"], curved(background).mean())
    np.testing.assert_allclose(ds["completeness_gap"], 0, atol=1e-5)
    assert ds["attribution"].attrs["units"] == "output"


def test_one_order_is_enough_where_features_interact_in_pairs(x, background):
    expected = all_shapley(paired, x, background).reshape(x.shape)
    ds = explain(paired, x, "Permutation", background=background, max_evals=13)
    np.testing.assert_allclose(ds["attribution"], expected, atol=1e-12)


def owen(value, parts, held=()):
    """Return Owen values by their definition: the two halves of a part come one first or the other, all or nothing."""
    if isinstance(parts, int):
        return {parts: value({*held, parts}) - value(held)}
    leaves = [list(flatten(part)) for part in parts]
    found = {}
    for half, other in ((0, 1), (1, 0)):
        without, with_it = owen(value, parts[half], held), owen(value, parts[half], (*held, *leaves[other]))
        found |= {key: (without[key] + with_it[key]) / 2 for key in without}
    return found


def flatten(parts):
    return [parts] if isinstance(parts, int) else [leaf for part in parts for leaf in flatten(part)]


def test_owen_values_by_their_definition(x, background):
    tree = ((0, 1), ((2, 3), (4, 5)))
    for function in (curved, paired):
        ds = explain(function, x, "Partition", background=background)
        for own, row in zip(x, ds["attribution"].values, strict=True):
            expected = owen(value_of(function, own, background, SINGLE), tree)
            np.testing.assert_allclose(row.ravel(), [expected[i] for i in range(6)], atol=1e-10)
    # The first timestep gets what it would get beside all others as one.
    halves = all_shapley(curved, x, background, [[0, 1], [2, 3, 4, 5]])
    got = explain(curved, x, "Partition", background=background)["attribution"].sum("channel").values
    np.testing.assert_allclose(got[:, 0], halves[:, 0], atol=1e-10)


def test_a_tree_that_is_not_run_to_its_leaves_shares_out_and_says_so(x):
    features = {"": np.arange(6).reshape(1, 3, 2)}
    assert tree_of(np.arange(6), features)[1] == 2 + 2 + 2 * 4 + 2 * 8
    assert tree_of(np.array([4]), features) == (pytest.approx(np.zeros((0, 4))), 2)
    tree = tree_of(np.array([0, 2, 3, 5]), features)[0]
    np.testing.assert_array_equal(tree[:, [0, 1, 3]], [[1, 2, 2], [4, 3, 3], [0, 5, 4]])
    with pytest.warns(AttrkitWarning, match="max_evals=4 do not reach single features, which takes 28"):
        ds = explain(curved, x, "Partition", max_evals=4)
    halves = all_shapley(curved, x, np.zeros((1, 3, 2)), [[0, 1], [2, 3, 4, 5]])
    np.testing.assert_allclose(
        ds["attribution"].values.reshape(4, 6), halves[:, [0, 0, 1, 1, 1, 1]] / [2, 2, 4, 4, 4, 4]
    )


GROUPS = {
    "timestep": [[0, 1], [2, 3], [4, 5]],
    "channel": [[0, 2, 4], [1, 3, 5]],
    "array": [[0, 1, 2], [3], [4, 5]],
}


@pytest.mark.parametrize("by", GROUPS)
def test_groups_are_features(x, background, by):
    numbers = np.empty(6, int)
    for number, group in enumerate(GROUPS[by]):
        numbers[group] = 7 * number
    mask = numbers.reshape(3, 2) if by == "array" else by
    expected = all_shapley(curved, x, background, GROUPS[by])[:, numbers // 7].reshape(x.shape)
    for name in ("Exact", "Kernel"):
        ds = explain(curved, x, name, background=background, feature_mask=mask)
        np.testing.assert_allclose(ds["attribution"], expected, atol=1e-9)
        np.testing.assert_allclose(ds["completeness_gap"], 0, atol=1e-9)
    for name in ("Partition", "Permutation", "Sampling"):
        ds = explain(curved, x, name, background=background, feature_mask=mask)
        values = ds["attribution"].values.reshape(4, 6)
        for group in GROUPS[by]:
            assert (values[:, group] == values[:, group[:1]]).all()
        sums = sum(values[:, group[0]] for group in GROUPS[by])
        np.testing.assert_allclose(sums, curved(x) - curved(background).mean(), atol=1e-5)
        np.testing.assert_allclose(ds["completeness_gap"], 0, atol=1e-5)


def test_features_that_do_not_differ_get_nothing(x):
    same = x.copy()
    same[1:, 1] += 1
    for name in GAMES:
        values = explain(curved, x, name, background=same[:1])["attribution"].values
        np.testing.assert_array_equal(values[0], 0)
        one = explain(curved, x[:1], name, background=np.where(np.arange(6).reshape(3, 2) == 3, 9, x[:1]))
        assert np.flatnonzero(one["attribution"].values.ravel()).tolist() == [3]


def test_small_numbers_are_features_too():
    """shap takes values that differ by less than 1e-8 for equal."""
    x = 1e-9 * np.random.default_rng(0).standard_normal((2, 2, 2))

    def scaled(x):
        return 1e9 * x.sum((1, 2))

    by_hand = shap.KernelExplainer(lambda z: scaled(z.reshape(-1, 2, 2)), np.zeros((1, 4)))
    assert not by_hand.shap_values(x.reshape(2, 4), silent=True).any()
    for name in GAMES:
        np.testing.assert_allclose(explain(scaled, x, name)["attribution"], 1e9 * x, rtol=1e-6)


def test_every_row_of_a_long_background_counts(x):
    """shap's maskers draw 100 of its rows if they are not told otherwise."""
    rows = np.random.default_rng(0).standard_normal((130, 3, 2))
    ds = explain(paired, x[:1], "Permutation", background=rows, feature_mask="channel")
    np.testing.assert_allclose(ds["baseline_prediction"], paired(rows).mean())
    expected = all_shapley(paired, x[:1], rows, GROUPS["channel"])
    np.testing.assert_allclose(ds["attribution"].values[0, 0], expected[0], atol=1e-10)


# shap by hand


def seed_of(sample, seed=0):
    return int(np.random.SeedSequence([seed, sample]).generate_state(1)[0])


def test_a_recurrent_model_run_by_hand(x, background):
    (model, adapter), x, background = gru(), x.astype("float32"), background.astype("float32")
    compiled = tf.function(model, input_signature=[tf.TensorSpec([None, 3, 2], "float32")])

    def output(flat):
        return compiled(flat.reshape(-1, 3, 2).astype("float32")).numpy()[:, 1].astype(float)

    flat, rows = x.reshape(4, 6).astype(float), background.reshape(3, 6).astype(float)

    def by_hand(name, i):
        np.random.seed(seed_of(i))  # noqa: NPY002 - shap draws from it.
        own = flat[i : i + 1]
        if name == "Kernel":
            return shap.KernelExplainer(output, rows).shap_values(own, nsamples=30, l1_reg=0, silent=True)
        if name == "Sampling":
            return shap.SamplingExplainer(output, rows).shap_values(own, nsamples=60, silent=True)
        masker = shap.maskers.Independent(rows)
        if name == "Permutation":
            return shap.PermutationExplainer(output, masker, seed=seed_of(i))(own, max_evals=40, silent=True).values
        return shap.ExactExplainer(output, masker)(own, silent=True).values

    options = {"Kernel": {"nsamples": 30}, "Sampling": {"nsamples": 60}, "Permutation": {"max_evals": 40}}
    for name in ("Exact", "Kernel", "Permutation", "Sampling"):
        expected = np.concatenate([by_hand(name, i) for i in range(4)]).reshape(x.shape)
        ds = explain(adapter, x, name, background=background, target=1, **options.get(name, {}))
        np.testing.assert_allclose(ds["attribution"], expected, atol=1e-6, err_msg=name)


@pytest.mark.filterwarnings("ignore:The structure of `inputs` doesn't match")  # What shap gives Keras 3.
@pytest.mark.parametrize("kind", ["GRU", "attention"])
def test_expected_gradients(x, background, kind):
    keras.utils.set_random_seed(2)
    x, background = x.astype("float32"), background.astype("float32")
    layers, start = keras.layers, keras.layers.Input((3, 2))
    if kind == "attention":
        hidden = layers.Dense(4)(start)
        last = layers.GlobalAveragePooling1D()(layers.MultiHeadAttention(2, 2)(hidden, hidden))
    else:
        last = layers.GRU(4)(start)
    model = keras.Model(start, layers.Dense(2)(last))
    adapter, targets = attrkit.adapt(model), np.array([0, 1, 1, 0])
    ds = explain(adapter, x, "Gradient", background=background, target=targets, nsamples=50, batch_size=32)
    explainer = shap.GradientExplainer(model, background)
    for i, target in enumerate(targets):
        by_hand = explainer.shap_values(x[i : i + 1], nsamples=50, rseed=seed_of(i))[0, ..., target]
        np.testing.assert_allclose(ds["attribution"][i], by_hand, atol=1e-6)
        # The formula, with gradients of attrkit at the same draws.
        rng = np.random.RandomState(seed_of(i))
        drawn = [(rng.choice(3), rng.uniform()) for _ in range(50)]
        points = np.stack([t * x[i] + (1 - t) * background[row] for row, t in drawn])
        slopes = attrkit.extract(adapter, points.astype("float32"), "gradient", target=int(target), show_progress=False)
        rows = background[[row for row, _ in drawn]]
        np.testing.assert_allclose(by_hand, ((x[i] - rows) * slopes["attribution"].values).mean(0), atol=1e-6)
    change = ds["prediction"].values[np.arange(4), targets] - model(background).numpy().mean(0)[targets]
    sums = ds["attribution"].sum(["timestep", "channel"])
    np.testing.assert_allclose(ds["completeness_gap"], sums - change, atol=1e-6)
    assert ds.attrs["gradient_evaluations"] == 4 * 50
    assert ds.attrs["baseline"] == "each of background"


def test_expected_gradients_from_a_baseline_are_integrated_gradients(x):
    model, x = gru()[1], x.astype("float32")
    exact = attrkit.extract(
        model, x, "integrated_gradients", target=0, baseline="mean", n_steps=64, show_progress=False
    )
    ds = explain(model, x, "Gradient", target=0, baseline="mean", nsamples=1500)
    np.testing.assert_allclose(
        ds["attribution"], exact["attribution"], atol=0.05 * float(abs(exact["attribution"]).max())
    )
    smooth = explain(model, x, "Gradient", target=0, baseline="mean", nsamples=200, local_smoothing=0.3)
    assert float(abs(smooth["attribution"] - ds["attribution"]).max()) > 1e-4
    assert ds.attrs["baseline"].startswith("mean of the inputs")


# What is left alone


@pytest.mark.parametrize("name", OFFERED)
def test_every_explainer_gives_a_labelled_result_and_leaves_the_rest_alone(x, name, capfd):
    (keras_model, model), x = gru(), x.astype("float32")
    weights = keras_model.get_weights()
    np.random.seed(5)  # noqa: NPY002
    state, level = np.random.get_state()[1].copy(), logging.getLogger("shap").level  # noqa: NPY002
    options = {"nsamples": 30} if name in ("Gradient", "Kernel", "Sampling") else {}
    background = {"background": x[:3] + 1}
    ds = explain(model, x, name, target=[0, 1, 1, 0], **background, **options)
    assert ds["attribution"].dims == ("sample", "timestep", "channel")
    assert ds["attribution"].shape == x.shape
    assert ds["attribution"].dtype == "float32"
    assert np.isfinite(ds["attribution"]).all()
    assert ds.attrs["method"] == f"shap:{name}Explainer"
    assert (ds.attrs["engine"], ds.attrs["engine_version"]) == ("shap", shap.__version__)
    assert ("seed" in ds.attrs) == (name in DRAWS)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    assert logging.getLogger("shap").level == level
    for before, after in zip(weights, keras_model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)

    size = float(abs(ds["attribution"]).max())
    again = explain(model, x, name, target=[0, 1, 1, 0], batch_size=7, **background, **options)
    np.testing.assert_allclose(again["attribution"], ds["attribution"], atol=1e-5 * size)
    alone = explain(model, x[:2], name, target=[0, 1], **background, **options)
    np.testing.assert_allclose(alone["attribution"], ds["attribution"][:2], atol=1e-5 * size)
    if name in ("Gradient", "Kernel", "Sampling"):
        other = explain(model, x, name, target=[0, 1, 1, 0], seed=1, **background, **options)
        assert float(abs(other["attribution"] - ds["attribution"]).max()) > 1e-4 * size
    said = capfd.readouterr()
    assert "it/s" not in said.err
    assert "retracing" not in said.err
    assert not said.out


def test_all_outputs(x):
    model, x = gru()[1], x.astype("float32")
    for name in ("Gradient", "Permutation"):
        every = explain(model, x, name, target="all", baseline=0.2)
        assert every["attribution"].dims == ("sample", "output", "timestep", "channel")
        one = explain(model, x, name, target=1, baseline=0.2)
        np.testing.assert_allclose(every["attribution"][:, 1], one["attribution"], atol=1e-6)


@pytest.mark.parametrize("name", OFFERED)
def test_padding_is_not_replaced(name):
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Input((4, 2)), keras.layers.Masking(-10.3), keras.layers.LSTM(3), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    rng = np.random.default_rng(0)
    mask = np.arange(4)[None] < np.array([4, 3, 1])[:, None]
    x = np.where(mask[..., None], rng.standard_normal((3, 4, 2)), -10.3).astype("float32")
    background = rng.standard_normal((2, 4, 2)).astype("float32")
    options = {"local_smoothing": 0.0, "nsamples": 400} if name == "Gradient" else {"feature_mask": "channel"}
    ds = explain(model, x, name, background=background, **options)
    values = ds["attribution"].values
    np.testing.assert_array_equal(values[~mask], 0)
    assert (values[mask] != 0).all()
    # Each sample is what it is without its padding.
    starts = [float(model(np.where(own[None, :, None], background, -10.3)).numpy().mean()) for own in mask]
    np.testing.assert_allclose(ds["baseline_prediction"], starts, atol=1e-6)
    np.testing.assert_allclose(ds["completeness_gap"], 0, atol=0.03 if name == "Gradient" else 1e-5)


def two_inputs():
    keras.utils.set_random_seed(1)
    layers = keras.layers
    series, static = layers.Input((3, 2), name="series"), layers.Input((2,), name="static")
    hidden = layers.Concatenate()([layers.GRU(4)(series), static])
    return keras.Model([series, static], layers.Dense(2, activation="tanh")(hidden))


def test_several_inputs(x):
    model = two_inputs()
    adapter = attrkit.adapt(model)
    inputs = {"series": x.astype("float32"), "static": x[:, 0].astype("float32")}
    background = {"series": inputs["series"][:2] + 1, "static": np.zeros((2, 2), "float32")}
    found = {}
    for name in OFFERED:
        options = {"Gradient": {"nsamples": 300}, "Sampling": {"nsamples": 100}}.get(name, {})
        ds = explain(adapter, inputs, name, target=1, background=background, **options)
        assert ds["attribution_static"].dims == ("sample", "channel_static")
        found[name] = np.concatenate([ds["attribution"].values.reshape(4, -1), ds["attribution_static"].values], axis=1)
        np.testing.assert_allclose(ds["completeness_gap"], 0, atol=0.1 if name == "Gradient" else 1e-5)

    def output(flat):
        return model([flat[:, 0, :6].reshape(-1, 3, 2), flat[:, 0, 6:]]).numpy()[:, 1].astype(float)

    rows = np.concatenate([background["series"].reshape(2, 6), background["static"]], axis=1)[:, None]
    own = np.concatenate([inputs["series"].reshape(4, 6), inputs["static"]], axis=1)[:1, None]
    expected = all_shapley(output, own, rows, [[i] for i in range(8)])[0]
    np.testing.assert_allclose(found["Exact"][0], expected, atol=1e-6)
    np.testing.assert_allclose(found["Kernel"][0], expected, atol=1e-5)
    # One that is handed on is the sample's own in every coalition.
    only = explain(adapter, inputs, "Exact", target=1, explain="series", background=background["series"])

    def of_series(series):
        return model([series, np.repeat(inputs["static"][:1], len(series), axis=0)]).numpy()[:, 1].astype(float)

    expected = shapley(of_series, inputs["series"][0], background["series"], SINGLE)
    np.testing.assert_allclose(only["attribution"].values[0].ravel(), expected, atol=1e-6)


def test_token_ids():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Embedding(9, 4), keras.layers.LSTM(3), keras.layers.Dense(1)]
    model = keras.Sequential([keras.layers.Input((4,), dtype="int32"), *layers])
    ids = np.random.default_rng(0).integers(1, 9, (2, 4)).astype("int32")
    ds = explain(model, ids, "Exact")
    assert ds["attribution"].dims == ("sample", "timestep")
    assert ds["attribution"].dtype.kind == "f"
    expected = shapley(lambda z: model(z).numpy()[:, 0].astype(float), ids[0], np.zeros((1, 4), "int32"), SINGLE[:4])
    np.testing.assert_allclose(ds["attribution"][0], expected, atol=1e-6)
    by_gradient = explain(model, ids, "Gradient", nsamples=20)
    assert by_gradient["attribution"].dims == ("sample", "timestep")
    assert by_gradient.attrs["explained_at"]


# What is refused


def test_features_that_are_chosen(x):
    ds = explain(curved, x, "Kernel", l1_reg="num_features(2)")
    assert (np.count_nonzero(ds["attribution"].values.reshape(4, 6), axis=1) <= 2).all()
    for wrong in ("auto", "num_features(0)", -1.0, np.nan):
        with pytest.raises(InputError, match="l1_reg must be 0, a penalty"):
            explain(curved, x, "Kernel", l1_reg=wrong)


def test_too_few_draws(x):
    with pytest.raises(InputError, match="fits 6 features to nsamples=11 outputs, which many solutions fit"):
        explain(curved, x, "Kernel", nsamples=11)
    # Enough rows for the number of unknowns, but they leave some open: shap draws sets and their complements.
    wide = np.random.default_rng(0).standard_normal((6, 9, 1))
    with pytest.raises(InputError, match="fits 9 features to nsamples=18 outputs"):
        explain(curved_in_time, wide, "Kernel", nsamples=18)
    assert np.isfinite(explain(curved_in_time, wide, "Kernel", nsamples=60)["attribution"]).all()
    with pytest.raises(InputError, match=r"leaves features without a draw.*at least 12, two a feature"):
        explain(curved, x, "Sampling", nsamples=10)
    assert np.isfinite(explain(curved, x, "Sampling", nsamples=12)["attribution"]).all()
    with pytest.raises(InputError, match="less than one order of all features takes, there and back, which is 13"):
        explain(curved, x, "Permutation", max_evals=12)
    with pytest.raises(RefusedError, match=r"2\^6 here.*shap:PermutationExplainer"):
        explain(curved, x, "Exact", max_evals=63)
    with pytest.raises(InputError, match="nsamples must be a whole number, 1 or more"):
        explain(gru()[1], x, "Gradient", target=0, nsamples=0)
    with pytest.raises(InputError, match="local_smoothing must be a standard deviation"):
        explain(gru()[1], x, "Gradient", target=0, local_smoothing=-1)


@pytest.mark.parametrize("name", ["Exact", "Gradient"])
def test_backgrounds_that_do_not_fit(x, name):
    model, x = gru()[1], x.astype("float32")
    for wrong in (x[0], x[:, :2], x[:0], x * np.nan):
        with pytest.raises(InputError, match=r"background must be finite numbers of shape \(baseline, 3, 2\)"):
            explain(model, x, name, target=0, background=wrong)
    with pytest.raises(InputError, match=r"background= or with baseline=, and both are given"):
        explain(model, x, name, target=0, background=x, baseline=0.5)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (
            "DeepExplainer",
            "it replaces the gradient of layers that it knows.*shap:GradientExplainer.*captum:DeepLiftShap",
        ),
        ("TreeExplainer", "ensembles of trees"),
        ("GPUTreeExplainer", "ensembles of trees"),
        ("LinearExplainer", "models that are linear"),
        ("AdditiveExplainer", "additive models"),
        ("CoalitionExplainer", "shap:PartitionExplainer"),
    ],
)
def test_explainers_that_are_not_offered_say_why(x, name, why):
    with pytest.raises(RefusedError, match=f"shap:{name} is not offered: .*{why}"):
        attrkit.extract(curved, x, f"shap:{name}")


def test_names():
    public = {name for name in shap.__all__ if name.endswith("Explainer") and name != "Explainer"}
    assert set(engine.names()) == public
    with pytest.raises(InputError, match="did you mean 'KernelExplainer'"):
        attrkit.extract(curved, np.zeros((1, 3, 2)), "shap:Kernel")
    with pytest.raises(InputError, match="has no option 'link'"):
        explain(curved, np.zeros((1, 3, 2)), "Kernel", link="logit")


def test_gradients_that_are_not_there(x):
    with pytest.raises(RefusedError, match="numpy"):
        explain(curved, x, "Gradient")
    import jax.numpy as jax_numpy

    if "torch" not in sys.modules:
        model = attrkit.adapt(lambda x: jax_numpy.tanh(x).sum((1, 2)), framework="jax")
        with pytest.raises(MissingDependencyError, match=r"on torch for all others: pip install 'attrkit\[torch\]'"):
            explain(model, x, "Gradient")
        assert explain(model, x, "Permutation")["attribution"].shape == x.shape


def test_shap_is_asked_for_where_it_is_not_installed(x, monkeypatch):
    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(MissingDependencyError, match=r"'shap:ExactExplainer': pip install 'attrkit\[shap\]'"):
        explain(curved, x, "Exact")


def test_failures_of_shap_are_its_own(x, monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("no such luck")

    monkeypatch.setattr(shap.ExactExplainer, "__call__", fail)
    with pytest.raises(EngineError, match=r"shap\.ExactExplainer failed: no such luck"):
        explain(curved, x, "Exact")
