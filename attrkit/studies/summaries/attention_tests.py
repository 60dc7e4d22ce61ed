"""What other attention weights do to a model's answer: by the largest weight, and by class."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import xarray as xr

from attrkit.studies.summaries.rows import join, rows_of

EDGES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of bins of the largest weight (Jain and Wallace 2019, figure 6)."""


def by_largest_weight(
    ds: xr.Dataset, variables: Sequence[str], predicted: xr.DataArray | None, about: str
) -> pd.DataFrame:
    """Return rows for all samples, for each bin of the largest weight, and for each predicted class.

    Parameters
    ----------
    ds : Dataset
        Of dims (seed, sample).
    variables : sequence of str
        What is averaged.
    predicted : DataArray of int of dims (seed, sample), or None
        The class that each model says.
    about : str
    """
    groups: list[tuple[str, str, xr.DataArray | None]] = [("all", "all", None)]
    largest = ds["largest_weight"]
    for low, high in pairwise(EDGES):
        last = high == EDGES[-1]
        inside = (largest >= low) & ((largest <= high + 1e-6) if last else (largest < high))
        groups.append((f"[{low:g}, {high:g}{']' if last else ')'}", "all", inside))
    if predicted is not None:
        groups += [("all", str(label), predicted == label) for label in np.unique(predicted.values)]
    frames = []
    for weights, label, among in groups:
        if among is not None and not bool(among.any()):
            continue
        for name in variables:
            labels = {"largest_weight": weights, "predicted_class": label, "variable": name}
            frames.append(rows_of(ds[name], among=among, **labels))
    return join(frames, about)


def predicted_class(model: xr.Dataset, like: xr.Dataset) -> xr.DataArray | None:
    """Return the class that each model says of the samples of a test; None of models that say numbers."""
    if "correct" not in model:
        return None
    outputs = model["prediction"]
    if outputs.sizes["output"] > 1:
        told = outputs.argmax("output")
    else:
        # As the gate has it, of each model: of a probability 0.5, of a score before a sigmoid 0.
        shares = ((outputs >= 0) & (outputs <= 1)).all(["sample", "output"])
        told = (outputs.isel(output=0, drop=True) > xr.where(shares, 0.5, 0.0)).astype(int)
    return told.sel(seed=like["seed"], sample=like["sample"]).reset_coords(drop=True)
