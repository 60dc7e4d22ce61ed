"""zennit's composites behind attrkit's call: zennit's and attrkit's numbers, definitions, and what is refused."""

import copy
import importlib
import sys
from importlib.metadata import version

import numpy as np
import pytest
import torch
from torch import nn

import attrkit
from attrkit.engines import zennit as engine
from attrkit.errors import (
    CompletenessWarning,
    EngineError,
    ForwardMismatchError,
    InputError,
    MissingDependencyError,
    RefusedError,
)
from attrkit.relevance import AlphaBeta, Composite, Epsilon, Flat, Gamma, ZBox, ZPlus
from tests.pytorch.common import Written, drawn

engine.method("EpsilonPlus")

from zennit import composites  # noqa: E402
from zennit.attribution import Gradient  # noqa: E402
from zennit.canonizers import NamedMergeBatchNorm  # noqa: E402
from zennit.core import Stabilizer  # noqa: E402
from zennit.layer import Sum  # noqa: E402

# What biases take of the output is more than a share that passes without a warning.
pytestmark = pytest.mark.filterwarnings("ignore::attrkit.errors.CompletenessWarning")

SLOPES = ["BetaSmooth", "DeconvNet", "GuidedBackprop"]
RULED = [name for name in engine.names() if name not in SLOPES]
TARGETS = np.array([0, 1, 1])
EPS = 1e-6


@pytest.fixture
def x():
    """Three samples of 8 timesteps and 3 channels."""
    return np.random.default_rng(3).standard_normal((3, 8, 3))


def explain(model, x, method, **options):
    return attrkit.extract(model, x, f"zennit:{method}", **{"target": TARGETS, "show_progress": False, **options})


def own(model, x, composite, **options):
    options = {"target": TARGETS, "show_progress": False, **options}
    return attrkit.extract(model, x, "lrp", composite=composite, **options)


def values_of(ds, name="attribution"):
    return ds[name].values


def close(got, expected, tolerance):
    got, expected = (values_of(one) if hasattr(one, "data_vars") else np.asarray(one) for one in (got, expected))
    size = np.abs(expected).max()
    assert size > 1e-4
    np.testing.assert_allclose(got / size, expected / size, rtol=0, atol=tolerance)


class ByChannel(nn.Module):
    """Time last, as convolutions take it."""

    def forward(self, x):
        return x.transpose(1, 2)


def convolutional(*, pool=True):
    """Two convolutions and two dense layers."""
    pooling = [nn.AvgPool1d(2), nn.MaxPool1d(2, stride=1)] if pool else []
    return drawn(
        nn.Sequential(
            *(ByChannel(), nn.Conv1d(3, 4, 3), nn.ReLU(), nn.Conv1d(4, 5, 2, padding=1), nn.ReLU(), *pooling),
            *(nn.Flatten(), nn.Linear(10 if pool else 35, 6), nn.Dropout(), nn.ReLU(), nn.Linear(6, 2)),
        )
    )


def written(function, **modules):
    return drawn(
        Written(
            lambda m, x: m.out(function(m, m.inner(x)).flatten(1)),
            **modules,
            inner=nn.Linear(3, 4),
            out=nn.Linear(32, 2),
        )
    )


def by_hand(model, x, composite, start):
    """Return what zennit gives without attrkit, for outputs of one-hot targets."""
    with Gradient(model, composite) as attributor:
        wanted = nn.functional.one_hot(torch.tensor(TARGETS), 2)
        return attributor(torch.tensor(x, requires_grad=True), lambda out: start(out) * wanted)[1].detach().numpy()


# zennit's own numbers


