"""Does relevance find the timesteps that decide? Trained models whose deciding steps are known, over seeds.

Run ``uv run python benchmarks/lrp_signal.py``. Each sample has 60 timesteps of noise; at five of them, which a second
channel marks, the first channel leans to the side of the sample's class. A method's score is the area under the ROC
curve of |attribution|, channels added up, for telling these five from the rest, mean over test samples. Printed are the
mean over seeds, and the mean difference from gradient x input with the 95 percent interval of a paired t test; and the
largest gap that relevance and ledger leave in any sample, as a share of its logit, which may be next to zero, and as a
share of all its relevance, signs off.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras_self_attention import SeqSelfAttention, SeqWeightedAttention
from rich.console import Console
from rich.table import Table
from scipy import stats

import attrkit

STEPS, SIGNAL, TRAIN, TEST = 60, 5, 2000, 100
LAYERS = keras.layers


def samples(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return inputs (sample, timestep, 2), classes (sample,) and which timesteps decide (sample, timestep)."""
    classes = rng.integers(0, 2, count)
    decides = rng.permuted(np.tile(np.arange(STEPS) < SIGNAL, (count, 1)), axis=1)
    values = rng.standard_normal((count, STEPS)) + decides * np.where(classes, 1.5, -1.5)[:, None]
    return np.stack([values, decides], axis=-1).astype("float32"), classes, decides


def model(recurrent: str, attention: str) -> keras.Model:
    body = {
        "LSTM": lambda: LAYERS.LSTM(16, return_sequences=True),
        "BiLSTM": lambda: LAYERS.Bidirectional(LAYERS.LSTM(8, return_sequences=True)),
        "GRU": lambda: LAYERS.GRU(16, return_sequences=True),
    }[recurrent]()
    given = LAYERS.Input((STEPS, 2))
    hidden = body(given)
    if attention == "additive":
        hidden = LAYERS.GlobalAveragePooling1D()(SeqSelfAttention()(hidden))
    elif attention == "multiplicative":
        hidden = LAYERS.GlobalAveragePooling1D()(SeqSelfAttention(attention_type="multiplicative")(hidden))
    elif attention == "weighted":
        hidden = SeqWeightedAttention()(hidden)
    elif attention == "multi-head":
        hidden = LAYERS.GlobalAveragePooling1D()(LAYERS.MultiHeadAttention(2, 8)(hidden, hidden))
    else:
        hidden = LAYERS.GlobalAveragePooling1D()(hidden)
    return keras.Model(given, LAYERS.Dense(2)(LAYERS.Dense(8, activation="relu")(hidden)))


def trained(recurrent: str, attention: str, seed: int) -> tuple[keras.Model, np.random.Generator]:
    """Return a trained model, and the generator that its test samples are drawn from."""
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    x, classes, _ = samples(TRAIN, rng)
    net = model(recurrent, attention)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.Adam(1e-2), loss, metrics=["accuracy"])
    net.fit(x, classes, epochs=8, batch_size=64, verbose=0)
    return net, rng


def area(scores: np.ndarray, decides: np.ndarray) -> float:
    """Return the area under the ROC curve, mean over samples, from ranks."""
    ranks = stats.rankdata(scores, axis=1)
    above = np.where(decides, ranks, 0).sum(axis=1) - SIGNAL * (SIGNAL + 1) / 2
    return float((above / (SIGNAL * (STEPS - SIGNAL))).mean())


def one_seed(recurrent: str, attention: str, seed: int) -> tuple[dict[str, float], float, float, float]:
    """Return each method's area, the test accuracy, and the largest gap of ``arras`` by logit and by relevance."""
    net, rng = trained(recurrent, attention, seed)
    x, classes, decides = samples(TEST, rng)
    accuracy = net.evaluate(x, classes, verbose=0)[1]
    tree = attrkit.compare(
        net,
        x,
        {
            "gradient x input": "input_x_gradient",
            "arras": "lrp",
            "attnlrp": ("lrp", {"composite": "attnlrp"}),
        },
        target="predicted",
        show_progress=False,
    )
    found = {name: area(np.abs(ds["attribution"].sum("channel").values), decides) for name, ds in tree.items()}
    arras = tree["arras"]
    logit = arras["prediction"].max("output")
    keras.backend.clear_session()
    gap, relevance = abs(arras["completeness_gap"]), abs(arras["attribution"]).sum(("timestep", "channel"))
    return found, accuracy, float((gap / abs(logit)).max()), float((gap / relevance).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--recurrent", nargs="+", default=["LSTM", "BiLSTM", "GRU"])
    attentions = ["none", "additive", "multiplicative", "weighted", "multi-head"]
    parser.add_argument("--attention", nargs="+", default=attentions)
    chosen = parser.parse_args()
    table = Table(title=f"Area under the ROC curve of the deciding timesteps, {chosen.seeds} seeds")
    for column in (
        "model",
        "attention",
        "accuracy",
        "gradient x input",
        "arras",
        "less it",
        "attnlrp",
        "less it",
        "gap by logit",
        "by relevance",
    ):
        table.add_column(column, justify="left" if column in ("model", "attention") else "right")
    for recurrent in chosen.recurrent:
        for attention in chosen.attention:
            runs = [one_seed(recurrent, attention, seed) for seed in range(chosen.seeds)]
            areas = {name: np.array([run[0][name] for run in runs]) for name in runs[0][0]}
            cells = [f"{areas['gradient x input'].mean():.3f}"]
            for name in ("arras", "attnlrp"):
                interval = stats.ttest_rel(areas[name], areas["gradient x input"]).confidence_interval()
                cells += [f"{areas[name].mean():.3f}", f"{interval.low:+.3f} to {interval.high:+.3f}"]
            gaps = [f"{max(run[i] for run in runs):.1e}" for i in (2, 3)]
            accuracy = np.mean([run[1] for run in runs])
            table.add_row(recurrent, attention, f"{accuracy:.2f}", *cells, *gaps)
            print(recurrent, attention, f"{accuracy:.2f}", *cells, *gaps, flush=True)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
