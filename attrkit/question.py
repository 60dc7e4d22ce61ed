"""What is asked of a model, brought to what a method is given: targets, padding, a baseline."""

import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from attrkit.adapters.base import Adapter
from attrkit.baselines import resolve_baseline
from attrkit.checks import flag, whole_number
from attrkit.embeddings import REDUCTIONS
from attrkit.errors import AttrkitWarning, InputError
from attrkit.explained import Explained
from attrkit.inputs import read_array
from attrkit.parts import Parts, arrays_of, each, keep_real
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


def check_asked(asked: Asked) -> Asked:
    """Refuse what no method could make sense of, before any work."""
    flag(asked.logits, "logits")
    if asked.embedding is not None and not isinstance(asked.embedding, str):
        raise InputError(f"embedding={asked.embedding!r} is no layer; accepted is its name")
    how = asked.embedding_reduction
    if how is not None and not (isinstance(how, str) and how in REDUCTIONS):
        raise InputError(f"embedding_reduction={how!r} is not known; accepted are {', '.join(REDUCTIONS)} or None")
    return asked._replace(seed=whole_number(asked.seed, "seed", least=0))


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


def masks_of(model: Adapter, explained: Explained, x: Parts, mask: Any) -> dict[str, np.ndarray]:
    """Join, for each input, the mask a user gave with what the model takes for padding."""
    masks = {part or explained.primary: own for part, own in model.masks(x).items()}
    given: dict[str, Any] = dict(explained.masks)
    if mask is not None:
        given |= dict(mask) if isinstance(mask, Mapping) else {explained.primary: mask}
    for part, values in given.items():
        if part not in explained.inputs:
            raise InputError(f"a mask is given for {part!r}; the inputs are {list(explained.inputs)}")
        if "timestep" not in explained.inputs[part].dims:
            raise InputError(f"a mask is given for {part!r}, which is static: it has no timesteps to be padded")
        own = _read_mask(values, explained.inputs[part])
        masks[part] = masks[part] & own if part in masks else own
    return masks


def _read_mask(mask: Any, inputs: xr.DataArray) -> np.ndarray:
    over = inputs.isel(channel=0, drop=True) if "channel" in inputs.dims else inputs
    accepted = f"accepted is an array of bool of shape {over.shape}"
    if isinstance(mask, xr.DataArray):
        # By its labels, as a baseline.
        if mask.dtype.kind not in "biuf":
            raise InputError(f"the mask has dtype {mask.dtype}; {accepted}")
        mask = resolve_baseline(mask.astype(float), over.astype(float), what="the mask")[0]
        mask = mask.broadcast_like(over).transpose(*over.dims)
    values = read_array(mask, "the mask", accepted)
    if values.dtype.kind not in "biuf" or values.shape != over.shape or not np.isin(values, (0, 1)).all():
        raise InputError(f"the mask has shape {values.shape} of {values.dtype}; accepted is bool of shape {over.shape}")
    return values.astype(bool)


def baseline_of(
    name: str, model: Adapter, explained: Explained, x: Parts, masks: dict[str, np.ndarray], baseline: Any
) -> tuple[Parts, dict[str, Any], str]:
    """Return where the way starts, for each part, the variables that record it, and what to write of it."""
    several = len(explained.inputs) > 1
    if isinstance(baseline, Mapping):
        wrong = [part for part in baseline if part not in explained.inputs]
        if wrong:
            raise InputError(f"a baseline is given for {wrong}; the inputs are {list(explained.inputs)}")
    elif several and (shape := read_array(baseline, "the baseline", "accepted is a dict by input name").shape):
        raise InputError(
            f"the baseline is one array, of shape {shape}, and the inputs {list(explained.inputs)} are explained; give "
            "a dict by input name"
        )
    recorded: dict[str, Any] = {}
    texts: dict[str, str] = {}

    def resolve(part: str, array: xr.DataArray) -> np.ndarray:
        own = baseline.get(part, 0.0) if isinstance(baseline, Mapping) else baseline
        values, texts[part] = resolve_baseline(own, array, mask=masks.get(part))
        if values.ndim and part not in explained.embedded:
            recorded.update(explained.variables("baseline", {part: values}))
        return values.values.reshape([values.sizes.get(dim, 1) for dim in array.dims])

    # Padding stays as it is on the way from the baseline: anything else there would be real to the model.
    start = each(keep_real, explained.parts(resolve), x, explained.like_parts(masks))
    if masks and not explained.embedded:
        _check_padding(name, model, explained, start, masks)
    text = next(iter(texts.values())) if len(set(texts.values())) == 1 else json.dumps(texts)
    return start, recorded, text


def _check_padding(name: str, model: Adapter, explained: Explained, start: Parts, masks: dict[str, np.ndarray]) -> None:
    if {len(array) for array in arrays_of(start)} != {len(explained.main)}:
        return
    at_start = {part or explained.primary: mask for part, mask in model.masks(start).items()}
    lost = sum(int((mask & ~at_start[part]).sum()) for part, mask in masks.items() if part in at_start)
    if lost:
        real = sum(int(mask.sum()) for mask in masks.values())
        warnings.warn(
            f"{name}: at the baseline the model masks {lost} of {real} real timesteps, because the baseline is its "
            "mask value; the way from there starts with a jump. Pass a baseline that is not masked, such as 'mean'",
            AttrkitWarning,
            stacklevel=6,
        )
