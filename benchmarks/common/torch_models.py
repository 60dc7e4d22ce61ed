"""The models as modules of torch."""

from typing import Any

import numpy as np
import torch
from torch import nn

from common.models import ATTENTION, HEADS, INNER, KERNEL, UNITS, WIDTH, Weights


class _AdditiveSelfAttention(nn.Module):
    """The formula of ``SeqSelfAttention(units=32, attention_activation="sigmoid")``."""

    def __init__(self) -> None:
        super().__init__()
        self.of_query, self.of_key = nn.Linear(UNITS, ATTENTION, bias=False), nn.Linear(UNITS, ATTENTION)
        self.of_both = nn.Linear(ATTENTION, 1)
        self.return_attention = False

    def forward(self, x: Any) -> Any:
        score = self.of_both(torch.tanh(self.of_query(x)[:, :, None] + self.of_key(x)[:, None]))[..., 0]
        weights = torch.softmax(torch.sigmoid(score), dim=-1)
        return (weights @ x, weights) if self.return_attention else weights @ x


class _Recurrent(nn.Module):
    def __init__(self, body: nn.Module, attention: nn.Module | None, head: nn.Module) -> None:
        super().__init__()
        self.body, self.attention, self.head = body, attention, head

    def forward(self, x: Any) -> Any:
        hidden = self.body(x)[0]
        return self.head(hidden[:, -1] if self.attention is None else self.attention(hidden).flatten(1))


class _Convolutional(nn.Module):
    def __init__(self, channels: int, head: nn.Module) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(channels, UNITS, KERNEL), nn.Conv1d(UNITS, UNITS, KERNEL)
        self.first_relu, self.second_relu, self.head = nn.ReLU(), nn.ReLU(), head

    def forward(self, x: Any) -> Any:
        hidden = self.second_relu(self.second(self.first_relu(self.first(x.transpose(1, 2)))))
        return self.head(hidden.transpose(1, 2).flatten(1))


class _Transformer(nn.Module):
    def __init__(self, channels: int, head: nn.Module) -> None:
        super().__init__()
        self.embed = nn.Linear(channels, WIDTH)
        self.block = nn.TransformerEncoderLayer(WIDTH, HEADS, INNER, dropout=0, batch_first=True)
        self.head = head

    def forward(self, x: Any) -> Any:
        return self.head(self.block(self.embed(x)).mean(1))


def torch_model(name: str, weights: Weights, *, channels: int) -> nn.Module:
    """Return a module with Keras's weights, in evaluation, on the GPU if there is one."""
    head = nn.Linear(len(weights["head_kernel"]), 1)
    own = {"head.weight": weights["head_kernel"].T, "head.bias": weights["head_bias"]}
    made: nn.Module
    if name == "conv":
        made = _Convolutional(channels, head)
        for place, number in (("first", 1), ("second", 2)):
            own |= {f"{place}.weight": weights[f"kernel_{number}"].T, f"{place}.bias": weights[f"bias_{number}"]}
    elif name == "transformer":
        made, own = _Transformer(channels, head), {**own, **_of_transformer(weights)}
    else:
        body = (nn.GRU if name == "gru" else nn.LSTM)(channels, UNITS, batch_first=True)
        made = _Recurrent(body, _AdditiveSelfAttention() if name == "seed" else None, head)
        own |= _of_gru(weights) if name == "gru" else _of_lstm(weights)
        if name == "seed":
            own |= {
                "attention.of_query.weight": weights["Wt"].T,
                "attention.of_key.weight": weights["Wx"].T,
                "attention.of_key.bias": weights["bh"],
                "attention.of_both.weight": weights["Wa"].T,
                "attention.of_both.bias": weights["ba"],
            }
    made.load_state_dict({key: torch.tensor(np.ascontiguousarray(values)) for key, values in own.items()})
    return made.eval().to("cuda" if torch.cuda.is_available() else "cpu")


def _of_lstm(weights: Weights) -> Weights:
    # Keras and torch order the gates alike; Keras has one bias where torch adds two.
    return {
        "body.weight_ih_l0": weights["kernel"].T,
        "body.weight_hh_l0": weights["recurrent"].T,
        "body.bias_ih_l0": weights["bias"],
        "body.bias_hh_l0": np.zeros_like(weights["bias"]),
    }


def _of_gru(weights: Weights) -> Weights:
    def turned(values: np.ndarray) -> np.ndarray:
        update, reset, new = np.split(values, 3, axis=-1)
        return np.concatenate([reset, update, new], axis=-1)

    return {
        "body.weight_ih_l0": turned(weights["kernel"]).T,
        "body.weight_hh_l0": turned(weights["recurrent"]).T,
        "body.bias_ih_l0": turned(weights["bias"][0]),
        "body.bias_hh_l0": turned(weights["bias"][1]),
    }


def _of_transformer(weights: Weights) -> Weights:
    parts = ("query", "key", "value")
    found = {
        "embed.weight": weights["embed_kernel"].T,
        "embed.bias": weights["embed_bias"],
        "block.self_attn.in_proj_weight": np.concatenate(
            [weights[f"{part}_kernel"].reshape(WIDTH, WIDTH).T for part in parts]
        ),
        "block.self_attn.in_proj_bias": np.concatenate([weights[f"{part}_bias"].ravel() for part in parts]),
        "block.self_attn.out_proj.weight": weights["joined_kernel"].reshape(WIDTH, WIDTH).T,
        "block.self_attn.out_proj.bias": weights["joined_bias"],
    }
    for place, key in (("linear1", "inner"), ("linear2", "outer")):
        found |= {f"block.{place}.weight": weights[f"{key}_kernel"].T, f"block.{place}.bias": weights[f"{key}_bias"]}
    for number in (1, 2):
        found |= {f"block.norm{number}.weight": weights[f"gamma_{number}"]}
        found |= {f"block.norm{number}.bias": weights[f"beta_{number}"]}
    return found
