"""How sure a mean of a metric is, which extractors differ, and whether their order stays the same."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from attrkit.checks import name_list, one_of, whole_number
from attrkit.errors import AttrkitWarning, InputError
from attrkit.metrics._intervals import Asked, Found, of_one_level, of_two_levels
from attrkit.metrics._pairs import TESTS, adjust, every_pair
from attrkit.metrics._ranks import Agreement, agreement_of, rank_each, share_first
from attrkit.metrics._values import read_confidence, read_values

FEW = 30
"""Below so many cases the bootstrap of a mean covers less than it says, and Student's t is taken."""

ENOUGH_SEEDS = 6
"""The fewest seeds of which Wilcoxon's test can give a p-value below 0.05: two in 2 ** 6."""

METHODS = {
    ("t", 1): "Student's t",
    ("bootstrap", 1): "bootstrap, bias-corrected and accelerated for means, percentile for medians",
    ("t", 2): "Student's t with the variances of both levels, degrees of freedom of Welch and Satterthwaite",
    ("bootstrap", 2): "percentile bootstrap of both levels",
}


def interval(
    values: xr.DataArray | xr.Dataset,
    *,
    over: str | Sequence[str] = "sample",
    confidence: float = 0.95,
    statistic: str = "mean",
    method: str = "auto",
    n_resamples: int = 2000,
    seed: int = 0,
) -> xr.Dataset:
    """Say how sure the mean or median of a metric is: over samples, over seeds, or over both.

    Parameters
    ----------
    values : DataArray, or Dataset of one variable
        Values of a metric, such as of dims (extractor, seed, sample); NaN where undefined. Infinite ones are refused.
    over : str or pair of str, default "sample"
        The dim whose cases are drawn from a larger world. All other dims stay, so ``"sample"`` gives an interval for
        each seed: for other samples and this one trained model. Of a pair, ``("seed", "sample")``, the statistic is
        taken over samples and then averaged over seeds, and the interval is for other seeds and other samples. Seeds
        share their samples: the third of one is the third of the others. For other seeds on these very samples, average
        first: ``interval(values.mean("sample"), over="seed")``. The same is right where each seed has samples of its
        own.
    confidence : float, default 0.95
        How often intervals of this kind hold the truth.
    statistic : {"mean", "median"}, default "mean"
    method : {"auto", "t", "bootstrap"}, default "auto"
        Over one dim, the bootstrap resamples its cases: bias-corrected and accelerated for means (Efron 1987,
        doi:10.1080/01621459.1987.10478410), percentile for medians. ``"t"`` is Student's interval. Over a pair, ``"t"``
        adds the variances of both levels up, and ``"bootstrap"`` resamples seeds, and samples for all of them together;
        with few seeds it covers too little. ``"auto"`` is ``"t"`` for a pair and for means of less than 30 cases.
    n_resamples : int, default 2000
        Limits move by some 6 percent of a standard error from one `seed` to the next; with 10000 by 3.
    seed : int, default 0
        Of the resamples. All slices of the same defined cases are resampled together.

    Returns
    -------
    Dataset
        ``estimate``, ``low`` and ``high`` in units of `values`; ``n`` defined cases and ``n_undefined`` others, which
        are left out; for a pair also how many of the first dim have any, ``n_seed``. Limits are NaN for less than 2.

    Raises
    ------
    InputError
        If a dim is missing, or an option is not known.
    MissingDependencyError
        If scipy is not installed.

    Examples
    --------
    >>> from attrkit.metrics.statistics import interval
    >>> values = xr.DataArray([[0.1, 0.3, 0.2, np.nan], [0.8, 0.9, 0.7, 0.8]], dims=("extractor", "sample"))
    >>> found = interval(values)
    >>> found["estimate"].values.round(2), found["low"].values.round(2), found["n"].values
    (array([0.2, 0.8]), array([-0.05,  0.67]), array([3, 4]))
    """
    dims = tuple(name_list(over, "over"))
    if len(dims) not in (1, 2) or len(set(dims)) < len(dims):
        raise InputError(f"over={over!r} is not known; accepted are a dim, or two such as ('seed', 'sample')")
    one_of(statistic, "statistic", ("mean", "median"))
    one_of(method, "method", ("auto", "t", "bootstrap"))
    asked = Asked(
        statistic,
        read_confidence(confidence),
        whole_number(n_resamples, "n_resamples", least=100),
        whole_number(seed, "seed", least=0),
    )
    array = read_values(values, dims)
    if method == "auto":
        few = array.sizes[dims[0]] < FEW and statistic == "mean"
        method = "t" if few or len(dims) == 2 else "bootstrap"
    if (method, statistic, len(dims)) == ("t", "median", 1):
        raise InputError("Student's t is for means; for a median over one dim take method='bootstrap'")
    ordered = array.transpose(*dims, ...)
    flat = ordered.values.reshape(*ordered.shape[: len(dims)], -1)
    found: Found = (of_one_level if len(dims) == 1 else of_two_levels)(flat, asked, method)
    rest = ordered.isel(dict.fromkeys(dims, 0), drop=True)
    about = {key: text for key, text in array.attrs.items() if key in ("units", "long_name")}
    variables: dict[str, Any] = {
        name: rest.copy(data=limit.reshape(rest.shape)).assign_attrs(about)
        for name, limit in zip(Found._fields, found, strict=True)
    }
    defined = array.notnull()
    variables |= {"n": defined.sum(dims), "n_undefined": (~defined).sum(dims)}
    if len(dims) == 2:
        variables[f"n_{dims[0]}"] = defined.any(dims[1]).sum(dims[0])
    attrs: dict[str, Any] = {"statistic": statistic, "over": ", ".join(dims), "confidence": asked.confidence}
    attrs["interval"] = METHODS[method, len(dims)]
    if method == "bootstrap" or statistic == "median":
        attrs |= {"n_resamples": asked.n_resamples, "seed": asked.seed}
    return _dataset(variables, attrs)


