"""Which extractors are faithful: means, curves, tests against a reference, and whether the order is stable."""

import warnings

import numpy as np
import pandas as pd
import xarray as xr

from attrkit.errors import AttrkitWarning
from attrkit.metrics import paired_tests, rank_stability
from attrkit.studies.summaries.rows import as_frame, join, plain_variables, rows_of

POINTS = ("share", "n_removed")
"""Dims of curves, one of them."""

REFERENCES = ("random", "attention")


def scalars_of(ds: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return the metrics of one number for each extractor and sample that say which direction is better."""
    found = plain_variables(ds)
    return {
        name: values.where(np.isfinite(values))
        for name, values in found.items()
        if "extractor" in values.dims and "direction" in values.attrs and not set(values.dims) & set(POINTS)
    }


def means(ds: xr.Dataset, about: str) -> pd.DataFrame:
    """Return a row for each metric and extractor."""
    frames = []
    for name, values in scalars_of(ds).items():
        frame = rows_of(values, metric=name)
        frame["direction"] = values.attrs["direction"]
        frames.append(frame)
    return join(frames, f"{about}: means with 95 percent intervals")


def removal(ds: xr.Dataset) -> pd.DataFrame:
    """Return a row for each point of each curve: what the model says when some items are removed, or alone left."""
    found = {name: values for name, values in plain_variables(ds).items() if set(values.dims) & set(POINTS)}
    curves = {name: values for name, values in found.items() if "extractor" in values.dims}
    about = "Curves of removal: means with 95 percent intervals"
    return join([rows_of(values, curve=name) for name, values in curves.items()], about)


def compared(ds: xr.Dataset) -> pd.DataFrame:
    """Return a row for each metric and each extractor against ``random`` and against ``attention``.

    All pairs of extractors are one family for Holm's correction, of one metric. ``better`` says whether the difference
    is in the direction of the metric; ``smallest_adjusted_p`` is the smallest that so few cases can give.
    """
    frames = []
    for name, values in scalars_of(ds).items():
        known = [one for one in values["extractor"].values if bool(values.sel(extractor=one).notnull().any())]
        references = [one for one in REFERENCES if one in known]
        if len(known) < 2 or not references:
            continue
        with warnings.catch_warnings():
            # That no p-value can be small is a column of its own.
            warnings.simplefilter("ignore", AttrkitWarning)
            found = paired_tests(values.sel(extractor=known).reset_coords(drop=True))
        frame = as_frame(found.sel(other=references), {"metric": name})
        frame = frame[frame["extractor"] != frame["other"]]
        up = values.attrs["direction"].startswith("higher")
        frame["better"] = (frame["difference"] > 0) == up
        frame.loc[frame["difference"] == 0, "better"] = False
        frame["smallest_adjusted_p"] = np.minimum(frame.pop("smallest_p") * found.attrs["tests_in_family"], 1)
        frame["test"], frame["correction"] = found.attrs["test"], found.attrs["correction"]
        frame["cases"], frame["tests_in_family"] = found.attrs["cases"], found.attrs["tests_in_family"]
        frames.append(frame.reset_index(drop=True))
    return join(frames, "Paired tests of each extractor against random and attention, one family a metric")


def ranks(ds: xr.Dataset) -> pd.DataFrame:
    """Return a row for each metric and extractor: its mean rank over seeds, and how alike the orders of seeds are."""
    frames = []
    for name, values in scalars_of(ds).items():
        known = [one for one in values["extractor"].values if bool(values.sel(extractor=one).notnull().any())]
        if len(known) < 2 or values.sizes.get("seed", 1) < 2:
            continue
        found = rank_stability(values.sel(extractor=known).reset_coords(drop=True))
        own = ["mean_rank", "low", "high", "first_share"]
        frame = as_frame(found[own], {"metric": name})
        for of_all in ("kendall_w", "mean_spearman", "friedman_p", "n"):
            frame = frame.merge(as_frame(found[[of_all]]), how="cross" if not found[of_all].dims else "left")
        frames.append(frame.rename(columns={"n": "n_seeds"}))
    return join(frames, "Ranks of extractors from seed to seed; Kendall's W is 1 for one order and 0 for none")
