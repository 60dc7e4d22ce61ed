"""Integrated gradients of 50 steps by attrkit, xplique and Captum, on the model of the original question, in one run.

Run ``uv run python benchmarks/toolkits.py`` for attrkit and xplique on Keras with TensorFlow; with ``--torch-python``
and a Python that has attrkit, torch and Captum, also for attrkit and Captum on a torch module of the same weights, in a
process of its own. The toolkits are called as their documentation shows, with their defaults and with the batch size
that serves them best. All results are held against double precision first.
"""

import argparse
import functools
import json
import os
import subprocess
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from common.models import model_of, samples_of
from common.reference import largest_difference, reference, values_of
from common.report import arguments, machine, report, settling
from common.timing import clock, interleaved, ratio, settle

import attrkit

TOLERANCE = 1e-3


def main() -> None:
    parser = arguments(__doc__, repeats=3)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--timesteps", type=int, default=240)
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 128], help="for the toolkits to choose from")
    parser.add_argument("--torch-python", help="interpreter of an environment with attrkit, torch and Captum")
    parser.add_argument("--only", choices=("keras", "torch"), default="keras", help="what this interpreter has")
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    settling(parser)
    chosen = parser.parse_args()
    # Captum's default takes most of a machine's memory, so it comes before this process holds any.
    other = in_torch(chosen) if chosen.torch_python else {"rows": []}
    rows = keras_rows(chosen) if chosen.only == "keras" else torch_rows(chosen)
    versions = machine()["versions"]
    if chosen.rows:
        chosen.rows.write_text(json.dumps({"rows": rows, "versions": versions}), encoding="utf-8")
        return
    rows += other["rows"]
    attrs = {}
    if chosen.torch_python:
        attrs["versions_torch"] = other["versions"]
        attrs["versions"] = f"{versions}; {other['versions']}"
    for row in rows:
        row["of_first"] = row["seconds"] / rows[0]["seconds"]
    report(
        "toolkits",
        f"integrated gradients, {chosen.samples} samples x {chosen.steps} steps, LSTM and self-attention over "
        f"{chosen.timesteps} timesteps; ratio to attrkit on the same framework",
        rows,
        chosen,
        labels=("framework", "by", "batch"),
        columns=("seconds", "ratio", "of_first", "difference", "cpu_seconds", "first_call_seconds"),
        attrs=attrs,
    )


def in_torch(chosen: argparse.Namespace) -> Any:
    """Return what this script finds in the other interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "rows.json")
        words = ["--only", "torch", "--rows", str(file), "--batches", *map(str, chosen.batches)]
        for option in ("repeats", "samples", "steps", "timesteps", "channels", "settle"):
            words += [f"--{option}", str(getattr(chosen, option))]
        subprocess.run([chosen.torch_python, __file__, *words], check=True)
        return json.loads(file.read_text(encoding="utf-8"))


def keras_rows(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    from xplique.attributions import IntegratedGradients

    model, x = model_of("keras-tensorflow", "seed", **sizes(chosen)), inputs(chosen)
    targets = np.ones((len(x), 1), "float32")

    def xplique(batch: int | None) -> Any:
        options = {} if batch is None else {"batch_size": batch}
        # Its default, the mean over the last axis, is for colours; channels are to be kept.
        explainer = IntegratedGradients(model, steps=chosen.steps, reducer=None, **options)
        return lambda: np.asarray(explainer.explain(x, targets)).reshape(x.shape)

    own = own_runs(model, x, chosen, quadrature="trapezoid")
    return contest("Keras on TensorFlow", "xplique", xplique, own, chosen, quadrature="trapezoid")


def torch_rows(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    import torch
    from captum.attr import IntegratedGradients

    model, x = model_of("torch", "seed", **sizes(chosen)), inputs(chosen)
    device = next(model.parameters()).device

    def captum(batch: int | None) -> Any:
        explainer = IntegratedGradients(model)

        def run() -> np.ndarray:
            given = torch.tensor(x, device=device)
            found = explainer.attribute(given, n_steps=chosen.steps, internal_batch_size=batch)
            return found.detach().cpu().numpy()

        return run

    # cuDNN takes no gradients of recurrent layers outside training; nothing else in this model depends on it.
    model.train(device.type == "cuda")
    own = own_runs(model, x, chosen, quadrature="gauss_legendre")
    return contest("torch", "Captum", captum, own, chosen, quadrature="gauss_legendre")


def own_runs(
    model: Any, x: np.ndarray, chosen: argparse.Namespace, *, quadrature: str
) -> Callable[[int | None], Callable[[], np.ndarray]]:
    adapter = attrkit.adapt(model)

    def run(batch: int | None) -> np.ndarray:
        options = {"n_steps": chosen.steps, "quadrature": quadrature, "batch_size": batch}
        return values_of(attrkit.extract(adapter, x, "integrated_gradients", show_progress=False, **options))

    return lambda batch: functools.partial(run, batch)


def contest(
    framework: str,
    name: str,
    theirs: Callable[[int | None], Callable[[], np.ndarray]],
    own: Callable[[int | None], Callable[[], np.ndarray]],
    chosen: argparse.Namespace,
    *,
    quadrature: str,
) -> list[dict[str, Any]]:
    """Choose the toolkit's best batch size and attrkit's, check all, and time them in turn."""
    options = {"n_steps": chosen.steps, "quadrature": quadrature}
    asked = [("wanted", "integrated_gradients", options)]
    wanted = reference("seed", asked, samples=chosen.samples, **sizes(chosen))["wanted"]

    runs = {("attrkit", "default"): own(None), (name, "default"): theirs(None)}
    differences, first = {}, {}

    def check(by: str, run: Callable[[], np.ndarray]) -> None:
        differences[by] = largest_difference(run(), wanted)
        if not differences[by] < TOLERANCE:
            raise SystemExit(f"{by} on {framework} differs from double precision by {differences[by]:.1e}")

    for (by, _), run in runs.items():
        # These are the calls that compile.
        first[by], _ = clock(functools.partial(check, by, run))
    settle(runs["attrkit", "default"], chosen.settle)
    for by, make in (("attrkit", own), (name, theirs)):
        batch = fastest(make, chosen.batches)
        best = f"{by}, best batch"
        runs[best, str(batch)] = make(batch)
        check(best, runs[best, str(batch)])
    timings = interleaved({by: run for (by, _), run in runs.items()}, chosen.repeats, first=first)
    return [
        {
            "framework": framework,
            "by": by,
            "batch": batch,
            **timings[by].cells(),
            "ratio": ratio(timings[by], timings["attrkit"]),
            "difference": differences[by],
        }
        for by, batch in runs
    ]


def fastest(make: Callable[[int | None], Callable[[], np.ndarray]], batches: list[int]) -> int:
    """Return the batch size of the shortest second call; first ones compile."""
    seconds = {}
    for batch in batches:
        run = make(batch)
        run()
        seconds[batch] = clock(run)[0]
    return min(seconds, key=seconds.__getitem__)


def sizes(chosen: argparse.Namespace) -> dict[str, int]:
    return {"timesteps": chosen.timesteps, "channels": chosen.channels}


def inputs(chosen: argparse.Namespace) -> np.ndarray:
    return samples_of(chosen.samples, **sizes(chosen))


if __name__ == "__main__":
    warnings.simplefilter("ignore", attrkit.errors.AttrkitWarning)
    main()