def paired_tests(
    values: xr.DataArray | xr.Dataset,
    *,
    dim: str = "extractor",
    over: str | Sequence[str] | None = None,
    test: str = "wilcoxon",
    correction: str = "holm",
    alternative: str = "two-sided",
) -> xr.Dataset:
    """Test each pair of extractors for a difference, case by case, and adjust for the number of tests.

    Parameters
    ----------
    values : DataArray, or Dataset of one variable
        Values of a metric, such as of dims (extractor, seed, sample); NaN where undefined.
    dim : str, default "extractor"
        What is compared.
    over : str or sequence of str, optional
        What is one case. Of ``seed`` and ``sample``, the one that is not named is averaged first: differences of a
        pair over the cases in which both are defined. ``"seed"``, the default for 6 seeds or more, is for other
        trained models on these samples; ``"sample"``, the default otherwise, for other samples and these very models.
        ``("seed", "sample")`` takes each sample of each seed for a case of its own, which they are not: it is warned
        of. Other dims stay.
    test : {"wilcoxon", "t", "sign"}, default "wilcoxon"
        Wilcoxon's signed ranks (1945, doi:10.2307/3001968), Student's paired t, or signs only. The first and the last
        leave differences of 0 out.
    correction : {"holm", "fdr_bh"}, default "holm"
        Holm's for the chance of one false finding, Benjamini and Hochberg's for the share of false findings. All tests
        of one call are one family.
    alternative : {"two-sided", "greater", "less"}, default "two-sided"
        Of `dim` against ``other``.

    Returns
    -------
    Dataset of dims (extractor, other)
        ``statistic``, ``effect_size``, ``difference`` (the mean of `dim` less ``other``), ``p_value``, ``p_adjusted``;
        ``n`` cases, ``n_undefined`` others, ``n_zero`` of no difference; ``smallest_p``, which so few cases can give.
        NaN for less than 2 cases that differ, and for Student's t where all differences are the same.

    Raises
    ------
    InputError
        If there is nothing to compare, or an option is not known.
    MissingDependencyError
        If scipy or statsmodels is not installed.

    Warns
    -----
    AttrkitWarning
        If no p-value can come below 0.05 after correction, or cases are taken that are not independent.

    Examples
    --------
    >>> from attrkit.metrics.statistics import paired_tests
    >>> scores = np.random.default_rng(0).normal([[0.0], [1.0], [1.0]], 0.5, (3, 40))
    >>> values = xr.DataArray(scores, dims=("extractor", "sample"), coords={"extractor": ["a", "b", "c"]})
    >>> found = paired_tests(values)
    >>> (found["p_adjusted"] < 0.05).values.astype(int)
    array([[0, 1, 1],
           [1, 0, 0],
           [1, 0, 0]])
    """
    one_of(test, "test", tuple(TESTS))
    one_of(correction, "correction", ("holm", "fdr_bh"))
    one_of(alternative, "alternative", ("two-sided", "greater", "less"))
    array = read_values(values, (dim,))
    if "other" in array.dims or array.sizes[dim] < 2:
        raise InputError(
            f"pairs along {dim!r} are made of values of {dict(array.sizes)}; accepted are two {dim}s or more, and no "
            "dim 'other', which the result has: rename or select it"
        )
    cases = _cases(array, over, dim)
    averaged = [name for name in ("seed", "sample") if name in array.dims and name not in (*cases, dim)]
    ordered = array.transpose(dim, ..., *cases, *averaged)
    rest = ordered.isel(dict.fromkeys((*cases, *averaged, dim), 0), drop=True)
    n_cases = int(np.prod([array.sizes[name] for name in cases]))
    table = every_pair(ordered.values.reshape(len(ordered), rest.size, n_cases, -1), test, alternative)
    table["p_adjusted"], tests = adjust(table["p_value"], correction, mirrored=alternative == "two-sided")
    if {"seed", "sample"} <= set(cases):
        warnings.warn(
            f"each sample of each of {array.sizes['seed']} seeds is taken for a case of its own, and these are not "
            "independent: p-values are too small. Take over='seed' or over='sample'",
            AttrkitWarning,
            stacklevel=2,
        )
    # With all p-values as small as they can be, Holm's least is that of all tests, the other's that of one.
    least = np.nanmin(table["smallest_p"]) * (tests if correction == "holm" else 1) if tests else 0.0
    if least > 0.05:
        warnings.warn(
            f"with {int(table['n'].max())} cases along {', '.join(cases)} and {tests} tests no adjusted p-value can be "
            f"below {min(least, 1):.3g}; compare fewer, add cases, or take test='t'",
            AttrkitWarning,
            stacklevel=2,
        )
    shape, dims = (len(ordered), len(ordered), *rest.shape), (dim, "other", *rest.dims)
    coords = {name: array[dim if name == "other" else name].values for name in dims}
    found = xr.Dataset({name: (dims, value.reshape(shape)) for name, value in table.items()}, coords=coords)
    found["statistic"].attrs["long_name"], found["effect_size"].attrs["long_name"] = TESTS[test]
    found["difference"].attrs["long_name"] = f"mean difference, {dim} less other"
    return found.assign_attrs(
        test=test,
        correction=correction,
        alternative=alternative,
        cases=", ".join(cases),
        averaged=", ".join(averaged),
        tests_in_family=tests,
    )


