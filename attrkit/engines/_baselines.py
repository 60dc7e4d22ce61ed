"""Many baselines, which every sample is compared with, and what the model says there."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.adapters.terms import LazyRows
from attrkit.errors import InputError
from attrkit.parts import Parts, by_name, each, keep_real, masks_like, row_count, unnamed


def read_baselines(baselines: Any, x: Parts, *, least: int, name: str = "baselines") -> Parts:
    """Return baselines that every sample is compared with, of shape (baseline, timestep[, channel]) a part.

    ``name`` is what the option is called that they came by.
    """
    named = by_name(x)
    if isinstance(x, Mapping):
        if not isinstance(baselines, Mapping) or set(baselines) != set(named):
            raise InputError(f"{name} must be a dict by input name, of {list(named)}, got {type(baselines).__name__}")
        given = {part: baselines[part] for part in named}
    else:
        given = by_name(baselines)

    def read(values: Any, own: np.ndarray) -> np.ndarray:
        values = np.asarray(values, own.dtype)
        # Users have a static input without the axis of its one timestep.
        values = values[:, None] if own.ndim == values.ndim + 1 and own.shape[1] == 1 else values
        if values.shape[1:] != own.shape[1:] or len(values) < least or not np.isfinite(values).all():
            sizes = ", ".join(map(str, own.shape[1:]))
            raise InputError(
                f"{name} must be finite numbers of shape (baseline, {sizes}), at least {least} of them, which each "
                f"sample is compared with; got shape {values.shape}"
            )
        return values

    found = {part: read(values, named[part]) for part, values in given.items()}
    if len({len(values) for values in found.values()}) > 1:
        raise InputError(f"{name} must be equally many for each input")
    read_parts: Parts = unnamed(found)
    return read_parts


def placed(baselines: Parts, which: Any, x: Parts, sample: np.ndarray, masks: Any) -> Parts:
    """Return some of the baselines, each for a sample of its own, whose padding stays."""
    found: Parts = each(
        lambda b, a, mask: keep_real(b[which], a[sample], None if mask is None else mask[sample]),
        *(baselines, x, masks_like(x, masks)),
    )
    return found


def mean_prediction(model: Adapter, x: Parts, target: np.ndarray, baselines: Parts, masks: Any) -> np.ndarray:
    """Return for each sample the mean of its explained output over all baselines."""
    count, n_samples = row_count(baselines), row_count(x)
    padded = any(mask is not None for mask in by_name(masks).values())
    # Where nothing of a sample goes into its baselines, they are the same for all.
    compared = n_samples if padded or model.question.context else 1

    def make(rows: np.ndarray) -> Parts:
        return placed(baselines, rows % count, x, rows // count, masks)

    found = model.predict(LazyRows(compared * count, make, lambda rows: rows // count))
    means = found.reshape(compared, count, -1).mean(axis=1, dtype=float)
    return np.broadcast_to(means, (n_samples, means.shape[1]))[np.arange(n_samples), target]
