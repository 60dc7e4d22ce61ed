"""Inputs of 10,000 timesteps: what every method takes, in time and memory, or that it is refused.

Run ``uv run python benchmarks/long_inputs.py``; ``--framework`` as in gradients.py. One sample, first call, compiling
included. Memory is the most that the process held in a call, less what it held before.
"""

import argparse
import os
import warnings
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import psutil
from common.models import FRAMEWORKS, MODELS, adapted, model_of, samples_of
from common.report import arguments, machine, report
from common.timing import clock, peak_memory

import attrkit

CHANNELS = 4

METHODS: dict[str, dict[str, Any]] = {
    "gradient": {},
    "integrated_gradients": {"n_steps": 8},
    "smoothgrad": {"n_samples": 8},
    "occlusion": {"window": 1000, "per_channel": False},
    "lrp": {},
}


def main() -> None:
    parser = arguments(__doc__, repeats=1)
    parser.add_argument("--framework", choices=FRAMEWORKS, default="keras-tensorflow")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["lstm", "gru", "conv"])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--timesteps", type=int, default=10_000)
    chosen = parser.parse_args()
    if chosen.framework.startswith("keras-"):
        os.environ["KERAS_BACKEND"] = chosen.framework.removeprefix("keras-")
    report(
        f"long_inputs_{chosen.framework.replace('-', '_')}",
        f"{chosen.framework}: one sample of {chosen.timesteps} timesteps by {CHANNELS} channels",
        [row for model in chosen.models for row in measured(model, chosen)],
        chosen,
        labels=("model", "method"),
        columns=("seconds", "cpu_seconds", "peak_memory", "ended"),
        attrs={**machine(), "framework": chosen.framework},
    )


def measured(model: str, chosen: argparse.Namespace) -> list[dict[str, Any]]:
    shape = {"timesteps": chosen.timesteps, "channels": CHANNELS}
    adapter, x = adapted(model_of(chosen.framework, model, **shape)), samples_of(1, **shape)
    rows = []
    for method in chosen.methods:
        row: dict[str, Any] = {"model": model, "method": method, "ended": "explained"}

        def run(row: dict[str, Any] = row, method: str = method) -> None:
            try:
                row["seconds"], row["cpu_seconds"] = clock(
                    lambda: attrkit.extract(adapter, x, method, show_progress=False, **METHODS[method])
                )
            except attrkit.errors.AttrkitError as err:
                row["ended"] = f"refused: {err}"

        before = psutil.Process().memory_info().rss / 2**20
        row["peak_memory"] = peak_memory(run, every=0.05) - before
        print(row, flush=True)
        rows.append(row)
    return rows


if __name__ == "__main__":
    warnings.simplefilter("ignore", attrkit.errors.AttrkitWarning)
    main()