@pytest.mark.parametrize("name", engine.names())
def test_numbers_are_those_of_zennit(x, name):
    model = convolutional()
    box = [torch.tensor(v) for v in (x.min(), x.max())] if name == "EpsilonGammaBox" else []
    composite = getattr(composites, name)(*box)
    expected = by_hand(convolutional(), x, composite, torch.ones_like if name in SLOPES else torch.Tensor.detach)
    ds = explain(model, x, name)
    close(ds, expected, 1e-12)
    assert ds["attribution"].dims == ("sample", "timestep", "channel")
    assert ds["attribution"].attrs["units"] == ("output / input" if name in SLOPES else "output")
    assert (ds.attrs["engine"], ds.attrs["gradient_evaluations"]) == ("zennit", 3)
    assert ds.attrs["engine_version"][0].isdigit()
    # A sample's numbers do not depend on the others in its batch.
    close(explain(model, x, name, batch_size=2), expected, 1e-12)
    if name not in SLOPES:
        explained = values_of(ds, "prediction")[range(3), TARGETS]
        np.testing.assert_allclose(ds["completeness_gap"], values_of(ds).sum((1, 2)) - explained, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("EpsilonPlus", {"epsilon": 0.3, "stabilizer": 0.1, "zero_params": "bias"}),
        ("EpsilonAlpha2Beta1Flat", {"epsilon": 0.3, "stabilizer": 0.1}),
        ("EpsilonGammaBox", {"low": -5.0, "high": 6.0, "gamma": 1.5, "epsilon": 0.2, "stabilizer": 0.1}),
        ("ExcitationBackprop", {"stabilizer": 0.1, "zero_params": ["bias"]}),
        ("EpsilonPlus", {"epsilon": Stabilizer(0.2, clip=True, norm_scale=True)}),
        ("BetaSmooth", {"beta_smooth": 2.0}),
    ],
)
def test_options_are_those_of_zennit(x, name, options):
    composite = getattr(composites, name)(**options)
    expected = by_hand(convolutional(), x, composite, torch.ones_like if name in SLOPES else torch.Tensor.detach)
    close(explain(convolutional(), x, name, **options), expected, 1e-12)
    assert np.abs(expected - values_of(explain(convolutional(), x, name))).max() > 1e-3 * np.abs(expected).max()


# attrkit's numbers


@pytest.mark.parametrize("name", RULED)
def test_relevance_is_that_of_attrkit(x, name):
    first, convolution, dense = {
        "EpsilonPlus": (ZPlus(EPS), ZPlus(EPS), Epsilon(EPS)),
        "EpsilonAlpha2Beta1": (AlphaBeta(2, 1, epsilon=EPS), AlphaBeta(2, 1, epsilon=EPS), Epsilon(EPS)),
        "EpsilonPlusFlat": (Flat(), ZPlus(EPS), Epsilon(EPS)),
        "EpsilonAlpha2Beta1Flat": (Flat(), AlphaBeta(2, 1, epsilon=EPS), Epsilon(EPS)),
        "EpsilonGammaBox": (ZBox(x.min(), x.max(), epsilon=EPS), Gamma(0.25, epsilon=EPS), Epsilon(EPS)),
        "ExcitationBackprop": (ZPlus(EPS), ZPlus(EPS), ZPlus(EPS)),
    }[name]
    # attrkit has no stabiliser in pooling and in the flat rule.
    exact = "Flat" not in name
    model = convolutional(pool=not exact)
    expected = own(model, x, Composite(dense).extended({"1": first, "3": convolution}))
    got = explain(model, x, name)
    close(got, expected, 1e-9 if exact else 1e-5)
    ledger = -(expected["bias_relevance"] + expected["epsilon_relevance"]).values
    np.testing.assert_allclose(got["completeness_gap"], ledger, atol=1e-9 if exact else 2e-5)


@pytest.mark.parametrize("act", [nn.Tanh, nn.GELU])
def test_activations_pass_relevance_on(x, act):
    model = written(lambda m, h: m.act(h), act=act())
    close(explain(model, x, "EpsilonPlus"), own(model, x, Composite(Epsilon(EPS))), 1e-9)


# Definitions


@pytest.mark.parametrize("name", SLOPES)
def test_gradients_through_relu(x, name):
    model = drawn(nn.Sequential(nn.Flatten(), nn.Linear(24, 6), nn.ReLU(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2)))
    with torch.no_grad():
        first = model[1](torch.tensor(x).flatten(1))
        second = model[3](first.relu())
        slope = model[5].weight[torch.tensor(TARGETS)]
        for inner, layer in ((second, model[3]), (first, model[1])):
            slope = {
                "BetaSmooth": slope * torch.sigmoid(10 * inner),
                "DeconvNet": slope.relu(),
                "GuidedBackprop": slope.relu() * (inner > 0),
            }[name]
            slope = slope @ layer.weight
    close(explain(model, x, name), slope.reshape(x.shape), 1e-12)


