"""Do extractors agree? Rank correlations, top-k measures and divergences of every pair, for every sample."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from attrkit.checks import flag, some_of, whole_number
from attrkit.collect import as_datasets
from attrkit.errors import InputError
from attrkit.metrics.comparison.similarity import Items, compare, describe, varies
from attrkit.metrics.items import by_length, options_text
from attrkit.metrics.scores import read_scores
from attrkit.schema import build_table

_SIMILAR, _DIFFERENT = "higher is more alike", "lower is more alike"
_SIGNS = ("sign_agreement", "signed_rank_agreement")

# Of each metric: what it is, the unit, its direction, and which of an extractor's scores it is not defined for.
_METRICS = {
    "kendall_tau": ("Kendall's tau-b", "1", _SIMILAR, "constant"),
    "spearman": ("Spearman's rank correlation", "1", _SIMILAR, "constant"),
    "cosine": ("cosine similarity", "1", _SIMILAR, "zero"),
    "top_k_overlap": ("share of the top k in common", "1", _SIMILAR, "no top k"),
    "rank_agreement": ("share of the top k in the same place", "1", _SIMILAR, "no top k"),
    "sign_agreement": ("share of the top k in common with the same sign", "1", _SIMILAR, "no top k"),
    "signed_rank_agreement": ("share of the top k in the same place with the same sign", "1", _SIMILAR, "no top k"),
    "jensen_shannon": ("Jensen-Shannon divergence", "bit", _DIFFERENT, "zero"),
    "total_variation": ("total variation distance", "1", _DIFFERENT, "zero"),
}
_QUANTILES = (0.05, 0.5, 0.95)


class _Options(NamedTuple):
    metrics: list[str]
    k: int | float
    absolute: bool
    n_random: int
    seed: int


def agreement(
    results: Any,
    *,
    metrics: Sequence[str] | None = None,
    channels: str | None = None,
    attention: Any = None,
    layer: Any = None,
    head: Any = None,
    k: int | float = 0.1,
    absolute: bool = True,
    n_random: int = 0,
    seed: int = 0,
) -> xr.Dataset:
    """Measure how alike extractors are: every one with every other, sample by sample.

    Parameters
    ----------
    results : DataTree, Dataset, or mapping of str to Dataset
        Two extractors at least, as `attrkit.compare` and `attrkit.from_arrays` return them.
    metrics : sequence of str, optional
        Some of ``kendall_tau``, ``spearman``, ``cosine``, ``top_k_overlap``, ``rank_agreement``, ``sign_agreement``,
        ``signed_rank_agreement``, ``jensen_shannon`` and ``total_variation``; all, if not given.
    channels, attention, layer, head : optional
        How to bring attributions to one shape, as `attrkit.stack` takes it. With channels, an item is one channel at
        one timestep.
    k : int or float, default 0.1
        How many items are the top: a count, or a share of the sample's real items up to 1.0, rounded, 1 at least.
    absolute : bool, default True
        Rank items by magnitude; if false by value, where negative scores are the least. Signs that are compared are
        those of the scores themselves, and divergences are of shares of the sum of magnitudes, either way.
    n_random : int, default 0
        Shuffles a sample, to tell how alike two extractors are by chance: one with the other's scores in random order.
    seed : int, default 0
        Of the shuffles. Those of a sample depend on its number, not on other samples.

    Returns
    -------
    Dataset of dims (extractor, other, sample)
        A variable for each metric, symmetric in ``extractor`` and ``other``; ``items`` and ``k`` of dims (sample),
        what was compared; ``undefined`` of dims (metric, extractor, other), how many samples have NaN. With `n_random`
        also ``<metric>_floor``, with a dim ``quantile``: the 5, 50 and 95 percent quantiles of the shuffles.

        NaN is what is not defined: ranks of a constant, shares and cosines of zeros, a top `k` of fewer items, signs
        of what is never negative (attention, ``channels="abs_sum"``, and what its attribute ``sign`` says so of),
        scores that are not finite, and samples that are all padding.

    Raises
    ------
    InputError
        If there is one extractor only, shapes or masks differ, or an option is not known.
    MissingDependencyError
        If scipy is not installed, for ``kendall_tau`` of more than 600 items.

    Notes
    -----
    Kendall's tau-b is of Kendall (1945), rank correlation over all items; a long tail of scores near zero, whose order
    is noise, decides it. ``top_k_overlap``, ``rank_agreement``, ``sign_agreement`` and ``signed_rank_agreement`` are
    those of Krishna et al. (2024). Where the k-th place is tied, they are means over all orders of what
    is tied. The Jensen-Shannon divergence is in bits, at most 1; times ln 2 it is that of Jain and Wallace (2019) and
    Wiegreffe and Pinter (2019), at most 0.69.

    References
    ----------
    Kendall 1945, doi:10.1093/biomet/33.3.239. Krishna et al. 2024, arXiv:2202.01602. Jain and Wallace 2019,
    arXiv:1902.10186. Wiegreffe and Pinter 2019, arXiv:1908.04626.

    Examples
    --------
    Two extractors that put 99.9 percent on the same three of 100 timesteps, and noise on the rest:

    >>> import numpy as np
    >>> import attrkit
    >>> noise = np.random.default_rng(2).random((2, 1, 100)) * 1e-5
    >>> noise[:, :, :3] = 0.5, 0.3, 0.2
    >>> found = attrkit.metrics.agreement(attrkit.from_arrays({"a": noise[0], "b": noise[1]}), k=3)
    >>> pair = found.sel(extractor="a", other="b", sample=0)
    >>> float(pair["top_k_overlap"]), round(float(pair["jensen_shannon"]), 3), round(float(pair["kendall_tau"]), 2)
    (1.0, 0.0, 0.02)
    """
    options = _read_options(metrics, k, absolute, n_random, seed)
    scores, real = read_scores(results, channels=channels, attention=attention, layer=layer, head=head)
    if scores.sizes["extractor"] < 2:
        raise InputError(f"one extractor came, {scores['extractor'].item()!r}; agreement is between two at least")
    signed = _signed(results, channels)
    found = _agree(scores, real, np.array(list(signed.values())), options)
    return _described(found, "agreement", options, channels=channels, attention=attention, layer=layer, head=head)


def self_agreement(
    runs: Mapping[Any, Any],
    *,
    metrics: Sequence[str] | None = None,
    channels: str | None = None,
    attention: Any = None,
    layer: Any = None,
    head: Any = None,
    k: int | float = 0.1,
    absolute: bool = True,
    n_random: int = 0,
    seed: int = 0,
) -> xr.Dataset:
    """Measure how alike each extractor is with itself over several runs: seeds, or retrained models.

    No two extractors can be expected to agree better than each does with itself: that is the ceiling beside which to
    read `agreement`. The Jensen-Shannon divergence of attention between seeds is what Wiegreffe and Pinter (2019,
    arXiv:1908.04626) hold against adversarial attention.

    Parameters
    ----------
    runs : mapping of seed to results
        Results of the same extractors for the same samples, two at least, each as `agreement` takes them.
    metrics, channels, attention, layer, head, k, absolute, n_random, seed
        As in `agreement`.

    Returns
    -------
    Dataset of dims (extractor, run, other, sample)
        As `agreement` returns it, of each extractor; ``other`` is the other run.

    Raises
    ------
    InputError
        If there is one run only, runs differ in their extractors, samples or masks, or as `agreement` does.
    MissingDependencyError
        As `agreement` does.

    Examples
    --------
    >>> import numpy as np
    >>> import attrkit
    >>> def train_and_explain(seed):
    ...     noise = np.random.default_rng(seed).standard_normal((8, 50))
    ...     return attrkit.from_arrays({"firm": np.arange(50) + noise, "noise": noise})
    >>> found = attrkit.metrics.self_agreement({seed: train_and_explain(seed) for seed in (1, 2, 3)})
    >>> found["spearman"].sel(run="1", other="2").mean("sample").round(1).values
    array([1., 0.])
    """
    options = _read_options(metrics, k, absolute, n_random, seed)
    if not isinstance(runs, Mapping) or len(runs) < 2:
        count = f"{len(runs)} of them" if isinstance(runs, Mapping) else f"a {type(runs).__name__}"
        raise InputError(f"runs must be two results or more by seed, {{0: tree, 1: tree}}; got {count}")
    read = {
        str(run): read_scores(results, channels=channels, attention=attention, layer=layer, head=head)
        for run, results in runs.items()
    }
    if len(read) < len(runs):
        raise InputError(f"runs {list(runs)} are not told apart by name; give names of their own")
    first, (scores, real) = next(iter(read.items()))
    for run, (other, mask) in read.items():
        _check_alike(scores, other, first, run)
        if not np.array_equal(mask, real):
            raise InputError(f"runs {first!r} and {run!r} take other timesteps for padding; give them one mask")
    signed = {str(run): _signed(results, channels) for run, results in runs.items()}
    found = []
    for extractor in scores["extractor"].values:
        labels = xr.DataArray(list(read), dims="extractor", name="extractor")
        own = xr.concat([each.sel(extractor=extractor, drop=True) for each, _ in read.values()], dim=labels)
        of_runs = np.array([signed[run][str(extractor)] for run in read])
        found.append(_agree(own, real, of_runs, options).rename(extractor="run"))
    shared = ["items", "k"]
    joined = xr.concat([each.drop_vars(shared) for each in found], dim=scores["extractor"]).assign(found[0][shared])
    joined["run"].attrs = {"long_name": "run"}
    joined["other"].attrs = {"long_name": "run compared with"}
    return _described(joined, "self_agreement", options, channels=channels, attention=attention, layer=layer, head=head)


def _check_alike(scores: xr.DataArray, other: xr.DataArray, first: str, run: str) -> None:
    for dim in dict.fromkeys([*scores.dims, *other.dims]):
        labels = [list(each.get_index(dim)) if dim in each.dims else ["none"] for each in (scores, other)]
        # Extractors are found by name.
        own, others = map(sorted, labels) if dim == "extractor" else labels
        if own != others:
            raise InputError(
                f"runs {first!r} and {run!r} differ along {dim!r}: {own[:5]} and {others[:5]}; give results of the "
                "same extractors for the same inputs"
            )


def _read_options(metrics: Any, k: Any, absolute: Any, n_random: Any, seed: Any) -> _Options:
    share = isinstance(k, float | np.floating)
    if share and not 0 < k <= 1:
        raise InputError(f"k must be a whole number, 1 or more, or a share of the items above 0.0 up to 1.0, got {k!r}")
    return _Options(
        list(_METRICS) if metrics is None else some_of(metrics, "metrics", _METRICS),
        float(k) if share else whole_number(k, "k", least=1),
        flag(absolute, "absolute"),
        whole_number(n_random, "n_random", least=0),
        whole_number(seed, "seed", least=0),
    )


def _signed(results: Any, channels: str | None) -> dict[str, bool]:
    """Whether the scores of each extractor have a sign that says something."""

    def signed(ds: xr.Dataset) -> bool:
        # What has attention only is reduced to weights, which are never negative.
        known = "attribution" in ds and ds["attribution"].attrs.get("sign") != "non-negative"
        return known and not (channels == "abs_sum" and "channel" in ds["attribution"].dims)

    return {name: signed(ds) for name, ds in as_datasets(results).items()}


def _agree(scores: xr.DataArray, real: xr.DataArray, signed: np.ndarray, options: _Options) -> xr.Dataset:
    n_extractors, n_samples = scores.sizes["extractor"], scores.sizes["sample"]
    pairs = (n_extractors, n_extractors)
    found = {name: np.full((n_samples, *pairs), np.nan) for name in options.metrics}
    floors = {name: np.full((len(_QUANTILES), n_samples, *pairs), np.nan) for name in options.metrics}
    n_items = real.values.sum(axis=1) * scores.sizes.get("channel", 1)
    share = isinstance(options.k, float)
    tops = np.where(n_items > 0, np.maximum(1, np.rint(options.k * n_items)) if share else options.k, 0).astype(int)
    # The values of all shuffles are held together.
    for group in by_length(scores, real, share=1 + options.n_random * n_extractors // 16):
        values = group.values.reshape(*group.values.shape[:2], -1)
        items = describe(values, absolute=options.absolute)
        k = int(tops[group.samples[0]])
        holds = _defined(items, np.isfinite(values).all(axis=-1), signed, k)
        for name, each in compare(items, items, k, options.metrics).items():
            found[name][group.samples] = np.where(holds[name], each, np.nan)
        if options.n_random:
            for name, each in _shuffled(items, k, group.samples, options).items():
                floors[name][:, group.samples] = np.where(holds[name], each, np.nan)
    extractors = scores["extractor"].values
    data: dict[str, Any] = {
        name: (("extractor", "other", "sample"), np.moveaxis(values, 0, -1)) for name, values in found.items()
    }
    if options.n_random:
        dims = ("extractor", "other", "sample", "quantile")
        data |= {f"{name}_floor": (dims, np.moveaxis(values, (0, 1), (3, 2))) for name, values in floors.items()}
    data["items"], data["k"] = ("sample", n_items), ("sample", tops)
    counts = np.stack([np.isnan(values).sum(axis=0) for values in found.values()])
    data["undefined"] = (("metric", "extractor", "other"), counts)
    coords = {"extractor": extractors, "other": extractors, "sample": scores["sample"], "metric": options.metrics}
    return xr.Dataset(data, coords=coords | ({"quantile": list(_QUANTILES)} if options.n_random else {}))


def _defined(items: Items, finite: np.ndarray, signed: np.ndarray, k: int) -> dict[str, np.ndarray]:
    """Whether each metric is defined for each pair, of shape (sample, extractor, other)."""
    ranked = finite & varies(items)
    has_top = ranked & (k <= items.first.shape[-1])
    by_need = {"constant": ranked, "zero": finite & (items.share > 0).any(axis=-1), "no top k": has_top}
    each = {name: by_need[need] for name, (_, _, _, need) in _METRICS.items()}
    each |= {name: each[name] & signed for name in _SIGNS}
    return {name: holds[:, :, None] & holds[:, None, :] for name, holds in each.items()}


def _shuffled(items: Items, k: int, samples: np.ndarray, options: _Options) -> dict[str, np.ndarray]:
    """Return quantiles of each metric, of shape (quantile, sample, extractor, other), one of the two shuffled."""
    n_items = items.first.shape[-1]
    orders = np.empty((options.n_random, samples.size, n_items), int)
    for place, sample in enumerate(samples):
        draws = np.random.default_rng([options.seed, int(sample)])
        orders[:, place] = [draws.permutation(n_items) for _ in range(options.n_random)]
    found = [compare(items, items.shuffled(order), k, options.metrics) for order in orders]
    return {name: np.quantile([each[name] for each in found], _QUANTILES, axis=0) for name in options.metrics}


def _described(found: xr.Dataset, metric: str, options: _Options, **how: Any) -> xr.Dataset:
    for name in options.metrics:
        long_name, units, direction, _ = _METRICS[name]
        attrs = {"long_name": long_name, "units": units, "direction": direction}
        found[name].attrs = attrs
        if options.n_random:
            found[f"{name}_floor"].attrs = attrs | {"long_name": f"{long_name}, with one of the two shuffled"}
    found["items"].attrs = {"long_name": "real items"}
    found["k"].attrs = {"long_name": "items that are the top"}
    found["undefined"].attrs = {"long_name": "samples for which the metric is not defined"}
    found["extractor"].attrs = {"long_name": "extractor"}
    found["other"].attrs.setdefault("long_name", "extractor compared with")
    recorded = {"k": options.k, "absolute": options.absolute, "n_random": options.n_random, "seed": options.seed}
    return build_table(metric, found, options_text(recorded | how))
