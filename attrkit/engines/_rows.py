"""Rows that a toolkit makes of samples, as the adapter takes them."""

from typing import Any

import numpy as np

from attrkit.parts import Parts, each, keep_real, masks_like


def as_given(points: Parts, x: Parts, sample: np.ndarray, masks: Any) -> Any:
    """Return rows in the types of the inputs. Padding stays: anything else there would be real to the model.

    Parameters
    ----------
    points : Parts of shape (row, timestep[, channel])
    x : Parts of shape (sample, timestep[, channel])
    sample : ndarray of int of shape (row,)
        The number of each row's sample.
    masks : ndarray of bool of shape (sample, timestep), or dict of such by part, or None
        False where padded.
    """
    return each(
        lambda a, own, mask: keep_real(
            a.astype(own.dtype, copy=False), own[sample], None if mask is None else mask[sample]
        ),
        points,
        x,
        masks_like(x, masks),
    )
