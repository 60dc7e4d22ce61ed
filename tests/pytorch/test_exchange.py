"""What Captum itself returns, read as it comes: tensors, tuples, convergence deltas, channels first."""

import numpy as np
import pytest
import torch
from captum import attr
from torch import nn

import attrkit
from attrkit.errors import InputError

FIRST = ("sample", "channel", "timestep")


class Convolutions(nn.Module):
    """Takes channels first."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv1d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(24, 2))

    def forward(self, x):
        return self.net(x)


class Last(nn.Module):
    """The same net behind an input of (sample, timestep, channel)."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x.transpose(1, 2))


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.memory, self.out = nn.GRU(3, 5, batch_first=True), nn.Linear(7, 1)

    def forward(self, series, static):
        return self.out(torch.cat([self.memory(series)[0][:, -1], static], 1)).tanh()


@pytest.fixture
def net():
    return Convolutions().double().eval()


@pytest.fixture
def x():
    return torch.randn(4, 3, 8, dtype=torch.float64)


def test_integrated_gradients_of_captum_are_those_of_attrkit(net, x):
    found = attr.IntegratedGradients(net).attribute(x, target=1, n_steps=200, return_convergence_delta=True)
    ds = attrkit.from_arrays({"captum": found}, inputs=x, target=1, dims=FIRST)["captum"]
    own = attrkit.extract(
        Last(net).eval(),
        x.transpose(1, 2).numpy(),
        "integrated_gradients",
        target=1,
        n_steps=200,
        show_progress=False,
    )
    np.testing.assert_allclose(ds["attribution"].values, own["attribution"].values, atol=1e-6)
    np.testing.assert_array_equal(ds["input"].values, own["input"].values)
    np.testing.assert_array_equal(ds["target"].values, own["target"].values)


def test_the_delta_of_captum_is_the_gap_with_its_sign(net, x):
    # So few steps that the gap is not rounding.
    found = attr.IntegratedGradients(net).attribute(x, target=1, n_steps=1, return_convergence_delta=True)
    ds = attrkit.from_arrays({"captum": found}, inputs=x, dims=FIRST)["captum"]
    with torch.no_grad():
        change = (net(x) - net(0 * x))[:, 1].numpy()
    gap = ds["attribution"].sum(("timestep", "channel")).values - change
    assert abs(gap).max() > 1e-3
    np.testing.assert_allclose(ds["completeness_gap"].values, gap, atol=1e-12)


def test_the_delta_of_captums_lrp_has_the_other_sign():
    """As docs/exchange.rst says; when this fails Captum has changed it."""
    net = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 1))
    x = torch.randn(5, 6)
    relevance, delta = attr.LRP(net).attribute(x, target=0, return_convergence_delta=True)
    gap = (relevance.sum(1) - net(x)[:, 0]).detach()
    assert gap.abs().max() > 1e-3
    torch.testing.assert_close(delta, -gap)
    ds = attrkit.from_arrays({"lrp": (relevance, -delta)}, inputs=x)["lrp"]
    np.testing.assert_allclose(ds["completeness_gap"].values, gap.numpy(), atol=1e-6)


def test_several_inputs_are_named_as_the_inputs_are(tmp_path):
    model = TwoInputs().eval()
    series, static = torch.randn(4, 6, 3), torch.randn(4, 2)
    found = attr.IntegratedGradients(model).attribute((series, static), target=0, return_convergence_delta=True)
    given = {"series": series, "static": static}
    tree = attrkit.from_arrays({"ig": found, "ig without delta": found[0]}, inputs=given, target=0)
    np.testing.assert_array_equal(tree["ig"]["attribution"].values, found[0][0].detach().numpy())
    np.testing.assert_array_equal(tree["ig"]["attribution_static"].values, found[0][1].detach().numpy())
    np.testing.assert_array_equal(tree["ig"]["completeness_gap"].values, found[1].detach().numpy())
    own = attrkit.extract(
        model,
        {name: values.numpy() for name, values in given.items()},
        "integrated_gradients",
        target=0,
        show_progress=False,
    )
    for name in ("attribution", "attribution_static", "input", "input_static"):
        np.testing.assert_allclose(tree["ig"][name].values, own[name].values, atol=1e-5)
        assert tree["ig"][name].dims == own[name].dims
    assert attrkit.load(attrkit.save(tree, tmp_path / "run.zarr")).identical(tree)


@pytest.mark.parametrize("name", ["GradientShap", "DeepLiftShap"])
def test_a_delta_for_every_draw_is_refused_and_its_mean_is_taken(net, x, name):
    baselines = torch.randn(3, 3, 8, dtype=torch.float64)
    options = {"n_samples": 5, "stdevs": 0.0} if name == "GradientShap" else {}
    values, delta = getattr(attr, name)(net).attribute(x, baselines, target=0, return_convergence_delta=True, **options)
    with pytest.raises(InputError, match=f"has {len(delta)} values for 4 samples"):
        attrkit.from_arrays({"a": (values, delta)}, inputs=x, dims=FIRST)
    pair = (values, delta.reshape(4, -1).mean(1))
    ds = attrkit.from_arrays({"a": pair}, inputs=x, dims=FIRST)["a"]
    if name == "DeepLiftShap":
        change = (net(x) - net(baselines).mean(0))[:, 0].detach().numpy()
        sums = ds["attribution"].sum(("timestep", "channel")).values
        np.testing.assert_allclose(ds["completeness_gap"].values, sums - change, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_tensors_come_in_any_precision_and_with_a_graph(dtype):
    values = torch.randn(2, 5, 3).to(dtype).requires_grad_()
    ds = attrkit.from_arrays({"a": 2 * values}, inputs=values)["a"]
    np.testing.assert_array_equal(ds["attribution"].values, (2 * values).detach().double().numpy())
    assert ds["attribution"].dtype == (np.float32 if dtype is torch.bfloat16 else np.dtype(str(dtype)[6:]))
    assert values.requires_grad
    assert values.dtype == dtype


def test_targets_may_be_tensors(net, x):
    at = torch.tensor([0, 1, 1, 0])
    values = attr.InputXGradient(net).attribute(x.requires_grad_(), target=at)
    ds = attrkit.from_arrays({"a": values}, inputs=x, target=at, dims=FIRST)["a"].to_dataset()
    assert ds["target"].values.tolist() == [0, 1, 1, 0]
    given = attrkit.to_quantus(ds, dims=FIRST)
    np.testing.assert_array_equal(given["a_batch"], values.detach().numpy())
    np.testing.assert_array_equal(given["y_batch"], at.numpy())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_tensors_on_a_device_are_brought_back():
    values = torch.randn(2, 5, 3, device="cuda")
    ds = attrkit.from_arrays({"a": (values, values[:, 0, 0])}, inputs=values)["a"]
    np.testing.assert_array_equal(ds["attribution"].values, values.cpu().numpy())
