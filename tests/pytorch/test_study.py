"""A study of torch modules: the whole of it, on weights of nn.MultiheadAttention."""

import numpy as np
import torch
from torch import nn

import attrkit


class Steps(nn.Module):
    """Attention over timesteps, then their mean."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.GRU(2, 8, batch_first=True)
        self.attention = nn.MultiheadAttention(8, 1, batch_first=True)
        self.classes = nn.Linear(8, 2)

    def forward(self, x):
        hidden, _ = self.encoder(x)
        found, _ = self.attention(hidden, hidden, hidden, need_weights=False)
        return self.classes(found.mean(1)).softmax(-1)


def train(x, y, seed):
    torch.manual_seed(seed)
    model, x, y = Steps(), torch.tensor(x), torch.tensor(y)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.nll_loss(model(x).log(), y).backward()
        optimizer.step()
    return model.eval()


def test_every_test_of_a_study_holds_for_torch(tmp_path):
    rng = np.random.default_rng(0)
    data = []
    for _ in range(2):
        x = rng.standard_normal((60, 6, 2)).astype("float32")
        data.append((x, (x[:, 2:4, 0].sum(1) > 0).astype(int)))
    tests = {
        "agreement": {},
        "permutation": {"n_permutations": 4},
        "adversarial": {"n_steps": 10, "n_starts": 1},
        "uniform_training": {},
        "adversarial_training": {"lambdas": [0.0, 0.1], "epochs": 2},
        "diagnostic": {"max_iterations": 200},
        "faithfulness": {"shares": [0.2, 0.5], "n_random": 2},
        "parameter_randomisation": {"how": ["cascading"]},
        "data_randomisation": {},
        "seed_variance": {},
    }
    asked = {"seeds": [0, 1], "n_samples": 12, "tests": tests, "attention": "mean", "show_progress": False}
    tree = attrkit.study(train, data, store=tmp_path / "s.zarr", **asked)
    steps = tree["steps"].to_dataset()
    assert not steps["refused"].astype(bool).any(), steps["refused"].values
    assert tree["model"]["passed"].all()
    assert set(tests) < set(tree.children)
    for name in tests:
        values = [array for array in tree[name].data_vars.values() if "sample" in array.dims]
        assert values, name
    assert (tree["adversarial"]["output_change"] <= 0.01).all()
    # Adversaries' weights for the samples that a model without context is trained on, one a timestep.
    adversaries, given = tree["adversarial_training"]["train_weight"], tree["diagnostic"]["correct"]
    assert dict(adversaries.sizes) == {"seed": 2, "lambda_": 2, "train_sample": 60, "timestep": 6}
    np.testing.assert_allclose(adversaries.sum("timestep"), 1, atol=1e-5)
    assert given["attention"].values.tolist() == ["model", "adversary 0", "adversary 0.1", "uniform", "learned"]
    # Queries, keys and values are drawn too.
    layers = tree["parameter_randomisation"]["layer"].values.tolist()
    assert layers == ["classes", "attention.out_proj", "attention", "encoder"]
    assert (tree["parameter_randomisation"]["prediction_change"].sel(layer="attention") > 0).all()
