"""Four years of daily weather in Seattle."""

import pandas as pd

from attrkit.errors import MissingDependencyError


def seattle_weather() -> pd.DataFrame:
    """Return the daily weather of Seattle, 2012 to 2015 (NOAA; from the package vega-datasets).

    Returns
    -------
    DataFrame of shape (1461, 4)
        Indexed by day: ``temp_max`` and ``temp_min`` in degrees Celsius, ``precipitation`` in mm, ``wind`` in m/s.

    Raises
    ------
    MissingDependencyError
        If vega-datasets is not installed.

    Examples
    --------
    >>> seattle_weather().columns.tolist()
    ['temp_max', 'temp_min', 'precipitation', 'wind']
    """
    try:
        from vega_datasets import data
    except ImportError as err:
        raise MissingDependencyError("the series comes with vega-datasets: pip install vega-datasets") from err
    frame = data.seattle_weather().set_index("date")
    return frame[["temp_max", "temp_min", "precipitation", "wind"]]
