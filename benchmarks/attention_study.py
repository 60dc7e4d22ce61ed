"""Do attention and attribution agree? The whole study on JapaneseVowels and BasicMotions, of two encoders each.

Run ``uv run python benchmarks/attention_study.py --out results``; stopped, it goes on as any study. An encoder that
mixes timesteps (a bidirectional GRU) stands beside one that looks at each by itself, as in Jain and Wallace 2019
(arXiv:1902.10186); attention is additive, one weight a timestep. For every pair of data and encoder the folder gets
store, tables, figures and protocol; ``summary.csv`` has a column for each.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd
import xarray as xr

import attrkit
from attrkit.study_output import write_study

DATA = {"JapaneseVowels": attrkit.datasets.japanese_vowels, "BasicMotions": attrkit.datasets.basic_motions}
ENCODERS = ("mixing", "averaging")
EPOCHS = 40
TESTS: dict[str, dict[str, Any]] = {
    "agreement": {},
    "permutation": {},
    "adversarial": {"n_starts": 2},
    "uniform_training": {},
    "adversarial_training": {},
    "diagnostic": {},
    "faithfulness": {},
    "parameter_randomisation": {"how": ["cascading"]},
    "data_randomisation": {},
    "seed_variance": {},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("attention-study"), help="folder to write to")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=60, help="test samples that are explained")
    chosen = parser.parse_args()
    rows = []
    for name, load in DATA.items():
        data = standardised(load("train"), load("test"))
        for encoder in ENCODERS:
            started = time.perf_counter()
            folder = chosen.out / f"{name}-{encoder}"
            folder.mkdir(parents=True, exist_ok=True)
            asked = {"seeds": range(chosen.seeds), "n_samples": chosen.samples, "tests": TESTS}
            tree = attrkit.study(factory(encoder), data, store=folder / "study.zarr", **asked)
            write_study(tree, folder)
            seconds = {"seconds": f"{time.perf_counter() - started:.0f}"}
            rows.append({"": f"{name}, {encoder}", **summary(tree), **seconds})
            table = pd.DataFrame(rows).set_index("").T
            print(table.to_string(), flush=True)
            table.to_csv(chosen.out / "summary.csv")


def standardised(*splits: xr.Dataset) -> list[xr.Dataset]:
    """Give every channel of the training data's real timesteps mean 0 and variance 1; padding stays 0."""
    first = splits[0]["input"]
    real = first.where(first["mask"]) if "mask" in first.coords else first
    mean, spread = real.mean(("sample", "timestep")), real.std(("sample", "timestep"))
    found = []
    for split in splits:
        own = (split["input"] - mean) / spread
        own = own.where(split["mask"], 0) if "mask" in split.coords else own
        found.append(split.assign(input=own.astype("float32")))
    return found


def factory(encoder: str) -> Callable[[np.ndarray, np.ndarray, int], Any]:
    from keras_self_attention import SeqWeightedAttention
    from tensorflow import keras

    layers = keras.layers

    def train(x: np.ndarray, y: np.ndarray, seed: int) -> Any:
        keras.utils.set_random_seed(seed)
        if encoder == "mixing":
            hidden = layers.Bidirectional(layers.GRU(24, return_sequences=True), name="encoder")
        else:
            # Each timestep by itself.
            hidden = layers.Dense(48, "tanh", name="encoder")
        model = keras.Sequential(
            [
                layers.Input(x.shape[1:]),
                layers.Masking(name="padding"),
                hidden,
                SeqWeightedAttention(name="attention"),
                layers.Dense(int(y.max()) + 1, activation="softmax", name="classes"),
            ]
        )
        model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy")
        model.fit(x, y, epochs=EPOCHS, batch_size=32, verbose=0)
        return model

    return train


def summary(tree: xr.DataTree) -> dict[str, str]:
    """Say in a row what was found; brackets are 95 percent intervals over seeds and samples."""
    agreement, uniform = tree["agreement"], tree["uniform_training"]["correct"]
    pair = {"extractor": "attention", "other": "integrated_gradients"}
    found = {
        "accuracy": interval(uniform.sel(attention="learned")),
        "accuracy, uniform attention": interval(uniform.sel(attention="uniform")),
        "tau, attention and IG": interval(agreement["kendall_tau"].sel(pair)),
        "top 10 % in common, attention and IG": interval(agreement["top_k_overlap"].sel(pair)),
        "tau, IG and occlusion": interval(agreement["kendall_tau"].sel(pair | {"extractor": "occlusion"})),
        "largest weight": interval(tree["permutation"]["largest_weight"]),
        "output change, shuffled": interval(tree["permutation"]["median_output_change"]),
        "JSD [bit], adversarial": interval(tree["adversarial"]["jensen_shannon"]),
    }
    comprehensiveness = tree["faithfulness"]["aopc_comprehensiveness"]
    for extractor in ("attention", "integrated_gradients", "occlusion", "random"):
        found[f"comprehensiveness, {extractor}"] = interval(comprehensiveness.sel(extractor=extractor))
    given = tree["diagnostic"]["correct"]
    return found | {f"diagnostic, {kind}": interval(given.sel(attention=kind)) for kind in given["attention"].values}


def interval(values: xr.DataArray) -> str:
    found = attrkit.metrics.interval(values, over=("seed", "sample"))
    low, mean, high = (float(found[name]) for name in ("low", "estimate", "high"))
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    main()
