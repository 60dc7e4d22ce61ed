"""Attention weights by attrkit beside plain prediction, which returns none, in one run.

Run ``uv run python benchmarks/attention.py``; ``--framework`` as in gradients.py. Beside the framework's own
``predict`` stands the compiled forward pass alone, on data that lie on the device already: weights of every pair of
timesteps have to come back and be checked, where a prediction is one number a sample.
"""

import argparse
import functools
import os
import warnings
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from common.forward import forward_alone, predict
from common.models import model_of, samples_of
from common.report import arguments, report
from common.timing import interleaved, ratio

import attrkit


def main() -> None:
    parser = arguments(__doc__, repeats=5)
    parser.add_argument(
        "--framework", choices=("keras-tensorflow", "keras-jax", "keras-torch", "torch"), default="keras-tensorflow"
    )
    parser.add_argument("--models", nargs="+", choices=("seed", "transformer"), default=["seed", "transformer"])
    parser.add_argument("--samples", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--timesteps", type=int, nargs="+", default=[60, 240])
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=64)
    chosen = parser.parse_args()
    if chosen.framework.startswith("keras-"):
        os.environ["KERAS_BACKEND"] = chosen.framework.removeprefix("keras-")
    rows = [row for name in chosen.models for timesteps in chosen.timesteps for row in rows_of(name, timesteps, chosen)]
    report(
        f"attention_{chosen.framework}",
        f"{chosen.framework}: attention weights beside prediction, batches of {chosen.batch_size}; ratio to predict",
        rows,
        chosen,
        labels=("model", "timesteps", "samples", "by"),
        columns=("seconds", "ratio", "of_ceiling", "cpu_seconds", "first_call_seconds"),
        attrs={"framework": chosen.framework},
    )


def rows_of(name: str, timesteps: int, chosen: argparse.Namespace) -> list[dict[str, Any]]:
    sizes = {"timesteps": timesteps, "channels": chosen.channels}
    model = model_of(chosen.framework, name, **sizes)
    adapter, batch, rows = attrkit.adapt(model), chosen.batch_size, []
    for count in chosen.samples:
        x = samples_of(count, **sizes)
        runs: dict[str, Callable[[], Any]] = {
            "predict": functools.partial(predict, chosen.framework, model, x, batch),
            "attrkit": functools.partial(
                attrkit.extract, adapter, x, "attention", batch_size=batch, show_progress=False
            ),
            "forward alone": forward_alone(chosen.framework, model, x, batch),
        }
        timings = interleaved(runs, chosen.repeats)
        check(runs["attrkit"](), runs["predict"]())
        for by, timing in timings.items():
            shares = {"ratio": ratio(timing, timings["predict"]), "of_ceiling": ratio(timings["forward alone"], timing)}
            row = {"model": name, "timesteps": timesteps, "samples": count, "by": by}
            rows.append({**row, **timing.cells(), **shares})
    return rows


def check(ds: Any, prediction: np.ndarray) -> None:
    """Weights are shares, and came of the pass that predicts what the model predicts."""
    np.testing.assert_allclose(ds["attention"].sum("key_timestep"), 1, atol=1e-4)
    np.testing.assert_allclose(ds["prediction"].values, prediction[:, 0], atol=1e-4)


if __name__ == "__main__":
    warnings.simplefilter("ignore", attrkit.errors.AttrkitWarning)
    main()