def _cases(array: xr.DataArray, over: str | Sequence[str] | None, dim: str) -> tuple[str, ...]:
    """Return the dims whose entries are cases."""
    if over is None:
        enough = array.sizes.get("seed", 0) >= ENOUGH_SEEDS
        chosen = next((name for name in (("seed",) if enough else ()) + ("sample", "seed") if name in array.dims), None)
        if chosen is None:
            raise InputError(f"the values have dims {array.dims}; say what is one case, such as over='sample'")
        return (chosen,)
    cases = tuple(name_list(over, "over"))
    if not cases or dim in cases or any(name not in array.dims for name in cases):
        raise InputError(f"over={over!r} is not known; accepted are dims of {array.dims} other than {dim!r}")
    return cases


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

    Examples
    --------
    >>> from attrkit.metrics.statistics import rank_stability
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
    return _dataset(
        variables, {"ranked": dim, "over": over, "best": "lowest" if lowest else "highest", "confidence": confidence}
    )


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


def _dataset(variables: dict[str, Any], attrs: dict[str, Any]) -> xr.Dataset:
    """Make a dataset whose variables keep no attributes but those that describe them."""
    kept = ("units", "long_name", "description")
    plain = {
        name: array.drop_attrs().assign_attrs({key: array.attrs[key] for key in kept if key in array.attrs})
        for name, array in variables.items()
    }
    return xr.Dataset(plain, attrs=attrs)
