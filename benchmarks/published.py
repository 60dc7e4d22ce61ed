"""Published comparisons of explanations, run again on generated data: their figures and ours in one table.

Run ``uv run python benchmarks/published.py``, or one part of it with ``--only``; in an environment of torch alone with
``KERAS_BACKEND=torch`` before it:

* ``rare``: rare features and rare times of Dynamask, a function whose attributions are known.
* ``states``: hidden states of Dynamask, a recurrent net that is trained here.
* ``ismail``: some processes and boxes of Ismail et al. and three nets, trained here; all of them with ``--full``.

A mean is followed by the standard deviation over folds; in the last part, over data sets. ``--out`` has two
groups a part: ``rare/table``, and ``rare/each`` with every fold; that of ``ismail`` has every sample.
"""

import argparse
import os
import warnings
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import xarray as xr
from common import published_figures, published_ismail, published_rare, published_states
from common.report import arguments, report
from common.scores import POOLED, beside, rows_of

import attrkit

PARTS = ("rare", "states", "ismail")

DRAWS = 200
"""Folds whose exact integrated gradients are taken, to see how far folds lie apart."""


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", choices=PARTS, help="one part; all if not given")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--full", action="store_true", help="all samples, processes and boxes as published: hours")
    chosen = parser.parse_args()
    if chosen.out:
        chosen.out.unlink(missing_ok=True)
    parts = {"rare": rare, "states": states, "ismail": ismail}
    for name in [chosen.only] if chosen.only else PARTS:
        parts[name](chosen)


def rare(chosen: argparse.Namespace) -> None:
    labels, samples = ("experiment", "method"), 10
    found = published_rare.measured(chosen.folds, samples)
    keep(found, "rare", chosen)
    rows = sorted(rows_of(found, published_figures.RARE, labels), key=lambda row: str(row["experiment"]))
    exact = rows_of(published_rare.exact(DRAWS, samples), {}, labels, by=f"exact, {DRAWS} folds")
    report(
        "rare",
        f"Rare features and rare times: {samples} samples of 50 timesteps and 50 channels, {chosen.folds} folds",
        beside(rows, exact, labels),
        chosen,
        labels=(*labels, "by"),
        columns=POOLED,
        group="rare/table",
    )


def states(chosen: argparse.Namespace) -> None:
    samples = published_states.TESTED if chosen.full else 20
    found, accuracies = published_states.measured(chosen.folds, samples=samples)
    keep(found, "states", chosen)
    # Of sums, the part of 200 salient cells, which one sample has.
    found[["information", "entropy"]] /= samples
    short = published_states.SHORT
    rows = rows_of(found.sel(length=200, drop=True), published_figures.STATES, ("method",))
    pieces = rows_of(found.sel(length=short, drop=True), {}, ("method",), by=f"attrkit, cut into {short}")
    report(
        "states",
        f"Hidden states: {samples} samples of 200 timesteps, {chosen.folds} folds; accuracy on the test data "
        f"{min(accuracies):.3f} to {max(accuracies):.3f}; information and entropy are sums over 200 salient cells",
        beside(rows, pieces, ("method",)),
        chosen,
        labels=("method", "by"),
        columns=POOLED,
        group="states/table",
    )


def ismail(chosen: argparse.Namespace) -> None:
    full: dict[str, Any] = {
        "processes": published_ismail.ALL_PROCESSES,
        "boxes": published_ismail.ALL_BOXES,
        "samples": published_ismail.TESTED,
    }
    part: dict[str, Any] = {
        "processes": published_ismail.PROCESSES,
        "boxes": published_ismail.BOXES,
        "samples": 20,
    }
    grid = full if chosen.full else part
    found = published_ismail.measured(**grid)
    keep(found, "ismail", chosen)
    accuracy = found["accuracy"]
    enough = int((accuracy >= published_ismail.ENOUGH).sum())
    of_data_set = found.drop_vars("accuracy").mean("sample").stack(fold=("process", "box"))
    report(
        "ismail",
        f"Ismail et al.: {accuracy.sizes['process']} processes x {accuracy.sizes['box']} boxes, {grid['samples']} "
        f"samples of 50 timesteps and 50 channels; {enough} of {accuracy.size} nets have an accuracy of "
        f"{published_ismail.ENOUGH} or more and count",
        rows_of(of_data_set, {}, ("model", "method")),
        chosen,
        labels=("model", "method", "by"),
        columns=published_ismail.METRICS,
        group="ismail/table",
    )


def keep(found: xr.Dataset, part: str, chosen: argparse.Namespace) -> None:
    """Save what the means of a part's table are taken over."""
    if chosen.out:
        found.to_netcdf(chosen.out, mode="a", group=f"{part}/each", engine="h5netcdf")


if __name__ == "__main__":
    warnings.simplefilter("ignore", attrkit.errors.AttrkitWarning)
    main()
