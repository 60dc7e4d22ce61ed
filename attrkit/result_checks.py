"""What is checked of every result, and warned about."""

import dataclasses
import warnings

import numpy as np
import pandas as pd
import xarray as xr

from attrkit.adapters.base import Adapter
from attrkit.errors import AttrkitWarning, CompletenessWarning, RefusedError, SaturationWarning
from attrkit.half import way_out_of
from attrkit.parts import Parts, each

COMPLETENESS_TOLERANCE = 0.01
"""Largest completeness gap, as a share of the change in output, that passes without a warning."""

SATURATED = 0.99
"""An output of a softmax or sigmoid beyond this share, or below one less it, has next to no gradient."""


def check_result(ds: xr.Dataset, name: str, explained: np.ndarray | None) -> None:
    """Warn of attributions that are no numbers, or do not add up to the change in the explained output."""
    half = ds.attrs.get("half_precision", "")
    found = [ds[key].values for key in ds.data_vars if str(key).startswith("attribution")]
    bad = sum(int((~np.isfinite(values)).sum()) for values in found)
    if bad:
        size = sum(values.size for values in found)
        cause = f". {way_out_of(half)}" if half else ""
        warnings.warn(f"{name}: {bad} of {size} attributions are NaN or infinite{cause}", AttrkitWarning, stacklevel=4)
    # A method with a ledger of its own says itself where relevance is lost.
    if "completeness_gap" not in ds or "bias_relevance" in ds or explained is None:
        return
    gap = np.abs(ds["completeness_gap"].values)
    start = ds["baseline_prediction"].values if "baseline_prediction" in ds else np.zeros_like(explained)
    change, share = np.abs(explained - start), share_of_change(gap, explained, start)
    over = share > COMPLETENESS_TOLERANCE
    if over.any():
        worst = int(share.argmax())
        by_steps = "steps" in ds.attrs.get("method_options", "") or "integrated" in name.lower()
        if half:
            advice = way_out_of(half)
        elif by_steps:
            advice = (
                "Take more steps; where they do not help, the model jumps on the way from the baseline: try another "
                "baseline, or occlusion"
            )
        else:
            advice = "The rest was taken by what the method does not book, such as biases, or left out by its sampling"
        warnings.warn(
            f"{name}: the attributions of {int(over.sum())} of {len(share)} samples miss the change in output by "
            f"more than {COMPLETENESS_TOLERANCE:.0%} of it; the worst, sample {ds['sample'].values[worst]}, by "
            f"{gap[worst]:.3g} of {change[worst]:.3g}. {advice}",
            CompletenessWarning,
            stacklevel=4,
        )


def explained_output(ds: xr.Dataset) -> xr.DataArray | None:
    """Return the explained output of every sample; None where results do not say which it is.

    Examples
    --------
    >>> ds = xr.Dataset({"prediction": (("sample", "output"), [[0.1, 0.9]])}, {"output": ["no", "yes"]})
    >>> explained_output(ds) is None, explained_output(ds.assign_coords(target=("sample", ["yes"]))).values
    (True, array([0.9]))
    """
    if "prediction" not in ds:
        return None
    prediction = ds["prediction"]
    if "output" not in prediction.dims:
        return prediction
    if "target" not in ds.coords or ds["target"].dims != ("sample",):
        return None
    at = prediction.get_index("output").get_indexer(pd.Index(ds["target"].values))
    return None if (at < 0).any() else prediction.isel(output=xr.DataArray(at, dims="sample"))


def share_of_change(gap: np.ndarray, explained: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return completeness gaps as shares of the change in output, all of shape (sample,).

    Examples
    --------
    >>> share_of_change(np.array([-0.1]), np.array([3.0]), np.array([1.0]))
    array([0.05])
    """
    change, size = np.abs(explained - start), np.maximum(np.abs(explained), np.abs(start))
    # A change that is small beside the output itself is known to rounding only.
    return np.abs(gap) / np.maximum(np.maximum(change, 1e-3 * size), np.finfo(np.float32).tiny)


def check_saturation(name: str, model: Adapter, x: Parts, prediction: np.ndarray, index: np.ndarray) -> None:
    """Warn where the explained output is that of a saturated softmax or sigmoid.

    Parameters
    ----------
    name : str
        Of the method.
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    prediction : ndarray of shape (sample, output)
        The outputs laid flat.
    index : ndarray of int of shape (sample,)
        Which of them is explained.
    """
    explained = prediction[np.arange(len(prediction)), index]
    far = (explained > SATURATED) | (explained < 1 - SATURATED)
    first = 0
    for output in model.outputs:
        last = first + output.size
        rows = np.flatnonzero(far & (first <= index) & (index < last))
        own, first = prediction[:, first:last], last
        if not len(rows) or own.min() < 0 or own.max() > 1 + model.precision:
            continue
        shares = own.reshape(-1, output.shape[-1]) if output.shape else own
        if shares.shape[1] > 1 and np.allclose(shares.sum(axis=1), 1, atol=model.precision):
            kind = "softmax"
        elif _is_sigmoid(model, x, rows[:1], explained[rows[0]], index[rows[0]]):
            kind = "sigmoid"
        else:
            continue
        warnings.warn(
            f"{name}: the output is a {kind}, and for {len(rows)} of {len(explained)} samples it is saturated (beyond "
            f"{SATURATED}, or below {1 - SATURATED:.2g}): its gradient vanishes. Pass logits=True to explain the score "
            "before it",
            SaturationWarning,
            stacklevel=4,
        )


def _is_sigmoid(model: Adapter, x: Parts, row: np.ndarray, value: float, index: int) -> bool:
    """Whether an output of one row, of shape (1,), is the sigmoid of the score that the model says stands before it."""
    asked = model.configured(question=dataclasses.replace(model.question, logits=True))
    try:
        score = asked.predict(each(lambda a: a[row], x), sample=row)[0, index]
    except RefusedError:
        # None stands before it, or the model does not show it.
        return False
    return bool(np.isclose(1 / (1 + np.exp(-float(score))), value, rtol=0, atol=model.precision))
