"""The question of some results, asked again about one input that is changed a little."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from attrkit.adapters import adapt
from attrkit.adapters.base import Adapter
from attrkit.adapters.terms import Question
from attrkit.baselines import resolve_baseline
from attrkit.errors import InputError, RefusedError
from attrkit.explained import Explained, explain_inputs
from attrkit.metrics.asked_again import alike, check_same_model, inputs_of, target_of
from attrkit.parts import keep_real


class Again(NamedTuple):
    """What was asked, for one input of shape (sample, timestep[, channel]).

    Attributes
    ----------
    x, baseline : ndarray of that shape
        At padding, the baseline is the input.
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    explained : ndarray of float64 of shape (sample,)
        The output at `x`.
    labels : ndarray of shape (sample,)
    """

    model: Adapter
    question: Question
    x: np.ndarray
    baseline: np.ndarray
    baseline_text: str
    target: np.ndarray
    explained: np.ndarray
    labels: np.ndarray


def one_input(explained: Explained) -> xr.DataArray:
    """Return the labelled input that is explained; several, and token ids, are refused."""
    if len(explained.inputs) > 1:
        raise InputError(
            f"{len(explained.inputs)} inputs are explained, and one is perturbed at a time: say which with explain=, "
            f"one of {list(explained.inputs)}"
        )
    if explained.main.dtype.kind != "f":
        raise RefusedError(
            f"the input {explained.primary!r} is of {explained.main.dtype}: token ids that are changed a little are "
            "other tokens; what is perturbed are numbers"
        )
    return explained.main


def ask_again(
    model: Any,
    datasets: Mapping[str, xr.Dataset],
    real: np.ndarray,
    *,
    inputs: Any,
    explain: Any,
    baseline: Any,
    target: Any,
) -> Again:
    """Bring together what was asked of the model, and check that it still predicts what the results hold."""
    adapter = adapt(model)
    explained = explain_inputs(adapter, inputs_of(datasets, inputs), explain)
    main = one_input(explained)
    known = alike(datasets, "input")
    if main.shape[:2] != real.shape or (known is not None and not np.array_equal(known.values, main.values)):
        raise InputError(f"the inputs, of shape {main.shape}, are not those that were explained")
    at = {str(ds.attrs.get("explained_at", "")) for ds in datasets.values()}
    logits = {"explained_before" in ds.attrs for ds in datasets.values()}
    if at != {""}:
        raise RefusedError(
            f"results are of an embedding, {', '.join(sorted(at - {''}))}; what is perturbed are numbers"
        )
    if len(logits) > 1:
        raise InputError("some results are of logits and some are not; their outputs do not compare")
    question = explained.question(head=target if callable(target) else None, logits=logits.pop())
    asking = adapter.configured(question=question)
    with adapter.left_as_found():
        prediction = asking.predict(main.values)
    check_same_model(datasets, prediction, asking, target=target)
    index = target_of(datasets, target, asking, prediction).index
    start, text = _baseline(datasets, baseline, main, real)
    return Again(
        adapter,
        question,
        main.values,
        keep_real(np.broadcast_to(start, main.shape), main.values, real),
        text,
        index,
        prediction[np.arange(len(prediction)), index].astype(np.float64),
        main["sample"].values,
    )


def _baseline(
    datasets: Mapping[str, xr.Dataset], baseline: Any, main: xr.DataArray, real: np.ndarray
) -> tuple[np.ndarray, str]:
    """Return the baseline that was given, else that of the results."""
    if baseline is None:
        texts = {str(ds.attrs["baseline"]) for ds in datasets.values() if "baseline" in ds.attrs}
        array = alike(datasets, "baseline")
        if len(texts) > 1:
            raise InputError(f"the results have several baselines, {', '.join(sorted(texts))}; say which: baseline=")
        baseline = array if array is not None else float(next(iter(texts), "0"))
    values, text = resolve_baseline(baseline, main, mask=real)
    return values.values.reshape([values.sizes.get(dim, 1) for dim in main.dims]), text
