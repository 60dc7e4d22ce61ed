"""Some samples of what is explained: of the inputs, and of what is asked sample by sample."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from attrkit.errors import InputError
from attrkit.explained import Explained
from attrkit.inputs import rename_synonyms
from attrkit.question import Asked


def samples_of(explained: Explained, start: int, stop: int) -> Explained:
    """Return the samples from `start` to before `stop`."""
    return replace(
        explained,
        inputs={name: array.isel(sample=slice(start, stop)) for name, array in explained.inputs.items()},
        context={name: values[start:stop] for name, values in explained.context.items()},
        masks={name: values[start:stop] for name, values in explained.masks.items()},
    )


def numbered(explained: Explained, first: int) -> Explained:
    """Return samples that have no labels of their own with numbers, from `first` on."""
    labels = np.arange(first, first + len(explained.main))
    inputs = {
        name: array.assign_coords(sample=("sample", labels, array["sample"].attrs))
        for name, array in explained.inputs.items()
    }
    return replace(explained, inputs=inputs)


def joined(parts: Sequence[Explained]) -> Explained:
    """Put samples one behind the other."""
    first = parts[0]
    if len(parts) == 1:
        return first
    for part in parts[1:]:
        if part.inputs.keys() != first.inputs.keys() or part.context.keys() != first.context.keys():
            raise InputError(
                f"batches differ in their inputs: {[*first.inputs, *first.context]} and {[*part.inputs, *part.context]}"
            )
    try:
        inputs = {
            name: xr.concat([part.inputs[name] for part in parts], "sample", join="exact", combine_attrs="override")
            for name in first.inputs
        }
        context = {name: np.concatenate([part.context[name] for part in parts]) for name in first.context}
        masks = {name: np.concatenate([part.masks[name] for part in parts]) for name in first.masks}
    except (ValueError, KeyError) as err:
        raise InputError(f"batches differ in their timesteps, channels or masks: {err}") from err
    return replace(first, inputs=inputs, context=context, masks=masks)


def asked_of(asked: Asked, start: int, labels: np.ndarray, like: Explained) -> Asked:
    """Return what is asked of the samples from number `start` on that have these labels; `like` are any samples."""
    stop = start + len(labels)
    target = asked.target
    if isinstance(target, list | np.ndarray | pd.Index):
        target = target[start:stop]
    elif isinstance(target, pd.Series):
        target = target.iloc[start:stop]
    elif isinstance(target, xr.DataArray) and target.ndim:
        target = target[start:stop]

    def of_part(given: Any, name: str, ndim: int) -> Any:
        if isinstance(given, xr.DataArray):
            given = rename_synonyms(given)
            if "sample" not in given.dims:
                return given
            if "sample" not in given.coords:
                return given.isel(sample=slice(start, stop))
            missing = labels[~np.isin(labels, given["sample"].values)]
            if missing.size:
                raise InputError(f"what is given for {name!r} has no sample labelled {missing.tolist()[0]!r}")
            return given.sel(sample=labels)
        per_sample = np.ndim(given) == ndim and not isinstance(given, pd.DataFrame | pd.Series | str)
        return given[start:stop] if per_sample else given

    def by_part(given: Any, axes: dict[str, int]) -> Any:
        if isinstance(given, Mapping):
            return {part: of_part(own, part, axes[part]) if part in axes else own for part, own in given.items()}
        return given if given is None else of_part(given, like.primary, axes[like.primary])

    sizes = {name: array.ndim for name, array in like.inputs.items()}
    return asked._replace(
        target=target, baseline=by_part(asked.baseline, sizes), mask=by_part(asked.mask, dict.fromkeys(sizes, 2))
    )


def check_lengths(asked: Asked, first: Explained, count: int) -> None:
    """Refuse a target, mask or baseline with another number of samples than the inputs; chunks would not tell."""
    sizes = {name: array.ndim for name, array in first.inputs.items()}
    given: list[tuple[str, Any, int]] = []
    if isinstance(asked.target, list | np.ndarray | pd.Series | pd.Index | xr.DataArray):
        given.append(("the target", asked.target, np.ndim(asked.target) if not isinstance(asked.target, list) else 1))
    for what, own in (("the mask", asked.mask), ("the baseline", asked.baseline)):
        parts = own if isinstance(own, Mapping) else {first.primary: own}
        given += [(what, v, 2 if what == "the mask" else sizes.get(name, 3)) for name, v in parts.items()]
    for what, values, ndim in given:
        if values is None or isinstance(values, str | pd.DataFrame):
            continue
        if isinstance(values, xr.DataArray):
            length = rename_synonyms(values).sizes.get("sample", count) if what != "the target" else len(values)
        else:
            length = len(values) if isinstance(values, list) or np.ndim(values) == ndim else count
        if length != count:
            raise InputError(f"{what} has {length} samples, the inputs have {count}")
