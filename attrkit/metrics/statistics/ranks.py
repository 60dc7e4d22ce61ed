"""Ranks of several extractors in several blocks, such as seeds, and how far the blocks agree."""

from typing import NamedTuple

import numpy as np

from attrkit.metrics.statistics.values import without_rounding
from attrkit.packages import needed


class Agreement(NamedTuple):
    """How far blocks agree on the order of extractors; NaN where undefined."""

    kendall_w: float
    mean_spearman: float
    friedman_statistic: float
    friedman_p: float
    critical_difference: float


def rank_each(values: np.ndarray) -> np.ndarray:
    """Rank the first axis, 1 for the largest; ties have their mean. NaN in all of a column where one is NaN."""
    scale = np.abs(np.nan_to_num(values)).max(axis=0)
    ranks: np.ndarray = needed("scipy.stats", "statistics", extra="metrics").rankdata(
        -without_rounding(values, scale), axis=0
    )
    return np.where(np.isnan(values).any(axis=0), np.nan, ranks)


def share_first(ranks: np.ndarray) -> np.ndarray:
    """Return the share of blocks in which each is first, for ranks of shape (extractor, block); ties share theirs."""
    first = ranks == ranks.min(axis=0)
    return np.asarray((first / first.sum(axis=0)).mean(axis=1))


def kendall_w(ranks: np.ndarray) -> float:
    """Return Kendall's W of ranks of shape (extractor, block), corrected for ties; NaN where each block ties all."""
    from_mean = ranks - (len(ranks) + 1) / 2
    # Without ties it is blocks ** 2 * (count ** 3 - count) / 12; a block of ties only says nothing of the order.
    largest = ranks.shape[1] * (from_mean**2).sum()
    return float((from_mean.sum(axis=1) ** 2).sum() / largest) if largest else np.nan


def agreement_of(ranks: np.ndarray, confidence: float) -> Agreement:
    """Return how far blocks agree, for ranks of shape (extractor, block) without NaN.

    Kendall's W is corrected for ties (Kendall and Smith 1939, doi:10.1214/aoms/1177732186); the critical difference is
    Nemenyi's (Demšar 2006, https://jmlr.org/papers/v7/demsar06a.html, section 3.2.2).
    """
    stats = needed("scipy.stats", "statistics", extra="metrics")
    count, blocks = ranks.shape
    if blocks < 2 or count < 2:
        return Agreement(*[np.nan] * len(Agreement._fields))
    w = kendall_w(ranks)
    from_mean = ranks - (count + 1) / 2
    spread = (from_mean**2).sum(axis=0)
    untied = from_mean[:, spread > 0]
    spearman = np.nan
    if untied.shape[1] > 1:
        unit = untied / np.sqrt((untied**2).sum(axis=0))
        pairs = unit.shape[1] * (unit.shape[1] - 1)
        # The sum over all pairs of blocks: that of the square of the sum, less each with itself.
        spearman = ((unit.sum(axis=1) ** 2).sum() - unit.shape[1]) / pairs
    # scipy takes three or more.
    friedman = (np.nan, np.nan)
    if count > 2 and spread.any():
        found = stats.friedmanchisquare(*ranks)
        friedman = (float(found.statistic), float(found.pvalue))
    critical = stats.studentized_range.ppf(confidence, count, np.inf) * np.sqrt(count * (count + 1) / (12 * blocks))
    return Agreement(w, float(spearman), *friedman, float(critical))