def test_the_epsilon_rule_and_what_a_bias_takes(x):
    model = drawn(nn.Sequential(nn.Flatten(), nn.Linear(24, 2)))
    weight, bias = (parameter.detach().numpy()[TARGETS] for parameter in model[1].parameters())
    products = weight * x.reshape(3, -1)
    total = products.sum(1) + bias
    whole = explain(model, x, "EpsilonPlus", epsilon=0.1)
    shares = products * (total / (total + 0.1 * np.sign(total)))[:, None]
    close(whole, shares.reshape(x.shape), 1e-12)
    np.testing.assert_allclose(whole["completeness_gap"], shares.sum(1) - total, atol=1e-12)
    without = explain(model, x, "EpsilonPlus", zero_params="bias")
    np.testing.assert_allclose(without["completeness_gap"], 0, atol=1e-4)


def test_it_is_told_what_biases_take(x):
    with pytest.warns(CompletenessWarning, match="miss the change in output"):
        explain(convolutional(), x, "EpsilonPlus")


# The box of the input


def test_a_box_is_given_in_the_layout_of_the_input(x):
    model = convolutional(pool=False)
    low, high = x.min((0, 1)) - np.array([0.1, 0.5, 1.0]), x.max((0, 1)) + np.array([1.0, 0.1, 0.5])
    # zennit takes it in the layout of the convolution, channels first.
    bounds = (torch.tensor(bound)[None, :, None] for bound in (low, high))
    expected = by_hand(convolutional(pool=False), x, composites.EpsilonGammaBox(*bounds), torch.Tensor.detach)
    for size in (64, 2):
        close(explain(model, x, "EpsilonGammaBox", low=low, high=high, batch_size=size), expected, 1e-12)
    assert np.abs(expected - values_of(explain(model, x, "EpsilonGammaBox"))).max() > 1e-3


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ({"high": 0.5}, "low and high must be the smallest and largest possible values; the inputs, which go from"),
        ({"low": np.zeros(5)}, r"low must be a finite number, or an array of such that broadcasts to \(8, 3\)"),
        ({"low": {"series": 0.0}}, "low must have all of"),
        ({"low": -np.inf}, "low must be a finite number"),
    ],
)
def test_boxes_that_do_not_hold(x, box, message):
    with pytest.raises(InputError, match=message):
        explain(convolutional(), x, "EpsilonGammaBox", **box)


def test_a_rule_of_the_input_stands_where_the_input_is(x):
    class Other(nn.Module):
        """Layers in another order than they run in."""

        def __init__(self):
            super().__init__()
            self.second, self.first, self.out = nn.Conv1d(4, 4, 3), nn.Conv1d(3, 4, 3), nn.Linear(16, 2)

        def forward(self, x):
            return self.out(self.second(self.first(x.transpose(1, 2)).relu()).relu().flatten(1))

    branches = Written(
        lambda m, x: m.out(torch.cat([m.one(x), m.two(x)], -1).relu().flatten(1)),
        **{"one": nn.Linear(3, 2), "two": nn.Linear(3, 2), "out": nn.Linear(32, 2)},
    )
    dense = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), ByChannel(), nn.Conv1d(3, 2, 8), nn.Flatten())
    for model, name, said in (
        (Other(), "EpsilonPlusFlat", "of type Linear in the order in which layers were assigned, second; called with "),
        (Other(), "EpsilonGammaBox", "assigned, second; called with the input are first"),
        (branches, "EpsilonAlpha2Beta1Flat", "called with the input are one, two. It takes one such layer"),
        (dense, "EpsilonGammaBox", "of type Convolution in the .* assigned, 3; called with the input are 0"),
        (nn.Sequential(nn.Flatten(), nn.Linear(24, 2)), "EpsilonGammaBox", "of which there is none; called with"),
        (nn.Sequential(nn.Tanh(), nn.Flatten(), nn.Linear(24, 2)), "EpsilonPlusFlat", "called with the input are none"),
    ):
        with pytest.raises(RefusedError, match=said):
            explain(drawn(model), x, name)
        if name != "EpsilonGammaBox":
            explain(model, x, "EpsilonPlus")


# Models


