"""Captum's classes behind attrkit's call: attrkit's numbers where both have them, definitions, and what is refused."""

import copy
import sys

import numpy as np
import pytest
import torch
from torch import nn

import attrkit
from attrkit.engines import captum as engine
from attrkit.errors import (
    AttrkitWarning,
    CompletenessWarning,
    EngineError,
    ForwardMismatchError,
    InputError,
    MissingDependencyError,
    RefusedError,
)
from tests.pytorch.common import Written, drawn

quiet = pytest.mark.filterwarnings("ignore::attrkit.errors.CompletenessWarning")


@pytest.fixture
def x():
    """Three samples of 8 timesteps and 3 channels."""
    return np.random.default_rng(3).standard_normal((3, 8, 3))


def explain(model, x, method, **options):
    return attrkit.extract(model, x, f"captum:{method}", **{"target": 0, "show_progress": False, **options})


def own(model, x, method, **options):
    return attrkit.extract(model, x, method, **{"target": 0, "show_progress": False, **options})


class Last(nn.Module):
    def forward(self, returned):
        return returned[0][:, -1]


class ByChannel(nn.Module):
    """Time last, as convolutions take it."""

    def forward(self, x):
        return x.transpose(1, 2)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.attend, self.head = (
            nn.Linear(3, 8),
            nn.MultiheadAttention(8, 2, batch_first=True),
            nn.Linear(8, 2),
        )

    def forward(self, x):
        hidden = self.embed(x)
        return self.head(self.attend(hidden, hidden, hidden)[0].mean(1))


class Two(nn.Module):
    """Two sequences, of which one is static, and a third input that is handed on."""

    def __init__(self):
        super().__init__()
        self.recurrent, self.head, self.act = nn.GRU(3, 4, batch_first=True), nn.Linear(6, 2), nn.Tanh()

    def forward(self, series, static, scale):
        return self.act(self.head(torch.cat([self.recurrent(series)[0][:, -1], static], 1))) * scale


def convolutional():
    return drawn(
        nn.Sequential(
            *(ByChannel(), nn.Conv1d(3, 4, 3), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten()),
            *(nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 2)),
        )
    )


def dense(act=nn.ReLU):
    """Layers over timesteps, then over all: no layer but such as LRP of Captum knows."""
    return drawn(
        Written(
            lambda m, x: m.out(m.second(m.hidden(m.first(m.each(x)).flatten(1)))),
            **{"each": nn.Linear(3, 4), "first": act(), "hidden": nn.Linear(32, 5), "second": act()},
            out=nn.Linear(5, 2),
        )
    )


MODELS = {
    "LSTM": lambda: drawn(nn.Sequential(nn.LSTM(3, 5, batch_first=True), Last(), nn.Linear(5, 2))),
    "GRU": lambda: drawn(nn.Sequential(nn.GRU(3, 5, bidirectional=True, batch_first=True), Last(), nn.Linear(10, 2))),
    "Conv1d": lambda: drawn(nn.Sequential(ByChannel(), nn.Conv1d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(24, 2))),
    "attention": lambda: drawn(Attention()),
}

TARGETS = np.array([0, 1, 1])


def two_inputs(x):
    return {"series": x, "static": x[:, 0, :2].copy(), "scale": np.linspace(1, 2, len(x))[:, None]}


# Numbers that attrkit has too


