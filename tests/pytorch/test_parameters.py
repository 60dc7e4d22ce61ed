"""What modules hold: tied and frozen parameters, averages, parametrizations, models of transformers."""

import numpy as np
import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

import attrkit
from attrkit.attention import find_readers
from attrkit.errors import RefusedError

SIZES = {"vocab_size": 16, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2, "num_labels": 3}
SIZES["num_attention_heads"] = 2


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


def test_models_of_transformers():
    model = BertForSequenceClassification(BertConfig(**SIZES)).eval()
    adapter = attrkit.adapt(model)
    assert {name for name, _ in model.named_parameters()} == set(adapter.parameters())
    assert "bert.encoder.layer.1.attention.self.query" in {one.layer for one in adapter.parameters().values()}


class Packed(nn.Module):
    def __init__(self):
        super().__init__()
        self.cells, self.head = nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True, dropout=0.5), nn.Linear(8, 2)

    def forward(self, x):
        packed = nn.utils.rnn.pack_padded_sequence(x, torch.full((len(x),), 9), batch_first=True)
        return self.head(nn.utils.rnn.pad_packed_sequence(self.cells(packed)[0], batch_first=True)[0].mean(1))


def encoder():
    layer = nn.TransformerEncoderLayer(3, 3, 5, dropout=0.1, batch_first=True)
    return nn.Sequential(nn.TransformerEncoder(layer, 2), nn.Flatten(), nn.Linear(36, 2))


@pytest.mark.parametrize("make", [Packed, encoder, Tied], ids=["packed", "encoder", "tied"])
def test_gradients_are_those_of_torch(x, make):
    model = make().double()
    x, cotangent = x.astype(float), np.random.default_rng(0).normal(size=(10, 3 if make is Tied else 2))
    adapter = attrkit.adapt(model).configured(batch_size=4)
    # In training mode as it came; no dropout is in the gradient.
    found = adapter.parameter_gradient(x, cotangent)
    assert model.training
    (model.eval()(torch.tensor(x)) * torch.tensor(cotangent)).sum().backward()
    learnt = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert set(found) == set(learnt)
    for name, parameter in learnt.items():
        np.testing.assert_allclose(found[name], parameter.grad.numpy(), atol=1e-12, err_msg=name)


def test_gradients_of_attention_weights_of_transformers():
    config = BertConfig(**SIZES, attn_implementation="sdpa")
    model = BertForSequenceClassification(config).double().eval()
    ids = np.random.default_rng(0).integers(1, 16, (3, 5))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(8)
    adapter = attrkit.adapt(model).configured()
    readers = find_readers(adapter.layers())
    cotangents = np.random.default_rng(1).normal(size=(2, 3, 2, 5, 5))
    given = {path: [{"attention": values}] for path, values in zip(readers, cotangents, strict=True)}
    found = adapter.parameter_gradient(ids, np.zeros((3, 3)), readers=readers, reading_cotangents=given)
    model.set_attn_implementation("eager")
    weights = model(torch.tensor(ids), output_attentions=True).attentions
    sum((own * torch.tensor(c)).sum() for own, c in zip(weights, cotangents, strict=True)).backward()
    for name, parameter in model.named_parameters():
        expected = 0 if parameter.grad is None else parameter.grad.numpy()
        np.testing.assert_allclose(found[name], expected + np.zeros(parameter.shape), atol=1e-10, err_msg=name)
    model.requires_grad_(False)
    with pytest.raises(RefusedError, match="no parameters that are not frozen"):
        adapter.parameter_gradient(ids, np.zeros((3, 3)))


class Backwards(nn.Module):
    """Layers are held in another order than they are called in."""

    def __init__(self):
        super().__init__()
        self.head, self.encoder = nn.Linear(6, 2), nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)
        self.cells, self.scale = nn.GRU(3, 6, batch_first=True), nn.Parameter(torch.ones(3))

    def forward(self, x):
        return self.head(self.encoder(self.cells(x * self.scale)[0]).mean(1))


def test_a_cascade_reaches_queries_keys_and_recurrent_weights(x):
    model = Backwards().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    before, states = {n: p.detach().clone() for n, p in model.named_parameters()}, []

    def spy(adapter, x, target):
        states.append(adapter.state())
        return np.broadcast_to(np.arange(12.0), x.shape[:2])

    found = attrkit.metrics.parameter_randomisation(model, x, [spy], target=0, show_progress=False)
    # Of the attention, whose output layer is not called but used, all stands together.
    inside = ["self_attn", "self_attn.out_proj", "norm1", "linear1", "linear2", "norm2"]
    assert found["layer"].values.tolist() == ["head", *(f"encoder.{name}" for name in inside[::-1]), "cells", ""]
    assert all((states[-1][name] != values.numpy()).all() for name, values in before.items())
    assert (found["prediction_change"] > 0).all()
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]), name