class Gated(nn.Module):
    """ReLU as a layer of its own each time, as one layer, in place, or as a function."""

    def __init__(self, kind):
        super().__init__()
        self.a, self.b, self.c = nn.Conv1d(3, 4, 3), nn.Conv1d(4, 4, 3, padding=1), nn.Linear(24, 2)
        self.one, self.two = nn.ReLU(kind == "in place"), nn.ReLU(kind == "in place")
        self.kind = kind

    def forward(self, x):
        first, second = {
            "one": (self.one, self.one),
            "function": (torch.relu, nn.functional.relu),
        }.get(self.kind, (self.one, self.two))
        return self.c(second(self.b(first(self.a(x.transpose(1, 2))))).flatten(1))


@pytest.mark.parametrize("name", ["EpsilonPlus", "EpsilonAlpha2Beta1Flat", "ExcitationBackprop", "BetaSmooth"])
@pytest.mark.parametrize("kind", ["one", "in place", "function"])
def test_relu_in_its_forms(x, kind, name):
    model = drawn(Gated(kind))
    if name in SLOPES and kind != "in place":
        said = "'one' runs more than once" if kind == "one" else "the model runs none: it would be the plain gradient"
        with pytest.raises(RefusedError, match=said):
            explain(model, x, name)
    else:
        close(explain(model, x, name), explain(drawn(Gated("two")), x, name), 1e-12)


def test_zennit_smooths_the_wrong_values_of_relu_in_place(x):
    found = by_hand(drawn(Gated("in place")), x, composites.BetaSmooth(), torch.ones_like)
    expected = by_hand(drawn(Gated("two")), x, composites.BetaSmooth(), torch.ones_like)
    assert np.abs(found - expected).max() > 0.1 * np.abs(expected).max()


class Normalised(nn.Module):
    """Batch normalisation right after a convolution and a dense layer, or after a ReLU."""

    def __init__(self, *, late=False, affine=True):
        super().__init__()
        self.late = late
        self.norm, self.norm2 = nn.BatchNorm1d(4, affine=affine), nn.BatchNorm1d(5, affine=affine)
        self.conv, self.dense, self.out = nn.Conv1d(3, 4, 3, bias=False), nn.Linear(24, 5), nn.Linear(5, 2)

    def forward(self, x):
        hidden = self.conv(x.transpose(1, 2))
        hidden = self.norm(hidden.relu()) if self.late else self.norm(hidden).relu()
        return self.out(self.norm2(self.dense(hidden.flatten(1))).relu())


def normalised(**options):
    model, rng = drawn(Normalised(**options)), np.random.default_rng(5)
    for norm in (model.norm, model.norm2):
        norm.running_mean.copy_(torch.tensor(rng.standard_normal(norm.num_features)))
        norm.running_var.copy_(torch.tensor(rng.uniform(0.3, 2, norm.num_features)))
    return model


def fused(model):
    """Return a model without batch normalisation that computes the same, by torch's own functions."""
    model = copy.deepcopy(model)
    for norm in (model.norm, model.norm2):
        if norm.weight is None:
            norm.weight, norm.bias = (nn.Parameter(f(norm.running_var)) for f in (torch.ones_like, torch.zeros_like))
    model.conv = nn.utils.fusion.fuse_conv_bn_eval(model.conv, model.norm)
    model.dense = nn.utils.fusion.fuse_linear_bn_eval(model.dense, model.norm2)
    model.norm, model.norm2 = nn.Identity(), nn.Identity()
    return model


@pytest.mark.parametrize("name", ["EpsilonPlus", "EpsilonGammaBox", "ExcitationBackprop"])
def test_batch_normalisation_is_merged(x, name):
    model = normalised(affine=name != "EpsilonPlus")
    before = copy.deepcopy(model.state_dict())
    with torch.inference_mode():
        got = explain(model, x, name)
    close(got, explain(fused(model), x, name), 1e-12)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert model.norm.eps == 1e-5
    with pytest.raises(RefusedError, match=r"through layer 'norm' \(BatchNorm1d\) as if it neither scaled nor shifted"):
        explain(normalised(late=True), x, name)


