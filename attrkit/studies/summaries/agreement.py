"""How alike extractors are, against chance and against the same extractor on another seed's model."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from attrkit.studies.summaries.rows import as_frame, interval_of, join, rows_of

FLOOR = "_floor"


def metrics_of(ds: xr.Dataset) -> list[str]:
    """Return which metrics of agreement a dataset holds, correlations first."""
    known = (
        *("kendall_tau", "spearman", "cosine", "top_k_overlap", "rank_agreement"),
        *("sign_agreement", "signed_rank_agreement", "jensen_shannon", "total_variation"),
    )
    return [name for name in known if name in ds]


def pairs_of(ds: xr.Dataset) -> xr.Dataset:
    """Return values of each pair of extractors once, along a dim ``pair``."""
    first, second = np.triu_indices(ds.sizes["extractor"], 1)
    names = ds["extractor"].values
    taken = ds.isel(extractor=xr.DataArray(first, dims="pair"), other=xr.DataArray(second, dims="pair"))
    return taken.drop_vars(["extractor", "other"]).assign_coords(
        first=("pair", names[first]), second=("pair", names[second])
    )


def agreement(ds: xr.Dataset, selves: xr.Dataset | None) -> pd.DataFrame:
    """Return a row for each pair of extractors and each metric.

    ``chance`` is what a pair has on average when one of the two is shuffled, between the means over seeds and samples
    of the 5 and 95 percent quantiles of shuffles, ``chance_low`` and ``chance_high``. ``above_chance`` is the mean
    difference from it, with its own interval; for divergences it is below 0 where extractors are more alike than by
    chance. ``self_agreement`` and ``other_self_agreement`` are of each of the two with itself, on models of two seeds.
    """
    frames = []
    own = self_means(selves)
    for name in metrics_of(ds):
        pairs = pairs_of(ds[[one for one in (name, name + FLOOR, "items", "k") if one in ds]])
        frame = rows_of(pairs[name].reset_coords(drop=True)).rename(columns={"pair": "extractor"})
        first, second = pairs["first"].values, pairs["second"].values
        if "extractor" not in frame:
            frame.insert(0, "extractor", first)
        frame["extractor"] = first
        frame.insert(1, "other", second)
        frame.insert(2, "metric", name)
        if name + FLOOR in pairs:
            frame = frame.join(_against_chance(name, pairs))
        if name in own:
            frame["self_agreement"] = [own[name].get(one, np.nan) for one in first]
            frame["other_self_agreement"] = [own[name].get(one, np.nan) for one in second]
        frames.append(frame)
    return join(frames, "Agreement of each pair of extractors: means with 95 percent intervals")


def _against_chance(name: str, pairs: xr.Dataset) -> pd.DataFrame:
    pairs = pairs.reset_coords(drop=True)
    values, floor = pairs[name], pairs[name + FLOOR]
    dims = [dim for dim in ("seed", "sample") if dim in floor.dims]
    found = {}
    expected = chance_of(name, pairs)
    if expected is not None:
        expected = expected.broadcast_like(values).where(values.notnull())
        beyond = interval_of(values - expected)
        named = {"above_chance": "estimate", "above_chance_low": "low", "above_chance_high": "high"}
        found = {"chance": expected.mean(dims), **{new: beyond[old] for new, old in named.items()}}
    ends = {"chance_low": 0.05, "chance_high": 0.95}
    found |= {end: floor.sel(quantile=at, method="nearest", drop=True).mean(dims) for end, at in ends.items()}
    return pd.DataFrame({column: array.values for column, array in found.items()})


def chance_of(name: str, ds: xr.Dataset) -> xr.DataArray | None:
    """Return what a metric has on average when the scores of one of two extractors are shuffled.

    Correlations of ranks have 0. Of `n` items, a share of :math:`k / n` of the top k is in common, and of :math:`1 / n`
    in the same place. Cosines and divergences have about the median of the shuffles, which is what is known of them;
    for signs, which have few values, the median says little, and it is None.
    """
    if name in ("kendall_tau", "spearman"):
        return xr.zeros_like(ds["items"], dtype=float)
    if name in ("top_k_overlap", "rank_agreement"):
        return (ds["k"] if name == "top_k_overlap" else 1.0) / ds["items"].where(ds["items"] > 0)
    if name in ("cosine", "jensen_shannon", "total_variation"):
        return ds[name + FLOOR].sel(quantile=0.5, method="nearest", drop=True)
    return None


def self_agreement(ds: xr.Dataset) -> pd.DataFrame:
    """Return a row for each extractor and each metric: how alike it is on the models of two seeds.

    Pairs of seeds share seeds, so they are averaged first, and the interval is over samples, for these very models.
    """
    frames = []
    for name in metrics_of(ds):
        frame = as_frame(interval_of(_over_pairs(ds[name])))
        frame.insert(1, "metric", name)
        frame.insert(list(frame).index("n"), "over", "sample")
        frames.append(frame)
    about = "Agreement of each extractor with itself on models of other seeds: means over pairs of seeds and samples"
    return join(frames, about)


def self_means(ds: xr.Dataset | None) -> dict[str, dict[Any, float]]:
    """Return, for each metric, the self-agreement of each extractor."""
    if ds is None:
        return {}
    return {name: _over_pairs(ds[name]).mean("sample").to_series().to_dict() for name in metrics_of(ds)}


def _over_pairs(values: xr.DataArray) -> xr.DataArray:
    """Average over pairs of two seeds, each once."""
    first, second = np.triu_indices(values.sizes["run"], 1)
    taken = values.isel(run=xr.DataArray(first, dims="pair"), other=xr.DataArray(second, dims="pair"))
    return taken.reset_coords(drop=True).mean("pair")
