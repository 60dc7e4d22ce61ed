"""What to know before attention weights are read as importance: flat rows, one timestep, weight on padding."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

FLAT = 0.99
ON_PADDING = 0.01

_VALUES = 2**18


def diagnose(
    weights: xr.DataArray, *, query_mask: np.ndarray | None = None, key_mask: np.ndarray | None = None
) -> tuple[dict[str, xr.DataArray], list[str]]:
    """Measure attention weights and say what is wrong with them.

    Parameters
    ----------
    weights : DataArray of dims (sample[, layer][, head][, query_timestep], key_timestep)
    query_mask, key_mask : ndarray of bool of shape (sample, timestep), optional
        True where a query or key is real.

    Returns
    -------
    measures : dict
        ``attention_entropy`` of dims (sample[, layer][, head]): the entropy of the rows among real keys over the
        largest it could be, log of their number, mean over real queries; NaN with one key.
        ``attention_on_padding``, same dims, with a `key_mask`: the share of the weight of real
        queries that lies on padded keys.
    notes : list of str
        One sentence for each thing that is wrong.

    Examples
    --------
    >>> flat = xr.DataArray(np.full((1, 4), 0.25), dims=("sample", "key_timestep"))
    >>> measures, notes = diagnose(flat)
    >>> measures["attention_entropy"].values, notes
    (array([1.]), ['its rows are flat (entropy 1.000 of the largest possible): it tells timesteps apart hardly or not'])
    """
    measures = measure(weights, query_mask=query_mask, key_mask=key_mask)
    return measures, notes_on(measures, keys=weights.sizes["key_timestep"])


def measure(
    weights: xr.DataArray, *, query_mask: np.ndarray | None = None, key_mask: np.ndarray | None = None
) -> dict[str, xr.DataArray]:
    """Return the measures of `diagnose`."""
    keys = weights.sizes["key_timestep"]
    real = None if key_mask is None else xr.DataArray(key_mask, dims=("sample", "key_timestep"))
    # Among real keys only: weight on padding is a fault of its own, below.
    count = keys if real is None else real.sum("key_timestep")
    entropy = _entropy(weights, key_mask) / np.log(xr.where(count > 1, count, np.nan))
    measures = {"attention_entropy": _over_real_queries(entropy, query_mask)}
    if real is not None:
        share = xr.dot(weights, (~real).astype(np.float32), dim="key_timestep")
        measures["attention_on_padding"] = _over_real_queries(share, query_mask)
    return measures


def notes_on(measures: Mapping[str, xr.DataArray], *, keys: int) -> list[str]:
    """Return the notes of `diagnose`, of measures over so many keys."""
    notes = []
    entropy = measures["attention_entropy"]
    if keys == 1:
        notes.append(
            "there is one key only, so every weight is 1 whatever the model learned; was time put on another axis?"
        )
    elif float(entropy.mean()) > FLAT:
        notes.append(
            f"its rows are flat (entropy {float(entropy.mean()):.3f} of the largest possible): it tells timesteps "
            "apart hardly or not"
        )
    share = measures.get("attention_on_padding")
    if share is not None and float(share.max()) > ON_PADDING:
        notes.append(
            f"real timesteps put up to {float(share.max()):.0%} of their weight on padding "
            f"(mean over samples {float(share.mean()):.1%})"
        )
    return notes


def _entropy(weights: xr.DataArray, key_mask: np.ndarray | None) -> xr.DataArray:
    """Return the entropy of rows of weights on real keys, of their shares: log(sum w) - sum(w log w) / sum(w)."""
    rows = weights.transpose(..., "key_timestep").values
    wide = np.result_type(rows.dtype, np.float32)
    entropy = np.empty(rows.shape[:-1], wide)
    # Some samples at a time: this may be the largest array there is, and it is not to be there twice.
    at_once = max(_VALUES // max(rows[:1].size, 1), 1)
    buffer = np.empty_like(rows[:at_once], dtype=wide)
    for first in range(0, len(rows), at_once):
        own = rows[first : first + at_once].astype(wide, copy=False)
        if key_mask is not None:
            real = key_mask[first : first + at_once]
            own = np.where(real.reshape(len(real), *[1] * (rows.ndim - 2), -1), own, 0)
        logs = buffer[: len(own)]
        logs.fill(0)
        np.log(own, out=logs, where=own > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            total = own.sum(-1)
            entropy[first : first + at_once] = np.log(total) - np.einsum("...k,...k", own, logs) / total
    return weights.isel(key_timestep=0, drop=True).copy(data=entropy)


def _over_real_queries(values: xr.DataArray, query_mask: np.ndarray | None) -> xr.DataArray:
    if "query_timestep" not in values.dims:
        return values
    if query_mask is not None:
        values = values.where(xr.DataArray(query_mask, dims=("sample", "query_timestep")))
    return values.mean("query_timestep")