@pytest.mark.parametrize("kind", [*MODELS, "two inputs"])
def test_gradients_are_those_of_attrkit(x, kind):
    two = kind == "two inputs"
    model, inputs = (drawn(Two()), two_inputs(x)) if two else (MODELS[kind](), x)
    also = {"explain": ["series", "static"]} if two else {}
    baseline = {"series": 0.3, "static": -0.2} if two else np.array([0.5, -1.0, 2.0])
    pairs = [
        ("Saliency", "gradient", {}, 1e-12),
        ("InputXGradient", "input_x_gradient", {}, 1e-12),
        # Captum has the weights of its quadrature in single precision.
        ("IntegratedGradients", "integrated_gradients", {"n_steps": 20, "baseline": baseline}, 1e-7),
        ("Occlusion", "occlusion", {"baseline": baseline}, 1e-7),
    ]
    for theirs, ours, options, tolerance in pairs:
        got = explain(model, inputs, theirs, target=TARGETS, **options, **also)
        expected = own(model, inputs, ours, target=TARGETS, **options, **also)
        for name in [key for key in expected.data_vars if key.startswith("attribution")]:
            assert got[name].dims == expected[name].dims
            size = float(abs(expected[name]).max())
            np.testing.assert_allclose(got[name], expected[name], atol=tolerance * size, err_msg=f"{theirs} {name}")
        assert got["attribution"].attrs["units"] == expected["attribution"].attrs["units"]
        if "completeness_gap" in expected:
            np.testing.assert_allclose(got["completeness_gap"], expected["completeness_gap"], atol=1e-6)


def test_absolute_gradients_are_asked_for(x):
    model = MODELS["LSTM"]()
    signed, absolute = explain(model, x, "Saliency"), explain(model, x, "Saliency", abs=True)
    assert float(signed["attribution"].min()) < 0
    np.testing.assert_array_equal(absolute["attribution"], abs(signed["attribution"]))
    assert absolute["attribution"].attrs["sign"] == "non-negative"


@pytest.mark.parametrize("act", [nn.ReLU, nn.Tanh])
def test_relevance_is_that_of_attrkit(x, act):
    model = dense(act)
    with pytest.warns(CompletenessWarning):
        got = explain(model, x, "LRP", target=TARGETS)
    expected = own(model, x, "lrp", composite="z", target=TARGETS)
    size = float(abs(expected["attribution"]).max())
    np.testing.assert_allclose(got["attribution"], expected["attribution"], atol=1e-6 * size)
    # What biases absorb.
    np.testing.assert_allclose(got["completeness_gap"], -expected["bias_relevance"], atol=1e-6 * size)


# Definitions


def rescaled(model, x, start, output):
    """DeepLIFT of a net of two dense layers and a ReLU, by hand."""
    first, last = model[1], model[3]
    with torch.no_grad():
        inner, reference = (first(torch.tensor(a).flatten(1)) for a in (x, np.broadcast_to(start, x.shape).copy()))
        slope = (inner.relu() - reference.relu()) / (inner - reference)
        return ((slope * last.weight[output]) @ first.weight).reshape(x.shape).numpy() * (x - start)


def test_the_rescale_rule(x):
    model, start = drawn(nn.Sequential(nn.Flatten(), nn.Linear(24, 6), nn.ReLU(), nn.Linear(6, 2))), 0.4
    ds = explain(model, x, "DeepLift", baseline=start, target=1)
    np.testing.assert_allclose(ds["attribution"], rescaled(model, x, start, 1), rtol=1e-10)
    background = 0.3 * x[:3]
    several = explain(model, x, "DeepLiftShap", baselines=background, target=1)
    expected = np.mean([rescaled(model, x, one, 1) for one in background], axis=0)
    np.testing.assert_allclose(several["attribution"], expected, atol=1e-12)


def test_deep_lift_sums_where_layers_with_rules_follow_each_other(x):
    """By itself Captum takes the plain gradient of max-pooling here, and misses this sum."""
    background = 0.3 * x[:3]
    for ds in (
        explain(convolutional(), x, "DeepLift", baseline=background[0], target=TARGETS),
        explain(convolutional(), x, "DeepLiftShap", baselines=background, target=TARGETS),
    ):
        np.testing.assert_allclose(ds["completeness_gap"], 0, atol=1e-12)
        assert float(abs(ds["attribution"]).max()) > 1e-3


