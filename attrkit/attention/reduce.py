"""Attention as one value a timestep: always a named step, always recorded."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from attrkit.errors import InputError
from attrkit.half import widened
from attrkit.schema import VARIABLES, dims_fit


def reduce_attention(data: xr.Dataset, how: Any = "mean", *, layer: Any = None, head: Any = None) -> xr.Dataset:
    """Reduce attention weights to one value a timestep, as the variable ``attribution``.

    Parameters
    ----------
    data : Dataset
        With ``attention`` of dims (sample[, layer][, head][, query_timestep], key_timestep).
    how : {"mean", "max", "last"} or a label of ``query_timestep``
        Over the queries: their mean, their largest value, the last query (the last real one, where a mask says so), or
        one given query. A sample without one real query has NaN. Weighted attention has no queries; `how` then must be
        ``"mean"`` and does nothing.
    layer : label, optional
        Which layer; needed where there are several.
    head : label, "mean" or "max", optional
        Which head, or how to join them; needed where there are several.

    Returns
    -------
    Dataset
        `data` with ``attribution`` of dims (sample, timestep), its attribute ``cell_methods`` saying what was done.

    Raises
    ------
    InputError
        If there is no attention, a choice is missing or unknown, or the keys are not the input's timesteps.

    Examples
    --------
    >>> from attrkit.schema import build
    >>> weights = np.array([[[0.9, 0.1], [0.5, 0.5]]])
    >>> reduce_attention(build({"attention": weights}), "mean")["attribution"].values
    array([[0.7, 0.3]])
    """
    if not isinstance(data, xr.Dataset):
        raise InputError(f"got a {type(data).__name__}; accepted is a Dataset, such as tree['attention'].to_dataset()")
    if "attention" not in data:
        raise InputError(f"there is no attention to reduce; variables are {sorted(map(str, data.data_vars))}")
    weights, steps = data["attention"], []
    if not dims_fit(tuple(map(str, weights.dims)), VARIABLES["attention"].dims):
        raise InputError(
            f"attention has dims {weights.dims}; accepted are ({', '.join(VARIABLES['attention'].dims)}), select with "
            "lists to keep them: ds.isel(sample=[0])"
        )
    for dim, choice in (("layer", layer), ("head", head)):
        if dim in weights.dims:
            weights, step = _choose(weights, dim, choice)
            steps.append(step)
        elif choice is not None:
            raise InputError(f"attention has dims {weights.dims} and no {dim}s; leave {dim}={choice!r} out")
    if "query_timestep" in weights.dims:
        weights, step = _over_queries(weights, how, data.get("mask"))
        steps.append(step)
    elif not (isinstance(how, str) and how == "mean"):
        raise InputError(
            f"weighted attention has one value a timestep already, there are no queries to take {how!r} of"
        )
    keys = weights["key_timestep"]
    label = data.get("timestep", keys)
    if keys.size != label.size or not label.ndim:
        raise InputError(
            f"attention runs over {keys.size} keys, the input has {label.size} timesteps; keys of a shortened sequence "
            "have no timestep of their own"
        )
    weights = weights.reset_coords(drop=True).rename(key_timestep="timestep").drop_vars("timestep", errors="ignore")
    weights = weights.assign_coords(timestep=("timestep", label.values, label.attrs))
    weights.attrs = {
        "long_name": "attention weight",
        "units": "1",
        "sign": "non-negative",
        "cell_methods": " ".join(steps) or "none: one weight a timestep",
    }
    return data.assign(attribution=weights.transpose("sample", "timestep"))


def _choose(weights: xr.DataArray, dim: str, choice: Any) -> tuple[xr.DataArray, str]:
    labels = weights[dim].to_index()
    joins = ("mean", "max") if dim == "head" else ()
    if choice is None and len(labels) == 1:
        choice = labels[0]
    if isinstance(choice, str) and choice in joins:
        return getattr(widened(weights), choice)(dim, keep_attrs=True), f"{dim}: {choice}"
    place = _place(labels, choice)
    if place is None:
        ways = " or ".join([str(labels.tolist()), *map(repr, joins)])
        raise InputError(f"attention has {len(labels)} {dim}s, {dim}={choice!r} is not one; accepted are {ways}")
    return weights.isel({dim: place}), f"{dim}: {choice}"


def _over_queries(weights: xr.DataArray, how: Any, mask: xr.DataArray | None) -> tuple[xr.DataArray, str]:
    dim = "query_timestep"
    real = None
    if mask is not None and mask.sizes.get("timestep") == weights.sizes[dim]:
        real = xr.DataArray(mask.values, dims=("sample", dim), coords={dim: weights[dim]})
        weights = weights.where(real)
    if isinstance(how, str) and how in ("mean", "max"):
        return getattr(widened(weights), how)(dim, keep_attrs=True), f"{dim}: {how}"
    if isinstance(how, str) and how == "last":
        if real is None:
            return weights.isel({dim: -1}), f"{dim}: last"
        last = real.sizes[dim] - 1 - real.values[:, ::-1].argmax(axis=1)
        return weights.isel({dim: xr.DataArray(last, dims="sample")}), f"{dim}: last"
    labels = weights[dim].to_index()
    place = _place(labels, how)
    if place is None:
        raise InputError(
            f"how={how!r} is no query; accepted are 'mean', 'max', 'last' or a timestep from {labels[0]} to "
            f"{labels[-1]}"
        )
    return weights.isel({dim: place}), f"{dim}: {how}"


def _place(labels: pd.Index, label: Any) -> int | None:
    """Return where a label stands, None where it does not."""
    # True would pass for 1.
    if pd.api.types.is_bool(label) or not pd.api.types.is_scalar(label):
        return None
    try:
        # As a text, pandas would take a day for all of its hours.
        stamp = labels.dtype.kind == "M" and isinstance(label, str)
        place = labels.get_loc(np.datetime64(label) if stamp else label)
    except (KeyError, ValueError, TypeError):
        return None
    return int(place) if isinstance(place, int | np.integer) else None
