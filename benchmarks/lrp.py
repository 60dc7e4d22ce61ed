"""What layer-wise relevance costs, in units of one plain gradient of the same model, in one run.

Run ``uv run python benchmarks/lrp.py`` for Keras on TensorFlow; ``KERAS_BACKEND=jax`` or ``torch`` for Keras on those,
``--torch`` for modules of torch. Both sides are compiled where the framework compiles; the first, tracing calls are
timed apart. Ratios are medians of pairs that ran one after the other: machines differ, and so do their moments.
"""

import functools
import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from common import by_hand
from common.models import samples_of
from common.report import arguments, report
from common.timing import interleaved, ratio

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


def relevance(model: Any, composite: str, x: np.ndarray) -> Callable[[], object]:
    adapter = attrkit.adapt(model)
    explained = explain_inputs(adapter, x)
    adapter = adapter.configured(batch_size=len(x), question=explained.question())
    prediction, target = adapter.predict(x), np.zeros(len(x), int)
    plan = rewrite_of(adapter, COMPOSITES[composite], by_layer=False)
    return lambda: adapter.rewritten_gradient(x, target, plan.rewrite, prediction=prediction)


def main() -> None:
    parser = arguments(__doc__, repeats=7)
    parser.add_argument("--torch", action="store_true", help="modules of torch in place of Keras models")
    parser.add_argument("--timesteps", type=int, default=240)
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 256])
    parser.add_argument("--models", default="", help="only models with this in their name")
    parser.add_argument("--composites", nargs="+", default=["arras", "attnlrp"])
    chosen = parser.parse_args()
    framework = "torch" if chosen.torch else f"keras-{os.environ.get('KERAS_BACKEND', 'tensorflow')}"
    models = torch_models(chosen.timesteps) if chosen.torch else keras_models(chosen.timesteps)
    rows = []
    for name, model in ((name, model) for name, model in models.items() if chosen.models in name):
        # The first form, without XLA and torch.compile: relevance is compiled as it is.
        form = next(iter(by_hand.forms_of(framework, model).values()))
        for composite in chosen.composites if "Attention" in name else chosen.composites[:1]:
            # Weights of attention, shared, hold (sample, query, key, unit) several times over.
            for batch in chosen.batches if composite == "arras" else chosen.batches[:1]:
                x = samples_of(batch, timesteps=chosen.timesteps, channels=CHANNELS)
                plain = functools.partial(by_hand.gradients, form, x, batch)
                timings = interleaved({"gradient": plain, "LRP": relevance(model, composite, x)}, chosen.repeats)
                row = {"model": name, "composite": composite, "batch": batch}
                row |= {"gradient_seconds": timings["gradient"].median, **timings["LRP"].cells()}
                rows.append({**row, "ratio": ratio(timings["LRP"], timings["gradient"])})
    report(
        f"lrp_{framework}",
        f"LRP in plain gradients, {framework}, {chosen.timesteps} timesteps",
        rows,
        chosen,
        labels=("model", "composite", "batch"),
        columns=("gradient_seconds", "seconds", "ratio", "first_call_seconds"),
    )


if __name__ == "__main__":
    main()
