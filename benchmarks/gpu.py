"""attrkit on one GPU: results against double precision on the processor, then throughput against the plain passes.

Run ``python benchmarks/gpu.py`` with a Python that has torch and Keras, and JAX for Keras on JAX; nothing is
downloaded. ``--device cpu`` does the same on a processor. Each framework runs in a process of its own. Results of the
first samples that are further than 1e-3 of the largest value from double precision (5e-2 for bf16) are refused, and not
timed. Then come rows a second of each method at several batch sizes and as attrkit chooses, as a share of the ceiling:
the fastest of all hand-written, compiled forward and backward passes on data that lie on the device already; for
attention, which needs no backward pass, of the forward passes. A row is one sample at one step.
"""

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from common import by_hand
from common.forward import forward_alone
from common.models import MODELS, model_of, samples_of
from common.reference import largest_difference, reference, values_of
from common.report import arguments, machine, report
from common.timing import Timing, interleaved, peak_memory

import attrkit

FRAMEWORKS = ("keras-jax", "keras-torch", "torch")
PRECISIONS = {"float32": "float32", "tf32": "tensorfloat32", "bf16": "bfloat16"}
TOLERANCE = {"float32": 1e-3, "tf32": 1e-3, "bf16": 5e-2}
CHECKED = 8
REFUSED = "refused by attrkit"


def main() -> None:
    parser = arguments(__doc__, repeats=3)
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--frameworks", nargs="+", choices=FRAMEWORKS, default=list(FRAMEWORKS))
    parser.add_argument("--precision", choices=PRECISIONS, default="float32", help="of matrix products")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["seed", "lstm", "conv", "transformer"])
    methods = ("gradient", "integrated_gradients", "lrp", "attention")
    parser.add_argument("--methods", nargs="+", choices=methods, default=list(methods))
    parser.add_argument("--rows", type=int, default=4096, help="gradients a call; a multiple of the steps")
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--timesteps", type=int, default=240)
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--found", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--wanted", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.found:
        found = work(chosen.frameworks[0], chosen)
        chosen.found.write_text(json.dumps({"rows": found, **machine()}), encoding="utf-8")
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen.models:
            np.savez(Path(folder, f"{name}.npz"), **wanted_of(name, chosen))
        parts = [in_its_own_process(framework, Path(folder), chosen) for framework in chosen.frameworks]
    rows = [row for part in parts for row in part["rows"]]
    report(
        f"gpu_{chosen.precision}" if chosen.device == "gpu" else f"gpu_on_cpu_{chosen.precision}",
        f"{chosen.rows} rows of {chosen.timesteps} timesteps, {chosen.precision}",
        rows,
        chosen,
        labels=("framework", "model", "method", "batch"),
        columns=("difference", "rows_per_second", "of_ceiling", "peak_memory", "first_call_seconds", "note"),
        attrs={
            "device": parts[0]["device"],
            "versions": "; ".join(part["versions"] for part in parts),
            "precision": chosen.precision,
        },
    )
    if any(row.get("note", REFUSED) != REFUSED for row in rows):
        raise SystemExit("some of it did not run or was wrong: see the notes")


def wanted_of(name: str, chosen: argparse.Namespace) -> dict[str, np.ndarray]:
    """Return the results of the first samples in double precision, by method."""
    asked = [(method, method, options_of(method, chosen)) for method in methods_of(name, chosen)]
    return reference(name, asked, samples=CHECKED, timesteps=chosen.timesteps, channels=chosen.channels)


def methods_of(name: str, chosen: argparse.Namespace) -> list[str]:
    return [method for method in chosen.methods if method != "attention" or name in ("seed", "transformer")]


def options_of(method: str, chosen: argparse.Namespace) -> dict[str, Any]:
    return {"n_steps": chosen.steps} if method == "integrated_gradients" else {}