def test_the_ledger_of_merged_normalisation(x):
    model = normalised()
    expected = own(fused(model), x, Composite(Epsilon(EPS)).extended({"conv": ZPlus(EPS)}))
    ds = explain(model, x, "EpsilonPlus")
    close(ds, expected, 1e-9)
    ledger = -(expected["bias_relevance"] + expected["epsilon_relevance"]).values
    np.testing.assert_allclose(ds["completeness_gap"], ledger, atol=1e-9)
    # What zennit gives by itself is something else, and with its own canonizer the same but for eps.
    plain = by_hand(normalised(), x, composites.EpsilonPlus(), torch.Tensor.detach)
    assert np.abs(plain - values_of(ds)).max() > 0.5 * np.abs(plain).max()
    merge = NamedMergeBatchNorm([(("conv",), "norm"), (("dense",), "norm2")])
    merged = by_hand(normalised(), x, composites.EpsilonPlus(canonizers=[merge]), torch.Tensor.detach)
    close(ds, merged, 1e-4)


def test_normalisation_of_what_goes_elsewhere_too_is_refused(x):
    model = Written(
        lambda m, x: m.out(torch.cat([m.norm(h := m.conv(x.transpose(1, 2))), h], 1).relu().flatten(1)),
        **{"conv": nn.Conv1d(3, 4, 3), "norm": nn.BatchNorm1d(4), "out": nn.Linear(48, 2)},
    )
    with pytest.raises(RefusedError, match="layer 'norm'"):
        explain(drawn(model), x, "EpsilonPlus")


def test_sums_and_means_have_rules_as_layers(x):
    modules = {"act": nn.ReLU(), "more": nn.Linear(4, 4), "sum": Sum(-1)}
    summed = written(lambda m, h: m.sum(torch.stack([h, m.act(m.more(h))], -1)), **modules)
    added = written(lambda m, h: h + m.act(m.more(h)), **{name: modules[name] for name in ("act", "more")})
    close(explain(summed, x, "EpsilonPlus"), own(added, x, Composite(Epsilon(EPS))), 1e-5)
    kept = explain(summed, x, "EpsilonPlus", zero_params="bias", epsilon=1e-9, stabilizer=1e-9)
    np.testing.assert_allclose(kept["completeness_gap"], 0, atol=1e-5)
    with pytest.raises(
        RefusedError, match=r"Add in the model's own forward. Sums have a rule as a layer: zennit.layer"
    ):
        explain(added, x, "EpsilonPlus")
    # In gradients they are right as they are.
    explain(added, x, "GuidedBackprop")


def test_the_largest_over_time_takes_all_relevance(x):
    pools = {
        "layer": lambda m, h: m.pool(h.transpose(1, 2)),
        "max": lambda m, h: h.max(1).values,
        "amax": lambda m, h: h.amax(1),
    }
    found = []
    for function in pools.values():
        model = written(function, pool=nn.AdaptiveMaxPool1d(1))
        model.out = drawn(nn.Linear(4, 2))
        ds = explain(model, x, "EpsilonPlus", zero_params="bias")
        np.testing.assert_allclose(ds["completeness_gap"], 0, atol=1e-4)
        found.append(values_of(ds))
    np.testing.assert_allclose(found[0], found[1], atol=1e-12)
    np.testing.assert_allclose(found[0], found[2], atol=1e-12)


class Two(nn.Module):
    """Two sequences, of which one is static."""

    def __init__(self):
        super().__init__()
        self.conv, self.act, self.head = nn.Conv1d(3, 4, 8), nn.ReLU(), nn.Linear(6, 2)

    def forward(self, series, static):
        return self.head(torch.cat([self.act(self.conv(series.transpose(1, 2)))[:, :, 0], static], 1))


@pytest.mark.parametrize("name", ["EpsilonPlus", "EpsilonAlpha2Beta1", "ExcitationBackprop", "GuidedBackprop"])
def test_several_inputs(x, name):
    model, inputs = drawn(Two()), {"series": x, "static": x[:, 0, :2].copy()}
    ds = explain(model, inputs, name)
    if name == "EpsilonPlus":
        expected = own(model, inputs, Composite(Epsilon(EPS)).extended({"conv": ZPlus(EPS)}))
        close(values_of(ds), values_of(expected), 1e-9)
        close(values_of(ds, "attribution_static"), values_of(expected, "attribution_static"), 1e-9)
    assert values_of(ds, "attribution_static").any()
    with pytest.raises(RefusedError, match="called with the input are conv, head"):
        explain(model, inputs, "EpsilonPlusFlat")


