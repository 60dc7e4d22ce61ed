"""Results of any kind as what metrics compare: one array over extractors, and which timesteps are real."""

from typing import Any

import numpy as np
import xarray as xr

from attrkit.collect import as_datasets, stack
from attrkit.errors import InputError


def read_scores(
    results: Any, *, channels: str | None = None, attention: Any = None, layer: Any = None, head: Any = None
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the scores of all extractors in double precision, and which timesteps are real.

    Parameters
    ----------
    results : DataTree, Dataset, or mapping of str to Dataset
    channels, attention, layer, head
        How to bring attributions to one shape, as `attrkit.stack` takes it.

    Returns
    -------
    scores : DataArray of dims (extractor, sample, timestep[, channel])
        What an extractor says of padding is kept as it came.
    real : DataArray of bool of dims (sample, timestep)

    Raises
    ------
    InputError
        If shapes or masks differ, or attributions are of several outputs, or have no samples or timesteps.
    """
    datasets = as_datasets(results)
    scores = stack(datasets, channels=channels, attention=attention, layer=layer, head=head)
    lost = [dim for dim in ("sample", "timestep") if dim not in scores.dims]
    if lost:
        raise InputError(
            f"attributions have dims {scores.dims[1:]}, without {lost[0]!r}; metrics are of samples in time"
        )
    if "output" in scores.dims:
        raise InputError(
            f"attributions are of {scores.sizes['output']} outputs; metrics are of one at a time: select it, "
            "ds.sel(output=...)"
        )
    real = xr.ones_like(scores.isel(extractor=0, drop=True), dtype=bool)
    real = real.isel(channel=0, drop=True) if "channel" in real.dims else real
    masks = {name: ds["mask"].values for name, ds in datasets.items() if "mask" in ds}
    for name, mask in masks.items():
        if not np.array_equal(mask, next(iter(masks.values()))):
            raise InputError(f"{next(iter(masks))!r} and {name!r} take other timesteps for padding; give them one mask")
        real = real.copy(data=mask)
    return scores.astype(np.float64), real.rename("mask")
