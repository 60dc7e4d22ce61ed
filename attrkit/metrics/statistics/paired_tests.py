"""Which extractors differ, pair by pair."""

import warnings
from collections.abc import Sequence

import numpy as np
import xarray as xr

from attrkit.checks import name_list, one_of
from attrkit.errors import AttrkitWarning, InputError
from attrkit.metrics.statistics.pairs import TESTS, adjust, every_pair
from attrkit.metrics.statistics.values import read_values
from attrkit.schema import build_table

ENOUGH_SEEDS = 6
"""The fewest seeds of which Wilcoxon's test can give a p-value below 0.05: two in 2 ** 6."""


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
    >>> from attrkit.metrics import paired_tests
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
    attrs = {
        "test": test,
        "correction": correction,
        "alternative": alternative,
        "cases": ", ".join(cases),
        "averaged": ", ".join(averaged),
        "tests_in_family": tests,
    }
    return build_table("paired_tests", found, attrs)


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
