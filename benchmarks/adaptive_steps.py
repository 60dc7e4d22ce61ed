"""How many gradients integrated gradients needs: 50 steps of Gauss and Legendre beside ``n_steps="auto"``.

Run ``uv run python benchmarks/adaptive_steps.py``, with ``--torch`` for models of torch. Small models are trained, to
forecast Seattle's weather and to tell apart made-up classes; what each rule finds for samples held back is compared
with 1000 steps. 50 steps of Gauss and Legendre are what Captum takes by default.
"""

import argparse
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import xarray as xr
from rich.console import Console
from rich.table import Table

import attrkit
from attrkit.datasets import seattle_weather
from attrkit.errors import AttrkitWarning
from attrkit.result_checks import COMPLETENESS_TOLERANCE, share_of_change

LENGTH, UNITS, CLASSES = 24, 24, 4
FAMILIES = ("LSTM", "GRU", "Conv1D", "transformer")
STEPS = 50


class Data(NamedTuple):
    """Samples to learn from, and samples to explain."""

    x: np.ndarray
    y: np.ndarray
    held_back: np.ndarray
    n_outputs: int


def weather(n_samples: int) -> Data:
    """Return days of Seattle, and the highest temperature of the next day; the last year is held back."""
    frame = seattle_weather()
    values = frame.assign(precipitation=np.log1p(frame["precipitation"])).to_numpy()
    known = len(values) - 365
    values = ((values - values[:known].mean(0)) / values[:known].std(0)).astype("float32")
    windows = np.lib.stride_tricks.sliding_window_view(values, LENGTH, axis=0)[:-1].swapaxes(1, 2)
    rows = np.linspace(known, len(windows) - 1, n_samples).astype(int)
    return Data(windows[: known - LENGTH].copy(), values[LENGTH:known, 0], windows[rows], 1)


