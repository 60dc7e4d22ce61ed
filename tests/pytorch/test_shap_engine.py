"""SHAP's explainers on torch: gradients behind a module, noise, and what DeepExplainer takes for right."""

import copy
import warnings

import numpy as np
import pytest
import shap
import torch
from torch import nn

import attrkit
from attrkit.errors import RefusedError

pytestmark = pytest.mark.filterwarnings("ignore::attrkit.errors.CompletenessWarning")


class Last(nn.Module):
    def forward(self, returned):
        return returned[0][:, -1]


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Linear(2, 4), nn.Linear(4, 1)
        self.attend = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        hidden = self.embed(x)
        return self.head(self.attend(hidden, hidden, hidden)[0].mean(1))


class Two(nn.Module):
    """Two sequences, of which one is static."""

    def __init__(self):
        super().__init__()
        self.recurrent, self.head = nn.LSTM(2, 4, batch_first=True), nn.Linear(6, 2)

    def forward(self, series, static):
        return torch.tanh(self.head(torch.cat([self.recurrent(series)[0][:, -1], static], 1)))


@pytest.fixture
def x():
    """Three samples of 4 timesteps and 2 channels."""
    return np.random.default_rng(3).standard_normal((3, 4, 2))


@pytest.fixture
def background():
    """Five rows to compare with."""
    return np.random.default_rng(4).standard_normal((5, 4, 2))


def explain(model, x, name, **options):
    return attrkit.extract(model, x, f"shap:{name}Explainer", **{"target": 0, "show_progress": False, **options})


def seed_of(sample, seed=0):
    return int(np.random.SeedSequence([seed, sample]).generate_state(1)[0])


def recurrent(kind):
    torch.manual_seed(0)
    return nn.Sequential(getattr(nn, kind)(2, 4, batch_first=True), Last(), nn.Linear(4, 1))


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_expected_gradients_run_by_hand(x, background, kind, smoothing):
    model, x, background = recurrent(kind).eval(), x.astype("float32"), background.astype("float32")
    options = {"background": background, "nsamples": 60, "local_smoothing": smoothing}
    state = torch.get_rng_state()
    ds = explain(model, x, "Gradient", **options)
    np.testing.assert_array_equal(torch.get_rng_state(), state)
    explainer = shap.GradientExplainer(model, torch.tensor(background), local_smoothing=smoothing)
    for i in range(3):
        # Its noise is drawn from torch's generator, which rseed does not seed.
        torch.manual_seed(seed_of(i))
        by_hand = explainer.shap_values(torch.tensor(x[i : i + 1]), nsamples=60, rseed=seed_of(i))[..., 0]
        np.testing.assert_allclose(ds["attribution"][i], by_hand[0], atol=1e-6)
    alone = explain(model, x[:2], "Gradient", batch_size=7, **options)
    np.testing.assert_allclose(alone["attribution"], ds["attribution"][:2], atol=1e-6)
    other = explain(model, x, "Gradient", seed=1, **options)
    assert float(abs(other["attribution"] - ds["attribution"]).max()) > 1e-4


def test_a_linear_model_has_one_answer(x):
    model = nn.Sequential(nn.Flatten(), nn.Linear(8, 2)).double()
    weights = model[1].weight[0].detach().numpy().reshape(4, 2)
    ds = explain(model, x, "Gradient", baseline=0.3, nsamples=3)
    assert ds["attribution"].dtype == "float64"
    np.testing.assert_allclose(ds["attribution"], weights * (x - 0.3), atol=1e-6)
    np.testing.assert_allclose(ds["completeness_gap"], 0, atol=1e-6)


def test_two_inputs_and_a_model_left_as_it_was(x, background):
    torch.manual_seed(0)
    model = Two().double().train()
    next(model.parameters()).requires_grad_(False)
    inputs = {"series": x, "static": x[:, 0]}
    rows = {"series": background, "static": background[:, 0]}
    with torch.inference_mode():
        ds = explain(model, inputs, "Gradient", background=rows, nsamples=400)
    assert all(module.training for module in model.modules())
    assert [p.requires_grad for p in model.parameters()].count(False) == 1
    assert ds["attribution_static"].dims == ("sample", "channel_static")
    np.testing.assert_allclose(ds["completeness_gap"], 0, atol=0.15)
    kernel = explain(model, inputs, "Kernel", background=rows, feature_mask="timestep")
    np.testing.assert_allclose(kernel["completeness_gap"], 0, atol=1e-12)


def test_padding_is_not_moved(x, background):
    mask = np.arange(4)[None] < np.array([4, 3, 1])[:, None]
    x = np.where(mask[..., None], x, -10.3)
    model = recurrent("GRU").double()
    for name, options in (("Gradient", {"local_smoothing": 0.1}), ("Kernel", {}), ("Partition", {})):
        ds = explain(model, x, name, mask=mask, background=background, **options)
        np.testing.assert_array_equal(ds["attribution"].values[~mask], 0)
        assert (ds["attribution"].values[mask] != 0).all()


def test_deep_explainer_is_refused_with_reason(x, background):
    """What it gives for attention misses most of the change in an output of small units, and passes its own check."""
    torch.manual_seed(0)
    model = Attention().eval()
    with torch.no_grad():
        model.head.weight.mul_(0.05)
    x, rows = torch.tensor(x, dtype=torch.float32), torch.tensor(background, dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = shap.DeepExplainer(model, rows).shap_values(x, check_additivity=True)
    with torch.no_grad():
        change = (model(x)[:, 0] - model(rows).mean()).numpy()
    missed = abs(found.reshape(3, -1).sum(1) - change) / abs(change)
    assert missed.max() > 0.1
    with pytest.raises(RefusedError, match="on torch it passes their plain gradient on"):
        explain(model, x.numpy(), "Deep", target=0)


@pytest.mark.parametrize("name", ["Permutation", "Gradient"])
def test_modules_in_half_precision(x, name):
    model = nn.Sequential(nn.Flatten(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 1))
    expected = explain(model, x, name)["attribution"]
    found = explain(copy.deepcopy(model).bfloat16(), x, name)["attribution"]
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.03 * float(abs(expected).max()))