def test_padding_has_no_relevance(x):
    mask = np.arange(8)[None] < np.array([8, 5, 3])[:, None]
    for name in ("EpsilonPlusFlat", "EpsilonGammaBox", "GuidedBackprop"):
        whole, real = explain(convolutional(), x, name), explain(convolutional(), x, name, mask=mask)
        np.testing.assert_array_equal(values_of(real)[~mask], 0)
        np.testing.assert_array_equal(values_of(real)[mask], values_of(whole)[mask])
        if name != "GuidedBackprop":
            explained = values_of(real, "prediction")[range(3), TARGETS]
            np.testing.assert_allclose(real["completeness_gap"], values_of(real).sum((1, 2)) - explained, atol=1e-12)


def test_token_ids():
    model = drawn(nn.Sequential(nn.Embedding(9, 4), ByChannel(), nn.Conv1d(4, 3, 6), nn.Flatten(), nn.Linear(3, 2)))
    ids = np.random.default_rng(0).integers(1, 9, (3, 6))
    ds = explain(model, ids, "EpsilonPlus")
    assert ds["attribution"].dims == ("sample", "timestep")
    close(ds, own(model, ids, Composite(Epsilon(EPS)).extended({"2": ZPlus(EPS)})), 1e-9)
    assert values_of(explain(model, ids, "EpsilonPlusFlat")).any()


def test_what_is_explained(x):
    model = drawn(nn.Sequential(nn.Flatten(), nn.Linear(24, 4), nn.ReLU(), nn.Linear(4, 3), nn.Softmax(-1)))
    for name in ("EpsilonPlus", "GuidedBackprop"):
        with pytest.raises(RefusedError, match=r"Softmax in layer '4' \(Softmax\). Where it makes the output, logits"):
            explain(model, x, name)
        expected = explain(model[:-1], x, name, target=1)
        close(explain(model, x, name, logits=True, target=1), expected, 1e-12)
        close(explain(model[:-1], x, name, target=lambda out: out[:, 1]), expected, 1e-12)
    # A difference is no rule's.
    with pytest.raises(RefusedError, match="Sub in the model's own forward"):
        explain(model[:-1], x, "EpsilonPlus", target=lambda out: out[:, 1] - out[:, 0])
    ds = explain(model[:-1], x, "EpsilonPlus", target="all")
    np.testing.assert_array_equal(ds["attribution"].isel(output=1), expected_of(model, x))


def expected_of(model, x):
    return values_of(explain(model[:-1], x, "EpsilonPlus", target=1))


def test_a_model_is_left_as_it_was(x):
    model = convolutional().train()
    model[1].weight.requires_grad_(False)
    state, generator = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    with torch.inference_mode():
        got = explain(model, x, "EpsilonPlus")
    assert torch.equal(torch.get_rng_state(), generator)
    close(got, explain(convolutional(), x, "EpsilonPlus"), 1e-12)
    assert model.training
    assert not model[1].weight.requires_grad
    assert model[3].weight.grad is None
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in model.modules())
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_single_precision(x):
    ds = explain(convolutional().float(), x.astype("float32"), "EpsilonPlus")
    assert ds["attribution"].dtype == "float32"
    close(ds, explain(convolutional(), x, "EpsilonPlus"), 1e-3)


def test_what_is_run_again_in_the_backward_pass(x):
    from torch.utils.checkpoint import checkpoint

    inner = convolutional()
    model = drawn(Written(lambda m, x: checkpoint(m.inner, x, use_reentrant=False), inner=inner))
    close(explain(model, x, "EpsilonPlus"), explain(inner, x, "EpsilonPlus"), 1e-12)


# Refusals


class Last(nn.Module):
    def forward(self, returned):
        return returned[0][:, -1]


