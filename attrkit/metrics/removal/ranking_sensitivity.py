"""How much the order of extractors depends on what removed values become."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from attrkit.checks import name_list, some_of
from attrkit.errors import InputError
from attrkit.metrics.removal.curves import ratio
from attrkit.metrics.removal.measures import METRICS
from attrkit.metrics.statistics.ranks import kendall_w
from attrkit.schema import build_table


def ranking_sensitivity(
    faith: xr.Dataset, *, metrics: Sequence[str] | None = None, leave_out: Sequence[str] = ("random",)
) -> xr.Dataset:
    r"""Compare the orders that operators bring extractors into.

    Parameters
    ----------
    faith : Dataset
        What `faithfulness` returns for several operators.
    metrics : sequence of str, optional
        Which metrics; all with one value a sample, if not given.
    leave_out : sequence of str, default ("random",)
        Extractors that take no part: that all are better than chance is no agreement on which is best.

    Returns
    -------
    Dataset
        Along ``metric``: ``mean`` (extractor, operator) over the samples that all of them have, ``n_samples`` of them;
        ``rank`` (extractor, operator), 1 for the best by the metric's direction, equal means sharing theirs;
        ``kendall_w``, from 0 to 1 for one order under all operators; ``kendall_tau`` (operator, other_operator), tau-b
        of the means, 1 for the same order and -1 for the opposite; ``best`` (operator), the extractor with the best
        mean, the first of equals. NaN where all means are equal; where no sample has all, all is NaN and ``best`` is
        empty.

    Raises
    ------
    InputError
        If there are not two operators and two extractors, or a metric is not there.

    Notes
    -----
    With :math:`m` operators, :math:`n` extractors, rank sums :math:`R_i` and ties of :math:`t` each,

    .. math:: W = \frac{12 \sum_i (R_i - \bar R)^2}{m^2 (n^3 - n) - m \sum (t^3 - t)}

    (Kendall and Babington Smith 1939). With few extractors, high values come by chance: of 3 in 2 orders, W is 1 or
    0.75 in half of all cases.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((8, 6, 1))
    >>> tree = attrkit.from_arrays({"exact": x[..., 0], "size": abs(x[..., 0]), "late": x[..., 0] * range(6)}, inputs=x)
    >>> def f(x):
    ...     return x.sum((1, 2))
    >>> found = attrkit.metrics.faithfulness(f, tree, operator=["zero", "mean"], error="signed")
    >>> ranking_sensitivity(found)["best"].sel(metric="degradation_score").values.tolist()
    ['exact', 'exact']
    """
    dims = {"extractor", "operator", "sample"}
    if not isinstance(faith, xr.Dataset) or "operator" not in faith.dims or faith.sizes["operator"] < 2:
        raise InputError(
            "this takes what faithfulness returns for several operators: faithfulness(..., operator=['zero', 'mean'])"
        )
    known = [name for name in METRICS if name in faith and set(faith[name].dims) == dims]
    names = known if metrics is None else some_of(metrics, "metrics", known)
    leave_out = name_list(leave_out, "leave_out")
    kept = [name for name in faith["extractor"].values.tolist() if name not in leave_out]
    if len(kept) < 2:
        raise InputError(f"extractors {kept} are left; an order needs two at least")
    faith = faith.sel(extractor=kept)
    found = {name: _compared(faith[name]) for name in names}
    ds = xr.concat(list(found.values()), xr.DataArray(names, dims="metric", name="metric"))
    ranks = ds["rank"].transpose("metric", "operator", "extractor").values
    best = np.where(np.isnan(ranks[..., 0]), "", np.array(kept)[ranks.argmin(axis=-1)])
    ds["best"] = (("metric", "operator"), best)
    texts = {
        "mean": "mean over samples",
        "n_samples": "samples that all extractors and operators have",
        "rank": "place by mean, 1 for the best",
        "kendall_w": "agreement of all operators (Kendall's W)",
        "kendall_tau": "agreement of two operators (Kendall's tau-b)",
        "best": "extractor with the best mean",
    }
    for name, text in texts.items():
        ds[name].attrs = {"long_name": text}
    return build_table("ranking_sensitivity", ds, {"left_out": ", ".join(leave_out)})


def _compared(values: xr.DataArray) -> xr.Dataset:
    """Compare the orders that one metric gives."""
    better = -1 if values.attrs["direction"].startswith("higher") else 1
    array = values.transpose("operator", "extractor", "sample").values
    has_all = np.isfinite(array).all(axis=(0, 1))
    means = array[:, :, has_all].mean(axis=2) if has_all.any() else np.full(array.shape[:2], np.nan)
    # What rounding alone tells apart is equal.
    plain = np.round(means / (np.abs(means).max() or 1.0), 12)
    signs = np.sign(plain[:, :, None] - plain[:, None, :])
    ranks = 1 + ((better * signs) > 0).sum(axis=2) + ((signs == 0).sum(axis=2) - 1) / 2
    operators = values["operator"].values
    return xr.Dataset(
        {
            "mean": (("operator", "extractor"), means),
            "n_samples": int(has_all.sum()),
            "rank": (("operator", "extractor"), ranks if has_all.any() else means),
            "kendall_w": kendall_w(ranks.T) if has_all.any() else np.nan,
            "kendall_tau": (("operator", "other_operator"), _taus(signs)),
        },
        coords={
            "operator": operators,
            "other_operator": operators,
            "extractor": values["extractor"].values,
        },
    ).transpose("extractor", "operator", ...)


def _taus(signs: np.ndarray) -> Any:
    """Return tau-b between raters, of the signs of all differences, of shape (rater, item, item)."""
    flat = signs.reshape(len(signs), -1)
    both = flat @ flat.T
    pairs = np.diag(both)
    return ratio(both, np.sqrt(np.outer(pairs, pairs)))
