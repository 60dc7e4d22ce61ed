"""Layer-wise relevance through torch modules: each rule against explicit numpy."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import attrkit
from attrkit.relevance import COMPOSITES, AlphaBeta, Epsilon, Flat, Gamma, WSquare, ZBox, ZPlus
from tests.pytorch.common import Written, arrays, conserved, drawn, lrp
from tests.relevance import reference
from tests.relevance.common import check, inputs

EPSILON = 0.01
TOLERANCE = 1e-10
SHAPE = (4, 7, 3)
RULES = {
    "epsilon": (Epsilon(EPSILON), {"rule": "epsilon", "epsilon": EPSILON}),
    "z": (Epsilon(0.0), {"rule": "z"}),
    "z_plus": (ZPlus(EPSILON), {"rule": "z_plus", "epsilon": EPSILON}),
    "alpha_beta": (AlphaBeta(epsilon=EPSILON), {"rule": "alpha_beta", "epsilon": EPSILON}),
    "gamma": (Gamma(0.5, epsilon=EPSILON), {"rule": "gamma", "gamma": 0.5, "epsilon": EPSILON}),
    "flat": (Flat(), {"rule": "flat"}),
    "w_square": (WSquare(), {"rule": "w_square"}),
    "z_box": (ZBox(-4.0, 4.0, epsilon=EPSILON), {"rule": "z_box", "low": -4.0, "high": 4.0, "epsilon": EPSILON}),
}


@pytest.fixture
def x():
    return inputs("float64", SHAPE)


# Weights


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("bias", [True, False])
def test_linear(x, name, bias):
    rule, options = RULES[name]
    net = drawn(nn.Sequential(nn.Linear(3, 5, bias=bias)))
    kernel, *rest = arrays(net)
    z = reference.dense_forward(x, kernel.T, rest[0] if bias else None)
    expected = reference.dense(x, kernel.T, rest[0] if bias else None, z, **options)
    by_type = COMPOSITES["arras"].extended({"Linear": rule})
    check(net, x, expected, by_type, TOLERANCE)
    check(net, x, expected, COMPOSITES["arras"].extended({"0": rule}), TOLERANCE)


CONVOLUTIONS = {
    "valid": ({}, {}),
    "padded": ({"padding": 1, "stride": 2}, {}),
    "same": ({"padding": "same", "dilation": 2}, {"padding": "same"}),
}
# Of what is padded by hand, the reference would give the padding some by these rules.
COUNT_PADDING = ("flat", "w_square", "z_box")


@pytest.mark.parametrize(
    ("name", "form"),
    [(name, form) for name in RULES for form in CONVOLUTIONS if form != "padded" or name not in COUNT_PADDING],
)
def test_conv1d(x, name, form):
    (options, how), (rule, own) = CONVOLUTIONS[form], RULES[name]
    net = drawn(Written(lambda m, x: m.conv(x.transpose(1, 2)).transpose(1, 2), conv=nn.Conv1d(3, 5, 3, **options)))
    kernel, bias = arrays(net)
    kernel = kernel.transpose(2, 1, 0)
    how = {**how, "strides": options.get("stride", 1), "dilation": options.get("dilation", 1)}
    given = x
    if form == "padded":
        given = np.pad(x, ((0, 0), (1, 1), (0, 0)))
    z = reference.conv1d_forward(given, kernel, bias, **how)
    expected = reference.conv1d(given, kernel, bias, z, **how, **own)
    if given is not x:
        expected = (expected[0][:, 1:-1], *expected[1:])
    check(net, x, expected, COMPOSITES["arras"].extended({"Conv1d": rule}), TOLERANCE)


@pytest.mark.parametrize("name", ["flat", "w_square", "z_box", "z_plus"])
def test_the_rule_of_the_input_stands_in_the_first_layer_only(x, name):
    rule, options = RULES[name]
    net = drawn(nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)))
    first, b1, second, b2 = arrays(net)
    hidden = np.tanh(x @ first.T + b1)
    y = hidden @ second.T + b2
    above = reference.dense(hidden, second.T, b2, y, rule="epsilon", epsilon=1e-3)
    below = reference.dense(x, first.T, b1, above[0], **options)
    expected = below[0], above[1] + below[1], above[2] + below[2]
    arras = COMPOSITES["arras"]
    ds = attrkit.extract(
        net, x, "lrp", target=lambda y: y.reshape(len(y), -1).sum(1), input_rule=rule, show_progress=False
    )
    np.testing.assert_allclose(ds["attribution"], expected[0], atol=1e-9)
    np.testing.assert_allclose(ds["bias_relevance"], expected[1], atol=1e-9)
    check(net, x, expected, arras.extended({"0": rule}), TOLERANCE)


@pytest.mark.parametrize("name", ["epsilon", "z_plus"])
def test_a_hand_written_linear_map_is_one(x, name):
    rule, options = RULES[name]
    net = drawn(nn.Sequential(nn.Linear(3, 5, bias=False)))
    (kernel,) = arrays(net)
    expected = reference.dense(x, kernel.T, None, x @ kernel.T, **options)
    forms = {
        "matmul": lambda m, x: x @ m.map.weight.T,
        "bmm": lambda m, x: torch.bmm(x, m.map.weight.T.expand(len(x), 3, 5)),
        "baddbmm": lambda m, x: torch.baddbmm(torch.zeros(()).double(), x, m.map.weight.T.expand(len(x), 3, 5)),
        "einsum": lambda m, x: torch.einsum("oi,sti->sto", m.map.weight, x),
        "addmm": lambda m, x: torch.addmm(torch.zeros(5).double(), x.reshape(-1, 3), m.map.weight.t()).reshape(
            len(x), -1, 5
        ),
    }
    for form in forms.values():
        own = Written(form, map=net[0])
        check(own, x, expected, COMPOSITES["arras"].extended({"Written": rule}), TOLERANCE)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("rule", ["epsilon", "z_plus"])
def test_an_activation_passes_relevance_on(x, activation, rule):
    own, options = RULES[rule]
    net = drawn(Written(lambda m, x: getattr(torch, activation)(m.map(x)), map=nn.Linear(3, 5)))
    kernel, bias = arrays(net)
    z = reference.dense_forward(x, kernel.T, bias)
    y = {"relu": np.maximum(z, 0), "tanh": np.tanh(z), "sigmoid": reference.sigmoid(z)}[activation]
    expected = reference.dense(x, kernel.T, bias, y, **options)
    check(net, x, expected, COMPOSITES["arras"].extended({"Linear": own}), TOLERANCE)


def test_relevance_of_a_sum_of_zero_is_the_stabilisers():
    # sigmoid(0) is one half, of nothing.
    net = nn.Sequential(nn.Linear(2, 1, bias=False), nn.Sigmoid(), nn.Flatten()).double()
    ds = lrp(net, np.zeros((1, 1, 2)))
    assert ds["epsilon_relevance"].item() == pytest.approx(0.5)
    assert ds["completeness_gap"].item() == pytest.approx(0)


# Recurrent layers


def lstm_weights(w_ih, w_hh, b_ih=None, b_hh=None):
    return w_ih.T, w_hh.T, None if b_ih is None else b_ih + b_hh


def gru_weights(w_ih, w_hh, b_ih=None, b_hh=None):
    # torch has reset, update, new; the reference update, reset, new.
    def turned(w):
        r, z, n = np.split(w.T, 3, axis=-1)
        return np.concatenate([z, r, n], axis=-1)

    return turned(w_ih), turned(w_hh), None if b_ih is None else np.stack([turned(b_ih), turned(b_hh)])


def simple_weights(w_ih, w_hh, b_ih=None, b_hh=None):
    return w_ih.T, w_hh.T, None if b_ih is None else b_ih + b_hh


KINDS = {
    "lstm": (nn.LSTM, nn.LSTMCell, lstm_weights, reference.lstm, reference.LSTMCell, {}),
    "gru": (nn.GRU, nn.GRUCell, gru_weights, reference.gru, reference.GRUCell, {}),
    "rnn": (nn.RNN, nn.RNNCell, simple_weights, reference.simple_rnn, reference.SimpleRNNCell, {}),
    "rnn_relu": (
        lambda *args, **options: nn.RNN(*args, nonlinearity="relu", **options),
        lambda *args, **options: nn.RNNCell(*args, nonlinearity="relu", **options),
        simple_weights,
        reference.simple_rnn,
        reference.SimpleRNNCell,
        {"activation": lambda z: np.maximum(z, 0)},
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sequences", [True, False])
def test_recurrent(x, kind, bias, sequences):
    layer, cell_type, laid_out, rule, cell, options = KINDS[kind]
    net = drawn(
        Written(
            lambda m, x: m.layer(x)[0] if sequences else m.layer(x)[0][:, -1],
            layer=layer(3, 5, batch_first=True, bias=bias),
        )
    )
    weights = laid_out(*arrays(net))
    y = reference.recurrent_forward(cell(*weights, **options), x, return_sequences=sequences)
    expected = rule(x, *weights, y, epsilon=1e-3, return_sequences=sequences, **options)
    check(net, x, expected, "arras", TOLERANCE)

    def looped(m, x):
        state, found = None, []
        for step in x.unbind(1):
            state = m.cell(step, state)
            found.append(state[0] if kind == "lstm" else state)
        return torch.stack(found, 1) if sequences else found[-1]

    def filled(m, x):
        state, found = None, torch.zeros(len(x), x.shape[1], 5, dtype=x.dtype)
        for t in range(x.shape[1]):
            state = m.cell(x[:, t], state)
            found[:, t] = state[0] if kind == "lstm" else state
        return found if sequences else found[:, -1]

    for loop in (looped, filled):
        unrolled = Written(loop, cell=cell_type(3, 5, bias=bias).double())
        unrolled.load_state_dict(
            {k.replace("layer", "cell").removesuffix("_l0"): v for k, v in net.state_dict().items()}
        )
        check(unrolled, x, expected, "arras", TOLERANCE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", [True, False], ids=["batch first", "time first"])
def test_both_directions_and_stacks(x, kind, first):
    layer, _, laid_out, rule, cell, options = KINDS[kind]

    def run(m, x):
        y = m.layer(x if first else x.transpose(0, 1))[0]
        return y if first else y.transpose(0, 1)

    net = drawn(Written(run, layer=layer(3, 4, num_layers=2, bidirectional=True, batch_first=first, dropout=0.5)))
    w = arrays(net)
    parts = [laid_out(*w[at : at + 4]) for at in range(0, 16, 4)]

    def forward(weights, x, reverse):
        y = reference.recurrent_forward(cell(*weights, **options), x, return_sequences=True, reverse=reverse)
        return y[:, ::-1] if reverse else y

    def backward(weights, x, relevance, reverse):
        relevance = relevance[:, ::-1] if reverse else relevance
        return rule(x, *weights, relevance, epsilon=1e-3, return_sequences=True, reverse=reverse, **options)

    between = np.concatenate([forward(parts[0], x, False), forward(parts[1], x, True)], axis=-1)
    y = np.concatenate([forward(parts[2], between, False), forward(parts[3], between, True)], axis=-1)
    found = [backward(parts[2], between, y[..., :4], False), backward(parts[3], between, y[..., 4:], True)]
    at = found[0][0] + found[1][0]
    found += [backward(parts[0], x, at[..., :4], False), backward(parts[1], x, at[..., 4:], True)]
    expected = [found[2][0] + found[3][0], *(sum(part[i] for part in found) for i in (1, 2))]
    check(net, x, expected, "arras", TOLERANCE)


def unrolled_lstm(x, states, weights, epsilon=1e-3):
    """Relevance of the sum of all hidden states and last cells, by torch's own gradient of a written out layer."""

    def sign(z):
        return torch.where(z >= 0, 1.0, -1.0).double()

    def node(z, y):
        return y.detach() + (z - z.detach()) * (y / (z + epsilon * sign(z))).detach()

    w_ih, w_hh, w_hr = weights
    x = torch.tensor(x, requires_grad=True)
    (h, c), found = states, []
    for step in x.unbind(1):
        i, f, z, o = (step @ w_ih.T + h @ w_hh.T).chunk(4, -1)
        i, f, o = i.sigmoid().detach(), f.sigmoid().detach(), o.sigmoid().detach()
        c = f * c + i * node(z, z.tanh())
        c = node(c, c)
        m = o * (c * (c.tanh() / c).detach())
        h = m @ w_hr.T
        h = node(h, h)
        found.append(h)
    total = torch.stack(found, 1).flatten(1).sum(1) + c.sum(1)
    (slope,) = torch.autograd.grad(total.sum(), x)
    return (x * slope).detach().numpy(), total.detach().numpy()


