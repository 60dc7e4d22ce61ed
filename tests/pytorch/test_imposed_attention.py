"""Weights of one's own in attention modules of torch: their own give what the model gives, others what they define."""

import numpy as np
import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2Model

import attrkit
from attrkit.attention.impose import explain_weights, find_imposers, hold_weights
from attrkit.errors import RefusedError
from tests.imposed import weights_of


class Heads(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, **options)
        self.inside, self.head = nn.Linear(3, 6), nn.Linear(6, 2)

    def forward(self, x):
        hidden = self.inside(x)
        if not self.attention.batch_first:
            hidden = hidden.transpose(0, 1)
        found = self.attention(hidden, hidden, hidden, need_weights=False)[0]
        return self.head(found.mean(1 if self.attention.batch_first else 0))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)
        self.inside, self.encoder, self.head = nn.Linear(3, 6), nn.TransformerEncoder(layer, 1), nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.encoder(self.inside(x)).mean(1))


KINDS = {
    "heads": lambda: Heads(batch_first=True),
    "timesteps first": lambda: Heads(batch_first=False),
    "no bias": lambda: Heads(batch_first=True, bias=False),
    "other keys": lambda: Heads(batch_first=True, kdim=6, vdim=6),
    "encoder": Encoder,
}


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_a_layers_own_weights_give_the_models_own_output(x, kind):
    torch.manual_seed(0)
    model = KINDS[kind]().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.7)
        expected = model(torch.tensor(x)).numpy()
    adapter, path, weights = weights_of(model, x)
    np.testing.assert_allclose(hold_weights(adapter, {path: weights}).predict(x), expected, atol=1e-5)
    asked = explain_weights(adapter, x, path)
    np.testing.assert_allclose(asked.predict(weights), expected, atol=1e-5)
    other = np.roll(weights, 1, axis=-1)
    moved = hold_weights(adapter, {path: other}).predict(x)
    assert np.abs(moved - expected).max() > 1e-3
    # The gradient leads from the one to the other, as far as a small step goes.
    target = np.zeros(len(x), int)
    slope = asked.path_gradient(weights, target)
    step = 1e-3 * (other - weights)
    change = asked.predict(weights + step)[:, 0] - expected[:, 0]
    np.testing.assert_allclose((slope * step).sum((1, 2, 3)), change, atol=2e-5)


def bert():
    config = BertConfig(
        vocab_size=30,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=8,
        num_labels=2,
        initializer_range=0.7,
    )
    return BertForSequenceClassification(config).eval()


def gpt2():
    return GPT2Model(
        GPT2Config(vocab_size=30, n_embd=8, n_layer=2, n_head=2, n_positions=16, initializer_range=0.7)
    ).eval()


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
@pytest.mark.parametrize("make", [bert, gpt2])
def test_transformers(make):
    torch.manual_seed(0)
    model = make()
    ids = np.random.default_rng(0).integers(1, 30, (5, 7))
    adapter = attrkit.adapt(model)
    ds = attrkit.extract(adapter, ids, "attention", show_progress=False)
    paths = list(find_imposers(adapter.layers()))
    assert len(paths) == 2
    weights = {path: ds["attention"].isel(layer=i).values for i, path in enumerate(paths)}
    plain = adapter.configured()
    expected = plain.predict(ids)
    np.testing.assert_allclose(hold_weights(plain, weights).predict(ids), expected, atol=1e-5)
    first = paths[0]
    rolled = np.roll(weights[first], 1, axis=-1)
    assert np.abs(hold_weights(plain, {first: rolled}).predict(ids) - expected).max() > 1e-4


def test_keys_that_are_no_timesteps(x):
    adapter = attrkit.adapt(Heads(batch_first=True, add_zero_attn=True).eval()).configured()
    with pytest.raises(RefusedError, match="no timesteps"):
        hold_weights(adapter, {"attention": np.full((10, 2, 12, 12), 1 / 12, "float32")}).predict(x)
