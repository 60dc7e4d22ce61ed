"""The question attrkit began with, end to end on real data: an attention LSTM is trained, and says what it looks at."""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from attrkit import plot
from attrkit.collect import stack
from attrkit.datasets import seattle_weather
from attrkit.errors import MissingDependencyError, StoreError
from attrkit.extract import compare
from attrkit.models import load_model
from attrkit.progress import progress_bar
from attrkit.series import windows
from attrkit.store import save

LENGTH = 14
TARGET = "temp_max"
TEST_YEAR = "2015"


@dataclass(frozen=True)
class Forecast:
    """Windows of one stretch of time and what came the day after each, both standardised by the training years."""

    x: xr.DataArray
    y: np.ndarray
    scale: float

    def error(self, predicted: np.ndarray) -> float:
        """Return the mean absolute error in degrees Celsius."""
        return float(np.abs(predicted - self.y).mean()) * self.scale


def run_demo(out: Path, *, epochs: int = 18, n_samples: int = 48, seed: int = 0, show_progress: bool = True) -> str:
    """Train a forecaster, save it, load it as a stranger would, and explain it.

    Parameters
    ----------
    out : Path
        Folder for the model, the dataset and the figures; it must be new or empty.
    epochs : int, default 18
    n_samples : int, default 48
        Test windows explained, spread over the test year.
    seed : int, default 0
        For weights, batches and noise.
    show_progress : bool, default True

    Returns
    -------
    str
        What was found, as text.

    Raises
    ------
    StoreError
        If `out` holds files already.
    MissingDependencyError
        If TensorFlow, keras-self-attention or vega-datasets is not installed.
    """
    if out.exists() and any(out.iterdir()):
        raise StoreError(f"{out} is not empty; name another folder with --out, or remove it")
    train, test = _split(seattle_weather())
    model_file = out / "forecaster.keras"
    out.mkdir(parents=True, exist_ok=True)
    _train(train, model_file, epochs=epochs, seed=seed, show_progress=show_progress)

    # From here on as somebody who has the file only: the layer was not built to return its attention.
    model = load_model(model_file)
    chosen = np.linspace(0, test.x.sizes["sample"] - 1, n_samples).round().astype(int)
    tree = compare(
        model,
        test.x.isel(sample=chosen),
        {
            "attention": ("attention", {"reduce": "mean"}),
            "input x gradient": "input_x_gradient",
            "integrated gradients": ("integrated_gradients", {"n_steps": 64}),
            "occlusion": "occlusion",
        },
        seed=seed,
        show_progress=show_progress,
    )
    dataset = save(tree, out / "explained.zarr")
    figures = _draw(tree, out / "figures")
    predicted = np.asarray(model.predict(test.x.values, verbose=0))[:, 0]
    lines = [
        "",
        *_findings(tree, test, predicted),
        "",
        f"model    {model_file}",
        f"dataset  {dataset}   (attrkit.load)",
        *(f"figure   {path}" for path in figures),
    ]
    return "\n".join(lines)


def _split(frame: pd.DataFrame) -> tuple[Forecast, Forecast]:
    """Standardise by the training years and cut windows; the day after a window is what is forecast."""
    years = frame[frame.index < TEST_YEAR]
    scaled = (frame - years.mean()) / years.std()
    scale = float(years[TARGET].std())

    def cut(part: pd.DataFrame) -> Forecast:
        x = windows(part.iloc[:-1], LENGTH).astype("float32")
        return Forecast(x, part[TARGET].to_numpy()[LENGTH:].astype("float32"), scale)

    first_test = int(frame.index.searchsorted(pd.Timestamp(TEST_YEAR)))
    return cut(scaled.iloc[:first_test]), cut(scaled.iloc[first_test - LENGTH :])


def _train(data: Forecast, path: Path, *, epochs: int, seed: int, show_progress: bool) -> None:
    try:
        from keras_self_attention import SeqSelfAttention
        from tensorflow import keras
    except ImportError as err:
        raise MissingDependencyError(f"the demo trains a Keras model ({err}): pip install 'attrkit[demo]'") from err
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.layers.Input(data.x.shape[1:]),
            keras.layers.LSTM(32, return_sequences=True),
            SeqSelfAttention(attention_width=5),
            keras.layers.Flatten(),
            keras.layers.Dense(1, kernel_regularizer=keras.regularizers.l2(0.01)),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(3e-3), loss="mse")
    with progress_bar(epochs, label="training", unit="epoch", show=show_progress) as bar:
        tick = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: bar.update())
        model.fit(data.x.values, data.y, epochs=epochs, batch_size=32, verbose=0, callbacks=[tick])
    model.save(path)


def _draw(tree: xr.DataTree, folder: Path) -> list[Path]:
    folder.mkdir()
    samples = tree["attention"].to_dataset()["sample"].values
    one, three = samples[len(samples) // 2], samples[:: len(samples) // 3][:3].tolist()
    raw = {"attention weights": tree["attention"].to_dataset().drop_vars("attribution")}
    figures: dict[str, Any] = {
        "heatmap": plot.heatmap(tree, samples=three),
        "overlay": plot.overlay(tree, samples=one),
        "curves": plot.curves(tree, samples=one),
        "attention": plot.attention(raw, samples=three),
        "hist": plot.hist(tree),
    }
    paths = []
    for name, panels in figures.items():
        panels.save([folder / f"{name}.png", folder / f"{name}.pdf"])
        paths.append(folder / f"{name}.png")
    return paths


def _findings(tree: xr.DataTree, test: Forecast, predicted: np.ndarray) -> list[str]:
    today = test.x.sel(channel=TARGET).isel(timestep=-1).values
    ig = tree["integrated gradients"]
    gap = float(np.abs(ig["completeness_gap"]).max() / np.abs(ig["prediction"]).mean())
    lines = [
        f"next-day {TARGET} of {TEST_YEAR}, {len(test.y)} days, mean absolute error",
        f"  model        {test.error(predicted):5.2f} °C",
        f"  persistence  {test.error(today):5.2f} °C   (tomorrow as today)",
        "",
        f"largest completeness gap of integrated gradients: {gap:.1e} of the mean output",
        "",
        "rank correlation over timesteps of |attribution|, median over windows (5th to 95th percentile)",
    ]
    profiles = abs(stack(tree, channels="abs_sum"))
    for a, b in combinations(profiles["extractor"].values.tolist(), 2):
        pair = profiles.sel(extractor=[a, b]).transpose("sample", "timestep", "extractor")
        # Spearman's rho is Pearson's r of the ranks, and pandas ranks ties by their mean.
        rho = np.array([pd.DataFrame(sample).rank().corr().to_numpy()[0, 1] for sample in pair.values], dtype=float)
        low, middle, high = np.percentile(rho, [5, 50, 95])
        lines.append(f"  {a:<22}{b:<22}{middle:+.2f}   ({low:+.2f} to {high:+.2f})")
    return lines