def test_lstm_with_projection_first_states_and_last_cells(x):
    net = drawn(
        Written(
            lambda m, x: (lambda y, s: y.flatten(1).sum(1) + s[1][0].sum(1))(
                *m.layer(x, (m.h.expand(1, len(x), 2).contiguous(), m.c.expand(1, len(x), 5).contiguous()))
            ),
            layer=nn.LSTM(3, 5, proj_size=2, bias=False, batch_first=True),
        )
    )
    net.h, net.c = nn.Parameter(torch.ones(2).double()), nn.Parameter(torch.full((5,), 0.3).double())
    expected, total = unrolled_lstm(
        x, (net.h.expand(4, 2), net.c.expand(4, 5)), [p.detach() for p in net.layer.parameters()]
    )
    ds = conserved(net, x, 1e-12)
    np.testing.assert_allclose(ds["attribution"], expected, atol=1e-12)
    np.testing.assert_allclose(ds["prediction"], total)
    assert float(abs(ds["bias_relevance"]).min()) > 0


def test_a_network_that_starts_another_passes_relevance_on(x):
    def run(m, x):
        _, states = m.encoder(x)
        return m.decoder(torch.ones(len(x), 3, 1, dtype=x.dtype), states)[0].sum(1)

    for layer in (nn.LSTM, nn.GRU, nn.RNN):
        net = drawn(Written(run, encoder=layer(3, 4, batch_first=True), decoder=layer(1, 4, batch_first=True)))
        conserved(net, x, 1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("both", [False, True], ids=["one way", "both ways"])
def test_packed_sequences_are_those_of_their_length(x, kind, both):
    def run(m, x):
        lengths = (x != 0).any(-1).sum(1)
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        packed, last = m.layer(packed)
        y, _ = pad_packed_sequence(packed, batch_first=True)
        last = torch.cat([state.sum(0) for state in last], 1) if isinstance(last, tuple) else last.sum(0)
        return y.flatten(2).sum(2).sum(1, keepdim=True) + last

    net = drawn(Written(run, layer=KINDS[kind][0](3, 4, 2, batch_first=True, bidirectional=both)))
    lengths = [7, 3, 5, 7]
    x = np.where((np.arange(7) < np.array(lengths)[:, None])[..., None], x, 0)
    whole = conserved(net, x, 1e-12)
    for row, length in enumerate(lengths):
        alone = lrp(net, x[row : row + 1, :length])
        np.testing.assert_allclose(alone["attribution"][0], whole["attribution"][row, :length], atol=1e-12)
        np.testing.assert_allclose(alone["bias_relevance"][0], whole["bias_relevance"][row])


# Normalisation and attention


def test_layer_normalisation(x):
    net = drawn(nn.Sequential(nn.LayerNorm(3, eps=1e-3)))
    gamma, beta = arrays(net)
    y = reference.layer_norm_forward(x, gamma, beta, 1e-3)
    check(net, x, reference.layer_norm(x, gamma, beta, 1e-3, y), "arras", TOLERANCE)


def test_batch_normalisation(x):
    net = drawn(Written(lambda m, x: m.norm(x.transpose(1, 2)).transpose(1, 2), norm=nn.BatchNorm1d(3)))
    net.norm.running_mean += torch.arange(3) / 5
    net.norm.running_var += torch.arange(3) / 7
    gamma, beta = arrays(net)
    mean, variance = net.norm.running_mean.numpy(), net.norm.running_var.numpy()
    y = (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta
    check(net, x, reference.batch_norm(x, gamma, beta, mean, variance, 1e-5, y), "arras", TOLERANCE)


@pytest.mark.parametrize(
    "norm",
    [nn.GroupNorm(3, 6), nn.InstanceNorm1d(6, affine=True), nn.InstanceNorm1d(6, track_running_stats=True)],
    ids=["group", "instance", "instance, tracked"],
)
def test_other_normalisations_conserve(x, norm):
    net = drawn(nn.Sequential(Written(lambda m, x: x.transpose(1, 2)), nn.Conv1d(3, 6, 2), norm, nn.Flatten()))
    conserved(net, x, 1e-12)


@pytest.mark.parametrize("form", ["module", "std", "var", "norm", "rsqrt"])
def test_values_are_divided_by_a_spread_that_is_held(x, form):
    def written(m, x):
        z = m.map(x)
        if form == "module":
            return F.rms_norm(z, (4,), eps=1e-5)
        if form == "norm":
            return z / z.norm(dim=-1, keepdim=True)
        if form == "rsqrt":
            return z * torch.rsqrt(z.pow(2).mean(-1, keepdim=True) + 1e-5)
        centred = z - z.mean(-1, keepdim=True)
        return centred / (z.std(-1, keepdim=True) if form == "std" else (z.var(-1, keepdim=True) + 1e-5).sqrt())

    net = drawn(Written(lambda m, x: written(m, x)[:, -1], map=nn.Linear(3, 4)))
    ds = conserved(net, x, 1e-12)
    assert float(abs(ds["attribution"][:, :-1]).max()) == 0


def attention_weights(layer, heads):
    w = {name: value.detach().numpy() for name, value in layer.state_dict().items()}
    dim = layer.embed_dim // heads
    found = {}
    for at, name in enumerate(("query", "key", "value")):
        kernel = w["in_proj_weight"][at * layer.embed_dim : (at + 1) * layer.embed_dim]
        bias = w["in_proj_bias"][at * layer.embed_dim : (at + 1) * layer.embed_dim]
        found[f"{name}_kernel"] = kernel.T.reshape(-1, heads, dim)
        found[f"{name}_bias"] = bias.reshape(heads, dim)
    found["output_kernel"] = w["out_proj.weight"].T.reshape(heads, dim, -1)
    found["output_bias"] = w["out_proj.bias"]
    return found


ATTENTION = {
    "module": lambda m, x: m.attention(x, x, x)[0],
    "without weights": lambda m, x: m.attention(x, x, x, need_weights=False)[0],
    "scaled dot product": lambda m, x: _by_hand(m, x, F.scaled_dot_product_attention),
    "by hand": lambda m, x: _by_hand(m, x, _attend),
    "einsum": lambda m, x: _by_hand(m, x, _attend_by_einsum),
}


def _attend(q, k, v):
    return torch.softmax(q / q.shape[-1] ** 0.5 @ k.transpose(-1, -2), -1) @ v


def _attend_by_einsum(q, k, v):
    scores = torch.einsum("bhqd,bhkd->bhqk", q / q.shape[-1] ** 0.5, k)
    return torch.einsum("bhqk,bhkd->bhqd", F.dropout(scores.softmax(-1), 0.5, False), v)


def _by_hand(m, x, attend):
    layer, heads = m.attention, m.attention.num_heads
    q, k, v = F.linear(x, layer.in_proj_weight, layer.in_proj_bias).chunk(3, -1)
    q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v))
    return layer.out_proj(attend(q, k, v).transpose(1, 2).flatten(2))


