"""Bootstrap distributions of means and medians, and the intervals read off them.

`scipy.stats.bootstrap` does not serve: it has no undefined cases, resamples one level only, and draws anew for each
slice, where here all extractors are resampled together. A resample is held as how often it has each case, so that the
means of all slices are one product of matrices. `bca_limits` is tested against scipy on the same resamples.
"""

from collections.abc import Iterator

import numpy as np

from attrkit.packages import needed

BLOCK = 2**22
"""Numbers that the counts of a block of resamples may hold."""


def count_cases(n_cases: int, n_resamples: int, seed: list[int]) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield the numbers of some resamples, and how often each has each case: shape (resample, case)."""
    # Draws follow each other, so that they do not depend on blocks.
    rng = np.random.default_rng(seed)
    size = max(1, BLOCK // n_cases)
    for first in range(0, n_resamples, size):
        rows = min(size, n_resamples - first)
        drawn = rng.integers(n_cases, size=(rows, n_cases)) + n_cases * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * n_cases).reshape(rows, n_cases)
        yield slice(first, first + rows), counts.astype(np.float64)


def statistic_of(values: np.ndarray, counts: np.ndarray, statistic: str) -> np.ndarray:
    """Return the mean or median of each resample, over what is defined in it.

    Parameters
    ----------
    values : ndarray of shape (case, slice)
        NaN where undefined.
    counts : ndarray of shape (resample, case)
    statistic : {"mean", "median"}

    Returns
    -------
    ndarray of shape (resample, slice)
    """
    if statistic == "mean":
        defined = ~np.isnan(values)
        with np.errstate(invalid="ignore"):
            mean: np.ndarray = counts @ np.where(defined, values, 0) / (counts @ defined.astype(np.float64))
        return mean
    out = np.full((len(counts), values.shape[1]), np.nan)
    for number, column in enumerate(values.T):
        order = np.argsort(column)[: np.count_nonzero(~np.isnan(column))]
        if not len(order):
            continue
        reached = counts[:, order].cumsum(axis=1)
        total = reached[:, -1:]
        # The two in the middle, which are one and the same of an odd number.
        low = column[order[(reached >= np.ceil(total / 2)).argmax(axis=1)]]
        high = column[order[(reached >= np.floor(total / 2) + 1).argmax(axis=1)]]
        out[:, number] = np.where(total[:, 0] > 0, (low + high) / 2, np.nan)
    return out


def one_level(values: np.ndarray, statistic: str, n_resamples: int, seed: int) -> np.ndarray:
    """Return the statistic of resampled cases, for values of shape (case, slice): shape (resample, slice)."""
    out = np.empty((n_resamples, values.shape[1]))
    for rows, counts in count_cases(len(values), n_resamples, [seed, 0]):
        out[rows] = statistic_of(values, counts, statistic)
    return out


def two_level(
    values: np.ndarray, statistic: str, n_resamples: int, seed: int, *, resample_outer: bool = True
) -> np.ndarray:
    """Return means over groups of the statistic of their cases, both resampled; groups share their cases.

    Parameters
    ----------
    values : ndarray of shape (group, case, slice)
        Such as seeds, samples and extractors.
    resample_outer : bool, default True
        If false, groups stay as they are.

    Returns
    -------
    ndarray of shape (resample, slice)
    """
    n_groups, n_cases, n_slices = values.shape
    out = np.empty((n_resamples, n_slices))
    weights = np.ones((n_resamples, n_groups))
    if resample_outer:
        for rows, counts in count_cases(n_groups, n_resamples, [seed, 1]):
            weights[rows] = counts
    flat = values.transpose(1, 0, 2).reshape(n_cases, -1)
    for rows, counts in count_cases(n_cases, n_resamples, [seed, 0]):
        found = statistic_of(flat, counts, statistic).reshape(-1, n_groups, n_slices)
        own = np.where(np.isnan(found), 0, weights[rows, :, None])
        with np.errstate(invalid="ignore"):
            out[rows] = (own * np.nan_to_num(found)).sum(axis=1) / own.sum(axis=1)
    return out


def percentile_limits(distribution: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the percentiles of each column of a distribution; a resample without a defined case is out of it."""
    quantile = np.nanquantile if np.isnan(distribution).any() else np.quantile
    low, high = quantile(distribution, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return low, high


def bca_limits(
    distribution: np.ndarray, estimate: np.ndarray, values: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return bias-corrected and accelerated limits of means (Efron 1987, doi:10.1080/01621459.1987.10478410, eq. 2.3).

    Parameters
    ----------
    distribution : ndarray of shape (resample, slice)
        Means of resamples.
    estimate : ndarray of shape (slice,)
    values : ndarray of shape (case, slice)
        All defined.
    """
    special = needed("scipy.special", "statistics", extra="metrics")
    from_mean = values - values.mean(axis=0)
    squares = (from_mean**2).sum(axis=0)
    # Resamples that hold every case once are ties with the estimate, but for rounding.
    tie = 1e-9 * np.sqrt(squares) / len(values)
    below = (distribution < estimate - tie).mean(axis=0)
    share = (below + (distribution <= estimate + tie).mean(axis=0)) / 2
    bias = special.ndtri(share)
    with np.errstate(invalid="ignore", divide="ignore"):
        # The jackknife of a mean in closed form.
        acceleration = np.nan_to_num((from_mean**3).sum(axis=0) / (6 * squares**1.5))
        limits = []
        for end in ((1 - confidence) / 2, (1 + confidence) / 2):
            moved = bias + special.ndtri(end)
            limits.append(_quantiles(distribution, special.ndtr(bias + moved / (1 - acceleration * moved))))
    return limits[0], limits[1]


def _quantiles(distribution: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return another quantile of each column."""
    own = zip(distribution.T, shares, strict=True)
    return np.array([np.nan if np.isnan(share) else np.quantile(column, share) for column, share in own])
