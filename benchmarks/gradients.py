"""Gradient, SmoothGrad and integrated gradients by attrkit beside loops written by hand, in one run.

Run ``uv run python benchmarks/gradients.py`` for Keras on TensorFlow; ``--framework`` for keras-jax, keras-torch, torch
and jax, each in an environment that has it. First every form of the hand-written, compiled gradient is timed at several
batch sizes, and the fastest wins. Then it, attrkit at the same batch size, attrkit as it comes, and the plain forward
and backward passes alone, on data that lie on the device already, are timed in turn. First calls, which compile, are
apart. Each method takes as many gradients as the others: all samples at all steps.
"""

import functools
import os
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from common import by_hand
from common.models import FRAMEWORKS, MODELS, adapted, model_of, samples_of
from common.reference import largest_difference, reference, values_of
from common.report import arguments, report, settling
from common.timing import Timing, interleaved, ratio, settle

import attrkit


def main() -> None:
    parser = arguments(__doc__, repeats=3)
    parser.add_argument("--framework", choices=FRAMEWORKS, default="keras-tensorflow")
    parser.add_argument("--model", choices=MODELS, default="seed")
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--timesteps", type=int, default=240)
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 64, 128])
    parser.add_argument("--check", action="store_true", help="hold results against float64 on the processor first")
    settling(parser)
    chosen = parser.parse_args()
    if chosen.framework.startswith("keras-"):
        os.environ["KERAS_BACKEND"] = chosen.framework.removeprefix("keras-")
    model = model_of(chosen.framework, chosen.model, **sizes_of(chosen))
    forms = by_hand.forms_of(chosen.framework, model)
    x = samples_of(chosen.samples * chosen.steps, **sizes_of(chosen))
    rows, best = choose(forms, x, chosen.batches)
    found = contest(model, forms, best, x, chosen)
    report(
        f"gradients_{chosen.framework}",
        f"{chosen.framework}, {chosen.model}: {len(x)} gradients of {chosen.timesteps} timesteps",
        [*rows, *found],
        chosen,
        labels=("method", "by", "batch"),
        columns=("seconds", "ratio", "of_ceiling", "rows_per_second", "cpu_seconds", "first_call_seconds"),
        attrs={"framework": chosen.framework, "model": chosen.model},
    )


def choose(
    forms: Mapping[str, by_hand.Compiled], x: np.ndarray, batches: list[int]
) -> tuple[list[dict[str, Any]], tuple[str, int]]:
    """Time every form at every batch size; return the rows, and the fastest."""
    runs: dict[tuple[str, int], Callable[[], object]] = {}
    for name, form in forms.items():
        for batch in (batch for batch in batches if batch <= len(x)):
            runs[name, batch] = functools.partial(by_hand.gradients, form, x, batch)
    timings = interleaved({f"{name} {batch}": run for (name, batch), run in runs.items()}, 1)
    found = dict(zip(runs, timings.values(), strict=True))
    best = min(found, key=lambda key: found[key].median)
    rows = [
        {"method": "to choose from", "by": name, "batch": str(batch), **cells(timing, len(x))}
        for (name, batch), timing in found.items()
    ]
    return rows, best


def contest(
    model: Any, forms: Mapping[str, by_hand.Compiled], best: tuple[str, int], x: np.ndarray, chosen: Any
) -> list[dict[str, Any]]:
    """Check each method, time it, and return its rows."""
    form, batch = forms[best[0]], best[1]
    few, adapter, rows = x[: chosen.samples], adapted(model), []
    steps = chosen.steps
    methods: dict[str, tuple[np.ndarray, Callable[..., np.ndarray], dict[str, Any]]] = {
        "gradient": (x, by_hand.plain_gradient, {}),
        "smoothgrad": (few, by_hand.smoothgrad, {"n_samples": steps, "noise_scale": 0.15}),
        "integrated_gradients": (few, by_hand.integrated_gradients, {"n_steps": steps}),
    }
    if chosen.check:
        # Another model of the same weights: what this one compiles is to be timed.
        check_against_float64(model_of(chosen.framework, chosen.model, **sizes_of(chosen)), few[:4], chosen)
    for method, (given, hand, options) in methods.items():
        extract = functools.partial(attrkit.extract, adapter, method=method, show_progress=False, **options)
        # Noise is drawn in another way by each; without it the two must agree.
        exact = {**options, "noise_scale": 0.0} if method == "smoothgrad" else options
        started = time.perf_counter()
        found = values_of(extract(few, batch_size=batch, **exact))
        first = time.perf_counter() - started
        difference = largest_difference(found, hand(form, few, batch, **exact))
        if not difference < 1e-3:
            raise SystemExit(f"{method}: attrkit and the loop written by hand differ by {difference:.1e}")
        runs: dict[str, Callable[[], object]] = {
            f"by hand, {best[0]}": functools.partial(hand, form, given, batch, **options),
            "attrkit": functools.partial(extract, given, batch_size=batch),
            "attrkit, default batches": functools.partial(extract, given),
            "forward and backward alone": by_hand.ceiling(form, x, batch),
        }
        # What is tried out on the work itself is, before any clock runs.
        settle(functools.partial(extract, given), chosen.settle)
        timings = interleaved(runs, chosen.repeats)
        # By now all is compiled; what compiled it were the calls that were checked.
        timings["attrkit"].first = first
        base, top = (timings[name] for name in (next(iter(runs)), "forward and backward alone"))
        for name, timing in timings.items():
            row = {"method": method, "by": name, "batch": "" if "default" in name else str(batch)}
            shares = {"ratio": ratio(timing, base), "of_ceiling": ratio(top, timing), "difference": difference}
            # What is written by hand was compiled when it was chosen.
            compiled_here = {} if name.startswith("attrkit") else {"first_call_seconds": None}
            rows.append({**row, **cells(timing, len(x)), **shares, **compiled_here})
    return rows


def cells(timing: Timing, count: int) -> dict[str, float]:
    return {**timing.cells(), "rows_per_second": count / timing.median}


def sizes_of(chosen: Any) -> dict[str, int]:
    return {"timesteps": chosen.timesteps, "channels": chosen.channels}


def check_against_float64(model: Any, x: np.ndarray, chosen: Any) -> None:
    asked = [("gradient", "gradient", {}), ("ig", "integrated_gradients", {"n_steps": chosen.steps})]
    wanted = reference(chosen.model, asked, samples=len(x), **sizes_of(chosen))
    for name, method, options in asked:
        found = values_of(attrkit.extract(adapted(model), x, method, show_progress=False, **options))
        difference = largest_difference(found, wanted[name])
        print(f"{method}: {difference:.1e} of the largest value from float64", flush=True)
        if not difference < 1e-3:
            raise SystemExit(f"{method} is not what double precision gives")


if __name__ == "__main__":
    warnings.simplefilter("ignore", attrkit.errors.AttrkitWarning)
    main()
