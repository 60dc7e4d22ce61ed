"""Four years of daily weather in Seattle."""

import pandas as pd

from attrkit.packages import needed


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
    frame = needed("vega_datasets", "the series", extra="demo").data.seattle_weather().set_index("date")
    return frame[["temp_max", "temp_min", "precipitation", "wind"]]
