"""What perturbation metrics are asked about: a model, what is explained of it, scores of items that can be removed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from attrkit.adapters.base import Adapter
from attrkit.checks import one_of
from attrkit.collect import as_datasets
from attrkit.errors import InputError, RefusedError
from attrkit.explained import Explained, explain_inputs
from attrkit.inputs import label_inputs
from attrkit.metrics.asked_again import check_same_model, inputs_of, target_of
from attrkit.metrics.removal.operators import Background, make_background
from attrkit.metrics.scores import read_scores
from attrkit.parts import Parts, by_name
from attrkit.question import masks_of
from attrkit.targets import Target

KINDS = ("probability", "logit", "value")
RESOLUTIONS = ("timestep", "cell")
RANK_BY = ("value", "magnitude")


@dataclass(frozen=True)
class Case:
    """A model, what is explained of it, and from what.

    Attributes
    ----------
    model : Adapter
    explained : Explained
    x : Parts
    real : ndarray of bool of shape (sample, timestep)
    target : Target
        In columns of ``prediction``.
    prediction : ndarray of shape (sample, output)
        For classes, their probabilities, of shape (sample, class): two where the model gives that of one.
    kind : {"probability", "logit", "value"}
        What the model's outputs are.
    background : Background
    """

    model: Adapter
    explained: Explained
    x: Parts
    real: np.ndarray
    target: Target
    prediction: np.ndarray
    kind: str
    background: Background

    @property
    def values(self) -> np.ndarray:
        """What values are removed from, of shape (sample, timestep[, channel]): the primary input."""
        named = by_name(self.x)
        found: np.ndarray = named[self.explained.primary] if len(named) > 1 else named[""]
        return found

    @property
    def of_classes(self) -> bool:
        """Whether the outputs say which class is how probable."""
        return self.kind != "value"

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class of each sample, of shape (sample,)."""
        found: np.ndarray = self.prediction.argmax(axis=1)
        return found


def read_case(
    adapter: Adapter,
    datasets: dict[str, xr.Dataset],
    real: xr.DataArray,
    *,
    inputs: Any,
    target: Any,
    background: Any,
    kind: str | None,
    output_labels: Sequence[Any] | None,
    batch_size: int | None,
    show_progress: bool,
    same_model: bool = True,
) -> Case:
    """Bring what a user gave to one case; with `same_model`, refuse one that was not explained."""
    if kind is not None:
        one_of(kind, "kind", KINDS)
    explained = explain_inputs(adapter, inputs_of(datasets, inputs))
    main = explained.main
    if main.shape[:2] != real.shape:
        raise InputError(
            f"the results are of {real.shape[0]} samples by {real.shape[1]} timesteps, the inputs of {main.shape[0]} "
            f"by {main.shape[1]}; give the inputs that were explained"
        )
    question = explained.question(head=target if callable(target) else None)
    model = adapter.configured(batch_size=batch_size, show_progress=show_progress, question=question)
    x = explained.parts()
    prediction = model.predict(x)
    if same_model:
        check_same_model(datasets, prediction, model, target=target)
    masks = masks_of(model, explained, x, None)
    is_real = real.values & masks.get(explained.primary, True)
    labels = model.output_labels if output_labels is None and not callable(target) else output_labels
    chosen = target_of(datasets, target, model, prediction, labels)
    kind = _kind_of(kind, model, prediction)
    one = kind != "value" and prediction.shape[1] == 1
    if one:
        # The one output is the probability of the second of two classes.
        chosen = Target(chosen.index + 1, chosen.label)
    return Case(
        *(model, explained, x, is_real, chosen, probabilities(prediction, kind), kind),
        _background_of(background, explained, is_real),
    )


