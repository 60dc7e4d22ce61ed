"""What all sentences about a study share."""

from typing import Any, NamedTuple

import numpy as np

from attrkit.digits import with_interval

REFERENCES = ("random", "uniform")
"""What extractors are held against, and no sentence is about."""

Row = dict[Any, Any]


class Finding(NamedTuple):
    """Sentences about one test; the headline is for the beginning."""

    title: str
    lines: list[str]
    headline: str = ""


def told(row: Row, prefix: str = "") -> str:
    """Write the estimate of a row with its interval."""
    low, high = (row.get(f"{prefix}_{end}" if prefix else end, np.nan) for end in ("low", "high"))
    return with_interval(row[prefix or "estimate"], low, high)
