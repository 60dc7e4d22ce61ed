"""Metrics of Quantus itself, on what `to_quantus` writes."""

from importlib import import_module

import numpy as np
import pytest
import torch

import attrkit
from attrkit.engines.zennit._rooms import load

# Quantus imports zennit, which this imports without the torchvision that it asks for.
load("zennit")
quantus = import_module("quantus")

LAST, FIRST = ("sample", "timestep", "channel"), ("sample", "channel", "timestep")


class Linear(torch.nn.Module):
    """Its exact attribution is input times weight, in whichever order it takes its axes."""

    def __init__(self, weights, *, channels_first):
        super().__init__()
        self.channels_first, self.weights = channels_first, torch.nn.Parameter(torch.tensor(weights))

    def forward(self, x):
        return (x.transpose(1, 2) if self.channels_first else x).flatten(1) @ self.weights


@pytest.mark.parametrize("shape", [(7, 4), (5, 5)], ids=str)
@pytest.mark.parametrize("dims", [LAST, FIRST], ids=["channels last", "channels first"])
def test_exact_attributions_have_the_scores_of_exact_ones(shape, dims):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, *shape)).astype("float32"), [0, 1, 1, 0]
    weights = rng.normal(size=(shape[0] * shape[1], 2)).astype("float32")
    exact = x * weights[:, y].T.reshape(x.shape)
    ds = attrkit.from_arrays({"exact": exact}, inputs=x, target=y)["exact"].to_dataset()
    model = Linear(weights, channels_first=dims == FIRST).eval()
    given = attrkit.to_quantus(ds, dims=dims, channel_first=True)
    plain = {"abs": False, "normalise": False, "disable_warnings": True}
    faithful = quantus.FaithfulnessCorrelation(
        nr_runs=30, subset_size=2, perturb_baseline=0.0, return_aggregate=False, **plain
    )
    np.testing.assert_allclose(faithful(model=model, **given), 1, atol=1e-4)
    # Sparseness is the Gini index of absolute values, whatever their order.
    sorted_ = np.sort(abs(exact.reshape(4, -1)).astype(float), axis=1)
    rank = np.arange(1, sorted_.shape[1] + 1)
    gini = ((2 * rank - sorted_.shape[1] - 1) * sorted_).sum(1) / (sorted_.shape[1] * sorted_.sum(1))
    for channel_first in (True, False):
        written = attrkit.to_quantus(ds, dims=dims, channel_first=channel_first)
        sparse = quantus.Sparseness(abs=True, normalise=False, disable_warnings=True)
        np.testing.assert_allclose(sparse(model=None, **written), gini, atol=1e-4)


def test_channels_last_beside_channel_first_false_is_what_quantus_refuses_or_misreads():
    """Why `to_quantus` turns a_batch: Quantus 0.6 moves x_batch alone."""
    sparse = quantus.Sparseness(disable_warnings=True)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 5, 3)), np.zeros(2, int)
    with pytest.raises(AssertionError, match="should correspond"):
        sparse(model=None, x_batch=x, y_batch=y, a_batch=x, channel_first=False)
    sparse(model=None, x_batch=x[:, :3], y_batch=y, a_batch=x[:, :3], channel_first=False)
