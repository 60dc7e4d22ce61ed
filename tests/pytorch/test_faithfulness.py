"""Faithfulness of a torch module, against pixel flipping of Quantus."""

from importlib import import_module

import numpy as np
import torch

import attrkit
from attrkit.engines.zennit._rooms import load
from attrkit.metrics import faithfulness

# Quantus imports zennit, which this imports without the torchvision that it asks for.
load("zennit")
quantus = import_module("quantus")


class Net(torch.nn.Module):
    """Classes of one channel over ten timesteps, in whichever order it takes its axes."""

    def __init__(self, channels_first):
        super().__init__()
        torch.manual_seed(0)
        self.channels_first = channels_first
        self.layers = torch.nn.Sequential(torch.nn.Linear(10, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))

    def forward(self, x):
        return torch.softmax(self.layers(x[:, 0] if self.channels_first else x[..., 0]), dim=-1)


def test_deletion_is_pixel_flipping():
    rng = np.random.default_rng(0)
    x, scores = (rng.standard_normal((4, 10, 1)).astype("float32") for _ in range(2))
    first = Net(channels_first=True).eval()
    given = {"x_batch": x.swapaxes(1, 2), "a_batch": scores.swapaxes(1, 2)}
    y = first(torch.tensor(given["x_batch"])).argmax(dim=-1).numpy()
    flipping = quantus.PixelFlipping(
        features_in_step=1, perturb_baseline=0.0, abs=False, normalise=False, disable_warnings=True
    )
    expected = np.array(flipping(model=first, y_batch=y, softmax=False, device="cpu", **given))
    tree = attrkit.from_arrays({"mine": scores[..., 0]}, inputs=x)
    options = {"operator": "zero", "target": "predicted", "n_removed": range(1, 11), "show_progress": False}
    ds = faithfulness(Net(channels_first=False).eval(), tree, **options)
    found = ds["deletion"].sel(extractor="mine", order="most_relevant_first").isel(n_removed=slice(1, None))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_array_equal(ds["predicted"], y)
