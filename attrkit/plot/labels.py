"""Labels of data as readers see them: dates, numbers of channels, units, how many of how many."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr


def text(label: object) -> str:
    """Write a label for a reader: dates without the zeros of a time of day that is midnight.

    Examples
    --------
    >>> text(np.datetime64("2012-03-01T00:00")), text(np.int64(3)), text("rain")
    ('2012-03-01', '3', 'rain')
    """
    if isinstance(label, np.datetime64 | pd.Timestamp):
        stamp = pd.Timestamp(label)
        return stamp.strftime("%Y-%m-%d") if stamp == stamp.normalize() else stamp.strftime("%Y-%m-%d %H:%M")
    return str(label)


def shorten(label: str, most: int = 20) -> str:
    """Cut the middle out of a long label, for the ends tell names apart.

    Examples
    --------
    >>> shorten("soil_temperature_level_7_to_28_cm")
    'soil_tempe…_to_28_cm'
    """
    if len(label) <= most:
        return label
    tail = (most - 1) // 2
    return f"{label[: most - 1 - tail]}…{label[-tail:]}"


def channel_name(label: object) -> str:
    """Write the label of a channel: a name as it is, a number with the word before it.

    Examples
    --------
    >>> channel_name("rain"), channel_name(3)
    ('rain', 'channel 3')
    """
    return f"channel {label}" if isinstance(label, int | float | np.number) else text(label)


def with_unit(name: str, attrs: Mapping[Any, Any]) -> str:
    """Write a name with its unit; a pure number, whose unit is 1, needs none.

    Examples
    --------
    >>> with_unit("wind", {"units": "m/s"}), with_unit("attention weight", {"units": "1"})
    ('wind [m/s]', 'attention weight')
    """
    unit = str(attrs.get("units", ""))
    return name if unit in ("", "1") else f"{name} [{unit}]"


def label_of(array: xr.DataArray | xr.Dataset, dim: str, label: object) -> str:
    """Write one label with the name of its dim, for a title: ``sample 3``."""
    return f"{array[dim].attrs.get('long_name', dim)} {text(label)}"


def count(n: int, of: int, what: str) -> str:
    """Say how many were drawn, if not all.

    Examples
    --------
    >>> count(3, 50, "sample"), count(3, 3, "sample")
    ('3 of 50 samples', '')
    """
    return "" if n == of else f"{n:,} of {of:,} {what}s"