def events(n_samples: int) -> Data:
    """Return noise with a wave, slow or fast, on one channel and a bump, up or down, on another: four classes."""
    rng, time, count = np.random.default_rng(0), np.arange(LENGTH), 2000 + n_samples
    kind = rng.integers(0, CLASSES, count)
    x = rng.normal(0, 0.6, (count, LENGTH, 3))
    turns = np.where(kind % 2, 2.0, 3.5)[:, None] * time / LENGTH
    x[:, :, 0] += np.sin(2 * np.pi * (turns + rng.uniform(size=(count, 1))))
    distance = time - rng.integers(4, LENGTH - 4, (count, 1))
    x[:, :, 1] += np.where(kind // 2, 2, -2)[:, None] * np.exp(-((distance / 2) ** 2))
    x = x.astype("float32")
    return Data(x[:2000], kind[:2000], x[2000:], CLASSES)


def keras_model(family: str, data: Data, epochs: int) -> Any:
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    inputs = hidden = keras.Input(data.x.shape[1:])
    if family in ("LSTM", "GRU"):
        hidden = getattr(layers, family)(UNITS)(inputs)
    else:
        if family == "Conv1D":
            for _ in range(2):
                hidden = layers.Conv1D(UNITS, 5, padding="same", activation="relu")(hidden)
        else:
            place = layers.Embedding(LENGTH, UNITS)(keras.ops.arange(LENGTH))
            hidden = layers.Dense(UNITS)(inputs) + place
            for _ in range(2):
                hidden = layers.LayerNormalization()(hidden + layers.MultiHeadAttention(4, UNITS // 4)(hidden, hidden))
                wide = layers.Dense(2 * UNITS, activation="relu")(hidden)
                hidden = layers.LayerNormalization()(hidden + layers.Dense(UNITS)(wide))
        hidden = layers.GlobalAveragePooling1D()(hidden)
    classes = data.n_outputs > 1
    model = keras.Model(inputs, layers.Dense(data.n_outputs, activation="softmax" if classes else None)(hidden))
    loss = "sparse_categorical_crossentropy" if classes else "mse"
    model.compile(keras.optimizers.Adam(3e-3), loss, jit_compile=False)
    model.fit(data.x, data.y, epochs=epochs, batch_size=64, verbose=0)
    return model


def torch_model(family: str, data: Data, epochs: int) -> Any:
    import torch
    from torch import nn

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            n = data.x.shape[2]
            if family in ("LSTM", "GRU"):
                self.body = getattr(nn, family)(n, UNITS, batch_first=True)
            elif family == "Conv1D":
                convolutions = nn.Conv1d(n, UNITS, 5, padding=2), nn.Conv1d(UNITS, UNITS, 5, padding=2)
                self.body = nn.Sequential(convolutions[0], nn.ReLU(), convolutions[1], nn.ReLU())
            else:
                self.embed, self.place = nn.Linear(n, UNITS), nn.Parameter(0.1 * torch.randn(LENGTH, UNITS))
                layer = nn.TransformerEncoderLayer(UNITS, 4, 2 * UNITS, dropout=0, batch_first=True)
                self.body = nn.TransformerEncoder(layer, 2)
            self.head = nn.Linear(UNITS, data.n_outputs)

        def forward(self, x: Any) -> Any:
            if family in ("LSTM", "GRU"):
                hidden = self.body(x)[0][:, -1]
            elif family == "Conv1D":
                hidden = self.body(x.transpose(1, 2)).mean(2)
            else:
                hidden = self.body(self.embed(x) + self.place).mean(1)
            found = self.head(hidden)
            return found.softmax(-1) if data.n_outputs > 1 else found

    torch.manual_seed(0)
    model, x, y = Model(), torch.tensor(data.x), torch.tensor(data.y)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            found = model(x[rows])
            classes = data.n_outputs > 1
            loss = nn.functional.nll_loss(found.log(), y[rows]) if classes else ((found[:, 0] - y[rows]) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


def measure(model: Any, x: np.ndarray, reference: int, **asked: Any) -> xr.Dataset:
    """Return, for each sample and rule, the gradients taken, the gap and the error of the attributions."""

    def run(n_steps: Any) -> xr.Dataset:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AttrkitWarning)
            return attrkit.extract(model, x, n_steps=n_steps, **asked)

    exact = run(reference)["attribution"]
    found = []
    for n_steps in (STEPS, "auto"):
        ds = run(n_steps)
        explained = ds["prediction"]
        if "output" in explained.dims:
            explained = explained.sel(output=ds["target"])
        off, size = ((abs(a)).sum(("timestep", "channel")) for a in (ds["attribution"] - exact, exact))
        gap = share_of_change(ds["completeness_gap"].values, explained.values, ds["baseline_prediction"].values)
        taken = ds.get("gradient_evaluations", xr.full_like(ds["sample"], STEPS))
        found.append(xr.Dataset({"evaluations": taken, "gap": ("sample", gap), "error": off / size}))
    for ds in found:
        ds["gap"].attrs = {"long_name": "completeness gap as a share of the change in output", "units": "1"}
        ds["error"].attrs = {"long_name": f"error of the attributions, from {reference} steps", "units": "1"}
        ds["evaluations"].attrs = {"long_name": "gradients taken", "units": "1"}
    return xr.concat(
        found, xr.DataArray([f"{STEPS} steps", "auto"], dims="rule", name="rule"), coords="minimal", compat="override"
    )


def cases(build: Callable[[str, Data, int], Any], chosen: argparse.Namespace) -> Iterator[tuple[str, str, xr.Dataset]]:
    common = {"show_progress": False, "batch_size": 256}
    for family in FAMILIES:
        recurrent = family in ("LSTM", "GRU")
        data = weather(chosen.samples)
        model = build(family, data, 12)
        yield family, "forecast", measure(model, data.held_back, chosen.reference, **common)
        data = events(chosen.samples)
        model = build(family, data, 40 if recurrent else 12)
        for task, logits in (("class score", True), ("class probability", False)):
            options = {"target": "predicted", "logits": logits, **common}
            yield family, task, measure(model, data.held_back, chosen.reference, **options)


def line(table: Table, family: str, task: str, ds: xr.Dataset) -> None:
    cells = []
    for rule in ds["rule"].values:
        own = ds.sel(rule=rule)
        cells.append(f"{float((own['gap'] <= COMPLETENESS_TOLERANCE).mean()):.0%}")
        if rule == "auto":
            taken = own["evaluations"]
            cells.append(f"{float(taken.median()):.0f} / {float(taken.mean()):.1f} / {int(taken.max())}")
        cells.append(f"{float(own['error'].median()):.1e} / {float(own['error'].quantile(0.95)):.1e}")
    table.add_row(family, task, *cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch", action="store_true", help="models of torch; else of Keras")
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--reference", type=int, default=1000, help="steps of what counts as exact")
    parser.add_argument("--out", help="file of the labelled dataset, .nc")
    chosen = parser.parse_args()

    table = Table(title=f"{'torch' if chosen.torch else 'Keras'}: {chosen.samples} samples a line")
    for column in ("model", "explained", f"{STEPS}: inside 1%", "error median / 95%"):
        table.add_column(column)
    for column in ("auto: inside 1%", "gradients median / mean / most", "error median / 95%"):
        table.add_column(column)
    found = {}
    for family, task, ds in cases(torch_model if chosen.torch else keras_model, chosen):
        found[family, task] = ds
        line(table, family, task, ds)
    labelled = [ds.expand_dims(case=[f"{family}, {task}"]) for (family, task), ds in found.items()]
    everything = xr.concat(labelled, "case", coords="minimal", compat="override")
    line(table, "all", "", everything)
    Console(width=140).print(table)
    if chosen.out:
        everything.drop_vars("target", errors="ignore").to_netcdf(chosen.out)


if __name__ == "__main__":
    main()
