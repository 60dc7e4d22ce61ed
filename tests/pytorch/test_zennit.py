"""The same numbers as zennit's rules on a convolutional net."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from attrkit.engines.zennit import _rooms
from attrkit.relevance import COMPOSITES, AlphaBeta, Epsilon, Flat, Gamma, WSquare, ZBox, ZPlus
from tests.pytorch.common import drawn, lrp
from tests.relevance.common import inputs

EPSILON = 1e-6


@pytest.fixture(scope="module")
def zennit_rules():
    _rooms.load("zennit:EpsilonPlus")
    return _rooms.room("rules")


RULES = {
    "z": (Epsilon(0.0), lambda rules: rules.Epsilon(1e-12)),
    "epsilon": (Epsilon(0.1), lambda rules: rules.Epsilon(0.1)),
    "z_plus": (ZPlus(EPSILON), lambda rules: rules.ZPlus(EPSILON)),
    "alpha_2_beta_1": (AlphaBeta(2, 1, epsilon=EPSILON), lambda rules: rules.AlphaBeta(2.0, 1.0, EPSILON)),
    "gamma": (Gamma(0.25, epsilon=EPSILON), lambda rules: rules.Gamma(0.25, EPSILON)),
}
FIRST = {
    "flat": (Flat(), lambda rules: rules.Flat(1e-12)),
    "w_square": (WSquare(), lambda rules: rules.WSquare(1e-12, zero_params="bias")),
    "z_box": (ZBox(-4.0, 4.0, epsilon=EPSILON), lambda rules: rules.ZBox(-4.0, 4.0, EPSILON, zero_params="bias")),
}


def _net():
    return drawn(
        nn.Sequential(
            *(nn.Conv1d(7, 6, 2), nn.ReLU(), nn.MaxPool1d(2, stride=1), nn.Flatten()),
            *(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2)),
        )
    )


def _by_zennit(rules, net, x, rule, first):
    """Return relevance by hooks on a net: `first` for the convolution, `rule` for other weights."""
    hooks = []
    for module in net:
        if isinstance(module, nn.ReLU | nn.Tanh):
            hooks.append(rules.Pass().register(module))
        elif isinstance(module, nn.Conv1d | nn.Linear):
            hooks.append((first if isinstance(module, nn.Conv1d) else rule)(rules).register(module))
    try:
        given = torch.tensor(x, requires_grad=True)
        output = net(given)
        # zennit is given relevance, where a gradient is one.
        (found,) = torch.autograd.grad(output, given, torch.stack([torch.zeros(len(x)), output[:, 1].detach()], -1))
    finally:
        for hook in hooks:
            hook.remove()
    return found.numpy()


@pytest.mark.parametrize("name", [*RULES, *FIRST])
def test_relevance_is_that_of_zennit(zennit_rules, name):
    x, net = inputs("float64", (16, 7, 3)), _net()
    own, other = RULES.get(name, RULES["epsilon"])
    own_first, other_first = FIRST.get(name, (None, other))
    composite = replace(COMPOSITES["z"], kernel=own, first=own_first)
    expected = _by_zennit(zennit_rules, net, x, other, other_first)
    found = lrp(net, x, composite=composite, target=1)["attribution"].values
    size = np.abs(expected).max(axis=(1, 2), keepdims=True)
    np.testing.assert_array_less(1e-4, np.abs(size))
    np.testing.assert_allclose(found / size, expected / size, atol=1e-9)