@pytest.mark.parametrize("name", ["EpsilonPlus", "GuidedBackprop"])
def test_recurrent_and_attention_layers_are_refused(x, name):
    for kind in (nn.LSTM, nn.GRU):
        model = drawn(nn.Sequential(kind(3, 5, batch_first=True), Last(), nn.ReLU(), nn.Linear(5, 2)))
        with pytest.raises(
            RefusedError, match=rf"zennit:{name} .* recurrent and attention layers: 0 \({kind.__name__}\)"
        ):
            explain(model, x, name)
    model = written(lambda m, h: m.attend(h, h, h)[0], attend=nn.MultiheadAttention(4, 2, batch_first=True))
    with pytest.raises(RefusedError, match=r"attend \(MultiheadAttention\); use attrkit's own 'lrp'"):
        explain(model, x, name)


class Square(nn.Tanh):
    def forward(self, x):
        return x * x


class Rectified(nn.Linear):
    def forward(self, x):
        return super().forward(x).clamp(min=0)


UNSEEN = {
    "Tanh": (lambda m, h: torch.tanh(h), {}),
    "Gelu": (lambda m, h: nn.functional.gelu(h), {}),
    "Mul": (lambda m, h: h * h, {}),
    "Mul in the model's own forward|Mul": (lambda m, h: 2 * h, {}),
    "Bmm": (lambda m, h: h @ h.transpose(1, 2) @ h, {}),
    "Add": (lambda m, h: h + h.flip(1), {}),
    "Mean in the model's own forward. Means over time have": (lambda m, h: h.mean(1, keepdim=True).expand_as(h), {}),
    r"NativeLayerNorm in layer 'act' \(LayerNorm\)": (lambda m, h: m.act(h), {"act": nn.LayerNorm(4)}),
    r"Softmax in layer 'act' \(Softmax\)": (lambda m, h: m.act(h), {"act": nn.Softmax(-1)}),
    r"Mul in layer 'act' \(Square\)": (lambda m, h: m.act(h), {"act": Square()}),
    r"Clamp in layer 'act' \(Rectified\)": (lambda m, h: m.act(h), {"act": Rectified(4, 4)}),
    r"Trilinear in layer 'act' \(Bilinear\)": (lambda m, h: m.act(h, h), {"act": nn.Bilinear(4, 4, 4)}),
}


@pytest.mark.parametrize("place", UNSEEN)
def test_what_has_no_rule_is_refused_by_name_and_place(x, place):
    function, modules = UNSEEN[place]
    with pytest.raises(RefusedError, match=f"would pass a plain gradient, without a word, through .*({place})"):
        explain(written(function, **modules), x, "EpsilonPlus")


def test_other_refusals(x):
    with pytest.raises(RefusedError, match=r"only, as layers, and would pass .* through Tanh in layer 'act' \(Tanh\)"):
        explain(written(lambda m, h: m.act(h), act=nn.Tanh()), x, "ExcitationBackprop")
    for function in (lambda m, h: h * (h > 0), lambda m, h: h * h.sign()):
        with pytest.raises(RefusedError, match="decides by values that depend on its input"):
            explain(written(function), x, "EpsilonPlus")
    for layer in (nn.Tanh(), nn.Linear(4, 4)):
        with pytest.raises(
            RefusedError, match="'act' runs more than once in a pass; give each call a layer of its own"
        ):
            explain(written(lambda m, h: m.act(m.act(h)), act=layer), x, "EpsilonPlus")
    with pytest.raises(RefusedError, match="the model runs none: it would be the plain gradient; use attrkit's own"):
        explain(written(lambda m, h: h), x, "DeconvNet")
    with pytest.raises(RefusedError, match="Tanh in layer 'act'"):
        explain(written(lambda m, h: m.act(m.relu(h)), act=nn.Tanh(), relu=nn.ReLU()), x, "GuidedBackprop")
    adapter = attrkit.adapt(lambda series: series.sum((1, 2))[:, None])
    with pytest.raises(RefusedError, match="replaces the gradients of torch layers, and this is a model of"):
        engine.method("EpsilonPlus").check(adapter, None)