def in_its_own_process(framework: str, folder: Path, chosen: argparse.Namespace) -> Any:
    env = {**os.environ, "JAX_DEFAULT_MATMUL_PRECISION": PRECISIONS[chosen.precision]}
    if framework.startswith("keras-"):
        env["KERAS_BACKEND"] = framework.removeprefix("keras-")
    if chosen.device == "cpu":
        env |= {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    file = folder / f"{framework}.json"
    words = ["--frameworks", framework, "--found", str(file), "--wanted", str(folder)]
    for option in ("device", "precision", "repeats", "rows", "steps", "timesteps", "channels"):
        words += [f"--{option}", str(getattr(chosen, option))]
    for option in ("models", "methods", "batches"):
        words += [f"--{option}", *map(str, getattr(chosen, option))]
    subprocess.run([sys.executable, __file__, *words], check=True, env=env)
    return json.loads(file.read_text(encoding="utf-8"))


def work(framework: str, chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """Return all rows of one framework."""
    if chosen.device == "gpu":
        check_device(framework)
    rows = []
    with precision(framework, chosen.precision):
        for name in chosen.models:
            rows += [{"framework": framework, "model": name, **row} for row in rows_of(framework, name, chosen)]
            print(f"{framework}, {name}: {len(rows)} rows", flush=True)
    return rows


def rows_of(framework: str, name: str, chosen: argparse.Namespace) -> list[dict[str, Any]]:
    sizes = {"timesteps": chosen.timesteps, "channels": chosen.channels}
    model, x = model_of(framework, name, **sizes), samples_of(chosen.rows, **sizes)
    adapter = attrkit.adapt(model)
    with np.load(chosen.wanted / f"{name}.npz") as loaded:
        wanted = dict(loaded)
    ceilings, rows = {}, []
    for passes, runs in ceilings_of(framework, model, x, chosen).items():
        timed = [measured(f"{passes} alone", batch, run, len(x), framework, chosen) for batch, run in runs]
        ceilings[passes] = max((row["rows_per_second"] for row in timed if "rows_per_second" in row), default=None)
        rows += timed
    for method in methods_of(name, chosen):
        options = options_of(method, chosen)
        given = x[: len(x) // chosen.steps] if "n_steps" in options else x
        extract = functools.partial(attrkit.extract, adapter, method=method, show_progress=False, **options)
        difference, note = check(functools.partial(extract, x[:CHECKED]), wanted.get(method), chosen.precision)
        if note:
            rows.append({"method": method, "batch": "", "difference": difference, "note": note})
            continue
        for batch in [None, *chosen.batches]:
            run = functools.partial(extract, given, batch_size=batch)
            row = measured(method, str(batch or "default"), run, len(x), framework, chosen)
            top = ceilings["forward" if method == "attention" else "forward and backward"]
            if top and "rows_per_second" in row:
                row["of_ceiling"] = row["rows_per_second"] / top
            rows.append({**row, "difference": difference})
    return rows


def check(run: Callable[[], Any], wanted: np.ndarray | None, precision: str) -> tuple[float | None, str]:
    """Return how far a result is from double precision, and why it is not to be timed, if so."""
    if wanted is None:
        return None, REFUSED
    try:
        found = run()
    except (
        Exception
    ) as err:  # Frameworks raise every kind of error on a device; the rest is to be measured all the same.
        return None, short(err)
    difference = largest_difference(values_of(found), wanted)
    return difference, "" if difference < TOLERANCE[precision] else "wrong: refused"


def ceilings_of(
    framework: str, model: Any, x: Any, chosen: argparse.Namespace
) -> dict[str, list[tuple[str, Callable[[], object]]]]:
    """Return the plain passes over as many rows, by what they are of; each with its form and batch size."""
    found: dict[str, list[tuple[str, Callable[[], object]]]] = {"forward and backward": []}
    for name, form in by_hand.forms_of(framework, model).items():
        for batch in chosen.batches:
            found["forward and backward"].append((f"{name}, {batch}", by_hand.ceiling(form, x, batch)))
    if "attention" in chosen.methods:
        found["forward"] = [(str(batch), forward_alone(framework, model, x, batch)) for batch in chosen.batches]
    return found


def measured(
    method: str, batch: str, run: Callable[[], object], count: int, framework: str, chosen: argparse.Namespace
) -> dict[str, Any]:
    """Return a row: times, or what went wrong."""
    row: dict[str, Any] = {"method": method, "batch": batch}
    peak = device_memory(framework) if chosen.device == "gpu" else None
    try:
        timing: Timing = interleaved({"": run}, chosen.repeats)[""]
        row["peak_memory"] = peak_memory(run) if peak is None else peak()
    except (
        Exception
    ) as err:  # Frameworks raise every kind of error on a device; the rest is to be measured all the same.
        return {**row, "note": short(err)}
    return {**row, **timing.cells(), "rows_per_second": count / timing.median}


def check_device(framework: str) -> None:
    if framework == "keras-jax":
        import jax

        there = jax.default_backend() == "gpu"
    else:
        import torch

        there = torch.cuda.is_available()
    if not there:
        raise SystemExit(f"{framework} sees no GPU; --device cpu runs the same on the processor")


def precision(framework: str, name: str) -> AbstractContextManager[Any]:
    """Return what holds while a framework computes matrix products in a precision; JAX is told by its environment."""
    if framework == "keras-jax":
        return nullcontext()
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = name == "tf32"
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.autocast(device, torch.bfloat16) if name == "bf16" else nullcontext()


def device_memory(framework: str) -> Callable[[], float]:
    """Return what tells the most memory of the GPU that was held since, in MiB; JAX counts since its start."""
    if framework == "keras-jax":
        import jax

        return lambda: jax.devices()[0].memory_stats()["peak_bytes_in_use"] / 2**20
    import torch

    torch.cuda.reset_peak_memory_stats()
    return lambda: torch.cuda.max_memory_allocated() / 2**20


def short(err: Exception) -> str:
    if isinstance(err, attrkit.errors.RefusedError):
        return REFUSED
    return f"{type(err).__name__}: {' '.join(str(err).split())[:80]}"


if __name__ == "__main__":
    warnings.simplefilter("ignore", attrkit.errors.AttrkitWarning)
    main()