def test_deep_lift_sums_over_skip_connections(x):
    model = drawn(
        Written(
            lambda m, x: m.out((m.first(x) + m.act(m.first(x)) + m.tanh(m.second(m.act2(x)))).flatten(1)),
            **{"first": nn.Linear(3, 4), "second": nn.Linear(3, 4), "act": nn.ReLU(), "tanh": nn.Tanh()},
            **{"act2": nn.Sigmoid(), "out": nn.Linear(32, 2)},
        )
    )
    skip = drawn(
        Written(
            lambda m, x: m.out(m.act(m.linear(x)).add(m.tanh(m.linear(x))).flatten(1)),
            **{"linear": nn.Linear(3, 4), "act": nn.ReLU(), "tanh": nn.Tanh(), "out": nn.Linear(32, 2)},
        )
    )
    for one in (model, skip):
        ds = explain(one, x, "DeepLift", baseline="mean")
        np.testing.assert_allclose(ds["completeness_gap"], 0, atol=1e-12)


@pytest.mark.parametrize("kind", ["GuidedBackprop", "Deconvolution"])
def test_gradients_through_relu(x, kind):
    model = drawn(nn.Sequential(nn.Flatten(), nn.Linear(24, 6), nn.ReLU(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2)))
    ds = explain(model, x, kind, target=1)
    with torch.no_grad():
        first = model[1](torch.tensor(x).flatten(1))
        second = model[3](first.relu())
        slope = model[5].weight[1].expand(len(x), -1)
        for inner, layer in ((second, model[3]), (first, model[1])):
            slope = slope.relu() if kind == "Deconvolution" else slope.relu() * (inner > 0)
            slope = slope @ layer.weight
    np.testing.assert_allclose(ds["attribution"].values.reshape(3, -1), slope, atol=1e-12)
    assert ds.attrs["gradient_evaluations"] == 3


def test_a_linear_model_has_one_answer(x):
    model, start = drawn(nn.Sequential(nn.Flatten(), nn.Linear(24, 2))), np.array([0.5, -1.0, 2.0])
    weights = model[1].weight.detach().numpy()[TARGETS].reshape(x.shape)
    exact = weights * (x - start)
    at_start = {"baseline": start}
    for method, options in {
        "IntegratedGradients": at_start,
        "DeepLift": at_start,
        "FeatureAblation": at_start,
        "Occlusion": at_start,
        "ShapleyValueSampling": {"n_samples": 2, **at_start},
        "KernelShap": {"n_samples": 60, **at_start},
        "DeepLiftShap": {"baselines": np.broadcast_to(start, (2, 8, 3))},
        "GradientShap": {"baselines": np.broadcast_to(start, (1, 8, 3))},
    }.items():
        ds = explain(model, x, method, target=TARGETS, **options)
        # What Captum fits or sums up in single precision.
        single = 1e-3 if method == "KernelShap" else 1e-5
        np.testing.assert_allclose(ds["attribution"], exact, atol=single * np.abs(exact).max(), err_msg=method)
    ds = explain(model, x, "FeaturePermutation", target=TARGETS)
    assert float(abs(ds["attribution"]).max()) > 0.1
    for method in ("Saliency", "GuidedBackprop", "Deconvolution", "NoiseTunnel"):
        np.testing.assert_allclose(explain(model, x, method, target=TARGETS)["attribution"], weights, rtol=1e-10)
    ds = explain(model, x, "NoiseTunnel", nt_type="vargrad")
    np.testing.assert_allclose(ds["attribution"], 0, atol=1e-12)
    assert ds["attribution"].attrs == {**ds["attribution"].attrs, "units": "(output / input)^2", "sign": "non-negative"}


def test_shapley_values_of_groups(x):
    model = MODELS["LSTM"]()
    by_channel = explain(model, x, "ShapleyValues", feature_mask="channel", baseline="mean")
    np.testing.assert_allclose(by_channel["completeness_gap"], 0, atol=1e-6)
    assert float(by_channel["attribution"].std("timestep").max()) == 0
    halves = np.repeat([0, 7], 4)[:, None] * np.ones((1, 3), int)
    by_half = explain(model, x, "ShapleyValues", feature_mask=halves, target=TARGETS)
    sampled = explain(model, x, "ShapleyValueSampling", feature_mask=halves, target=TARGETS, n_samples=40)
    np.testing.assert_allclose(by_half["completeness_gap"], 0, atol=1e-6)
    np.testing.assert_allclose(sampled["completeness_gap"], 0, atol=1e-6)
    assert float(abs(sampled["attribution"] - by_half["attribution"]).max()) < 0.1
    timesteps = explain(model, x, "FeatureAblation", feature_mask="timestep")
    np.testing.assert_allclose(
        timesteps["attribution"], explain(model, x, "Occlusion", sliding_window_shapes=(1, 3))["attribution"], atol=1e-6
    )


