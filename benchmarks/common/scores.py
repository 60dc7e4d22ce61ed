"""How well scores find what is salient, as the published codes count it, in rows beside what was published."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

import attrkit

POOLED = ("aup", "aur", "information", "entropy", "auroc", "auprc")


def pooled(values: Mapping[str, np.ndarray], saliency: np.ndarray) -> xr.Dataset:
    """Return the scores of all samples taken as one, of dims (extractor).

    Magnitudes of each sample are brought to 0 at the lowest and 1 at the highest first, and then all go into one curve:
    this is how Dynamask and time_interpret have AUP, AUR, AUROC and AUPRC; information and entropy are sums.
    """
    together = {}
    for name, found in values.items():
        size = np.abs(found)
        low, high = (getattr(size, of)(axis=(1, 2), keepdims=True) for of in ("min", "max"))
        together[name] = ((size - low) / (high - low)).reshape(1, -1, found.shape[2])
    truth = saliency.reshape(1, -1, saliency.shape[2])
    ds = attrkit.metrics.ground_truth(attrkit.from_arrays(together), truth, metrics=POOLED, scale=None)
    return ds[list(POOLED)].isel(sample=0, drop=True)


def random(model: Any, x: np.ndarray, target: np.ndarray, *, seed: int) -> np.ndarray:
    """Return scores that know nothing."""
    return np.random.default_rng(seed).random(x.shape)


def rows_of(
    measured: xr.Dataset,
    published: Mapping[tuple[str, ...], Mapping[str, tuple[float, float]]],
    labels: Sequence[str],
    *,
    by: str = "attrkit",
) -> list[dict[str, Any]]:
    """Return a row for what was measured and one for what was published, each a mean and a standard deviation.

    `measured` has the dim ``fold`` and those of `labels`, which `published` goes by too. Rows of NaN are left out.
    """
    mean, spread = measured.mean("fold"), measured.std("fold", ddof=1)
    stacked = {
        key: {str(name): (float(mean[name].sel(at)), float(spread[name].sel(at))) for name in measured.data_vars}
        for key, at in _places(measured, labels)
    }
    rows = []
    for key in dict.fromkeys([*stacked, *published]):
        for source, figures in ((by, stacked.get(key)), ("published", published.get(key))):
            if figures is not None and not all(np.isnan(value) for value, _ in figures.values()):
                own = {name: value for name, (value, _) in figures.items()}
                own |= {f"{name}_sd": sd for name, (_, sd) in figures.items()}
                rows.append({**dict(zip(labels, key, strict=True)), "by": source, **own})
    return rows


def beside(rows: list[dict[str, Any]], more: list[dict[str, Any]], labels: Sequence[str]) -> list[dict[str, Any]]:
    """Return all rows, those of `more` behind the others that have the same labels."""
    order = list(dict.fromkeys(tuple(row[label] for label in labels) for row in rows))
    return sorted([*rows, *more], key=lambda row: order.index(tuple(row[label] for label in labels)))


def _places(ds: xr.Dataset, labels: Sequence[str]) -> list[tuple[tuple[str, ...], dict[str, str]]]:
    """Return all combinations of labels, as a tuple and as what selects them."""
    found: list[tuple[str, ...]] = [()]
    for label in labels:
        found = [(*key, str(value)) for key in found for value in ds[label].values]
    return [(key, dict(zip(labels, key, strict=True))) for key in found]