@pytest.mark.parametrize("kind", ["parametrized", "legacy"])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_weights_that_are_made_of_others_are_refused(x, kind):
    model, normed = convolutional(), convolutional()
    norm = nn.utils.parametrizations.weight_norm if kind == "parametrized" else nn.utils.weight_norm
    normed[1] = norm(normed[1])
    with pytest.raises(
        RefusedError, match=r"layer '1' \(.*Conv1d\) makes its weight of .*; make the weight plain first"
    ):
        explain(normed, x, "EpsilonPlus")
    close(explain(normed, x, "GuidedBackprop"), explain(model, x, "GuidedBackprop"), 1e-12)
    if kind == "parametrized":
        # By itself zennit changes the bias, and leaves the weight.
        plain = by_hand(normed, x, composites.EpsilonPlus(), torch.Tensor.detach)
        assert np.abs(plain - values_of(explain(model, x, "EpsilonPlus"))).max() > 1e-2


def test_what_works_in_place_on_another_tensor(x):
    def in_place(m, h):
        m.act(h)
        return h

    with pytest.raises(ForwardMismatchError, match="works in place"):
        explain(written(in_place, act=nn.ReLU(inplace=True)), x, "EpsilonPlus")


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_scripted_modules(x):
    with pytest.raises(RefusedError, match="a script module has none that can be: the model itself"):
        explain(torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(24, 2))), x.astype("f4"), "EpsilonPlus")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("EpsilonPluss", {}, "zennit has no method 'EpsilonPluss'; did you mean 'EpsilonPlus"),
        ("EpsilonPlus", {"gamma": 1}, "zennit:EpsilonPlus has no option 'gamma'; its options are epsilon, stabilizer"),
        ("EpsilonPlus", {"baseline": 1.0}, "zennit:EpsilonPlus has no baseline"),
        ("EpsilonPlus", {"epsilon": 0}, "epsilon must be a number greater than 0, or a function of sums, got 0"),
        ("EpsilonGammaBox", {"stabilizer": True}, "stabilizer must be a number greater than 0"),
        ("EpsilonGammaBox", {"gamma": -1}, "gamma must be a number of at least 0, got -1"),
        ("EpsilonPlusFlat", {"zero_params": "weight"}, "zero_params must be None or 'bias', got 'weight'"),
        ("BetaSmooth", {"beta_smooth": 0}, "beta_smooth must be a number greater than 0, got 0"),
    ],
)
def test_wrong_options(x, name, options, message):
    with pytest.raises(InputError, match=message):
        explain(convolutional(), x, name, **options)


def test_failures_of_zennit_are_named(x, monkeypatch):
    def fail(self, input, attr_output=None):
        raise RuntimeError("something is off")

    monkeypatch.setattr(Gradient, "__call__", fail)
    with pytest.raises(EngineError, match=r"zennit\.EpsilonPlus failed: something is off"):
        explain(convolutional(), x, "EpsilonPlus")


def test_without_zennit(x, monkeypatch):
    monkeypatch.setitem(sys.modules, "zennit", None)
    with pytest.raises(MissingDependencyError, match=r"needed for 'zennit:EpsilonPlus': pip install 'attrkit\[zennit"):
        explain(convolutional(), x, "EpsilonPlus")
    monkeypatch.undo()
    assert "EpsilonPlus" in engine.names()


@pytest.mark.skipif(version("zennit") >= "1", reason="zennit 1.0 needs torchvision")
@pytest.mark.parametrize("error", [ImportError, RuntimeError])
def test_torchvision_is_not_needed(tmp_path, monkeypatch, error):
    """It may be missing, or built for another torch."""
    (tmp_path / "torchvision.py").write_text(f"raise {error.__name__}('operator torchvision::nms does not exist')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] in ("zennit", "torchvision")]:
        monkeypatch.delitem(sys.modules, name)
    try:
        engine.method("EpsilonPlus")
        assert sys.modules["zennit"].composites.EpsilonPlus is not composites.EpsilonPlus
        with pytest.raises(error, match="nms does not exist"):
            importlib.import_module("zennit.torchvision")
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "zennit"]:
            del sys.modules[name]


def test_modules_in_half_precision(x):
    model = convolutional(pool=False).float()
    half = copy.deepcopy(model).bfloat16()
    close(explain(half, x, "GuidedBackprop"), explain(model, x, "GuidedBackprop"), 0.05)
    for name in ("EpsilonPlus", "ExcitationBackprop"):
        with pytest.raises(RefusedError, match=rf"zennit:{name} divides by sums.*attrkit\.to_float32\(model\)"):
            explain(half, x, name)
