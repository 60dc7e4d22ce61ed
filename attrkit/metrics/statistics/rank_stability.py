"""Whether the order of extractors stays the same."""

import numpy as np
import xarray as xr

from attrkit.checks import one_of
from attrkit.errors import InputError
from attrkit.metrics.statistics.interval import interval
from attrkit.metrics.statistics.ranks import Agreement, agreement_of, rank_each, share_first
from attrkit.metrics.statistics.values import as_table, read_confidence, read_values


def rank_stability(
    values: xr.DataArray | xr.Dataset,
    *,
    dim: str = "extractor",
    over: str = "seed",
    best: str | None = None,
    confidence: float = 0.95,
) -> xr.Dataset:
    """Say whether the order of extractors is the same from seed to seed, or from one operator to the next.

    Parameters
    ----------
    values : DataArray, or Dataset of one variable
        Values of a metric, such as of dims (extractor, seed, sample); NaN where undefined. Means over ``sample`` are
        ranked, of those samples for which all extractors are defined, unless `over` is ``"sample"``.
    dim : str, default "extractor"
        What is ranked.
    over : str, default "seed"
        Where it is ranked anew. Other dims stay.
    best : {"highest", "lowest"}, optional
        Which value has rank 1. If not given, the attribute ``direction`` of the values says so: ``"higher is better"``
        or ``"lower is better"``.
    confidence : float, default 0.95
        Of the interval of mean ranks, and of the critical difference.

    Returns
    -------
    Dataset
        ``rank`` of dims (extractor, seed), ties with their mean. For each extractor, ``mean_rank`` with ``low`` and
        ``high`` (Student's t over seeds, within the ranks there are) and ``first_share``, the share of seeds in which
        it is first. Over all, ``kendall_w`` (1 for one order, 0 for none) and ``mean_spearman`` of all pairs of seeds;
        Friedman's ``friedman_statistic`` and ``friedman_p`` for three extractors or more, whose chi-squared is a poor
        approximation for few seeds; ``critical_difference``, by which two mean ranks must differ (Nemenyi). ``n``
        seeds, and ``n_undefined`` others in which an extractor is; ``n_sample`` and ``n_sample_undefined`` a seed.

    Raises
    ------
    InputError
        If a dim is missing, nothing says which values are best, or an option is not known.
    MissingDependencyError
        If scipy is not installed.

    Notes
    -----
    Kendall's W is corrected for ties (Kendall and Smith 1939, doi:10.1214/aoms/1177732186). Friedman's test and
    Nemenyi's critical difference are those of Demšar (2006, https://jmlr.org/papers/v7/demsar06a.html, section 3.2.2).

    Examples
    --------
    >>> from attrkit.metrics import rank_stability
    >>> values = xr.DataArray([[3.0, 3, 3, 1], [2, 2, 2, 2], [1, 1, 1, 3]], dims=("extractor", "seed"))
    >>> found = rank_stability(values, best="highest")
    >>> found["mean_rank"].values, found["first_share"].values, float(found["kendall_w"])
    (array([1.5, 2. , 2.5]), array([0.75, 0.  , 0.25]), 0.25)
    """
    array = read_values(values, (dim, over))
    if dim == over or array.sizes[dim] < 2:
        raise InputError(f"{dict(array.sizes)} came; accepted are two {dim}s or more, ranked anew over another dim")
    lowest = _lowest_is_best(array, best)
    confidence = read_confidence(confidence)
    counts = {}
    if "sample" in array.dims and "sample" not in (dim, over):
        everywhere = array.notnull().all(dim)
        counts = {"n_sample": everywhere.sum("sample"), "n_sample_undefined": (~everywhere).sum("sample")}
        array = array.where(everywhere).mean("sample")
    ordered = array.transpose(dim, over, ...)
    rest = ordered.isel({dim: 0, over: 0}, drop=True)
    ranks = rank_each(-ordered.values if lowest else ordered.values)
    ranked = ordered.copy(data=ranks)
    means = interval(ranked, over=over, confidence=confidence, method="t")
    size = array.sizes[dim]
    found: dict[str, np.ndarray] = {name: np.full(rest.size, np.nan) for name in Agreement._fields}
    first = np.full((size, rest.size), np.nan)
    for number, own in enumerate(np.moveaxis(ranks.reshape(size, array.sizes[over], -1), 2, 0)):
        own = own[:, ~np.isnan(own[0])]
        if own.shape[1]:
            first[:, number] = share_first(own)
        for name, value in agreement_of(own, confidence)._asdict().items():
            found[name][number] = value
    variables = {
        "rank": ranked.assign_attrs(long_name=f"rank, 1 for the {'lowest' if lowest else 'highest'}"),
        "mean_rank": means["estimate"],
        "low": means["low"].clip(1, size),
        "high": means["high"].clip(1, size),
        "first_share": means["estimate"].copy(data=first.reshape(size, *rest.shape)),
        **{name: rest.copy(data=value.reshape(rest.shape)) for name, value in found.items()},
        "n": means["n"].isel({dim: 0}, drop=True),
        "n_undefined": means["n_undefined"].isel({dim: 0}, drop=True),
        **counts,
    }
    attrs = {"ranked": dim, "over": over, "best": "lowest" if lowest else "highest", "confidence": confidence}
    return as_table("rank_stability", variables, attrs)


def _lowest_is_best(array: xr.DataArray, best: str | None) -> bool:
    if best is None:
        said = {"higher is better": "highest", "lower is better": "lowest"}
        best = said.get(str(array.attrs.get("direction")))
        if best is None:
            raise InputError(
                f"nothing says which values are best: their attribute direction is {array.attrs.get('direction')!r}; "
                "accepted are best='highest' and best='lowest'"
            )
    one_of(best, "best", ("highest", "lowest"))
    return best == "lowest"
