"""Limits of an interval: over cases of one level, and over groups, such as seeds, that share their cases."""

from typing import NamedTuple

import numpy as np

from attrkit.metrics.statistics.bootstrap import bca_limits, one_level, percentile_limits, two_level
from attrkit.metrics.statistics.values import mean_of_defined
from attrkit.packages import needed

HELD = 2**25
"""Numbers that the distributions held at once may have."""


class Found(NamedTuple):
    """An estimate and its limits, each of shape (slice,); NaN where undefined."""

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Asked(NamedTuple):
    """What is asked of every slice alike."""

    statistic: str
    confidence: float
    n_resamples: int
    seed: int


def of_one_level(values: np.ndarray, asked: Asked, method: str) -> Found:
    """Return the statistic over the defined cases of each slice, for values of shape (case, slice)."""
    found = Found(*(np.full(values.shape[1], np.nan) for _ in Found._fields))
    defined = ~np.isnan(values)
    # Slices with the same undefined cases are resampled together; those cases are in no resample.
    patterns, pattern = np.unique(defined, axis=1, return_inverse=True)
    for number, rows in enumerate(patterns.T):
        for columns in _some(np.flatnonzero(pattern.reshape(-1) == number), asked.n_resamples):
            own = values[np.ix_(rows, columns)]
            if len(own):
                for into, limit in zip(found, _of_complete(own, asked, method), strict=True):
                    into[columns] = limit
    return found


def _some(columns: np.ndarray, numbers_each: int) -> list[np.ndarray]:
    """Split slices into lots whose distributions fit into memory; all have the same resamples."""
    return np.array_split(columns, -(-len(columns) * numbers_each // HELD))


def _of_complete(values: np.ndarray, asked: Asked, method: str) -> Found:
    """Return what `of_one_level` does where all is defined."""
    n_cases = len(values)
    # From the first case on, so that cases that are all alike are 0, without rounding.
    start, values = values[0], values - values[0]
    estimate = np.median(values, axis=0) if asked.statistic == "median" else values.mean(axis=0)
    if n_cases < 2:
        none = np.full(values.shape[1], np.nan)
        return Found(start + estimate, none, none)
    if method == "t":
        error = values.std(axis=0, ddof=1) / np.sqrt(n_cases)
        low, high = t_limits(estimate, error, np.full(values.shape[1], n_cases - 1.0), asked.confidence)
    else:
        distribution = one_level(values, asked.statistic, asked.n_resamples, asked.seed)
        if asked.statistic == "mean":
            low, high = bca_limits(distribution, estimate, values, asked.confidence)
        else:
            low, high = percentile_limits(distribution, asked.confidence)
    return Found(start + estimate, start + low, start + high)


def of_two_levels(values: np.ndarray, asked: Asked, method: str) -> Found:
    """Return the mean over groups of the statistic of their cases, for values of shape (group, case, slice)."""
    found = Found(*(np.full(values.shape[2], np.nan) for _ in Found._fields))
    for columns in _some(np.arange(values.shape[2]), len(values) * asked.n_resamples):
        own = values[..., columns]
        each = _of_each_group(own, asked.statistic)
        found.estimate[columns] = mean_of_defined(each, 0)
        known = np.count_nonzero(~np.isnan(each), axis=0) > 1
        columns, own, each = columns[known], own[..., known], each[:, known]
        if not len(columns):
            continue
        if method == "t":
            error, freedom = _errors(own, each, asked)
            limits = t_limits(found.estimate[columns], error, freedom, asked.confidence)
        else:
            limits = percentile_limits(two_level(own, asked.statistic, asked.n_resamples, asked.seed), asked.confidence)
        found.low[columns], found.high[columns] = limits
    return found


def _of_each_group(values: np.ndarray, statistic: str) -> np.ndarray:
    """Return the statistic of each group, of shape (group, slice)."""
    if statistic == "mean":
        return mean_of_defined(values, 1)
    empty = np.isnan(values).all(axis=1, keepdims=True)
    found: np.ndarray = np.nanmedian(np.where(empty, 0, values), axis=1)
    return np.where(empty[:, 0], np.nan, found)


def _errors(values: np.ndarray, each: np.ndarray, asked: Asked) -> tuple[np.ndarray, np.ndarray]:
    """Return the standard error over groups and cases, and its degrees of freedom.

    The two variances add up, as in a variance clustered both ways (Cameron, Gelbach and Miller 2011,
    doi:10.1198/jbes.2010.07136) without the term that is taken off for counting what is left twice: that could make the
    sum negative, and is small where there are many cases. Degrees of freedom are those of Welch and Satterthwaite.
    """
    n_groups = np.count_nonzero(~np.isnan(each), axis=0)
    defined = ~np.isnan(values)
    n_cases = np.count_nonzero(defined.any(axis=0), axis=0)
    of_groups = (np.nan_to_num(each - mean_of_defined(each, 0)) ** 2).sum(axis=0) / (n_groups * (n_groups - 1))
    if asked.statistic == "mean":
        # How far each case moves the mean; a case that is undefined in a group does not move that group.
        own = np.nan_to_num((values - each[:, None]) * (n_cases / np.maximum(defined.sum(axis=1), 1))[:, None])
        moves = own.sum(axis=0) / n_groups
        with np.errstate(invalid="ignore", divide="ignore"):
            of_cases = (moves**2).sum(axis=0) / (n_cases * (n_cases - 1))
    else:
        of_cases = np.nanvar(
            two_level(values, asked.statistic, asked.n_resamples, asked.seed, resample_outer=False), axis=0
        )
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = (of_groups + of_cases) ** 2 / (of_groups**2 / (n_groups - 1) + of_cases**2 / (n_cases - 1))
    return np.sqrt(of_groups + of_cases), freedom


def t_limits(
    estimate: np.ndarray, error: np.ndarray, freedom: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the limits of Student's t; an error of 0 has those of the estimate."""
    half = np.where(
        error == 0, 0, needed("scipy.stats", "statistics", extra="metrics").t.ppf((1 + confidence) / 2, freedom) * error
    )
    return estimate - half, estimate + half
