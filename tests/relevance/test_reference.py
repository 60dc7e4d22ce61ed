"""The reference rules of relevance conserve it, and agree with small cases by hand and with frozen gradients."""

import numpy as np
import pytest

from tests.relevance import reference

SAMPLES, STEPS, CHANNELS, UNITS = 3, 5, 2, 4
EPSILON = 0.05


def draw(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def slopes(function, x):
    """Return d function(x) / dx by the complex step; function gives (sample,)."""
    found = np.zeros(x.shape)
    for index in np.ndindex(x.shape[1:]):
        moved = x.astype(complex)
        moved[(slice(None), *index)] += 1e-30j
        found[(slice(None), *index)] = function(moved).imag / 1e-30
    return found


def held(z, epsilon):
    return z + epsilon * np.where(z >= 0, 1, -1)


def check_conserved(result, relevance):
    found, of_bias, absorbed = result
    assert of_bias.shape == absorbed.shape == (len(relevance),)
    total = found.reshape(len(found), -1).sum(axis=1) + of_bias + absorbed
    np.testing.assert_allclose(total, relevance.reshape(len(relevance), -1).sum(axis=1), rtol=1e-10, atol=1e-10)


X = draw(SAMPLES, STEPS, CHANNELS)
MASK = np.array([[1, 1, 1, 1, 1], [0, 1, 0, 1, 0], [1, 1, 1, 0, 0]], bool)
RULES = [
    {"rule": "epsilon"},
    {"rule": "z"},
    {"rule": "z_plus"},
    {"rule": "alpha_beta", "alpha": 2.0, "beta": 1.0},
    {"rule": "alpha_beta", "alpha": 1.0, "beta": 0.0, "bias_mode": "innvestigate"},
    {"rule": "alpha_beta", "alpha": 3.0, "beta": 2.0, "bias_mode": "innvestigate"},
    {"rule": "gamma", "gamma": 0.3},
    {"rule": "flat"},
    {"rule": "w_square"},
    {"rule": "z_box", "low": -3.0, "high": np.array([3.0, 4.0])},
]
BIAS_FREE = {"flat", "w_square", "z_box"}

# Dense and convolution


@pytest.mark.parametrize("epsilon", [0.0, EPSILON])
@pytest.mark.parametrize("options", RULES, ids=str)
def test_dense_conserves(options, epsilon):
    relevance = draw(SAMPLES, STEPS, UNITS, seed=1)
    result = reference.dense(X, draw(CHANNELS, UNITS), draw(UNITS), relevance, epsilon=epsilon, **options)
    check_conserved(result, relevance)
    assert result[0].shape == X.shape
    assert (not result[1].any()) == (options["rule"] in BIAS_FREE)


@pytest.mark.parametrize("options", RULES, ids=str)
@pytest.mark.parametrize("layout", [("valid", 1, 1), ("same", 2, 1), ("causal", 1, 2), ("same", 1, 2)], ids=str)
def test_conv1d_conserves_and_gives_the_padding_nothing(options, layout):
    layout = dict(zip(("padding", "strides", "dilation"), layout, strict=True))
    kernel, bias = draw(3, CHANNELS, UNITS), draw(UNITS)
    relevance = draw(*reference.conv1d_forward(X, kernel, bias, **layout).shape, seed=2)
    check_conserved(reference.conv1d(X, kernel, bias, relevance, epsilon=EPSILON, **layout, **options), relevance)


def test_dense_by_hand():
    x, kernel, bias, relevance = [[1.0, -2.0]], [[3.0], [1.0]], [-0.5], [[4.0]]  # z = 3 - 2 - 0.5 = 0.5

    def found(**options):
        return [np.ravel(part).tolist() for part in reference.dense(x, kernel, bias, relevance, **options)]

    assert found(rule="z", epsilon=9.0) == [[24.0, -16.0], [-4.0], [0.0]]
    assert found(rule="epsilon", epsilon=0.5) == [[12.0, -8.0], [-2.0], [2.0]]
    assert found(rule="alpha_beta") == [[8.0, 2 / 2.5 * -4], [-0.5 / 2.5 * 4], [0.0]]
    innvestigate = found(rule="alpha_beta", bias_mode="innvestigate")
    np.testing.assert_allclose(np.concatenate(innvestigate), [2 * 3 / 2.5 * 4, -2 / 2.5 * 4, -1.6 - 0.8, 0])
    assert found(rule="z_plus") == [[4.0, 0.0], [0.0], [0.0]]
    # z >= 0: 3 * (1 + 1) for the positive input, 1 + 0 for the negative one
    assert found(rule="gamma", gamma=1.0) == [[6 / 3.5 * 4, -2 / 3.5 * 4], [-0.5 / 3.5 * 4], [0.0]]
    assert found(rule="flat") == [[2.0, 2.0], [0.0], [0.0]]
    assert found(rule="w_square") == [[3.6, 0.4], [0.0], [0.0]]
    # x w - low w+ = 3 * (1 + 2), 1 * (-2 + 2)
    assert found(rule="z_box", low=-2.0, high=5.0) == [[4.0, 0.0], [0.0], [0.0]]


def test_gamma_turns_round_where_the_output_is_negative():
    x, kernel, relevance = draw(SAMPLES, CHANNELS), draw(CHANNELS, UNITS), draw(SAMPLES, UNITS, seed=3)
    options = {"rule": "gamma", "gamma": 0.7}
    bias = draw(UNITS)
    there = reference.dense(x, kernel, bias, relevance, **options)
    turned = reference.dense(x, -kernel, -bias, relevance, **options)
    for one, other in zip(there, turned, strict=True):
        np.testing.assert_allclose(one, other)


def test_a_denominator_of_zero_leaves_relevance_with_the_stabiliser():
    found, of_bias, absorbed = reference.dense([[0.0, 0.0]], [[1.0], [2.0]], None, [[5.0]])
    assert found.tolist() == [[0.0, 0.0]]
    assert (of_bias[0], absorbed[0]) == (0.0, 5.0)


@pytest.mark.parametrize(
    ("layout", "reads"),
    [
        (("valid", 2, 1), [[0, 1, 2], [2, 3, 4]]),
        (("same", 2, 1), [[-1, 0, 1], [1, 2, 3], [3, 4, -1]]),
        (("causal", 2, 2), [[-1, -1, 0], [-1, 0, 2], [0, 2, 4]]),
        (("same", 3, 1), [[0, 1, 2], [3, 4, -1]]),
    ],
    ids=str,
)
def test_windows_by_hand(layout, reads):
    index, inside = reference.windows(STEPS, 3, *layout)
    np.testing.assert_array_equal(np.where(inside, index, -1), reads)


def test_flat_on_padding_counts_the_inputs_in_bounds():
    found, _, _ = reference.conv1d(
        np.ones((1, 3, 1)), draw(3, 1, 1), None, [[[6.0], [6.0], [6.0]]], padding="same", rule="flat"
    )
    assert found[0, :, 0].tolist() == [3 + 2, 3 + 2 + 3, 2 + 3]


# Recurrent layers

CELLS = {
    "simple_rnn": (reference.simple_rnn, reference.SimpleRNNCell, 1, (UNITS,), {}),
    "lstm": (reference.lstm, reference.LSTMCell, 4, (4 * UNITS,), {}),
    "gru": (reference.gru, reference.GRUCell, 3, (2, 3 * UNITS), {"reset_after": True}),
    "gru_before": (reference.gru, reference.GRUCell, 3, (3 * UNITS,), {"reset_after": False}),
}


def recurrent(kind):
    rule, cell, gates, bias, options = CELLS[kind]
    weights = draw(CHANNELS, gates * UNITS), draw(UNITS, gates * UNITS, seed=1), draw(*bias, seed=2)
    return rule, cell(*weights, **options), weights, options


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "masked"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("kind", CELLS)
def test_recurrent_layers_conserve(kind, return_sequences, reverse, mask):
    rule, cell, weights, options = recurrent(kind)
    walk = {"return_sequences": return_sequences, "reverse": reverse, "mask": mask}
    relevance = draw(*reference.recurrent_forward(cell, X, **walk).shape, seed=3)
    result = rule(X, *weights, relevance, epsilon=EPSILON, **options, **walk)
    check_conserved(result, relevance)
    if mask is not None:
        assert not result[0][~mask].any()


@pytest.mark.parametrize("kind", CELLS)
def test_a_masked_timestep_is_as_if_it_were_not_there(kind):
    rule, cell, weights, options = recurrent(kind)
    relevance, kept = draw(1, UNITS), MASK[1]
    masked = rule(X[1:2], *weights, relevance, epsilon=EPSILON, mask=MASK[1:2], **options)
    short = rule(X[1:2, kept], *weights, relevance, epsilon=EPSILON, **options)
    np.testing.assert_allclose(masked[0][:, kept], short[0])
    np.testing.assert_allclose(masked[1:], short[1:])
    whole = reference.recurrent_forward(cell, X[1:2], mask=MASK[1:2])
    np.testing.assert_allclose(whole, reference.recurrent_forward(cell, X[1:2, kept]))


@pytest.mark.parametrize("kind", CELLS)
def test_reverse_is_the_layer_on_reversed_inputs(kind):
    rule, _, weights, options = recurrent(kind)
    relevance = draw(SAMPLES, STEPS, UNITS)
    options = options | {"epsilon": EPSILON, "return_sequences": True}
    reverse = rule(X, *weights, relevance, reverse=True, mask=MASK, **options)
    turned = rule(X[:, ::-1], *weights, relevance, mask=MASK[:, ::-1], **options)
    np.testing.assert_allclose(reverse[0], turned[0][:, ::-1])


def test_a_linear_chain_by_hand():
    x, w, u = draw(1, STEPS, 1), 0.7, -1.3
    shares = x[0, :, 0] * w * u ** np.arange(STEPS)[::-1]
    options = {"epsilon": 0.0, "activation": lambda z: z}
    found, *rest = reference.simple_rnn(x, [[w]], [[u]], [0.0], np.array([[2.0]]), **options)
    np.testing.assert_allclose(found[0, :, 0], shares / shares.sum() * 2)
    np.testing.assert_array_equal(rest, 0)


def test_one_step_of_an_lstm_by_hand():
    x, relevance = np.array([[[2.0, -1.0]]]), np.array([[3.0]])
    kernel, bias = np.array([[0.1, 0.2, 0.5, -0.3], [0.4, 0.3, 0.25, 0.6]]), np.array([0.0, 1.0, 0.125, 0.0])
    z = 2.0 * 0.5 - 0.25 + 0.125
    cell = np.tanh(z) / (1 + np.exp(-(0.2 - 0.4)))
    to_signal = cell / (cell + 0.1) * 3
    ratio = to_signal / (z + 0.1)
    found, of_bias, absorbed = reference.lstm(x, kernel, np.ones((1, 4)), bias, relevance, epsilon=0.1)
    np.testing.assert_allclose(found[0, 0], [1.0 * ratio, -0.25 * ratio])
    np.testing.assert_allclose([of_bias[0], absorbed[0]], [0.125 * ratio, 3 - to_signal + 0.1 * ratio])


def test_an_lstm_with_open_gates_sums_its_signals():
    x, open_gates = draw(1, STEPS, 1), np.array([50.0, 50.0, 0.0, 50.0])
    signals = np.tanh(0.8 * x[0, :, 0])
    found, _, _ = reference.lstm(x, [[0, 0, 0.8, 0]], np.zeros((1, 4)), open_gates, np.array([[2.0]]), epsilon=0.0)
    np.testing.assert_allclose(found[0, :, 0], signals / signals.sum() * 2)


@pytest.mark.parametrize("reset_after", [True, False])
def test_a_gru_with_half_open_gates_halves_at_each_step(reset_after):
    x, bias = draw(1, STEPS, 1), np.zeros((2, 3) if reset_after else 3)
    shares = np.tanh(0.8 * x[0, :, 0]) * 0.5 ** np.arange(STEPS, 0, -1)
    options = {"epsilon": 0.0, "reset_after": reset_after}
    found, _, _ = reference.gru(x, [[0, 0, 0.8]], np.zeros((1, 3)), bias, np.array([[2.0]]), **options)
    np.testing.assert_allclose(found[0, :, 0], shares / shares.sum() * 2)


def frozen_lstm(kernel, recurrent_kernel, bias, epsilon):
    """Return sum G h of the last step as a function of x: gates and ratios are those of X, so it is linear in x."""

    def walk(x, known, relevance):
        h = c = np.zeros((SAMPLES, UNITS))
        h0 = c0 = h
        for step in range(STEPS):
            i, f, z0, o = np.split(known[:, step] @ kernel + h0 @ recurrent_kernel + bias, 4, axis=1)
            i, f, o = (reference.sigmoid(gate) for gate in (i, f, o))
            c0 = f * c0 + i * np.tanh(z0)
            signal = slice(2 * UNITS, 3 * UNITS)
            z = x[:, step] @ kernel[:, signal] + h @ recurrent_kernel[:, signal] + bias[signal]
            c = (f * c + i * z * np.tanh(z0) / held(z0, epsilon)) * c0 / held(c0, epsilon)
            h0, h = o * np.tanh(c0), c * o * np.tanh(c0) / c0
        return (h * relevance / h0).sum(axis=1)

    return walk


def frozen_gru(kernel, recurrent_kernel, bias, epsilon):
    def walk(x, known, relevance):
        h = h0 = np.zeros((SAMPLES, UNITS))
        for step in range(STEPS):
            inner0 = np.split(h0 @ recurrent_kernel + bias[1], 3, axis=1)
            outer0 = np.split(known[:, step] @ kernel + bias[0], 3, axis=1)
            update, reset = (reference.sigmoid(inner0[gate] + outer0[gate]) for gate in range(2))
            n0, inner = outer0[2] + reset * inner0[2], (h @ recurrent_kernel + bias[1])[:, 2 * UNITS :]
            n = (x[:, step] @ kernel + bias[0])[:, 2 * UNITS :] + reset * inner
            h0 = update * h0 + (1 - update) * np.tanh(n0)
            h = (update * h + (1 - update) * n * np.tanh(n0) / held(n0, epsilon)) * h0 / held(h0, epsilon)
        return (h * relevance / h0).sum(axis=1)

    return walk


@pytest.mark.parametrize("epsilon", [1e-9, EPSILON])
@pytest.mark.parametrize(("kind", "frozen"), [("lstm", frozen_lstm), ("gru", frozen_gru)])
def test_relevance_is_input_times_slope_of_the_frozen_layer(kind, frozen, epsilon):
    rule, _, weights, _ = recurrent(kind)
    walk, relevance = frozen(*weights, epsilon), draw(SAMPLES, UNITS, seed=5)
    found, _, _ = rule(X, *weights, relevance, epsilon=epsilon)
    np.testing.assert_allclose(found, X * slopes(lambda x: walk(x, X, relevance), X), rtol=1e-9, atol=1e-10)


# Attention

WT, WX, BH, WA, BA = draw(CHANNELS, UNITS), draw(CHANNELS, UNITS, seed=1), draw(UNITS), draw(UNITS, 1), draw(1)
SQUARE = draw(CHANNELS, CHANNELS, seed=1)
HEADS = {name + "_kernel": draw(CHANNELS, 2, 3, seed=seed) for seed, name in enumerate(("query", "key", "value"))}
HEADS |= {name + "_bias": draw(2, 3, seed=seed) for seed, name in enumerate(("query", "key", "value"))}
HEADS |= {"output_kernel": draw(2, 3, UNITS), "output_bias": draw(UNITS)}
BACKWARD = np.tril(np.ones((STEPS, STEPS), bool))

SELF = {
    "additive": lambda *rest, **options: reference.additive_attention(X, WT, WX, BH, WA, BA, *rest, **options),
    "multiplicative": lambda *rest, **options: reference.multiplicative_attention(X, SQUARE, BA, *rest, **options),
}
LIMITS = [{}, {"width": 3}, {"history_only": True}, {"mask": MASK}, {"activation": np.tanh, "width": 2}]


@pytest.mark.parametrize("limits", LIMITS, ids=str)
@pytest.mark.parametrize("kind", SELF)
def test_self_attention_held_conserves(kind, limits):
    relevance = draw(*X.shape, seed=4)
    result = SELF[kind](relevance, epsilon=EPSILON, **limits)
    check_conserved(result, relevance)
    assert not result[1].any()


def test_other_attention_held_conserves():
    relevance = draw(SAMPLES, CHANNELS, seed=4)
    check_conserved(reference.weighted_attention(X, SQUARE[:, :1], BA, relevance, epsilon=EPSILON), relevance)
    relevance, weights = draw(SAMPLES, 2, CHANNELS), reference.softmax(draw(SAMPLES, 2, STEPS))
    check_conserved(reference.softmax_attention_held(weights, X, relevance, EPSILON), relevance)
    relevance = draw(SAMPLES, STEPS, UNITS)
    for options in ({}, {"mask": BACKWARD}, {"attention_epsilon": EPSILON}):
        result = reference.multi_head_attention(X, HEADS, relevance, epsilon=EPSILON, **options)
        check_conserved(result, relevance)
    parts, _, _ = reference.multi_head_attention_parts(X, X, X, HEADS, relevance, epsilon=EPSILON)
    assert [bool(part.any()) for part in parts] == [False, False, True]


def test_emissions_conserve():
    relevance = draw(SAMPLES, STEPS, STEPS)
    check_conserved(reference.additive_emission(X, WT, WX, BH, WA, BA, relevance, EPSILON), relevance)
    check_conserved(reference.multiplicative_emission(X, SQUARE, BA, relevance, EPSILON), relevance)


def test_held_attention_by_hand():
    weights, values, relevance = [[[0.25, 0.75]]], [[[2.0], [-4.0]]], [[[5.0]]]  # o = 0.5 - 3
    found, of_bias, absorbed = reference.softmax_attention_held(weights, values, relevance, 0.5)
    np.testing.assert_allclose(found[0, :, 0], [0.5 / -3 * 5, -3 / -3 * 5])
    np.testing.assert_allclose([of_bias[0], absorbed[0]], [0, -0.5 / -3 * 5])


def test_weighted_attention_without_preference_is_a_mean():
    found, _, _ = reference.weighted_attention(X, np.zeros((CHANNELS, 1)), None, X.mean(axis=1), epsilon=0.0)
    np.testing.assert_allclose(found, X / STEPS)


def test_softmax_rule_by_hand():
    found = reference.softmax_rule(np.array([2.0, -1.0]), np.array([0.25, 0.75]), np.array([3.0, 5.0]))
    np.testing.assert_allclose(found, [2 * (3 - 0.25 * 8), -1 * (5 - 0.75 * 8)])


def test_one_timestep_attends_to_itself_whatever_its_score():
    relevance = draw(SAMPLES, 1, CHANNELS)
    options = {"epsilon": 0.0, "composite": "attnlrp"}
    found, _, _ = reference.additive_attention(X[:, :1], WT, WX, BH, WA, BA, relevance, **options)
    np.testing.assert_allclose(found, relevance / 2, atol=1e-12)


def complex_softmax(scores):
    powers = np.exp(scores - scores.real.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def halves(scores, values, slope, shares=(0.5, 0.5)):
    """Return a function of x whose slope at X is that of AttnLRP: weights held, plus values held, in these shares."""

    def total(x):
        held_weights = complex_softmax(scores(X.astype(complex))) @ values(x)
        held_values = complex_softmax(scores(x)) @ values(X)
        both = shares[0] * held_weights + shares[1] * held_values
        return (slope * both).reshape(SAMPLES, -1).sum(axis=1)

    return total


@pytest.mark.parametrize("limits", LIMITS[:-1], ids=str)
def test_additive_attention_through_the_softmax_is_a_frozen_slope(limits):
    relevance = draw(*X.shape, seed=4)

    def before(x):
        return (x @ WT)[:, :, None] + (x @ WX)[:, None] + BH

    ratio = np.tanh(before(X)) / held(before(X), EPSILON)
    scores = (np.tanh(before(X)) @ WA)[..., 0] + BA
    given = reference.softmax(
        reference.limited(scores, **{"width": None, "history_only": False, "mask": None} | limits)
    )

    def emission(x):
        # the value at X stays, the slope is that of the rule
        moved = ((ratio * before(x) - ratio * before(X)) @ WA)[..., 0] * scores / held(scores, EPSILON)
        return reference.limited(scores + moved, **{"width": None, "history_only": False, "mask": None} | limits)

    slope = relevance / held(given @ X, EPSILON)
    expected = X * slopes(halves(emission, lambda x: x, slope), X)
    found, _, _ = SELF["additive"](relevance, epsilon=EPSILON, composite="attnlrp", **limits)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_multiplicative_attention_through_the_softmax_is_a_frozen_slope():
    relevance = draw(*X.shape, seed=4)

    def scores(x):
        return x @ SQUARE @ np.swapaxes(x, 1, 2) + BA

    slope = relevance / held(reference.softmax(scores(X)) @ X, EPSILON)
    expected = X * slopes(halves(scores, lambda x: x, slope, (0.5, 0.25)), X)
    options = {"epsilon": EPSILON, "emission_epsilon": 0.0, "composite": "attnlrp"}
    found, _, _ = SELF["multiplicative"](relevance, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_weighted_attention_through_the_softmax_is_a_frozen_slope():
    relevance, w = draw(SAMPLES, CHANNELS), draw(CHANNELS, 1)

    def scores(x):
        return np.swapaxes(x @ w, 1, 2) + BA

    slope = (relevance / (reference.softmax(scores(X)) @ X)[:, 0])[:, None]
    expected = X * slopes(halves(scores, lambda x: x, slope), X)
    options = {"epsilon": 0.0, "composite": "attnlrp", "tiny": 0.0}
    found, _, _ = reference.weighted_attention(X, w, BA, relevance, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("composite", ["arras", "attnlrp"])
def test_multi_head_attention_without_epsilon_is_a_frozen_slope(composite):
    relevance = draw(SAMPLES, STEPS, UNITS)

    def head(name, x):
        return np.einsum("sti,ihd->shtd", x, HEADS[name + "_kernel"]) + HEADS[name + "_bias"][:, None]

    def scores(x):
        raw = head("query", x) @ np.swapaxes(head("key", x), -1, -2) / np.sqrt(3)
        return raw - 1e9 * ~BACKWARD

    given = reference.multi_head_attention_forward(X, X, X, HEADS, BACKWARD)
    slope = np.einsum("sto,hdo->shtd", relevance / given, HEADS["output_kernel"])
    shares = (1.0, 0.0) if composite == "arras" else (0.5, 0.25)
    expected = X * slopes(halves(scores, lambda x: head("value", x), slope, shares), X)
    options = {"epsilon": 0.0, "composite": composite, "mask": BACKWARD}
    found, _, _ = reference.multi_head_attention(X, HEADS, relevance, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)


# Normalisation


def test_layer_norm_conserves_and_holds_the_deviation():
    x, gamma, beta, relevance = (
        draw(SAMPLES, STEPS, UNITS),
        draw(UNITS),
        draw(UNITS, seed=1),
        draw(SAMPLES, STEPS, UNITS),
    )
    result = reference.layer_norm(x, gamma, beta, 1e-3, relevance)
    check_conserved(result, relevance)
    deviation = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-3)
    slope = relevance / reference.layer_norm_forward(x, gamma, beta, 1e-3) * gamma / deviation
    np.testing.assert_allclose(result[0], x * (slope - slope.mean(axis=-1, keepdims=True)), atol=1e-12)


def test_batch_norm_conserves_and_is_affine():
    gamma, beta, mean, relevance = (
        draw(CHANNELS),
        draw(CHANNELS, seed=1),
        draw(CHANNELS, seed=2),
        draw(*X.shape, seed=3),
    )
    variance = draw(CHANNELS, seed=4) ** 2
    result = reference.batch_norm(X, gamma, beta, mean, variance, 1e-3, relevance)
    check_conserved(result, relevance)
    out = (X - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    np.testing.assert_allclose(result[0], X * (out - beta) / (X - mean) * relevance / out)