# Every class

FURTHER = {
    "ShapleyValues": {"feature_mask": "channel"},
    "KernelShap": {"feature_mask": "timestep", "n_samples": 12},
    "IntegratedGradients": {"n_steps": 5},
    "Lime": {"feature_mask": "timestep", "n_samples": 12, "alpha": 1e-4},
    "ShapleyValueSampling": {"n_samples": 2, "feature_mask": "timestep"},
    "GradientShap": {"stdevs": 0.1},
}
DRAWS = ["FeaturePermutation", "GradientShap", "KernelShap", "Lime", "NoiseTunnel", "ShapleyValueSampling"]


def options_of(method, x):
    more = {"baselines": 0.3 * x[:3]} if method in ("DeepLiftShap", "GradientShap") else {}
    return {**FURTHER.get(method, {}), **more}


def model_for(method):
    return dense() if method == "LRP" else convolutional()


@quiet
@pytest.mark.parametrize("method", engine.names())
def test_every_class_gives_a_labelled_result_and_leaves_the_rest_alone(x, method):
    model = model_for(method)
    model.train()
    next(model.parameters()).requires_grad_(False)
    loss = model(torch.tensor(x)).sum()
    versions = {name: value._version for name, value in model.state_dict(keep_vars=True).items()}
    attributes = {name: set(vars(module)) for name, module in model.named_modules()}
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002

    options = options_of(method, x)
    ds = explain(model, x, method, target=TARGETS, **options)
    assert ds["attribution"].dims == ("sample", "timestep", "channel")
    assert ds["attribution"].shape == x.shape
    assert ds["attribution"].dtype == "float64"
    assert np.isfinite(ds["attribution"]).all()
    assert float(abs(ds["attribution"]).max()) > 0
    assert ds.attrs["method"] == f"captum:{method}"
    assert ds.attrs["engine"] == "captum"
    assert ds.attrs["engine_version"]
    assert ("seed" in ds.attrs) == (method in DRAWS)

    assert all(module.training for module in model.modules())
    assert [p.requires_grad for p in model.parameters()].count(False) == 1
    assert {name: set(vars(module)) for name, module in model.named_modules()} == attributes
    assert {name: value._version for name, value in model.state_dict(keep_vars=True).items()} == versions
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
    np.testing.assert_array_equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    loss.backward()

    again = explain(model, x, method, target=TARGETS, batch_size=2, **options)
    size = float(abs(ds["attribution"]).max())
    np.testing.assert_allclose(again["attribution"], ds["attribution"], atol=1e-9 * size)
    if method in DRAWS:
        other = explain(model, x, method, target=TARGETS, seed=1, **options)
        assert float(abs(other["attribution"] - ds["attribution"]).max()) > 1e-6 * size
    if method != "FeaturePermutation":
        alone = explain(model, x[:2], method, target=TARGETS[:2], **options)
        np.testing.assert_allclose(alone["attribution"], ds["attribution"][:2], atol=1e-9 * size)


