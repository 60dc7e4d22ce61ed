"""What layer-wise relevance costs, in units of one plain gradient of the same model, in one run.

Run ``uv run python benchmarks/lrp.py`` for Keras on TensorFlow; ``KERAS_BACKEND=jax`` or ``torch`` for Keras on those,
``--torch`` for modules of torch. Both sides are compiled where the framework compiles; the first, tracing calls are
timed apart. Ratios are medians of pairs that ran one after the other: machines differ, and so do their moments.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from rich.console import Console
from rich.table import Table

import attrkit
from attrkit.explained import explain_inputs
from attrkit.relevance import COMPOSITES
from attrkit.relevance.rewrite import rewrite_of

CHANNELS, UNITS = 4, 60


def keras_models(timesteps: int) -> dict[str, Any]:
    import keras

    layers = keras.layers

    def model(*body: Any) -> Any:
        return keras.Sequential([layers.Input((timesteps, CHANNELS)), *body, layers.Flatten(), layers.Dense(1)])

    inputs = layers.Input((timesteps, CHANNELS))
    hidden = layers.LSTM(UNITS, return_sequences=True)(inputs)
    attended = layers.MultiHeadAttention(4, 16)(hidden, hidden)
    found = {
        "Conv1D": model(layers.Conv1D(UNITS, 5, activation="relu"), layers.Conv1D(UNITS, 5, activation="relu")),
        "LSTM": model(layers.LSTM(UNITS)),
        "GRU": model(layers.GRU(UNITS)),
        "LSTM + MultiHeadAttention": keras.Model(inputs, layers.Dense(1)(layers.Flatten()(attended))),
    }
    if keras.backend.backend() == "tensorflow":
        from keras_self_attention import SeqSelfAttention

        found["LSTM + SeqSelfAttention"] = model(layers.LSTM(UNITS, return_sequences=True), SeqSelfAttention(units=32))
    return found


def torch_models(timesteps: int) -> dict[str, Any]:
    from torch import nn

    class Last(nn.Module):
        def __init__(self, body: Any) -> None:
            super().__init__()
            self.body, self.head = body, nn.Linear(UNITS, 1)

        def forward(self, x: Any) -> Any:
            return self.head(self.body(x)[0][:, -1])

    return {
        "LSTM": Last(nn.LSTM(CHANNELS, UNITS, batch_first=True)),
        "GRU": Last(nn.GRU(CHANNELS, UNITS, batch_first=True)),
        "LSTM, two layers, both directions": Last(
            nn.LSTM(CHANNELS, UNITS // 2, 2, batch_first=True, bidirectional=True)
        ),
    }


def plain_gradient(model: Any, framework: str, x: np.ndarray) -> Callable[[], object]:
    """Return one gradient of the summed output, compiled as a user would."""
    if framework == "tensorflow":
        import tensorflow as tf

        @tf.function
        def gradient(points: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(points)
                output = model(points, training=False)
            return tape.gradient(output, points)

        return lambda: gradient(tf.constant(x)).numpy()
    if framework == "jax":
        import jax

        state = [v.value for v in model.trainable_variables], [v.value for v in model.non_trainable_variables]
        compiled = jax.jit(jax.grad(lambda points, state: model.stateless_call(*state, points)[0].sum()))
        return lambda: np.asarray(compiled(x, state))
    import torch

    def run() -> Any:
        points = torch.tensor(x, requires_grad=True)
        return torch.autograd.grad(model(points).sum(), points)[0].numpy()

    return run


def relevance(model: Any, composite: str, x: np.ndarray) -> Callable[[], object]:
    adapter = attrkit.adapt(model)
    explained = explain_inputs(adapter, x)
    adapter = adapter.configured(batch_size=len(x), question=explained.question())
    prediction, target = adapter.predict(x), np.zeros(len(x), int)
    plan = rewrite_of(adapter, COMPOSITES[composite], by_layer=False)
    return lambda: adapter.rewritten_gradient(x, target, plan.rewrite, prediction=prediction)


def timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch", action="store_true", help="modules of torch in place of Keras models")
    parser.add_argument("--timesteps", type=int, default=240)
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 256])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--models", default="", help="only models with this in their name")
    parser.add_argument("--composites", nargs="+", default=["arras", "attnlrp"])
    chosen = parser.parse_args()
    framework = "torch" if chosen.torch else os.environ.get("KERAS_BACKEND", "tensorflow")
    models = torch_models(chosen.timesteps) if chosen.torch else keras_models(chosen.timesteps)
    kind = "modules of torch" if chosen.torch else f"Keras on {framework}"
    table = Table(title=f"LRP in plain gradients, {kind}, {chosen.timesteps} timesteps")
    for column in ("model", "composite", "batch", "gradient [ms]", "LRP [ms]", "ratio", "first call [s]"):
        table.add_column(column, justify="left" if column in ("model", "composite") else "right")
    for name, model in ((name, model) for name, model in models.items() if chosen.models in name):
        for composite in chosen.composites if "Attention" in name else chosen.composites[:1]:
            # Weights of attention, shared, hold (sample, query, key, unit) several times over.
            for batch in chosen.batches if composite == "arras" else chosen.batches[:1]:
                x = np.random.default_rng(0).standard_normal((batch, chosen.timesteps, CHANNELS)).astype("float32")
                gradient, lrp = plain_gradient(model, framework, x), relevance(model, composite, x)
                gradient()
                first = timed(lrp)
                pairs = [(timed(gradient), timed(lrp)) for _ in range(chosen.repeats)]
                plain, ours = (statistics.median(times) for times in zip(*pairs, strict=True))
                ratio = statistics.median(b / a for a, b in pairs)
                numbers = (f"{1e3 * plain:.1f}", f"{1e3 * ours:.1f}", f"{ratio:.2f}", f"{first:.1f}")
                table.add_row(name, composite, str(batch), *numbers)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
