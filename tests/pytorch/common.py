"""What the tests of relevance share: models made of a function, and the check of the ledger."""

import numpy as np
import torch
from torch import nn

import attrkit


class Written(nn.Module):
    """What a function computes with some modules."""

    def __init__(self, function, **modules):
        super().__init__()
        self.function = function
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x):
        return self.function(self, x)


def drawn(model):
    """Return a model in float64, with weights and biases that are none of them zero."""
    model = model.double()
    rng = np.random.default_rng(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.tensor(0.7 * rng.standard_normal(parameter.shape)))
    return model.eval()


def arrays(module):
    return [parameter.detach().numpy() for parameter in module.parameters()]


def lrp(model, x, **options):
    return attrkit.extract(model, x, "lrp", **{"target": 0, "show_progress": False, **options})


def conserved(model, x, tolerance=1e-5, **options):
    """Relevance and ledger sum to the output, and the ledger is kept for each sample."""
    ds = lrp(model, x, **options)
    scale = max(float(abs(ds["prediction"]).max()), float(abs(ds["attribution"]).sum(["timestep", "channel"]).max()))
    assert float(abs(ds["completeness_gap"]).max()) <= tolerance * scale
    assert float(abs(ds["attribution"]).max()) > 0
    one = lrp(model, x[1:2], **options)
    for name in ("attribution", "bias_relevance", "epsilon_relevance"):
        np.testing.assert_allclose(one[name][0], ds[name][1], rtol=0, atol=50 * tolerance * scale)
    return ds