@quiet
@pytest.mark.parametrize(
    "method",
    ["GradientShap", "NoiseTunnel", "FeatureAblation", "ShapleyValueSampling", "KernelShap", "Lime", "DeepLiftShap"],
)
def test_two_inputs(x, method):
    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.each, self.act, self.head = nn.Linear(3, 4), nn.Tanh(), nn.Linear(34, 2)

        def forward(self, series, static, scale):
            return self.head(torch.cat([self.act(self.each(series)).flatten(1), static], 1)) * scale

    model, inputs = drawn(Dense()), two_inputs(x)
    options = {
        "GradientShap": {"baselines": {"series": 0.2 * x[:2], "static": np.zeros((2, 2))}, "n_samples": 40},
        "DeepLiftShap": {"baselines": {"series": 0.2 * x[:2], "static": np.zeros((2, 2))}},
        "NoiseTunnel": {"stdevs": {"series": 0.1, "static": 0}},
        "KernelShap": {"feature_mask": "timestep", "n_samples": 60},
        "Lime": {"feature_mask": "timestep", "n_samples": 60, "alpha": 1e-4},
    }.get(method, {})
    ds = explain(model, inputs, method, explain=["series", "static"], **options)
    assert ds["attribution"].dims == ("sample", "timestep", "channel")
    assert ds["attribution_static"].dims == ("sample", "channel_static")
    assert float(abs(ds["attribution_static"]).max()) > 0
    if method in ("ShapleyValueSampling", "DeepLiftShap", "KernelShap"):
        np.testing.assert_allclose(ds["completeness_gap"], 0, atol=1e-4)


@quiet
def test_padding_is_not_perturbed(x):
    model = MODELS["GRU"]()
    mask = np.arange(8)[None] < np.array([8, 5, 3])[:, None]
    for method, options in {
        "GradientShap": {"baselines": x[:2] + 1, "stdevs": 0.5},
        "NoiseTunnel": {},
        "FeatureAblation": {"feature_mask": "channel"},
        "ShapleyValues": {"feature_mask": "channel"},
        "KernelShap": {"feature_mask": "channel", "n_samples": 8},
    }.items():
        ds = explain(model, x, method, mask=mask, **options)
        np.testing.assert_array_equal(ds["attribution"].values[~mask], 0)
        assert (ds["attribution"].values[mask] != 0).all()
        if "Shapley" in method:
            np.testing.assert_allclose(ds["completeness_gap"], 0, atol=1e-6)
    with pytest.raises(RefusedError, match="would put padding of one sample in the place of another's values"):
        explain(model, x, "FeaturePermutation", mask=mask)


def test_token_ids():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(9, 4), nn.LSTM(4, 5, batch_first=True), Last(), nn.Linear(5, 2)).double()
    ids = np.random.default_rng(0).integers(1, 9, (4, 6))
    for theirs, ours in (("InputXGradient", "input_x_gradient"), ("IntegratedGradients", "integrated_gradients")):
        got, expected = explain(model, ids, theirs), own(model, ids, ours)
        assert got["attribution"].dims == ("sample", "timestep")
        np.testing.assert_allclose(got["attribution"], expected["attribution"], atol=1e-6)
    np.testing.assert_allclose(
        explain(model, ids, "FeatureAblation")["attribution"], own(model, ids, "occlusion")["attribution"], atol=1e-7
    )
    for method, options in (("ShapleyValueSampling", {}), ("KernelShap", {}), ("Lime", {"alpha": 1e-4})):
        assert float(abs(explain(model, ids, method, **options)["attribution"]).max()) > 0


def test_costs_are_counted(x):
    model = MODELS["Conv1d"]()
    ds = explain(model, x, "IntegratedGradients", n_steps=7)
    assert (ds.attrs["gradient_evaluations"], ds.attrs["forward_evaluations"]) == (21, 3 + 2)
    assert explain(model, x, "DeepLift").attrs["gradient_evaluations"] == 6
    assert explain(model, x, "FeatureAblation").attrs["forward_evaluations"] == 3 + 3 * 25


def test_models_in_inference_mode_and_in_single_precision(x):
    model, single = convolutional().float(), x.astype("float32")
    expected = explain(convolutional(), x, "DeepLift")
    with torch.inference_mode():
        ds = explain(model, single, "DeepLift")
    assert ds["attribution"].dtype == "float32"
    np.testing.assert_allclose(ds["attribution"], expected["attribution"], atol=1e-4)


# Refusals

