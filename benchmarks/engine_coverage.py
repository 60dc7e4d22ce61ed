"""Which method of which toolkit works on which family of layers, and how far it agrees with attrkit's own.

Run ``uv run python benchmarks/engine_coverage.py`` for Keras models (iNNvestigate, xplique, SHAP); with ``--torch``, in
an environment of torch, for modules (Captum, zennit, SHAP). Each cell comes of a run: ``--write docs/engines`` puts the
table into the documentation.
"""

import argparse
import csv
import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

import attrkit
from attrkit.engines import captum, innvestigate, shap, xplique, zennit
from attrkit.errors import AttrkitError, RefusedError
from attrkit.relevance import COMPOSITES, AlphaBeta, Epsilon, ZPlus

SAMPLES, STEPS, CHANNELS = 3, 8, 2

# Toolkit's name -> what is of the same definition in attrkit, its own method and options.
SAME: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "captum:FeatureAblation": ("occlusion", {}),
    "captum:InputXGradient": ("input_x_gradient", {}),
    "captum:IntegratedGradients": ("integrated_gradients", {"n_steps": 50}),
    "captum:LRP": ("lrp", {"composite": replace(COMPOSITES["z"], kernel=Epsilon(1e-9))}),
    "captum:Occlusion": ("occlusion", {}),
    "captum:Saliency": ("gradient", {}),
    "innvestigate:gradient": ("gradient", {}),
    "innvestigate:input_t_gradient": ("input_x_gradient", {}),
    "innvestigate:integrated_gradients": ("integrated_gradients", {"n_steps": 64, "quadrature": "left"}),
    **{
        f"innvestigate:{rule}": ("lrp", {"composite": replace(COMPOSITES["innvestigate"], kernel=kernel)})
        for rule, kernel in {
            "lrp.z": Epsilon(0.0),
            "lrp.epsilon": Epsilon(1e-7),
            "lrp.alpha_2_beta_1": AlphaBeta(2, 1, bias="innvestigate", epsilon=0.0),
            "lrp.alpha_1_beta_0": AlphaBeta(1, 0, bias="innvestigate", epsilon=0.0),
            "lrp.z_plus": AlphaBeta(1, 0, bias="ignore", epsilon=0.0),
        }.items()
    },
    "shap:KernelExplainer": ("shap:ExactExplainer", {"feature_mask": "timestep"}),
    "xplique:GradientInput": ("input_x_gradient", {}),
    "xplique:IntegratedGradients": ("integrated_gradients", {"n_steps": 50, "quadrature": "trapezoid"}),
    "xplique:Occlusion": ("occlusion", {}),
    "zennit:EpsilonPlus": (
        "lrp",
        {"composite": replace(COMPOSITES["epsilon"], layers={"Conv1d": ZPlus(1e-6)})},
    ),
    "zennit:ExcitationBackprop": ("lrp", {"composite": replace(COMPOSITES["z_plus"], kernel=ZPlus(1e-6))}),
}

