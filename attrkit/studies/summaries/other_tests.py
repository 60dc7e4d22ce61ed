"""A test that has no summary of its own: the mean of each number that it has of a sample."""

import pandas as pd
import xarray as xr

from attrkit.studies.summaries.rows import join, plain_variables, rows_of


def summarise(name: str, ds: xr.Dataset) -> pd.DataFrame:
    """Return a row for each variable of a number a sample, and each entry along its other dims."""
    frames = [rows_of(values, variable=own) for own, values in plain_variables(ds, "fb").items()]
    return join(frames, f"Test {name}: means with 95 percent intervals")
