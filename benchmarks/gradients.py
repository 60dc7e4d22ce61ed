"""Gradients of attrkit beside a hand-written compiled loop, on the model of the original question, in one run.

Run ``uv run python benchmarks/gradients.py``. Times are medians after a first, untimed call of each; the ratio is what
counts, because machines differ.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from keras_self_attention import SeqSelfAttention
from rich.console import Console
from rich.table import Table
from tensorflow import keras

import attrkit


def seed_model(timesteps: int, channels: int) -> keras.Model:
    return keras.Sequential(
        [
            keras.layers.Input((timesteps, channels)),
            keras.layers.LSTM(60, return_sequences=True),
            SeqSelfAttention(attention_activation="sigmoid"),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )


def by_hand(model: keras.Model, batch_size: int) -> Callable[[np.ndarray, int], np.ndarray]:
    """Integrated gradients as one would write them: a compiled gradient over batches of points, summed in numpy."""

    @tf.function
    def gradient(points: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(points)
            output = model(points, training=False)
        return tape.gradient(output, points)

    def run(x: np.ndarray, n_steps: int) -> np.ndarray:
        nodes, weights = np.polynomial.legendre.leggauss(n_steps)
        points = (x[:, None] * ((nodes + 1) / 2)[:, None, None]).reshape(-1, *x.shape[1:]).astype("float32")
        parts = [gradient(tf.constant(points[i : i + batch_size])).numpy() for i in range(0, len(points), batch_size)]
        gradients = np.concatenate(parts).reshape(len(x), n_steps, *x.shape[1:])
        return x * np.einsum("nktc,k->ntc", gradients, weights / 2)

    return run


def median_time(run: Callable[[], object], repeats: int) -> float:
    run()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--timesteps", type=int, default=240)
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch-size", type=int, default=80)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()

    keras.utils.set_random_seed(0)
    model = seed_model(args.timesteps, args.channels)
    x = np.random.default_rng(0).standard_normal((args.samples, args.timesteps, args.channels)).astype("float32")
    adapter, hand = attrkit.adapt(model), by_hand(model, args.batch_size)
    options = {"batch_size": args.batch_size, "show_progress": False}
    ours = attrkit.extract(adapter, x, "integrated_gradients", n_steps=args.steps, **options)
    np.testing.assert_allclose(ours["attribution"], hand(x, args.steps), atol=1e-5)

    runs: dict[str, Callable[[], object]] = {
        "by hand": lambda: hand(x, args.steps),
        "attrkit": lambda: attrkit.extract(adapter, x, "integrated_gradients", n_steps=args.steps, **options),
        "model.predict": lambda: model.predict(x, verbose=0),
        "attrkit attention": lambda: attrkit.extract(adapter, x, "attention", **options),
    }
    seconds = {name: median_time(run, args.repeats) for name, run in runs.items()}
    table = Table(title=f"integrated gradients, {args.samples} samples x {args.steps} steps, T={args.timesteps}")
    for column in ("", "seconds", "ratio"):
        table.add_column(column)
    for name, base in zip(runs, ("by hand", "by hand", "model.predict", "model.predict"), strict=True):
        table.add_row(name, f"{seconds[name]:.3f}", f"{seconds[name] / seconds[base]:.2f} x {base}")
    Console().print(table)


if __name__ == "__main__":
    main()
