"""How good the models are, and what each step has cost."""

import re

import numpy as np
import pandas as pd
import xarray as xr

from attrkit.studies.summaries.rows import as_frame, interval_of, join


def models(ds: xr.Dataset) -> pd.DataFrame:
    """Return a row for each seed: its score with an interval over test samples, and what the gate said."""
    names = ["score", "train_score", "needed", "passed"]
    frame = as_frame(ds[names])
    if "correct" in ds:
        found = interval_of(ds["correct"].drop_vars("seed").rename(seed="model"))
        frame.insert(2, "score_low", found["low"].values)
        frame.insert(3, "score_high", found["high"].values)
    else:
        frame.insert(2, "mean_absolute_error", ds["absolute_error"].mean("sample").values)
    frame["n"] = ds.sizes["sample"]
    said = ds["score"].attrs.get("long_name", "score")
    return join([frame], f"Models: {said}, with a 95 percent interval over samples where it is of classes")


def steps(ds: xr.Dataset) -> pd.DataFrame:
    """Return a row for each step, as the study has it, with its seed in a column."""
    frame = as_frame(ds)
    found = [re.fullmatch(r"seeds/(\d+)/(.*)", name) for name in frame["step"]]
    frame["step"] = [name if own is None else own[2] for name, own in zip(frame["step"], found, strict=True)]
    seeds = pd.Series([None if own is None else int(own[1]) for own in found], dtype="Int64")
    frame.insert(1, "seed", seeds)
    frame.attrs["about"] = "Steps: seconds each has taken, why it was refused, and of what it warned"
    return frame


def cost(ds: xr.Dataset, extractors: dict[str, xr.Dataset]) -> pd.DataFrame:
    """Return a row for each kind of step: seconds over all seeds, and evaluations where an extractor counts them."""
    frame = steps(ds)
    by_kind = frame.groupby("step", sort=False)["seconds"].agg(["count", "mean", "sum"]).reset_index()
    by_kind = by_kind.rename(columns={"count": "n", "mean": "mean_seconds", "sum": "total_seconds"})
    for key in ("forward_evaluations", "gradient_evaluations"):
        counted = {f"extractors/{name}": own.attrs[key] for name, own in extractors.items() if key in own.attrs}
        by_kind[f"{key}_a_seed"] = [float(counted.get(step, np.nan)) for step in by_kind["step"]]
    by_kind.attrs["about"] = "Cost: seconds of each kind of step, mean and sum over seeds, and passes through the model"
    return by_kind
