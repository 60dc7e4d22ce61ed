"""What features that are left out are: rows of a background, or the baseline."""

from typing import Any, NamedTuple

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.engines._baselines import mean_prediction, placed, read_baselines
from attrkit.errors import InputError
from attrkit.method import predicted_at
from attrkit.parts import Parts, arrays_of, each, real_only, row_count


def check_background(background: Any, x: Parts | None) -> None:
    """Refuse a background that does not fit the inputs."""
    if background is not None and x is not None:
        read_baselines(background, x, least=1, name="background")


class Background(NamedTuple):
    """What the samples `x` are compared with: the same rows for all of them, or if None a baseline each."""

    rows: Parts | None
    baseline: Parts
    x: Parts
    masks: Any

    def of(self, sample: int) -> Any:
        """Return the rows that one sample is compared with, of shape (row, timestep[, channel]) a part.

        Where the sample is padded they are too: anything else there would be real to the model.
        """
        if self.rows is None:
            return each(lambda b, a: np.broadcast_to(b, a.shape)[sample : sample + 1], self.baseline, self.x)
        count = row_count(self.rows)
        return placed(self.rows, np.arange(count), self.x, np.full(count, sample), self.masks)

    def prediction(self, model: Adapter, target: np.ndarray) -> np.ndarray:
        """Return for each sample the mean of its explained output over the rows."""
        if self.rows is None:
            return predicted_at(model, self.x, target, self.baseline)
        return mean_prediction(model, self.x, target, self.rows, self.masks)


def background_of(background: Any, baseline: Parts, x: Parts, masks: Any) -> Background:
    """Return the background of a call; one row for each sample, its baseline, if none is given."""
    if background is None:
        return Background(None, baseline, x, masks)
    if any(array.any() for array in arrays_of(real_only(baseline, masks))):
        raise InputError("samples are compared with background= or with baseline=, and both are given; leave one out")
    return Background(read_baselines(background, x, least=1, name="background"), baseline, x, masks)
