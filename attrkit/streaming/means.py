"""The baseline ``"mean"``, over samples that are not in memory together."""

import numpy as np
import xarray as xr

from attrkit.adapters.base import Adapter
from attrkit.errors import RefusedError
from attrkit.question import Asked, masks_of
from attrkit.streaming.samples import asked_of
from attrkit.streaming.sources import Source, read_samples


def mean_of(adapter: Adapter, source: Source, asked: Asked, *, chunk_size: int) -> tuple[dict[str, xr.DataArray], str]:
    """Return the mean of each input over all samples and timesteps, padding left out, and what to record.

    Raises
    ------
    RefusedError
        If the samples come once only, or are token ids, whose mean is one of embeddings.
    """
    if source.count is None:
        raise RefusedError(
            "baseline='mean' needs all samples before the first is explained, and an iterator gives them once; pass "
            "the mean as an array of shape (channel,)"
        )
    tokens = [name for name, array in source.peek.inputs.items() if array.dtype.kind in "iu"]
    if tokens:
        raise RefusedError(
            f"baseline='mean' of token ids ({', '.join(tokens)}) is a mean over embeddings, which chunks do not have "
            "together; pass another baseline"
        )
    totals: dict[str, np.ndarray] = {}
    counts: dict[str, np.ndarray] = {}
    dims: dict[str, tuple[str, ...]] = {}
    start = 0
    for piece in source.pieces(chunk_size):
        explained = read_samples(adapter, piece)
        x, labels = explained.parts(), explained.main["sample"].values
        model = adapter.configured(question=explained.question(logits=asked.logits))
        masks = masks_of(model, explained, x, asked_of(asked, start, labels, explained).mask)
        for name, array in explained.inputs.items():
            over = ("sample", "timestep") if "channel" in array.dims else ("sample",)
            axes = tuple(array.dims.index(dim) for dim in over if dim in array.dims)
            real = np.ones(array.shape[:2], bool) if name not in masks else masks[name]
            real = np.broadcast_to(real.reshape(*real.shape, *[1] * (array.ndim - 2)), array.shape)
            totals[name] = totals.get(name, 0) + np.where(real, array.values, 0).sum(axis=axes, dtype=float)
            counts[name] = counts.get(name, 0) + real.sum(axis=axes)
            dims[name] = tuple(str(dim) for dim in array.dims if dim not in over)
        start += len(labels)
    # A timestep that no sample has is padding everywhere, and stays as it is.
    means = {name: xr.DataArray(total / np.maximum(counts[name], 1), dims=dims[name]) for name, total in totals.items()}
    text = "sample and timestep" if "channel" in source.peek.main.dims else "sample"
    return means, f"mean of the inputs over {text}"