HOOKED = ["DeepLift", "DeepLiftShap", "GuidedBackprop", "Deconvolution", "LRP"]


@pytest.mark.parametrize("method", HOOKED)
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "attention"])
def test_layers_that_pass_plain_gradients_are_refused(x, kind, method):
    options = {"baselines": x[:2]} if method == "DeepLiftShap" else {}
    place = {"LSTM": r"0 \(LSTM\)", "GRU": r"0 \(GRU\)", "attention": r"attend \(MultiheadAttention\)"}[kind]
    with pytest.raises(RefusedError, match=f"recurrent and attention layers: {place}; use attrkit's own 'lrp'"):
        explain(MODELS[kind](), x, method, **options)


def written(function, **modules):
    return drawn(
        Written(
            lambda m, x: m.out(function(m, m.inner(x)).flatten(1)),
            **modules,
            inner=nn.Linear(3, 4),
            out=nn.Linear(32, 2),
        )
    )


UNSEEN = {
    "Relu": (lambda m, h: nn.functional.relu(h), {}),
    "Tanh": (lambda m, h: torch.tanh(h), {}),
    "Softmax": (lambda m, h: h.softmax(-1), {}),
    "Mul": (lambda m, h: h * h, {}),
    "Bmm": (lambda m, h: h @ h.transpose(1, 2) @ h, {}),
    "Div": (lambda m, h: m.scale / (3 + h), {"scale": nn.Parameter(torch.ones(4))}),
    "Reciprocal": (lambda m, h: 1 / (3 + h), {}),
    "Pow": (lambda m, h: h**2, {}),
    "Gelu in layer 'act'": (lambda m, h: m.act(h), {"act": nn.GELU()}),
    "NativeLayerNorm in layer 'act'": (lambda m, h: m.act(h), {"act": nn.LayerNorm(4)}),
    "Amax": (lambda m, h: h.amax(1, keepdim=True).expand_as(h), {}),
}


@pytest.mark.parametrize("method", ["DeepLift", "GuidedBackprop"])
@pytest.mark.parametrize("kind", UNSEEN)
def test_operations_that_no_layer_shows_are_refused(x, kind, method):
    function, modules = UNSEEN[kind]
    place = kind if " in " in kind else f"{kind} in the model's own forward"
    with pytest.raises(RefusedError, match=f"would pass a plain gradient, without a word, through .*{place}"):
        explain(written(function, **modules), x, method)


def test_what_looks_linear_to_autograd_is_refused(x):
    for function in (lambda m, h: h * (h > 0), lambda m, h: h * h.sign(), lambda m, h: h * h.detach()):
        with pytest.raises(RefusedError, match="decides by values that depend on its input"):
            explain(written(function), x, "GuidedBackprop")


def test_linear_operations_are_none_to_refuse(x):
    scale = torch.arange(1.0, 5).double()
    model = written(
        lambda m, h: m.act(torch.cat([h.flip(1)[:, :4] * scale, h[:, 4:] / scale], 1) - h.mean(1, keepdim=True)),
        act=nn.ReLU(),
    )
    ds = explain(model, x, "DeepLift")
    np.testing.assert_allclose(ds["completeness_gap"], 0, atol=1e-12)
    explain(model, x, "GuidedBackprop")


def test_other_refusals_of_deep_lift(x):
    with pytest.raises(RefusedError, match="'act' runs more than once in a pass; give each call a layer of its own"):
        explain(written(lambda m, h: m.act(m.act(h) - 1), act=nn.ReLU()), x, "DeepLift")
    with pytest.raises(RefusedError, match=r"windows of layer 'act' \(MaxPool1d\) overlap"):
        explain(written(lambda m, h: nn.functional.pad(m.act(h), (0, 1)), act=nn.MaxPool1d(2, 1)), x, "DeepLift")
    hooked = convolutional()
    hooked[2].register_full_backward_hook(lambda *given: None)
    with pytest.raises(RefusedError, match="layer '2' has a backward hook of yours"):
        explain(hooked, x, "DeepLift")

    def in_place(m, h):
        m.act(h)
        return h + m.more(h)

    model = written(in_place, act=nn.ReLU(inplace=True), more=nn.Linear(4, 4))
    assert np.isfinite(
        explain(written(lambda m, h: m.act(h), act=nn.ReLU(inplace=True)), x, "DeepLift")["attribution"]
    ).all()
    with pytest.raises(ForwardMismatchError, match="works in place is handed a copy"):
        explain(model, x, "DeepLift")


