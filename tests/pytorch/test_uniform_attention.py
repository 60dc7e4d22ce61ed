"""Uniform attention in modules of torch: trained, asked past the fast path, masked, dropped; others are named."""

import numpy as np
import pytest
import torch
from torch import nn

import attrkit
from attrkit.errors import RefusedError
from attrkit.studies import check_uniform, uniform_attention, uniform_training
from tests.pytorch.test_imposed_attention import KINDS, Encoder, bert

pytestmark = pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")


@pytest.mark.parametrize("kind", KINDS)
def test_the_output_of_uniform_attention_is_the_same_for_all_queries(x, kind):
    model = KINDS[kind]().eval()
    given = torch.tensor(x)
    with torch.no_grad():
        before = model(given)
        with uniform_attention() as seen:
            # An encoder would take its fast path here.
            inside = model(given)
        assert sum(seen.values()) == 1
        assert torch.equal(model(given), before)
    with uniform_attention():
        weights = attrkit.extract(model, x, "attention", show_progress=False)["attention"]
        found = attrkit.adapt(model).configured().predict(x)
    np.testing.assert_allclose(weights, 1 / 12, rtol=1e-6)
    np.testing.assert_allclose(found, inside, atol=1e-5)
    assert (inside - before).abs().max() > 1e-4
    assert check_uniform(model, x) == (["encoder.layers.0.self_attn"] if kind == "encoder" else ["attention"])
    assert torch.backends.mha.get_fastpath_enabled()


class Masked(nn.Module):
    def __init__(self, mask, **options):
        super().__init__()
        self.mask, self.attention = mask, nn.MultiheadAttention(4, 2, batch_first=True, **options)
        self.inside, self.head = nn.Linear(3, 4), nn.Linear(4, 1)

    def forward(self, x):
        hidden = self.inside(x)
        padded = (x == 0).all(-1)
        return self.head(self.attention(hidden, hidden, hidden, key_padding_mask=padded, attn_mask=self.mask)[0][:, -1])


@pytest.mark.parametrize("kind", ["bool", "float"])
def test_keys_that_a_mask_lets_through(padded, kind):
    data, real = padded
    after = torch.triu(torch.ones(12, 12, dtype=torch.bool), 1)
    # A bias that falls with distance, as in ALiBi, is part of the weights and no mask.
    bias = -0.3 * (torch.arange(12.0)[:, None] - torch.arange(12.0)).abs()
    model = Masked(after if kind == "bool" else torch.where(after, -torch.inf, bias))
    with uniform_attention():
        found = attrkit.extract(model, data, "attention", show_progress=False)["attention"].values
    allowed = real[:, None] & ~after.numpy()
    expected = allowed / allowed.sum(-1, keepdims=True)
    np.testing.assert_allclose(found, np.broadcast_to(expected[:, None], found.shape), atol=1e-6)
    assert check_uniform(model, data) == ["attention"]


def test_a_training_step_is_that_of_a_mean_with_its_dropout(x):
    torch.manual_seed(0)
    model = Masked(None)
    given = torch.tensor(x)
    with uniform_attention():
        model(given).square().mean().backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    attention = model.attention
    values = nn.functional.linear(model.inside(given), attention.in_proj_weight[8:], attention.in_proj_bias[8:])
    expected = model.head(attention.out_proj(values.mean(1)))
    expected.square().mean().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, atol=1e-6, rtol=1e-4)
    # Scores have no part in it.
    assert found["attention.in_proj_weight"][:8].abs().max() == 0
    assert found["attention.in_proj_weight"][8:].abs().min() > 0

    model = Masked(None, dropout=0.5).train()
    with uniform_attention():
        assert (model(given) - model(given)).abs().max() > 1e-3
        model.eval()
        torch.testing.assert_close(model(given), model(given))


def fit(x, y, seed):
    torch.manual_seed(seed)
    model = Encoder()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(torch.tensor(x)), torch.tensor(y)).backward()
        optimizer.step()
    return model.eval()


def test_trained_as_it_is_and_uniform(x):
    y = (x[:, 3, 0] > 0).astype(int)
    found = uniform_training(fit, (x, y), (x, y), seeds=[1, 2], show_progress=False)
    for i, seed in enumerate((1, 2)):
        expected = attrkit.adapt(fit(x, y, seed)).configured().predict(x)
        np.testing.assert_allclose(found["prediction"].sel(attention="learned").isel(seed=i), expected, atol=1e-6)
    assert (found["output_change"].max("sample") > 1e-4).all()
    assert found.attrs["layers"] == "encoder.layers.0.self_attn"


def test_transformers_are_refused_by_name():
    ids = np.random.default_rng(0).integers(1, 30, (5, 7))
    with pytest.raises(RefusedError, match=r"attention of bert\.encoder\.layer\.0.* is not uniform inside the block"):
        check_uniform(bert(), ids)