def _kind_of(kind: str | None, model: Adapter, prediction: np.ndarray) -> str:
    several = len(model.outputs) > 1 or len([n for n in model.outputs[0].shape if n > 1]) > 1
    if kind in ("probability", "logit"):
        if several:
            raise RefusedError(
                f"kind={kind!r} is for one output with an axis of classes; this model has "
                f"{', '.join(f'{o.name!r} {o.shape}' for o in model.outputs)}. Use kind='value'"
            )
        if kind == "probability" and not ((prediction >= -1e-4) & (prediction <= 1 + 1e-4)).all():
            raise InputError(
                f"the outputs reach from {prediction.min():.3g} to {prediction.max():.3g}, which are no probabilities; "
                "use kind='logit' for scores before a softmax or sigmoid, kind='value' for numbers"
            )
        return kind
    if kind is None and not several and prediction.shape[1] > 1:
        sums = prediction.sum(axis=1, dtype=float)
        if prediction.min() >= -1e-4 and np.allclose(sums, 1, atol=max(1e-3, model.precision)):
            return "probability"
    return "value"


def probabilities(outputs: np.ndarray, kind: str) -> np.ndarray:
    """Return outputs in double precision; of classes, the probability of each, two where there is one output."""
    found = outputs.astype(float)
    if kind == "value":
        return found
    if kind == "logit":
        found = np.concatenate([np.zeros_like(found), found], axis=1) if found.shape[1] == 1 else found
        found = np.exp(found - found.max(axis=1, keepdims=True))
        return found / found.sum(axis=1, keepdims=True)
    return np.concatenate([1 - found, found], axis=1) if found.shape[1] == 1 else found


def _background_of(given: Any, explained: Explained, real: np.ndarray) -> Background:
    main = explained.main
    if given is None:
        return make_background(main.values, real, explained=True)
    try:
        array = label_inputs(given, shape=main.shape[1:], dtype=str(main.dtype))
    except InputError as err:
        raise InputError(f"the background: {err}") from err
    own = array["mask"].values if "mask" in array.coords else np.ones(array.shape[:2], bool)
    return make_background(array.values, own, explained=False)


def scores_of_items(results: Any, resolution: str, **how: Any) -> tuple[xr.DataArray, xr.DataArray]:
    """Return scores of dims (extractor, sample, item), and which timesteps are real, of dims (sample, timestep)."""
    one_of(resolution, "resolution", RESOLUTIONS)
    if resolution == "cell":
        if how["channels"] is not None:
            raise InputError(f"channels={how['channels']!r} is for resolution='timestep'; leave it out")
        without = [name for name, ds in as_datasets(results).items() if "channel" not in _dims_of(ds)]
        if without:
            raise RefusedError(
                f"{', '.join(without)} says nothing of single channels, and cells cannot be ranked by it; use "
                "resolution='timestep', or leave it out"
            )
    scores, real = read_scores(results, **how)
    if resolution == "timestep" and "channel" in scores.dims:
        raise InputError(
            "the attributions resolve channels, and whole timesteps are removed; say how to join channels: "
            "channels='sum' or 'abs_sum', or remove cells: resolution='cell'"
        )
    if resolution == "cell":
        scores = scores.stack(item=("timestep", "channel"), create_index=False)
    else:
        scores = scores.rename(timestep="item")
    return scores.transpose("extractor", "sample", "item"), real


def _dims_of(ds: xr.Dataset) -> tuple[Any, ...]:
    return ds["attribution"].dims if "attribution" in ds else ()


def items_of(case: Case, scores: xr.DataArray, resolution: str) -> np.ndarray:
    """Return which items are real, of shape (sample, item)."""
    n_channels = case.values.shape[2] if case.values.ndim == 3 and resolution == "cell" else 1
    found = np.repeat(case.real, n_channels, axis=1)
    if found.shape != scores.shape[1:]:
        raise InputError(
            f"the attributions have {scores.shape[2]} cells a sample, the inputs {found.shape[1]}; use "
            "resolution='timestep'"
        )
    return found


def how_recorded(how: dict[str, Any]) -> dict[str, str]:
    """Return how attributions were brought to one value an item, in words that a file keeps."""
    given = {key: str(value) for key, value in how.items() if value is not None}
    return {"channels": "as they came", "attention": "as it came", **given}