# What a method has to be given, and what keeps those that draw short.
GIVEN: Mapping[str, Mapping[str, Any]] = {
    "captum:DeepLiftShap": {"baselines": np.zeros((2, STEPS, CHANNELS))},
    "captum:GradientShap": {"baselines": np.zeros((2, STEPS, CHANNELS)), "n_samples": 50},
    "captum:KernelShap": {"n_samples": 100},
    "innvestigate:deep_taylor.bounded": {"low": -4.0, "high": 4.0},
    "innvestigate:lrp": {"rule": "Z"},
    "innvestigate:lrp.alpha_beta": {"alpha": 2, "beta": 1},
    "innvestigate:lrp.sequential_preset_b_flat_until_idx": {"until_layer_idx": 1},
    "captum:Occlusion": {"sliding_window_shapes": (1, 1)},
    # All orders of the features: of four, 24.
    "captum:ShapleyValues": {"feature_mask": np.arange(STEPS)[:, None] // 2},
    "captum:ShapleyValueSampling": {"feature_mask": "timestep"},
    "shap:ExactExplainer": {"feature_mask": "timestep"},
    "shap:KernelExplainer": {"feature_mask": "timestep"},
    "xplique:KernelShap": {"nb_samples": 200},
    "xplique:Lime": {"nb_samples": 200},
    "xplique:Rise": {"nb_samples": 200},
}


def keras_models() -> dict[str, Any]:
    import keras
    from keras_self_attention import SeqSelfAttention

    layers = keras.layers

    def model(*body: Any) -> Any:
        return keras.Sequential([layers.Input((STEPS, CHANNELS)), *body, layers.Dense(2, name="out")])

    def convolution() -> Any:
        return layers.Conv1D(6, 3, activation="relu")

    inputs = layers.Input((STEPS, CHANNELS))
    hidden = layers.Dense(8)(inputs)
    attended = layers.Flatten()(layers.MultiHeadAttention(2, 4)(hidden, hidden))
    return {
        "dense": model(layers.Flatten(), layers.Dense(8, activation="relu")),
        "Conv1D": model(convolution(), convolution(), layers.Flatten()),
        "Conv1D, max-pooling": model(convolution(), layers.MaxPooling1D(2), layers.Flatten()),
        "Conv1D, batch norm": model(layers.Conv1D(6, 3), layers.BatchNormalization(), layers.ReLU(), layers.Flatten()),
        "LSTM": model(layers.LSTM(6)),
        "GRU": model(layers.GRU(6)),
        "Bidirectional": model(layers.Bidirectional(layers.LSTM(4))),
        "LSTM, SeqSelfAttention": model(
            layers.LSTM(6, return_sequences=True), SeqSelfAttention(units=4), layers.Flatten()
        ),
        "multi-head attention": keras.Model(inputs, layers.Dense(2)(attended)),
    }


def torch_models() -> dict[str, Any]:
    from torch import nn

    class Net(nn.Module):
        """Flattened by a function: Captum's LRP has no rule for ``nn.Flatten``."""

        def __init__(self, *body: Any, units: int, turn: bool = False) -> None:
            super().__init__()
            self.body, self.head, self.turn = nn.Sequential(*body), nn.Linear(units, 2), turn

        def forward(self, x: Any) -> Any:
            return self.head(self.body(x.transpose(1, 2) if self.turn else x).flatten(1))

    class Recurrent(nn.Module):
        def __init__(self, body: Any, units: int) -> None:
            super().__init__()
            self.body, self.head = body, nn.Linear(units, 2)

        def forward(self, x: Any) -> Any:
            return self.head(self.body(x)[0][:, -1])

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Linear(CHANNELS, 8)
            self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
            self.head = nn.Linear(8, 2)

        def forward(self, x: Any) -> Any:
            hidden = self.embed(x)
            return self.head(self.attend(hidden, hidden, hidden)[0].mean(1))

    def convolution(given: int = CHANNELS) -> Any:
        return nn.Conv1d(given, 6, 3)

    block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0, batch_first=True)
    return {
        "dense": Net(nn.Linear(CHANNELS, 4), nn.ReLU(), units=4 * STEPS),
        "Conv1d": Net(convolution(), nn.ReLU(), convolution(6), nn.ReLU(), units=24, turn=True),
        "Conv1d, max-pooling": Net(convolution(), nn.ReLU(), nn.MaxPool1d(2), units=18, turn=True),
        "Conv1d, batch norm": Net(convolution(), nn.BatchNorm1d(6), nn.ReLU(), units=36, turn=True),
        "LSTM": Recurrent(nn.LSTM(CHANNELS, 6, batch_first=True), 6),
        "GRU": Recurrent(nn.GRU(CHANNELS, 6, batch_first=True), 6),
        "Bidirectional": Recurrent(nn.LSTM(CHANNELS, 4, batch_first=True, bidirectional=True), 8),
        "multi-head attention": Attention(),
        "TransformerEncoderLayer": Net(nn.Linear(CHANNELS, 8), block, units=8 * STEPS),
    }


def drawn(model: Any) -> Any:
    """Return a model of weights and statistics that are none of them as they were initialised."""
    rng = np.random.default_rng(1)
    if hasattr(model, "set_weights"):
        model.set_weights([w + 0.2 * abs(rng.standard_normal(w.shape)).astype(w.dtype) for w in model.get_weights()])
        return model
    import torch

    with torch.no_grad():
        for values in (*model.parameters(), *model.buffers()):
            if values.is_floating_point():
                values.add_(torch.tensor(0.2 * abs(rng.standard_normal(values.shape)), dtype=values.dtype))
    return model.eval()


def cell(model: Any, x: np.ndarray, method: str) -> str:
    """Return what comes of a method on a model: refused, the share that differs from attrkit's own, or works."""

    def extract(name: str, options: Mapping[str, Any]) -> Any:
        return attrkit.extract(model, x, name, target=1, show_progress=False, **options)

    try:
        found = extract(method, GIVEN.get(method, {}))["attribution"].values
    except RefusedError:
        return "refused"
    if method not in SAME:
        return "works"
    try:
        own = extract(*SAME[method])["attribution"].values
    except AttrkitError:
        return "works"
    difference = abs(found - own).max() / abs(own).max()
    return f"{difference:.0e}" if difference else "0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch", action="store_true", help="modules of torch in place of Keras models")
    parser.add_argument("--write", type=Path, help="folder for the table, as CSV")
    chosen = parser.parse_args()
    models = torch_models() if chosen.torch else keras_models()
    toolkits = {"captum": captum, "zennit": zennit, "shap": shap}
    if not chosen.torch:
        toolkits = {"innvestigate": innvestigate, "xplique": xplique, "shap": shap}
    methods = [f"{name}:{own}" for name, toolkit in toolkits.items() for own in toolkit.names()]
    models = {family: drawn(model) for family, model in models.items()}
    x = np.random.default_rng(0).standard_normal((SAMPLES, STEPS, CHANNELS)).astype("float32")
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for method in track(methods):
            rows.append([method, *(cell(model, x, method) for model in models.values())])
        # Those that are refused whatever the model is are named in the pages of their toolkits.
        rows = [row for row in rows if set(row[1:]) != {"refused"}]
    header = ["method", *models]
    table = Table(*header, title="share of the largest value that differs from attrkit's own, where it has the same")
    for row in rows:
        table.add_row(*row)
    Console(width=200).print(table)
    if chosen.write:
        file = chosen.write / f"coverage_{'torch' if chosen.torch else 'keras'}.csv"
        with file.open("w", newline="", encoding="utf-8") as handle:
            csv.writer(handle, lineterminator="\n").writerows([header, *rows])


if __name__ == "__main__":
    main()
