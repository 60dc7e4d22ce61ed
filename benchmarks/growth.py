"""How time and memory grow with samples, timesteps, channels and steps: one of them at a time, the others held.

Run ``uv run python benchmarks/growth.py``; ``--framework`` as in gradients.py. What is printed as growth is the slope
of the logarithms over all sizes: 1 where twice as much takes twice as long. Each of the four is a process of its own
that goes from small to large, because memory that was held once is not always given back. Memory is the most that the
process held in a call, less what it held after the very first: what the results need is in it.
"""

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import psutil
from common.models import FRAMEWORKS, MODELS, adapted, model_of, samples_of
from common.report import arguments, machine, report
from common.timing import clock, interleaved, peak_memory

import attrkit

AXES = {
    "samples": [8, 16, 32, 64],
    "timesteps": [60, 120, 240, 480],
    "channels": [4, 16, 64, 256],
    "steps": [8, 16, 32, 64],
}
HELD = {"samples": 4, "timesteps": 120, "channels": 4, "steps": 16}


def main() -> None:
    parser = arguments(__doc__, repeats=3)
    parser.add_argument("--framework", choices=FRAMEWORKS, default="keras-tensorflow")
    parser.add_argument("--model", choices=MODELS, default="seed")
    parser.add_argument("--method", default="integrated_gradients")
    parser.add_argument("--axes", nargs="+", choices=AXES, default=list(AXES))
    parser.add_argument("--scale", type=float, default=1.0, help="times all sizes")
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.rows:
        found = {"rows": measured(chosen.axes[0], chosen), "about": machine()}
        chosen.rows.write_text(json.dumps(found), encoding="utf-8")
        return
    parts = [in_its_own_process(axis, chosen) for axis in chosen.axes]
    held = ", ".join(f"{name} {scaled(size, chosen)}" for name, size in HELD.items())
    report(
        "growth",
        f"{chosen.framework}, {chosen.model}: growth of {chosen.method}; the others are {held}",
        [row for part in parts for row in part["rows"]],
        chosen,
        labels=("grows", "to"),
        columns=("seconds", "cpu_seconds", "peak_memory", "time_growth", "memory_growth", "first_call_seconds"),
        attrs={**parts[0]["about"], "framework": chosen.framework, "model": chosen.model, "method": chosen.method},
    )


def in_its_own_process(axis: str, chosen: argparse.Namespace) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "rows.json")
        words = ["--axes", axis, "--rows", str(file)]
        for option in ("framework", "model", "method", "repeats", "scale"):
            words += [f"--{option}", str(getattr(chosen, option))]
        subprocess.run([sys.executable, __file__, *words], check=True)
        return json.loads(file.read_text(encoding="utf-8"))


def measured(axis: str, chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """Return one row for each size, and the slopes in the last."""
    if chosen.framework.startswith("keras-"):
        os.environ["KERAS_BACKEND"] = chosen.framework.removeprefix("keras-")
    rows: list[dict[str, Any]] = []
    for size in sorted({scaled(size, chosen) for size in AXES[axis]}):
        sizes = {name: scaled(held, chosen) for name, held in HELD.items()} | {axis: size}
        shape = {name: sizes[name] for name in ("timesteps", "channels")}
        adapter = adapted(model_of(chosen.framework, chosen.model, **shape))
        x = samples_of(sizes["samples"], **shape)
        options = {"n_steps": sizes["steps"]} if chosen.method == "integrated_gradients" else {}
        run = functools.partial(attrkit.extract, adapter, x, chosen.method, show_progress=False, **options)
        first, _ = clock(run)
        if not rows:
            # The first call has compiled, which holds memory for good.
            before = psutil.Process().memory_info().rss / 2**20
        timing = interleaved({"": run}, chosen.repeats)[""]
        timing.first = first
        rows.append({"grows": axis, "to": sizes[axis], **timing.cells(), "peak_memory": peak_memory(run) - before})
    grown = np.log([row["to"] for row in rows])
    for key, named in (("seconds", "time_growth"), ("peak_memory", "memory_growth")):
        # Below a MiB it is not the arrays that one sees.
        values = np.log([max(row[key], 1.0) if key == "peak_memory" else row[key] for row in rows])
        rows[-1][named] = float(np.polyfit(grown, values, 1)[0])
    return rows


def scaled(size: int, chosen: argparse.Namespace) -> int:
    return max(round(size * chosen.scale), 2)


if __name__ == "__main__":
    warnings.simplefilter("ignore", attrkit.errors.AttrkitWarning)
    main()
