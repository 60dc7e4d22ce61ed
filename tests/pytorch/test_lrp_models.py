"""Layer-wise relevance through whole torch models: by its ledger, what is refused, rules of one's own."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import attrkit
from attrkit.errors import ForwardMismatchError, RefusedError
from attrkit.relevance import COMPOSITES, Flat, ZPlus, passes
from tests.pytorch.common import Written, conserved, drawn, lrp
from tests.relevance.common import inputs


@pytest.fixture
def x():
    return inputs("float64", (4, 7, 3))


# Whole models


class Positions(nn.Module):
    """Learned positions beside the values, and a class token in front."""

    def __init__(self):
        super().__init__()
        self.table, self.token = nn.Embedding(8, 6), nn.Parameter(torch.randn(1, 1, 6))

    def forward(self, x):
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        return x + self.table(torch.arange(x.shape[1], device=x.device))


def encoder(**options):
    layer = nn.TransformerEncoderLayer(6, 2, 12, batch_first=True, **options)
    return nn.Sequential(
        nn.Linear(3, 6),
        Positions(),
        nn.TransformerEncoder(layer, 2, enable_nested_tensor=False),
        First(),
        nn.Linear(6, 2),
    )


class First(nn.Module):
    def forward(self, x):
        return x[:, 0]


class Gated(nn.Module):
    """Functional code: a gate, attention by hand in time first order, a residual, a product of two signals."""

    def __init__(self):
        super().__init__()
        self.map, self.gate, self.query = nn.Linear(3, 6), nn.Linear(3, 6), nn.Linear(6, 6)
        self.head, self.scale = nn.Linear(6, 2), nn.Parameter(torch.randn(6))

    def forward(self, x):
        x = x.transpose(0, 1)
        h = torch.tanh(self.map(x)) * torch.sigmoid(self.gate(x))
        g = torch.sigmoid(self.gate(x))
        h = g * h + (1 - g) * self.map(x)
        q, k = self.query(h).permute(1, 0, 2), h.permute(1, 2, 0)
        scores = (q @ k).masked_fill(torch.ones(q.shape[1], q.shape[1]).triu(1).bool(), float("-inf"))
        v = torch.bmm(torch.softmax(scores, -1), h.transpose(0, 1)).transpose(0, 1)
        h = self.scale * (h + v) + 0.5
        h = h * F.silu(self.map(x))
        return self.head(h.mean(0) - h.amax(0))


class Conv(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(3, 8, 3, padding=1), nn.BatchNorm1d(8)
        self.deep, self.head = nn.Conv1d(8, 8, 3, groups=4, dilation=2, padding="same"), nn.Linear(8, 2)
        with torch.no_grad():
            self.norm.running_mean.normal_()
            self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        h = F.max_pool1d(F.relu(self.norm(self.conv(x.transpose(1, 2))), inplace=True), 2)
        h += F.gelu(self.deep(F.pad(h, (1, 1)))[..., 1:-1])
        return self.head(F.adaptive_avg_pool1d(h, 1).squeeze(-1))


class Recurrent(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.head = nn.LazyLinear(2)
        self(torch.zeros(2, 3, 3))

    def forward(self, x):
        y, last = self.layer(x if self.layer.batch_first else x.transpose(0, 1))
        last = torch.cat([part.mean(0) for part in last], -1) if isinstance(last, tuple) else last.mean(0)
        return self.head(torch.cat([y.mean(1 if self.layer.batch_first else 0), last], -1))


MODELS = {
    "lstm, 2 layers": lambda: Recurrent(nn.LSTM(3, 6, 2, batch_first=True)),
    "lstm, both ways": lambda: Recurrent(nn.LSTM(3, 6, 2, bidirectional=True)),
    "lstm, projected": lambda: Recurrent(nn.LSTM(3, 6, 2, proj_size=4, bidirectional=True, batch_first=True)),
    "lstm, no bias": lambda: Recurrent(nn.LSTM(3, 6, bias=False)),
    "gru": lambda: Recurrent(nn.GRU(3, 6, 2, bidirectional=True)),
    "rnn": lambda: Recurrent(nn.RNN(3, 6, 2, batch_first=True)),
    "encoder, relu": encoder,
    "encoder, gelu": lambda: encoder(activation="gelu", norm_first=True),
    "gated": Gated,
    "conv": Conv,
}
# As many samples as timesteps, so that no shape tells them apart.
SQUARE = inputs("float32", (7, 7, 3))


@pytest.mark.parametrize("name", MODELS)
def test_relevance_and_ledger_sum_to_the_output(name):
    model = MODELS[name]()
    ds = conserved(model, SQUARE, 1e-5, target=1)
    assert float(abs(ds["epsilon_relevance"]).max()) > 0
    conserved(model.double(), SQUARE.astype("float64"), 1e-9, target=1)
    assert lrp(model, SQUARE.astype("float64"))["attribution"].dtype == "float64"


@pytest.mark.parametrize("name", MODELS)
def test_layers_told_apart_sum_to_the_totals(name):
    model = MODELS[name]().double()
    x = SQUARE.astype("float64")
    whole, apart = lrp(model, x), lrp(model, x, by_layer=True)
    for total, by_layer in (("bias", "layer_bias_relevance"), ("epsilon", "layer_epsilon_relevance")):
        np.testing.assert_allclose(apart[by_layer].sum("layer"), whole[f"{total}_relevance"], atol=1e-9)
    np.testing.assert_allclose(apart["attribution"], whole["attribution"], atol=1e-9)
    assert float(abs(apart["layer_gap"].isel(layer=slice(1, None))).max()) < 1e-9
    last = [path for path, _ in model.named_modules()][-1]
    assert last in apart["layer"].values
    np.testing.assert_allclose(apart["layer_relevance"].sel(layer=last), whole["prediction"][:, 0], atol=1e-9)


@pytest.mark.parametrize("composite", sorted(COMPOSITES))
@pytest.mark.parametrize("name", ["gated", "conv", "encoder, gelu"])
def test_every_composite_runs(name, composite):
    ds = lrp(MODELS[name](), SQUARE, composite=composite)
    assert np.isfinite(ds["attribution"]).all()


def test_a_step_of_training_changes_relevance(x):
    model = drawn(nn.Sequential(nn.LSTM(3, 4, batch_first=True), Output(), nn.Linear(4, 1)))
    before = lrp(model, x)
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    model(torch.tensor(x)).sum().backward()
    optimiser.step()
    after = lrp(model, x)
    fresh = lrp(copy.deepcopy(model), x)
    assert float(abs(after["attribution"] - before["attribution"]).max()) > 1e-4
    np.testing.assert_array_equal(after["attribution"], fresh["attribution"])


class Output(nn.Module):
    def forward(self, found):
        return found[0][:, -1]


@pytest.mark.parametrize("name", MODELS)
def test_the_model_is_left_as_it_was(name):
    model = MODELS[name]().train()
    model.requires_grad_(name != "gru")
    state = {key: value.clone() for key, value in model.state_dict().items()}
    held = [(set(vars(part)), len(part._forward_hooks), part.training) for part in model.modules()]
    lrp(model, SQUARE, by_layer=True)
    assert [(set(vars(part)), len(part._forward_hooks), part.training) for part in model.modules()] == held
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert all(p.requires_grad == (name != "gru") and p.grad is None for p in model.parameters())


def test_frozen_weights_make_no_difference(x):
    net = drawn(Written(lambda m, x: (x @ m.map.weight.T + m.map.bias)[:, -1], map=nn.Linear(3, 2)))
    free = lrp(net, x, composite="z_plus")
    held = lrp(net.requires_grad_(False), x, composite="z_plus")
    np.testing.assert_array_equal(free["attribution"], held["attribution"])


def test_tokens_are_explained_at_their_embedding():
    ids = np.random.default_rng(0).integers(0, 9, (4, 7))
    net = drawn(
        nn.Sequential(nn.Embedding(9, 6), Positions(), nn.GRU(6, 4, batch_first=True), Output(), nn.Linear(4, 2))
    )
    ds = lrp(net, ids)
    assert ds["attribution"].dims == ("sample", "timestep")
    assert float(abs(ds["completeness_gap"]).max()) < 1e-9


# Functional code: where samples stand, what is a constant, what is written to in place


def _filled(m, x):
    out = torch.zeros(len(x), 2, dtype=x.dtype)
    for row in range(len(x)):
        out[row] = m.map(x[row]).mean(0)
    return out


def _in_place(m, x):
    h = m.map(x).tanh_()
    h *= 2
    h += 1
    h[:, 0] = 5
    h[:, 1] *= 3
    h.mul_(torch.sigmoid(m.map(x))).masked_fill_(h < 0, 0.5)
    return h.sum(1)


def _attended_in_folds(m, x):
    q = m.wide(x.transpose(0, 1)).reshape(7, len(x) * 2, 2).transpose(0, 1)
    return torch.bmm(torch.softmax(torch.bmm(q, q.mT), -1), q).transpose(0, 1).reshape(7, len(x), 4).sum(0)


FUNCTIONS = {
    "sample by sample": lambda m, x: torch.stack([m.map(row).mean(0) for row in x]),
    "filled by sample": _filled,
    "lstm without a batch": lambda m, x: torch.stack([m.lstm(row)[0][-1] for row in x]),
    "attention without a batch": lambda m, x: torch.stack([m.attention(row, row, row)[0].mean(0) for row in x]),
    "steps in the batch": lambda m, x: m.map(x.reshape(-1, 3)).reshape(len(x), -1, 2).sum(1),
    "samples fastest": lambda m, x: m.map(x.transpose(0, 1).reshape(-1, 3)).reshape(-1, len(x), 2).sum(0),
    "heads in the batch": _attended_in_folds,
    "parts": lambda m, x: torch.cat([m.map(part) for part in x.flip(1).split(2, 1)], 1).flatten(1),
    "images": lambda m, x: F.avg_pool2d(torch.relu(m.image(x[:, None])), 2).flatten(1),
    "windows": lambda m, x: m.windows(x.unfold(1, 3, 2).flatten(2)).sum(1),
    "transposed convolution": lambda m, x: m.up(x.mT)[..., 0],
    "in place": _in_place,
    "where": lambda m, x: torch.where(m.map(x) > 0, m.map(x), torch.tensor(0.3, dtype=x.dtype)).sum(1),
    "winners": lambda m, x: m.map(x).max(1).values + m.map(x).topk(2, 1)[0].sum(1) + m.map(x).amax(dim=(1,)),
    "activations": lambda m, x: (F.softplus(m.map(x)) + F.elu(m.map(x), inplace=True) + m.map(x).clamp(-1, 1)).mean(1),
    "signals multiplied": lambda m, x: (F.silu(m.map(x)) * m.map(x)).sum(1),
    "glu": lambda m, x: F.glu(m.wide(x)).sum(1),
    "constants": lambda m, x: (1 - m.map(x) / 2 - 3 + m.map.bias)[:, 0],
    "constant on the left": lambda m, x: (torch.ones(2, 7, dtype=x.dtype) / 7 @ m.map(x)).flatten(1),
    "tensordot": lambda m, x: torch.tensordot(x, m.map.weight, dims=([2], [1])).sum(1),
    "pooled by weights": lambda m, x: torch.einsum("bt,btc->bc", m.map(x)[..., 0].softmax(1), m.map(x)),
    "gathered": lambda m, x: m.map(x).gather(1, torch.full((len(x), 1, 2), 3)).squeeze(1),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_keep_the_ledger_of_each_sample(name):
    modules = {
        "map": nn.Linear(3, 2),
        "wide": nn.Linear(3, 4),
        "windows": nn.Linear(9, 2),
        "image": nn.Conv2d(1, 3, 2),
        "up": nn.ConvTranspose1d(3, 2, 3, stride=2),
        "lstm": nn.LSTM(3, 2),
        "attention": nn.MultiheadAttention(3, 1),
    }
    net = drawn(Written(FUNCTIONS[name], **modules))
    x = SQUARE.astype("float64")
    conserved(net, x, 1e-9)
    assert float(abs(lrp(net, x, by_layer=True)["layer_gap"]).max()) < 1e-9


# What is refused, and rules of one's own


def inside(function, **modules):
    return nn.Sequential(nn.Linear(3, 4), Written(function, **modules), nn.Flatten()).double()


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("torch.Tensor.exp", lambda m, x: x.exp()),
        ("torch.cos", lambda m, x: torch.cos(x)),
        ("torch.Tensor.div", lambda m, x: x / (1 + x.abs())),
        ("torch.Tensor.std", lambda m, x: x + x.std(1, keepdim=True)),
        ("torch.fft", lambda m, x: torch.fft.fft(x).real),
        ("F.bilinear|functional.bilinear", lambda m, x: F.bilinear(x, x, torch.ones(2, 4, 4).double())),
    ],
)
def test_a_function_without_a_rule_is_refused_by_name_and_place(x, name, function):
    with pytest.raises(RefusedError, match=rf"(?s)(?:{name}).*1 \(Written\).*extended"):
        lrp(inside(function), x)


def test_a_spread_that_is_the_output_is_refused(x):
    with pytest.raises(RefusedError, match=r"std.*divided by"):
        lrp(inside(lambda m, x: x.std(1)), x)


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g):
        return 3 * ctx.saved_tensors[0] ** 2 * g


def test_what_torch_does_not_show_is_refused(x):
    with pytest.raises(RefusedError, match=r"CubeBackward.*1 \(Written\)"):
        lrp(inside(lambda m, x: Cube.apply(x)), x)


def test_checkpointing_is_refused(x):
    def run(m, x):
        return checkpoint(lambda z: torch.tanh(m.map(z)), x, use_reentrant=False)[:, -1]

    with pytest.raises(RefusedError, match="checkpoint"):
        lrp(Written(run, map=nn.Linear(3, 2)).double(), x)


def test_a_function_of_ones_own_has_the_rule_that_is_given(x):
    net = inside(lambda m, x: Cube.apply(m.map(x).exp()), map=nn.Linear(4, 4))
    seen = []

    def rule(call, flow):
        seen.append((flow.path, call.layer))
        return flow.activated(call.args[0], lambda z: call.original(z))

    for key in ("1", "Written"):
        ds = lrp(net, x, composite=COMPOSITES["arras"].extended({key: rule}))
        assert float(abs(ds["completeness_gap"]).max()) < 1e-9
        apart = lrp(net, x, composite=COMPOSITES["arras"].extended({key: rule}), by_layer=True)
        assert list(apart["layer"].values) == ["", "0", "1", "2"]
        assert float(abs(apart["layer_gap"]).max()) < 1e-9
    assert set(seen) == {("1", net[1])}
    with pytest.raises(ForwardMismatchError):
        lrp(net, x, composite=COMPOSITES["arras"].extended({"1": lambda call, flow: call.args[0]}))


def test_a_rule_of_ones_own_enters_its_bias_in_time_first_order():
    def rule(call, flow):
        z = F.linear(call.args[0], call.layer.weight)
        return flow.node(z + call.layer.bias, bias=call.layer.bias)

    net = drawn(nn.Sequential(Written(lambda m, x: x.transpose(0, 1)), nn.Linear(3, 4), Written(lambda m, x: x.sum(0))))
    x = SQUARE.astype("float64")
    own = lrp(net, x, composite=COMPOSITES["arras"].extended({"Linear": rule}))
    known = lrp(net, x)
    for name in ("attribution", "bias_relevance", "epsilon_relevance"):
        np.testing.assert_allclose(own[name], known[name], atol=1e-12)


def test_a_module_said_to_be_linear_is_looked_into(x):
    net = inside(lambda m, x: torch.cumprod(m.map(x), 1), map=nn.Linear(4, 4))
    with pytest.raises(RefusedError, match="cumprod"):
        lrp(net, x)
    ds = lrp(net, x, composite=COMPOSITES["arras"].extended({"Written": passes}), by_layer=True)
    assert "1.map" in ds["layer"].values


@pytest.mark.parametrize("last", [nn.Softmax(-1), nn.LogSoftmax(-1)], ids=["softmax", "log softmax"])
@pytest.mark.parametrize("composite", ["arras", "attnlrp"])
def test_a_softmax_that_makes_the_output_is_refused_without_logits(x, last, composite):
    body = nn.Sequential(nn.Flatten(), nn.Linear(21, 3)).double()
    net = nn.Sequential(body, last)
    with pytest.raises(RefusedError, match="logits=True"):
        lrp(net, x, composite=composite)
    ds = lrp(net, x, composite=composite, logits=True)
    np.testing.assert_allclose(ds["attribution"], lrp(body, x, composite=composite)["attribution"])
    with pytest.raises(RefusedError, match="logits=True"):
        lrp(net, x, composite=composite, target=lambda y: y[:, 0] - y[:, 1])


def test_attention_weights_returned_beside_the_output_are_no_hindrance(x):
    net = Written(lambda m, x: m.attention(x, x, x), attention=nn.MultiheadAttention(3, 1, batch_first=True)).double()
    ds = lrp(net, x, target=lambda outputs: outputs[0][:, 0, 0])
    assert float(abs(ds["completeness_gap"]).max()) < 1e-9
    with pytest.raises(RefusedError, match="softmax"):
        lrp(net, x, target=lambda outputs: outputs[1][:, 0, 0])


def test_scripted_modules_are_refused(x):
    scripted = torch.jit.script(nn.Sequential(nn.Linear(3, 4), nn.Flatten()).double())
    with pytest.raises(RefusedError, match="jit"):
        lrp(scripted, x)
    with pytest.raises(RefusedError, match=r"jit.*0"):
        lrp(nn.Sequential(scripted, nn.Linear(28, 1).double()), x)


def test_a_rule_of_kernels_is_none_for_recurrent_layers(x):
    net = nn.Sequential(nn.LSTM(3, 4, batch_first=True), Output(), nn.Linear(4, 1)).double()
    with pytest.raises(RefusedError, match="one kernel"):
        lrp(net, x, composite=COMPOSITES["arras"].extended({"LSTM": ZPlus()}))


def test_a_rule_of_the_input_in_another_place_is_refused(x):
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1), nn.Flatten()).double()
    with pytest.raises(RefusedError, match="input"):
        lrp(net, x, composite=COMPOSITES["arras"].extended({"2": Flat()}))


@pytest.mark.parametrize(
    "option", [{"add_bias_kv": True}, {"add_zero_attn": True}], ids=["add_bias_kv", "add_zero_attn"]
)
def test_unusual_attention_is_refused(x, option):
    layer = nn.MultiheadAttention(3, 1, batch_first=True, **option)
    net = Written(lambda m, x: m.attention(x, x, x)[0], attention=layer).double()
    with pytest.raises(RefusedError, match=r"bias_k|add_zero_attn"):
        lrp(net, x, target=(0, 0))


def test_a_mask_beside_the_input_weighs_it_only(x):
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.map = nn.Linear(3, 4)

        def forward(self, x, mask):
            h = torch.tanh(self.map(x)) * mask
            return h.sum(1) / 3

    net = drawn(Masked())
    mask = np.broadcast_to((np.arange(7) < 4)[None, :, None], (4, 7, 1)).astype("float64")
    ds = attrkit.extract(net, {"x": x, "mask": mask}, "lrp", target=0, explain="x", show_progress=False)
    assert float(abs(ds["attribution"].sel(timestep=slice(4, None))).max()) == 0
    assert float(abs(ds["completeness_gap"]).max()) < 1e-9


@pytest.mark.parametrize("last", [nn.Softmax(-1), nn.Sigmoid()], ids=["softmax", "sigmoid"])
@pytest.mark.parametrize("composite", ["arras", "attnlrp"])
def test_logits_are_found_where_layers_are_told_apart(x, last, composite):
    net = nn.Sequential(nn.Flatten(), nn.Linear(21, 3), last).double()
    ds = lrp(net, x, composite=composite, logits=True, by_layer=True)
    assert float(abs(ds["completeness_gap"]).max()) < 1e-9


def test_compiled_modules_are_seen_through(x):
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Flatten(), nn.Linear(28, 1)).double()
    expected = lrp(net, x)["attribution"]
    np.testing.assert_array_equal(lrp(torch.compile(net), x)["attribution"], expected)
    net[0].compile()
    np.testing.assert_array_equal(lrp(net, x)["attribution"], expected)


def test_weights_that_are_computed_are_weights(x):
    net = drawn(nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)), nn.Flatten(), nn.Linear(28, 1)))
    known = nn.Sequential(nn.Linear(3, 4), nn.Flatten(), nn.Linear(28, 1)).double()
    with torch.no_grad():
        known[0].weight.copy_(net[0].weight)
        known[0].bias.copy_(net[0].bias)
        known[2].load_state_dict(net[2].state_dict())
    found, expected = (lrp(model, x, composite="z_plus")["attribution"] for model in (net, known))
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_function_without_a_rule_is_refused_before_all_samples_are_run():
    rows = []

    def run(module, x):
        rows.append(len(x))
        return module.last(x.exp().mean(1))

    net = drawn(Written(run, last=nn.Linear(3, 2)))
    with pytest.raises(RefusedError, match="exp"):
        lrp(net, np.ones((64, 7, 3)))
    assert rows == [2]