def test_a_softmax_is_explained_before_it(x):
    model = drawn(nn.Sequential(nn.Flatten(), nn.Linear(24, 4), nn.ReLU(), nn.Linear(4, 3), nn.Softmax(-1)))
    for method in ("DeepLift", "GuidedBackprop"):
        with pytest.raises(RefusedError, match="logits=True explains the score before it"):
            explain(model, x, method)
        ds = explain(model, x, method, logits=True)
        np.testing.assert_allclose(ds["attribution"], explain(model[:-1], x, method)["attribution"], atol=1e-12)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_scripted_modules(x):
    model = drawn(nn.Sequential(nn.Flatten(), nn.Linear(24, 4), nn.ReLU(), nn.Linear(4, 2)))
    with pytest.raises(RefusedError, match="a script module has none that can be: the model itself, 0, 1, 2 and 1 mor"):
        explain(torch.jit.script(model), x, "DeepLift")


def test_what_is_run_again_in_the_backward_pass(x):
    from torch.utils.checkpoint import checkpoint

    inner = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(24, 4), nn.ReLU(), nn.Linear(4, 2))
    model = drawn(Written(lambda m, x: checkpoint(m.inner, x, use_reentrant=False), inner=inner))
    expected = explain(inner.eval(), x, "DeepLift")
    np.testing.assert_array_equal(explain(model.train(), x, "DeepLift")["attribution"], expected["attribution"])


def test_refusals_of_relevance(x):
    with pytest.raises(RefusedError, match=r"no rule for the layers 0 \(ByChannel\), 1 \(Conv1d\), 4 \(Flatten\); it"):
        explain(convolutional(), x, "LRP")
    for function in (lambda m, h: h + m.act(h), lambda m, h: nn.functional.relu(m.act(h)), lambda m, h: m.act(h) * 2):
        with pytest.raises(RefusedError, match="captum:LRP sees the leaves of a model only"):
            explain(written(function, act=nn.ReLU()), x, "LRP")
    with pytest.raises(RefusedError, match="'act' runs more than once"):
        explain(written(lambda m, h: m.act(m.act(h)), act=nn.Tanh()), x, "LRP")


@quiet
def test_rules_of_the_user_hold_for_all_batches(x):
    from captum.attr._utils.lrp_rules import GammaRule

    model = dense()
    plain = explain(model, x, "LRP")
    model.hidden.rule = GammaRule(0.5)
    ds, small = (explain(model, x, "LRP", batch_size=size) for size in (64, 2))
    assert isinstance(model.hidden.rule, GammaRule)
    np.testing.assert_allclose(small["attribution"], ds["attribution"], atol=1e-12)
    assert float(abs(ds["attribution"] - plain["attribution"]).max()) > 1e-3


