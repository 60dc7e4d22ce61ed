"""Tests of paired differences: one test of one slice, and the adjustment of many."""

from itertools import permutations
from typing import NamedTuple

import numpy as np

from attrkit.metrics.statistics.values import mean_of_defined, without_rounding
from attrkit.packages import needed

TESTS = {
    "wilcoxon": ("sum of the ranks of positive differences", "matched-pairs rank-biserial correlation"),
    "t": ("Student's t", "mean difference over its standard deviation"),
    "sign": ("positive differences", "share of positive less share of negative differences"),
}
"""What each test calls its statistic and its effect size."""

EXACT = 50
"""Cases up to which the distribution of Wilcoxon's statistic is computed and not approximated."""


class Tested(NamedTuple):
    """What one test of paired differences says; NaN where it is undefined."""

    statistic: float
    effect_size: float
    p_value: float
    smallest_p: float


UNDEFINED = Tested(np.nan, np.nan, np.nan, np.nan)


def _test(differences: np.ndarray, test: str, alternative: str) -> Tested:
    """Test paired differences, all defined, of shape (case,)."""
    stats = needed("scipy.stats", "statistics", extra="metrics")
    moved = differences[differences != 0]
    if test == "t":
        spread = differences.std(ddof=1) if len(differences) > 1 else 0.0
        # Differences that are alike but for rounding have no spread either.
        if not spread > 1e-12 * abs(differences).max(initial=0):
            return UNDEFINED
        found = stats.ttest_1samp(differences, 0, alternative=alternative)
        return Tested(float(found.statistic), float(differences.mean() / spread), float(found.pvalue), 0.0)
    if len(moved) < 2:
        return UNDEFINED
    smallest = 0.5 ** len(moved) * (2 if alternative == "two-sided" else 1)
    if test == "sign":
        ranks = np.ones(len(moved))
        p_value = stats.binomtest(int((moved > 0).sum()), len(moved), alternative=alternative).pvalue
    else:
        ranks = stats.rankdata(abs(moved))
        p_value = _signed_ranks(moved, ranks, alternative)
    positive = float(ranks[moved > 0].sum())
    return Tested(positive, 2 * positive / float(ranks.sum()) - 1, float(p_value), smallest)


def _signed_ranks(moved: np.ndarray, ranks: np.ndarray, alternative: str) -> float:
    """Return the p-value of Wilcoxon's test: exact up to 50 cases, with ties too, else by the normal approximation.

    `scipy.stats.wilcoxon` is exact without ties only: with ties it takes seconds for a few cases, or approximates.
    """
    if len(moved) > EXACT:
        return float(
            needed("scipy.stats", "statistics", extra="metrics").wilcoxon(moved, alternative=alternative).pvalue
        )
    # Each case adds its rank or nothing, with equal chance. Ranks of ties are halves, and so all are doubled.
    doubled = np.round(2 * ranks).astype(int)
    chance = np.ones(1)
    for rank in doubled:
        chance = np.append(chance, np.zeros(rank)) / 2 + np.append(np.zeros(rank), chance) / 2
    at = doubled[moved > 0].sum()
    more, less = chance[at:].sum(), chance[: at + 1].sum()
    return float(min({"greater": more, "less": less, "two-sided": 2 * min(more, less)}[alternative], 1.0))


def every_pair(values: np.ndarray, test: str, alternative: str) -> dict[str, np.ndarray]:
    """Test each extractor against each other, either way round.

    Parameters
    ----------
    values : ndarray of shape (extractor, slice, case, part)
        A case is the mean of the parts that are defined for both.

    Returns
    -------
    dict of str to ndarray of shape (extractor, other, slice)
        What `Tested` says, ``difference``, and the counts ``n``, ``n_undefined`` and ``n_zero``.
    """
    shape = len(values), len(values), values.shape[1]
    table = {name: np.full(shape, np.nan) for name in (*Tested._fields, "difference")}
    table |= {name: np.zeros(shape, dtype=int) for name in ("n", "n_undefined", "n_zero")}
    for first, second in permutations(range(len(values)), 2):
        pair = values[[first, second]]
        scale = np.abs(np.nan_to_num(pair)).max(axis=(0, 2, 3))[:, None]
        cases = without_rounding(mean_of_defined(pair[0] - pair[1], 2), scale)
        for number, row in enumerate(cases):
            own = row[~np.isnan(row)]
            counts = {"n": len(own), "n_undefined": len(row) - len(own), "n_zero": np.count_nonzero(own == 0)}
            difference = own.mean() if len(own) else np.nan
            found = {**_test(own, test, alternative)._asdict(), **counts, "difference": difference}
            for name, value in found.items():
                table[name][first, second, number] = value
    return table


def adjust(p_values: np.ndarray, correction: str, *, mirrored: bool) -> tuple[np.ndarray, int]:
    """Adjust p-values of shape (extractor, other, slice) for the number of tests, which is returned too.

    If `mirrored`, a pair and the pair the other way round are one test. What is NaN is no test.
    """
    known = ~np.isnan(p_values)
    if mirrored:
        known &= np.triu(np.ones(p_values.shape[:2], dtype=bool))[..., None]
    out = np.full(p_values.shape, np.nan)
    if known.any():
        out[known] = needed("statsmodels.stats.multitest", "statistics", extra="metrics").multipletests(
            p_values[known], method=correction
        )[1]
    return (np.fmax(out, out.swapaxes(0, 1)) if mirrored else out), int(known.sum())
