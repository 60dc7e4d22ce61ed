"""Samples in groups, for toolkits that are handed some at a time."""

from collections.abc import Callable

import numpy as np

from attrkit.adapters._pace import Pace, run_passes
from attrkit.adapters.base import Adapter


def run_groups(model: Adapter, count: int, run: Callable[[np.ndarray], None], *, size: int, label: str) -> None:
    """Call ``run(rows)`` for groups of `size` samples until all `count` are done.

    Where memory runs out a group is run again with half as many samples, as the groups after it are; what is done
    stays. `run` is to keep nothing of a group that failed.
    """
    with model.bar(label, count) as bar:
        run_passes(
            Pace(size, ("plain",), fixed=True),
            count,
            lambda rows, size, way: run(rows),
            fixed_rows=lambda way: False,
            bar=bar,
        )
