"""Modules whose weights are in single precision and that compute in half of it, under ``torch.autocast``."""

import numpy as np
import pytest
import torch
from torch import nn

import attrkit
from attrkit.errors import RefusedError

QUIET = {"show_progress": False}
# That two digits are kept is warned about.
pytestmark = pytest.mark.filterwarnings("ignore::attrkit.errors.AttrkitWarning")


class Net(nn.Module):
    """A net that may enter autocast by itself, as training scripts write it."""

    def __init__(self, enters):
        super().__init__()
        torch.manual_seed(4)
        self.enters, self.lstm, self.head = enters, nn.LSTM(3, 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16, enabled=self.enters or torch.is_autocast_enabled("cpu")):
            out = self.head(self.lstm(x)[0].mean(1))
        return out.float()


def autocast():
    return torch.autocast("cpu", torch.bfloat16)


@pytest.fixture(params=["in the model", "around the call"])
def case(request):
    """A net, its twin without autocast, and what is around the call."""
    inside = request.param == "in the model"
    net, twin = Net(inside).eval(), Net(False).eval()
    twin.load_state_dict(net.state_dict())
    around = torch.autocast("cpu", torch.bfloat16, enabled=not inside)
    return net, twin, around


@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "smoothgrad", "occlusion"])
def test_what_is_found_is_that_of_single_precision(case, x, method):
    net, twin, around = case
    options = {"target": 1, **QUIET, **({} if method == "occlusion" else {"batch_size": 4})}
    expected = attrkit.extract(twin, x, method, **options)
    assert "half_precision" not in expected.attrs
    with around:
        ds = attrkit.extract(net, x, method, **options)
        assert torch.is_autocast_enabled("cpu") == around._enabled
    assert ds.attrs["half_precision"] == "bfloat16"
    assert ds["attribution"].dtype == ds["prediction"].dtype == "float32"
    difference = np.abs(ds["attribution"] - expected["attribution"]).max()
    assert 0 < difference <= 0.06 * np.abs(expected["attribution"]).max()


def test_relevance_is_refused_and_found_without(case, x):
    net, _, around = case
    with around, pytest.raises(RefusedError, match=r"outside of torch\.autocast"):
        attrkit.extract(net, x, "lrp", target=1, **QUIET)
    net.enters = False
    ds = attrkit.extract(net, x, "lrp", target=1, **QUIET)
    np.testing.assert_allclose(ds["completeness_gap"], 0, atol=1e-5)


def test_inputs_in_half_precision(x):
    net = Net(False).eval()
    given = torch.tensor(x)
    for dtype in (torch.bfloat16, torch.float16):
        ds = attrkit.extract(net, given.to(dtype), "gradient", target=0, **QUIET)
        assert ds["input"].dtype == "float32"
        np.testing.assert_array_equal(ds["input"], given.to(dtype).float())
