"""How sure a mean or a median is: over samples, over seeds, or over both."""

from collections.abc import Sequence
from typing import Any

import xarray as xr

from attrkit.checks import name_list, one_of, whole_number
from attrkit.errors import InputError
from attrkit.metrics.statistics.limits import Asked, Found, of_one_level, of_two_levels
from attrkit.metrics.statistics.values import as_table, read_confidence, read_values

FEW = 30
"""Below so many cases the bootstrap of a mean covers less than it says, and Student's t is taken."""

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
    >>> from attrkit.metrics import interval
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
    return as_table("interval", variables, attrs)