def test_functions_and_several_shapley_orders(x):
    def function(series):
        return series.sum((1, 2))[:, None]

    ds = explain(function, x, "FeatureAblation")
    np.testing.assert_allclose(ds["attribution"], x, atol=1e-6)
    with pytest.raises(RefusedError):
        explain(function, x, "DeepLift")
    with pytest.raises(RefusedError, match="of which there are 24! here; up to 8 features are accepted"):
        explain(function, x, "ShapleyValues")
    with pytest.raises(RefusedError, match="there is one sample only"):
        explain(function, x[:1], "FeaturePermutation")


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("Saliencey", {}, "captum has no method 'Saliencey'; did you mean 'Saliency'"),
        ("LayerConductance", {}, "captum has no method 'LayerConductance'"),
        ("Saliency", {"n_steps": 3}, "captum:Saliency has no option 'n_steps'; its options are abs"),
        ("Saliency", {"baseline": 1.0}, "captum:Saliency has no baseline"),
        ("IntegratedGradients", {"quadrature": "simpson"}, "unknown quadrature 'simpson'; accepted are"),
        ("IntegratedGradients", {"n_steps": 0}, "n_steps must be a whole number, 1 or more"),
        ("GradientShap", {}, "captum:GradientShap needs 'baselines'"),
        ("GradientShap", {"baselines": np.zeros((2, 5, 3))}, r"shape \(baseline, 8, 3\), at least 1"),
        ("DeepLiftShap", {"baselines": np.zeros((1, 8, 3))}, r"shape \(baseline, 8, 3\), at least 2"),
        ("NoiseTunnel", {"of": "Lime"}, "NoiseTunnel of 'Lime' is not offered; accepted are Saliency, InputXGradient"),
        ("NoiseTunnel", {"nt_type": "smooth"}, "unknown nt_type 'smooth'"),
        ("NoiseTunnel", {"stdevs": -1}, "stdevs must be 0 or more"),
        ("Occlusion", {"sliding_window_shapes": (9, 1)}, "does not cover an input of shape"),
        ("Occlusion", {"sliding_window_shapes": 3}, "sliding_window_shapes must have 2 numbers"),
        ("Occlusion", {"sliding_window_shapes": (2, 1), "strides": 3}, "strides no longer than they are"),
        ("FeatureAblation", {"feature_mask": "sample"}, "unknown feature_mask 'sample'"),
        ("FeatureAblation", {"feature_mask": np.zeros((4, 3), int)}, "feature_mask must be of int and of shape"),
        ("FeatureAblation", {"perturbations_per_eval": 0}, "perturbations_per_eval must be a whole number"),
        ("KernelShap", {}, "fits 24 features to n_samples=24 outputs|n_samples"),
        ("Lime", {"alpha": 0}, "alpha must be greater than 0"),
    ],
)
def test_wrong_options(x, method, options, message):
    model = MODELS["Conv1d"]()
    if method == "KernelShap":
        options = {"n_samples": 24}
    with pytest.raises(InputError, match=message):
        explain(model, x, method, **options)


def test_a_lasso_that_leaves_nothing_is_told(x):
    with pytest.warns(AttrkitWarning, match="leaves no feature to 3 of 3 samples"):
        explain(MODELS["LSTM"](), x, "Lime", alpha=100.0)


def test_failures_of_captum_are_named(x, monkeypatch):
    import captum.attr

    def fail(self, *args, **kwargs):
        raise AssertionError("something is off")

    monkeypatch.setattr(captum.attr.Saliency, "attribute", fail)
    with pytest.raises(EngineError, match=r"captum\.Saliency failed: something is off"):
        explain(MODELS["LSTM"](), x, "Saliency")


def test_without_captum(x, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(
        MissingDependencyError, match=r"captum is needed for 'captum:LRP': pip install 'attrkit\[captum"
    ):
        explain(MODELS["LSTM"](), x, "LRP")
    monkeypatch.undo()
    assert "LRP" in engine.names()
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingDependencyError, match="pip install scikit-learn"):
        explain(MODELS["LSTM"](), x, "Lime")


@quiet
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_modules_in_half_precision(x, kind):
    model = dense().float()
    half = copy.deepcopy(model).to(kind)
    for name in ("InputXGradient", "IntegratedGradients", "DeepLift", "GuidedBackprop", "Occlusion"):
        found, expected = explain(half, x, name), explain(model, x, name)["attribution"]
        assert found.attrs["half_precision"] == str(kind).removeprefix("torch.")
        np.testing.assert_allclose(found["attribution"], expected, rtol=0, atol=0.03 * float(abs(expected).max()))
    with pytest.raises(RefusedError, match=r"captum:LRP divides by sums.*attrkit\.to_float32\(model\)"):
        explain(half, x, "LRP")
