"""attrkit's metrics beside those of Quantus: the same torch module, the same attributions, in one run.

Run ``python benchmarks/metrics.py`` in an environment with attrkit's torch extra and Quantus. Each pair is first run
with the same settings, and Quantus is handed the noise that attrkit draws; values that differ end the run. Then both
are timed in turn, each with its own noise. Quantus takes channels first; it gets a module that takes its axes so.

Of Quantus, faithfulness correlation, sensitivity-n, complexity and randomisation have no counterpart of the same
definition; its infidelity does not take series. What agreement and the other metrics take has no row here.
"""

import functools
import importlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from common.report import arguments, report
from common.timing import clock, interleaved, ratio

import attrkit
from attrkit.engines.zennit._rooms import load
from attrkit.metrics.draws import ONLY, generator

RADIUS = 0.1
CLASSES, UNITS = 3, 60
TOLERANCE = 1e-4

Run = Callable[[], np.ndarray]


class Net(torch.nn.Module):
    """A GRU of classes, in whichever order it takes its axes."""

    def __init__(self, channels: int, *, channels_first: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.channels_first = channels_first
        self.cell = torch.nn.GRU(channels, UNITS, batch_first=True)
        self.head = torch.nn.Linear(UNITS, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return probabilities."""
        states, _ = self.cell(x.transpose(1, 2) if self.channels_first else x)
        return torch.softmax(self.head(states.mean(dim=1)), dim=-1)


def main() -> None:
    parser = arguments(__doc__, repeats=3)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--timesteps", type=int, default=100)
    parser.add_argument("--channels", type=int, default=5, help="a divisor of the timesteps, for Quantus")
    parser.add_argument("--draws", type=int, default=20, help="noisy copies of each sample")
    chosen = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((chosen.samples, chosen.timesteps, chosen.channels)).astype("float32")
    saliency = np.zeros(x.shape[:2], bool)
    saliency[:, : chosen.timesteps // 4] = True
    own, theirs = (Net(chosen.channels, channels_first=first).eval() for first in (False, True))
    tree = attrkit.compare(own, x, ["gradient"], target="predicted", show_progress=False)
    pairs = {
        "deletion, one timestep at a time": deletion(own, theirs, x, tree),
        "maximum sensitivity of the gradient": sensitivity(own, theirs, x, tree, chosen.draws),
        "area under ROC of timesteps": roc(x, tree, saliency),
    }
    rows = [row for metric, runs in pairs.items() for row in contest(metric, *runs, chosen.repeats)]
    report(
        "metrics",
        f"metrics of {chosen.samples} samples of {chosen.timesteps} timesteps and {chosen.channels} channels, torch, "
        f"GRU of {UNITS} units; {chosen.draws} noisy copies",
        rows,
        chosen,
        labels=("metric", "by"),
        columns=("seconds", "ratio", "difference", "cpu_seconds", "first_call_seconds"),
    )


def contest(metric: str, own: Run, theirs: Run, timed: Run, repeats: int) -> list[dict[str, Any]]:
    """Check that both say the same, and time them; `timed` is theirs with noise of its own."""
    found: dict[str, np.ndarray] = {}

    def keep(by: str, run: Run) -> None:
        found[by] = run()

    first = {by: clock(functools.partial(keep, by, run))[0] for by, run in (("attrkit", own), ("Quantus", theirs))}
    difference = float(np.abs(found["attrkit"] - found["Quantus"]).max() / np.abs(found["Quantus"]).max())
    if not difference < TOLERANCE:
        raise SystemExit(f"{metric}: attrkit and Quantus differ by {difference:.1e} of the largest value")
    timings = interleaved({"attrkit": own, "Quantus": timed}, repeats, first=first)
    return [
        {
            "metric": metric,
            "by": by,
            **timing.cells(),
            "ratio": ratio(timing, timings["attrkit"]),
            "difference": difference,
        }
        for by, timing in timings.items()
    ]


def deletion(own: Net, theirs: Net, x: np.ndarray, tree: Any) -> tuple[Run, Run, Run]:
    """Timesteps are replaced by 0, the highest attribution first, until all are."""
    scores = np.abs(tree["gradient"]["attribution"].values).sum(axis=2)
    ranked = attrkit.from_arrays({"gradient": scores}, inputs=x)
    n_removed = range(1, x.shape[1] + 1)

    def run() -> np.ndarray:
        ds = attrkit.metrics.faithfulness(
            own,
            ranked,
            operator="zero",
            target="predicted",
            n_removed=n_removed,
            metrics=["deletion_auc"],
            n_random=0,
            show_progress=False,
        )
        curve = ds["deletion"].sel(extractor="gradient", order="most_relevant_first").transpose("sample", "n_removed")
        return np.asarray(curve.values[:, 1:])

    # A step of Quantus takes cells: all of a timestep share its score, and a step is one timestep.
    flipping = quantus().PixelFlipping(features_in_step=x.shape[2], perturb_baseline=0.0, **PLAIN)
    given = in_quantus(theirs, x) | {"a_batch": scores[:, None]}
    their = functools.partial(_call, flipping, theirs, given)
    return run, their, their


def sensitivity(own: Net, theirs: Net, x: np.ndarray, tree: Any, draws: int) -> tuple[Run, Run, Run]:
    """Every value is moved by uniform noise, and the gradient taken anew."""
    options = {"radius": RADIUS, "unit": "input", "n_samples": draws, "target": tree["gradient"]["target"].values}

    def run() -> np.ndarray:
        ds = attrkit.metrics.max_sensitivity(own, x, ["gradient"], show_progress=False, **options)
        return np.asarray(ds["max_sensitivity"].values[0])

    given = in_quantus(theirs, x) | {
        "a_batch": tree["gradient"]["attribution"].values.swapaxes(1, 2).copy(),
        "explain_func": gradient,
        "batch_size": len(x),
    }
    uniform = quantus().MaxSensitivity(nr_samples=draws, lower_bound=RADIUS, **PLAIN)

    def handed() -> np.ndarray:
        step = iter(range(draws))
        same = quantus().MaxSensitivity(
            nr_samples=draws, perturb_func=lambda arr, **_: arr + noise(x, next(step)).reshape(arr.shape), **PLAIN
        )
        return _call(same, theirs, given)

    return run, handed, functools.partial(_call, uniform, theirs, given)


def noise(x: np.ndarray, draw: int) -> np.ndarray:
    """Return what attrkit adds in a draw, channels first."""
    drawn = np.stack([generator(0, ONLY, sample, draw).uniform(-1, 1, x.shape[1:]) for sample in range(len(x))])
    return (RADIUS * drawn).astype(x.dtype).swapaxes(1, 2)


def gradient(model: Any, inputs: Any, targets: Any, **_: Any) -> np.ndarray:
    """Return what a user of Quantus writes for it, in one backward pass."""
    given = torch.as_tensor(inputs).requires_grad_()
    score = model(given)[torch.arange(len(given)), torch.as_tensor(targets)].sum()
    return torch.autograd.grad(score, given)[0].numpy()


def roc(x: np.ndarray, tree: Any, saliency: np.ndarray) -> tuple[Run, Run, Run]:
    """How well the size of the gradient finds the first quarter of the timesteps; nothing is asked of the model."""
    scores = np.abs(tree["gradient"]["attribution"].values).sum(axis=2)
    results = attrkit.from_arrays({"gradient": scores}, inputs=x)

    def run() -> np.ndarray:
        return np.asarray(attrkit.metrics.ground_truth(results, saliency, metrics=["auroc"])["auroc"].values[0])

    given = {
        "x_batch": x.swapaxes(1, 2).copy(),
        "y_batch": np.zeros(len(x), int),
        "a_batch": scores[:, None],
        "s_batch": saliency[:, None].astype(int),
        "channel_first": True,
    }
    their = functools.partial(_call, quantus().AUC(**PLAIN), None, given)
    return run, their, their


PLAIN = {"abs": False, "normalise": False, "disable_warnings": True}


def in_quantus(model: Net, x: np.ndarray) -> dict[str, Any]:
    """Return the arguments of a call: inputs with channels first, and the classes that are predicted."""
    turned = x.swapaxes(1, 2).copy()
    with torch.no_grad():
        predicted = model(torch.tensor(turned)).argmax(dim=-1).numpy()
    return {"x_batch": turned, "y_batch": predicted, "channel_first": True, "softmax": False, "device": "cpu"}


def _call(metric: Any, model: Net | None, given: dict[str, Any]) -> np.ndarray:
    return np.asarray(metric(model=model, **given))


@functools.cache
def quantus() -> Any:
    """Return Quantus, which imports zennit, which asks for torchvision; attrkit does without."""
    load("zennit")
    return importlib.import_module("quantus")


if __name__ == "__main__":
    warnings.simplefilter("ignore", attrkit.errors.AttrkitWarning)
    main()
