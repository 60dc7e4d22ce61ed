"""What is asked of a model, brought to what a method is given: targets, padding, a baseline."""

import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from attrkit.adapters.base import Adapter
from attrkit.baselines import resolve_baseline
from attrkit.errors import AttrkitWarning, InputError
from attrkit.explained import Explained
from attrkit.inputs import read_array
from attrkit.parts import Parts
from attrkit.targets import Target, output_coordinate, resolve_target


class Asked(NamedTuple):
    """What is asked of every method alike; `attrkit.extract` says what each means."""

    target: Any
    baseline: Any
    layer: str | Sequence[str] | None
    seed: int
    output_labels: Sequence[Any] | None
    mask: Any
    logits: bool
    embedding: str | None
    embedding_reduction: str | None

    @property
    def every_output(self) -> bool:
        """Whether each output is explained, one after the other."""
        return isinstance(self.target, str) and self.target == "all"

    @property
    def has_baseline(self) -> bool:
        """Whether a baseline other than the default was given."""
        return not (isinstance(self.baseline, int | float) and self.baseline == 0)


def targets_of(model: Adapter, asked: Asked, prediction: np.ndarray) -> tuple[list[Target], str]:
    """Return one target, or one for every output, and what to record."""
    if callable(asked.target):
        if prediction.shape[1] != 1:
            raise InputError(
                f"the function given as target returns {prediction.shape[1]} values a sample; it must return one"
            )
        name = getattr(asked.target, "__name__", type(asked.target).__name__)
        return [Target(np.zeros(len(prediction), int), np.full(len(prediction), name))], f"function {name}"
    if asked.every_output:
        labels = output_coordinate(model.outputs, asked.output_labels)
        rows = len(prediction)
        return [Target(np.full(rows, i), np.full(rows, label)) for i, label in enumerate(labels)], "all"
    chosen = resolve_target(asked.target, model.outputs, predictions=prediction, output_labels=asked.output_labels)
    return [chosen], str(chosen.label[0]) if len(set(chosen.label.tolist())) == 1 else "one a sample"


def mask_of(model: Adapter, explained: Explained, x: Parts, mask: Any) -> np.ndarray | None:
    """Join the mask a user gave with what the model takes for padding."""
    own = model.mask(x)
    mask = explained.mask if mask is None else mask
    if mask is None:
        return own
    values = read_array(mask, "the mask", "accepted is an array of bool")
    shape = explained.main.shape[:2]
    if values.dtype.kind not in "biu" or values.shape != shape or not np.isin(values, (0, 1)).all():
        raise InputError(f"the mask has shape {values.shape} of {values.dtype}; accepted is bool of shape {shape}")
    return values.astype(bool) if own is None else values.astype(bool) & own


def baseline_of(
    name: str, model: Adapter, explained: Explained, x: Parts, mask: np.ndarray | None, baseline: Any
) -> tuple[Parts, dict[str, Any], str]:
    """Return where the way starts, for each part, the variables that record it, and what to write of it."""
    several = len(explained.inputs) > 1
    if isinstance(baseline, Mapping):
        wrong = [part for part in baseline if part not in explained.inputs]
        if wrong:
            raise InputError(f"a baseline is given for {wrong}; the inputs are {list(explained.inputs)}")
    recorded: dict[str, Any] = {}
    texts: dict[str, str] = {}

    def resolve(part: str, array: xr.DataArray) -> np.ndarray:
        own = baseline.get(part, 0.0) if isinstance(baseline, Mapping) else baseline
        values, texts[part] = resolve_baseline(own, array)
        if values.ndim and part not in explained.embedded:
            recorded.update(explained.variables("baseline", {part: values} if several else values))
        return values.values.reshape([values.sizes.get(dim, 1) for dim in array.dims])

    start = explained.parts(resolve)
    if mask is not None:
        main = start[explained.primary] if isinstance(start, dict) else start
        own = x[explained.primary] if isinstance(x, dict) else x
        main = np.where(mask.reshape(*mask.shape, *[1] * (own.ndim - 2)), main, own).astype(own.dtype)
        start = {**start, explained.primary: main} if isinstance(start, dict) else main
        if not explained.embedded:
            # Padding stays as it is on the way from the baseline: anything else there would be real to the model.
            _check_padding(name, model, start if not several else None, mask)
    text = next(iter(texts.values())) if len(set(texts.values())) == 1 else json.dumps(texts)
    return start, recorded, text


def _check_padding(name: str, model: Adapter, start: Parts | None, mask: np.ndarray) -> None:
    at_start = None if start is None else model.mask(start)
    lost = int((mask & ~at_start).sum()) if at_start is not None else 0
    if lost:
        warnings.warn(
            f"{name}: at the baseline the model masks {lost} of {int(mask.sum())} real timesteps, because the "
            "baseline is its mask value; the way from there starts with a jump. Pass a baseline that is not masked, "
            "such as 'mean'",
            AttrkitWarning,
            stacklevel=6,
        )
