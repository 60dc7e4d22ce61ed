"""Groups of samples that toolkits are handed: halved where memory runs out."""

import numpy as np
import pytest
import torch
from torch import nn

import attrkit
from attrkit.errors import AttrkitError, AttrkitWarning
from tests.pytorch.common import drawn

pytestmark = pytest.mark.filterwarnings("ignore::attrkit.errors.CompletenessWarning")


class Hungry(nn.Module):
    """Asks torch for more memory than there is where rows are many."""

    def __init__(self, most):
        super().__init__()
        self.first, self.act, self.last = nn.Linear(24, 6), nn.ReLU(), nn.Linear(6, 2)
        self.most = most

    def forward(self, x):
        if len(x) > self.most:
            torch.empty(2**56)
        return self.last(self.act(self.first(x.flatten(1))))


@pytest.fixture
def x():
    """Seven samples of 8 timesteps and 3 channels."""
    return np.random.default_rng(3).standard_normal((7, 8, 3))


def explain(most, x, method, **options):
    return attrkit.extract(drawn(Hungry(most)), x, method, target=1, show_progress=False, **options)


# DeepLift runs samples beside their baselines, in groups of half a batch.
@pytest.mark.parametrize(("method", "most"), [("captum:DeepLift", 5), ("captum:LRP", 3), ("zennit:EpsilonPlus", 3)])
def test_groups_are_halved_where_memory_runs_out(x, method, most):
    expected = explain(10**6, x, method)
    batch_size = 8 if most == 5 else 4
    with pytest.warns(AttrkitWarning, match="batch_size=4 does not fit into memory; passes hold 2 rows"):
        found = explain(most, x, method, batch_size=batch_size)
    np.testing.assert_allclose(found["attribution"], expected["attribution"], rtol=1e-12)
    np.testing.assert_array_equal(found["sample"], expected["sample"])


def test_what_memory_does_not_hold_at_all_is_not_blamed_on_the_toolkit(x):
    with pytest.raises(RuntimeError, match="can't allocate memory") as raised:
        explain(1, x, "captum:DeepLift")
    assert not isinstance(raised.value, AttrkitError)
