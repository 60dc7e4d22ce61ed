"""Do attention and attribution agree? The whole study on JapaneseVowels and BasicMotions, of two encoders each.

Run ``uv run python benchmarks/attention_study.py --out results``; stopped, it goes on as any study. An encoder that
mixes timesteps (a bidirectional GRU) stands beside one that looks at each by itself, as in Jain and Wallace 2019
(arXiv:1902.10186); attention is additive, one weight a timestep. For every pair of data and encoder the folder gets
store, tables, figures and protocol; ``summary.csv`` has a column for each. Two studies run at a time.
"""

import argparse
import itertools
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
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
    parser.add_argument("--jobs", type=int, default=2, help="studies at a time, each in a process of its own")
    chosen = parser.parse_args()
    # Mixing encoders take longest and come first.
    pairs = [(name, encoder) for encoder in ENCODERS for name in DATA]
    if chosen.jobs > 1:
        # Two processes of one thread each wait less for each other than one of two.
        os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}
    started, columns = time.perf_counter(), {}
    with ProcessPoolExecutor(chosen.jobs, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(column_of, *pair, chosen): pair for pair in pairs}
        for done in as_completed(running):
            columns[running[done]] = done.result()
            known = [pair for pair in itertools.product(DATA, ENCODERS) if pair in columns]
            table = pd.DataFrame({", ".join(pair): columns[pair] for pair in known})
            print(table.to_string(), flush=True)
            table.to_csv(chosen.out / "summary.csv")
    print(f"all studies: {time.perf_counter() - started:.0f} s", flush=True)


def column_of(name: str, encoder: str, chosen: argparse.Namespace) -> dict[str, str]:
    """Run one study, write its folder, and return its column of the table."""
    started = time.perf_counter()
    data = standardised(*(DATA[name](split) for split in ("train", "test")))
    folder = chosen.out / f"{name}-{encoder}"
    folder.mkdir(parents=True, exist_ok=True)
    asked = {"seeds": range(chosen.seeds), "n_samples": chosen.samples, "tests": TESTS}
    tree = attrkit.study(factory(encoder), data, store=folder / "study.zarr", **asked)
    write_study(tree, folder)
    return {**summary(tree), "seconds": f"{time.perf_counter() - started:.0f}"}


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
