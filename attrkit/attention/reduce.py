"""Attention as one value a timestep: always a named step, always recorded."""

from typing import Any

import numpy as np
import xarray as xr

from attrkit.errors import InputError


def reduce_attention(data: xr.Dataset, how: Any = "mean", *, layer: Any = None, head: Any = None) -> xr.Dataset:
    """Reduce attention weights to one value a timestep, as the variable ``attribution``.

    Parameters
    ----------
    data : Dataset
        With ``attention`` of dims (sample[, layer][, head][, query_timestep], key_timestep).
    how : {"mean", "max", "last"} or a label of ``query_timestep``
        Over the queries: their mean, their largest value, the last query (the last real one, where a mask says so), or
        one given query. Weighted attention has no queries; `how` then must be ``"mean"`` and does nothing.
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
    if "attention" not in data:
        raise InputError(f"there is no attention to reduce; variables are {sorted(map(str, data.data_vars))}")
    weights, steps = data["attention"], []
    for dim, choice in (("layer", layer), ("head", head)):
        if dim in weights.dims:
            weights, step = _choose(weights, dim, choice)
            steps.append(step)
    if "query_timestep" in weights.dims:
        weights, step = _over_queries(weights, how, data.get("mask"))
        steps.append(step)
    elif how != "mean":
        raise InputError(
            f"weighted attention has one value a timestep already, there are no queries to take {how!r} of"
        )
    if "input" in data and weights.sizes["key_timestep"] != data.sizes["timestep"]:
        raise InputError(
            f"attention runs over {weights.sizes['key_timestep']} keys, the input has {data.sizes['timestep']} "
            "timesteps; "
            "keys of a shortened sequence have no timestep of their own"
        )
    weights = weights.reset_coords(drop=True).rename(key_timestep="timestep")
    label = data["timestep"] if "timestep" in data.coords else data["key_timestep"].values
    weights = weights.drop_vars("timestep").assign_coords(timestep=label)
    weights.attrs = {
        "long_name": "attention weight",
        "units": "1",
        "sign": "non-negative",
        "cell_methods": " ".join(steps) or "none: one weight a timestep",
    }
    return data.assign(attribution=weights.transpose("sample", "timestep"))


def _choose(weights: xr.DataArray, dim: str, choice: Any) -> tuple[xr.DataArray, str]:
    labels = weights[dim].values.tolist()
    joins = ("mean", "max") if dim == "head" else ()
    if choice is None and len(labels) == 1:
        choice = labels[0]
    if isinstance(choice, str) and choice in joins:
        return getattr(weights, choice)(dim, keep_attrs=True), f"{dim}: {choice}"
    if choice not in labels:
        ways = " or ".join([str(labels), *map(repr, joins)])
        raise InputError(f"attention has {len(labels)} {dim}s, {dim}={choice!r} is not one; accepted are {ways}")
    return weights.sel({dim: choice}), f"{dim}: {choice}"


def _over_queries(weights: xr.DataArray, how: Any, mask: xr.DataArray | None) -> tuple[xr.DataArray, str]:
    dim = "query_timestep"
    real = None
    if mask is not None and mask.sizes["timestep"] == weights.sizes[dim]:
        real = xr.DataArray(mask.values, dims=("sample", dim), coords={dim: weights[dim]})
    if isinstance(how, str) and how in ("mean", "max"):
        kept = weights if real is None else weights.where(real)
        return getattr(kept, how)(dim, keep_attrs=True), f"{dim}: {how}"
    if isinstance(how, str) and how == "last":
        if real is None:
            return weights.isel({dim: -1}), f"{dim}: last"
        last = real.sizes[dim] - 1 - real.values[:, ::-1].argmax(axis=1)
        return weights.isel({dim: xr.DataArray(last, dims="sample")}), f"{dim}: last"
    index = weights.indexes[dim]
    wanted = np.datetime64(how) if index.dtype.kind == "M" and isinstance(how, str) else how
    if wanted not in index:
        raise InputError(
            f"how={how!r} is no query; accepted are 'mean', 'max', 'last' or a timestep from {index[0]} to {index[-1]}"
        )
    return weights.sel({dim: wanted}), f"{dim}: {how}"
