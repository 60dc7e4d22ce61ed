"""What is checked of every result, and warned about."""

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from attrkit.errors import AttrkitWarning, CompletenessWarning, SaturationWarning
from attrkit.half import way_out_of
from attrkit.targets import Output

COMPLETENESS_TOLERANCE = 0.01
"""Largest completeness gap, as a share of the change in output, that passes without a warning."""

SATURATED = 0.99
"""A softmax output beyond this share, or below one less it, has next to no gradient."""


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


def check_saturation(
    name: str, prediction: np.ndarray, explained: np.ndarray, outputs: Sequence[Output], *, precision: float
) -> None:
    """Warn where the explained output is that of a saturated softmax; ``precision`` is that of the model's outputs."""
    if len(outputs) > 1 or not outputs[0].shape or outputs[0].shape[-1] < 2:
        return
    shares = prediction.reshape(-1, outputs[0].shape[-1])
    if shares.min() < 0 or not np.allclose(shares.sum(axis=1), 1, atol=precision):
        return
    count = int(((explained > SATURATED) | (explained < 1 - SATURATED)).sum())
    if count:
        warnings.warn(
            f"{name}: the output is a softmax, and for {count} of {len(explained)} samples it is saturated (beyond "
            f"{SATURATED}, or below {1 - SATURATED:.2g}): its gradient vanishes. Pass logits=True to explain the score "
            "before it",
            SaturationWarning,
            stacklevel=4,
        )
