"""What modules hold: tied and frozen parameters, averages, parametrizations, models of transformers."""

import numpy as np
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

import attrkit


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.one, self.norm, self.other = nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3)
        self.other.weight = self.one.weight
        self.other.bias.requires_grad_(False)
        nn.utils.parametrizations.weight_norm(self.other, "bias", dim=None)

    def forward(self, x):
        return self.other(self.norm(self.one(x.mean(1) * self.scale)))


def test_tied_arrays_are_there_once(x):
    model = Tied().eval()
    adapter = attrkit.adapt(model)
    found = adapter.parameters()
    split = [f"other.parametrizations.bias.original{i}" for i in (0, 1)]
    assert list(found) == ["scale", "one.weight", "one.bias", "norm.weight", "norm.bias", *split]
    state = adapter.state()
    assert set(state) - set(found) == {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked"}
    versions = {name: p._version for name, p in model.named_parameters()}
    with adapter.state_kept():
        model.train()(torch.tensor(x))
        adapter.assign({"one.weight": np.zeros((3, 3))})
        np.testing.assert_array_equal(model.other.weight.detach(), 0)
    for name, values in adapter.state().items():
        np.testing.assert_array_equal(values, state[name])
        assert values.dtype == state[name].dtype
    # What was not changed is not written either.
    assert {n for n, p in model.named_parameters() if p._version != versions[n]} == {"one.weight"}


def test_frozen_arrays_and_arrays_in_half_precision(x):
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).to(torch.bfloat16).eval()
    model[0].requires_grad_(False)
    adapter = attrkit.adapt(model)
    assert [one.frozen for one in adapter.parameters().values()] == [True, True, False, False]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with adapter.state_kept(), torch.inference_mode():
        adapter.assign({name: 3 * values for name, values in adapter.state().items()})
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


def test_models_of_transformers(x):
    sizes = {"vocab_size": 16, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2}
    config = BertConfig(**sizes, num_attention_heads=2, num_labels=3)
    model = BertForSequenceClassification(config).eval()
    adapter = attrkit.adapt(model)
    assert {name for name, _ in model.named_parameters()} == set(adapter.parameters())
    assert "bert.encoder.layer.1.attention.self.query" in {one.layer for one in adapter.parameters().values()}
