"""Samples of one length together, without their padding: what is not there is in no sum, no rank and no curve."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

# Numbers that are worked on at once; more is no faster, and leaves the caches of the processor.
_AT_ONCE = 2**19


class Group(NamedTuple):
    """Some samples with the same number of real timesteps.

    ``samples`` are their places, ``real`` the places of their real timesteps, of shape (sample, timestep), and
    ``values`` what extractors say of these, of shape (sample, extractor, timestep[, channel]).
    """

    samples: np.ndarray
    real: np.ndarray
    values: np.ndarray


def by_length(scores: xr.DataArray, real: xr.DataArray, *, share: int = 1) -> Iterator[Group]:
    """Yield all samples that have a real timestep, in groups of one length; those without are in no group.

    Parameters
    ----------
    scores : DataArray of dims (extractor, sample, timestep[, channel])
    real : DataArray of bool of dims (sample, timestep)
    share : int, default 1
        How much more than its scores is held of a sample: groups are smaller by this.
    """
    values, mask = scores.values, real.values
    lengths = mask.sum(axis=1)
    per_timestep = values.shape[0] * int(np.prod(values.shape[3:])) * share
    for length in np.unique(lengths[lengths > 0]):
        alike = np.flatnonzero(lengths == length)
        n_samples = max(1, _AT_ONCE // (per_timestep * int(length)))
        for start in range(0, alike.size, n_samples):
            samples = alike[start : start + n_samples]
            kept = np.nonzero(mask[samples])[1].reshape(samples.size, length)
            yield Group(samples, kept, np.ascontiguousarray(values[:, samples[:, None], kept].swapaxes(0, 1)))


def options_text(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the attribute of a table that says what its metric was asked."""
    return {"metric_options": json.dumps(dict(options), default=str)}
