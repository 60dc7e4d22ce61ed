"""Gradients by torch.compile: the same numbers, from a model that is left alone."""

import gc
import shutil
import weakref

import numpy as np
import pytest
import torch

import attrkit
from attrkit.adapters import base
from attrkit.adapters._pace import Pace, Plan
from tests.pytorch.test_streaming import Net


@pytest.fixture
def compiled(monkeypatch):
    """Make passes along a path begin with torch.compile, which else is tried after seconds of work."""

    class Compiled(Pace):
        def __init__(self, size, ways, **settings):
            super().__init__(size, ways, **settings)
            if "inductor" in ways:
                self.best = Plan("inductor", size)
                used.append(self)

    used = []
    monkeypatch.setattr(base, "Pace", Compiled)
    return used


def test_a_compiled_model_gives_the_same_gradients_and_is_let_go(compiled):
    assert shutil.which("g++") or shutil.which("clang++"), "this lane needs a C++ compiler"
    torch.manual_seed(0)
    net = Net().train()
    x = np.random.default_rng(0).standard_normal((5, 6, 3)).astype("float32")
    ask = {"target": 1, "n_steps": 4, "show_progress": False}
    # Another thread may train what is in training mode, and a compiled pass sets what it would see.
    attrkit.extract(net, x, "integrated_gradients", **ask)
    assert not compiled
    net.eval()
    found = attrkit.extract(net, x, "integrated_gradients", **ask)
    assert len(compiled) == 1
    assert all(parameter.requires_grad for parameter in net.parameters())
    with torch.no_grad():
        net.head.weight *= 2
    again = attrkit.extract(net, x, "integrated_gradients", **ask)
    # With a size that is given nothing is tried, and nothing compiled.
    plain = attrkit.extract(net, x, "integrated_gradients", batch_size=8, **ask)
    np.testing.assert_allclose(again["attribution"], plain["attribution"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(2 * found["attribution"], plain["attribution"], rtol=1e-4, atol=1e-6)
    kept = weakref.ref(net)
    del net
    gc.collect()
    assert kept() is None


def test_what_cannot_be_looked_into_when_compiled_is_not(compiled):
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(18, 2), torch.nn.Softmax(dim=1))
    x = np.random.default_rng(0).standard_normal((5, 6, 3)).astype("float32")
    attrkit.extract(net, x, "gradient", target=1, logits=True, show_progress=False)
    ids = np.arange(10).reshape(2, 5)
    embedded = torch.nn.Sequential(torch.nn.Embedding(10, 3), torch.nn.Flatten(), torch.nn.Linear(15, 1))
    attrkit.extract(embedded, ids, "gradient", show_progress=False)
    assert not compiled