@pytest.mark.parametrize("composite", ["arras", "attnlrp"])
@pytest.mark.parametrize("first", [True, False], ids=["batch first", "time first"])
@pytest.mark.parametrize("form", ATTENTION)
def test_multi_head_attention(form, first, composite):
    x = inputs("float64", (4, 7, 6))

    def run(m, x):
        if form in ("module", "without weights") and not first:
            return ATTENTION[form](m, x.transpose(0, 1)).transpose(0, 1)
        return ATTENTION[form](m, x)

    net = drawn(Written(run, attention=nn.MultiheadAttention(6, 2, batch_first=first)))
    weights = attention_weights(net.attention, 2)
    y = reference.multi_head_attention_forward(x, x, x, weights)
    epsilon = COMPOSITES[composite].epsilon
    expected = reference.multi_head_attention(
        x, weights, y, epsilon=epsilon, attention_epsilon=epsilon, composite=composite
    )
    check(net, x, expected, composite, TOLERANCE)


@pytest.mark.parametrize("composite", ["arras", "attnlrp"])
def test_attention_to_another_sequence(composite):
    x = inputs("float64", (4, 7, 6))
    net = drawn(
        Written(
            lambda m, x: m.attention(x[:, :2], x[:, 2:5, :4], x[:, 4:, :5], average_attn_weights=False)[0],
            attention=nn.MultiheadAttention(6, 3, kdim=4, vdim=5, batch_first=True),
        )
    )
    layer, weights = net.attention, {}
    for name in ("q", "k", "v"):
        full = {"q": "query", "k": "key", "v": "value"}[name]
        kernel = getattr(layer, f"{name}_proj_weight").detach().numpy().T
        weights[f"{full}_kernel"] = kernel.reshape(len(kernel), 3, 2)
    biases = layer.in_proj_bias.detach().numpy().reshape(3, 3, 2)
    weights |= dict(zip(("query_bias", "key_bias", "value_bias"), biases, strict=True))
    weights["output_kernel"] = layer.out_proj.weight.detach().numpy().T.reshape(3, 2, 6)
    weights["output_bias"] = layer.out_proj.bias.detach().numpy()
    given = x[:, :2], x[:, 2:5, :4], x[:, 4:, :5]
    y = reference.multi_head_attention_forward(*given, weights)
    epsilon = COMPOSITES[composite].epsilon
    parts, *ledger = reference.multi_head_attention_parts(
        *given, weights, y, epsilon=epsilon, attention_epsilon=epsilon, composite=composite
    )
    expected = np.zeros_like(x)
    for at, part in zip(((slice(0, 2), 6), (slice(2, 5), 4), (slice(4, 7), 5)), parts, strict=True):
        expected[:, at[0], : at[1]] += part
    check(net, x, [expected, *ledger], composite, TOLERANCE)


@pytest.mark.parametrize("form", ["padding", "causal", "float", "by head", "scaled dot product"])
def test_masked_keys_get_nothing(form):
    x = inputs("float64", (4, 7, 6))
    out = torch.ones(7, 7, dtype=torch.bool).triu(1)

    def run(m, x):
        if form == "scaled dot product":
            y = _by_hand(m, x, lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True))
        else:
            masks = {
                "padding": {"key_padding_mask": (torch.arange(7) > 2).expand(len(x), 7)},
                "causal": {"attn_mask": out, "is_causal": True, "need_weights": False},
                "float": {"attn_mask": torch.zeros(7, 7).double().masked_fill(out, float("-inf"))},
                "by head": {"attn_mask": out.expand(2 * len(x), 7, 7)},
            }
            y = m.attention(x, x, x, **masks[form])[0]
        return y[:, 2]

    net = drawn(Written(run, attention=nn.MultiheadAttention(6, 2, batch_first=True)))
    for composite in ("arras", "attnlrp"):
        ds = lrp(net, x, composite=composite)
        assert float(abs(ds["attribution"][:, 3:]).max()) == 0
        assert float(abs(ds["attribution"][:, :3]).min()) > 0
    conserved(net, x, 1e-12)
