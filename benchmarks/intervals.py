"""How often intervals hold the truth: Student's t beside the bootstrap, over samples, over seeds, over both.

Run ``uv run python benchmarks/intervals.py``. Of each case, values are drawn from a world whose mean is known, as many
times as the table says; counted is how often the 95 percent interval of `attrkit.metrics.interval` holds that mean.
Over both levels a value is the sum of what its seed adds, what its sample adds, for all seeds alike, and noise of its
own that is half as large as the larger of the two. Beside them stand the intervals that leave out one of the two: over
samples, of one seed, and over seeds, of their means.
"""

import argparse
import csv
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr

from attrkit.metrics import interval

Draw = Callable[[np.random.Generator, int], xr.DataArray]


def of_seeds(count: int) -> Draw:
    """Return what draws values of so many seeds, normal about 0."""
    return lambda rng, draws: xr.DataArray(rng.normal(size=(draws, count)), dims=("draw", "seed"))


def of_samples(count: int) -> Draw:
    """Return what draws values of so many samples, exponential with their mean taken off."""
    return lambda rng, draws: xr.DataArray(rng.exponential(size=(draws, count)) - 1, dims=("draw", "sample"))


def of_both(seed: float, sample: float) -> Draw:
    """Return what draws values of 5 seeds and 50 samples, with the standard deviations of what each adds."""

    def draw(rng: np.random.Generator, draws: int) -> xr.DataArray:
        values = rng.normal(0, seed, (draws, 5, 1)) + rng.normal(0, sample, (draws, 1, 50))
        values = values + rng.normal(0, max(seed, sample) / 2, (draws, 5, 50))
        return xr.DataArray(values, dims=("draw", "seed", "sample"))

    return draw


BOTH = ("seed", "sample")
CASES: list[tuple[str, Draw, str | tuple[str, str], int]] = [
    *((f"{count} seeds", of_seeds(count), "seed", 2000) for count in (3, 5, 8, 20)),
    *((f"{count} samples, exponential", of_samples(count), "sample", 2000) for count in (10, 30, 100)),
    ("5 seeds and 50 samples that differ as much", of_both(1, 1), BOTH, 1000),
    ("5 seeds that differ five times as much as samples", of_both(5, 1), BOTH, 1000),
    ("5 seeds, samples differ ten times as much", of_both(1, 10), BOTH, 1000),
]


def held(draw: Draw, draws: int, ask: Callable[[xr.DataArray], xr.Dataset]) -> str:
    """Return how many of 100 intervals hold the mean."""
    rng, inside = np.random.default_rng(0), []
    for _ in range(draws // 50):
        found = ask(draw(rng, 50))
        inside.append(((found["low"] <= 0) & (found["high"] >= 0)).mean().item())
    return f"{100 * float(np.mean(inside)):.1f}"


def main() -> None:
    """Print the table, or write it where it is shown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, help="folder for intervals.csv, such as docs/metrics")
    folder = parser.parse_args().write
    rows = [["cases", "draws", "Student's t", "bootstrap", "samples of one seed", "means of seeds"]]
    for name, draw, over, draws in CASES:
        asked = [
            lambda values, how=how, over=over: interval(values, over=over, method=how) for how in ("t", "bootstrap")
        ]
        if over == BOTH:
            asked.append(lambda values: interval(values.isel(seed=0), over="sample"))
            asked.append(lambda values: interval(values.mean("sample"), over="seed"))
        found = [held(draw, draws, ask) for ask in asked]
        rows.append([name, str(draws), *found, *[""] * (4 - len(found))])
        print(*rows[-1], sep="  ", file=sys.stderr)
    if folder is None:
        csv.writer(sys.stdout).writerows(rows)
    else:
        with (folder / "intervals.csv").open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    main()
