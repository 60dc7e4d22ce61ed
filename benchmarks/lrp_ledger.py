"""Where relevance goes beside the input, and how exact it is in single precision: trained models, over seeds.

Run ``uv run python benchmarks/lrp_ledger.py``. Models and samples are those of ``lrp_signal.py``, 60 timesteps long;
the predicted class's score is explained. Printed are, for each model, medians over the samples of all seeds, as shares
of the size of the score: what biases took, and what stabilisers took at four sizes of epsilon; and for each composite
by how much relevance in single precision misses that in double precision, as a share of the sample's largest, in the
median sample and in the worst.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from lrp_signal import TEST, samples, trained
from rich.console import Console
from rich.table import Table

import attrkit

EPSILONS = (1e-6, 1e-3, 1e-2, 1e-1)
COMPOSITES = ("arras", "epsilon", "z", "gamma", "z_plus", "alpha_beta", "attnlrp")


def shares(net: keras.Model, x: np.ndarray) -> np.ndarray:
    """Return what biases took, and stabilisers at each epsilon, as shares of the score, of shape (share, sample)."""

    def share(taken: str, epsilon: float) -> np.ndarray:
        ds = attrkit.extract(
            net, x, "lrp", target="predicted", composite="epsilon", epsilon=epsilon, show_progress=False
        )
        return np.abs(ds[taken].values / ds["prediction"].max("output").values)

    return np.array([share("bias_relevance", 1e-3), *(share("epsilon_relevance", epsilon) for epsilon in EPSILONS)])


def misses(net: keras.Model, x: np.ndarray) -> np.ndarray:
    """Return by how much single precision misses double precision, of shape (composite, sample)."""

    def relevance(model: keras.Model, composite: str) -> np.ndarray:
        ds = attrkit.extract(model, x, "lrp", target="predicted", composite=composite, show_progress=False)
        return ds["attribution"].values.reshape(len(x), -1).astype(float)

    single = [relevance(net, composite) for composite in COMPOSITES]
    # Layers of keras-self-attention compute masks in the float type of the whole process.
    keras.backend.set_floatx("float64")
    try:
        exact = attrkit.to_float64(net)
        double = [relevance(exact, composite) for composite in COMPOSITES]
    finally:
        keras.backend.set_floatx("float32")
    return np.array([np.abs(a - b).max(axis=1) / np.abs(b).max(axis=1) for a, b in zip(single, double, strict=True)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--recurrent", nargs="+", default=["LSTM", "GRU"])
    parser.add_argument("--attention", nargs="+", default=["none", "additive", "weighted", "multi-head"])
    chosen = parser.parse_args()
    of_ledger = Table("model", "attention", "biases", *(f"epsilon {epsilon:g}" for epsilon in EPSILONS))
    of_rounding = Table("model", "attention", *COMPOSITES)
    for recurrent in chosen.recurrent:
        for attention in chosen.attention:
            taken, missed = [], []
            for seed in range(chosen.seeds):
                net, rng = trained(recurrent, attention, seed)
                x, _, _ = samples(TEST, rng)
                taken.append(shares(net, x))
                missed.append(misses(net, x))
                keras.backend.clear_session()
            medians = np.median(np.concatenate(taken, axis=1), axis=1)
            of_ledger.add_row(recurrent, attention, *(f"{100 * share:.2g}%" for share in medians))
            missed = np.concatenate(missed, axis=1)
            cells = (f"{np.median(of_one):.0e}, {of_one.max():.0e}" for of_one in missed)
            of_rounding.add_row(recurrent, attention, *cells)
            print(recurrent, attention, *(f"{share:.2e}" for share in medians), flush=True)
    Console(width=150).print(of_ledger, of_rounding)


if __name__ == "__main__":
    main()
