"""Torch modules, chunk by chunk: equal to all at once; other weights are another question."""

import numpy as np
import pytest
import torch
import xarray as xr

import attrkit
from attrkit.errors import StoreError
from tests.streaming.common import alike

ASK = {"target": 1, "batch_size": 16, "show_progress": False}


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = torch.nn.LSTM(3, 4, batch_first=True), torch.nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.body(x)[0][:, -1])


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net()


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((40, 6, 3)).astype("float32")


@pytest.mark.parametrize(
    ("method", "options"),
    [("gradient", {}), ("integrated_gradients", {"n_steps": 16}), ("smoothgrad", {"n_samples": 3}), ("lrp", {})],
)
def test_chunks_are_what_all_at_once_is(method, options, net, x, tmp_path):
    whole = attrkit.extract(net, x, method, **ASK, **options)
    batches = (x[i : i + 9] for i in range(0, 40, 9))
    streamed = attrkit.extract(net, batches, method, **ASK, **options, store=tmp_path / "out.zarr", chunk_size=16)
    xr.testing.assert_allclose(alike(streamed), alike(whole), rtol=1e-5, atol=1e-7)


def test_other_weights_are_another_question(net, x, tmp_path):
    store = tmp_path / "out.zarr"
    first = attrkit.extract(net, x, "gradient", **ASK, store=store)
    again = attrkit.extract(net, x, "gradient", **ASK, store=store)
    xr.testing.assert_identical(first, again)
    with torch.no_grad():
        net.head.bias += 1e-3
    with pytest.raises(StoreError, match=r"model\.weights is"):
        attrkit.extract(net, x, "gradient", **ASK, store=store)
