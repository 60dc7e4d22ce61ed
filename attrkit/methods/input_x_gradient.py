"""The input times the gradient of the explained output."""

from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.attention.impose import hold_own_weights
from attrkit.checks import flag
from attrkit.method import OUTPUT, attribution, gives_prediction, needs_gradient
from attrkit.parts import Parts, each


@needs_gradient
@gives_prediction
def input_x_gradient(model: Adapter, x: Parts, target: np.ndarray, *, hold_attention: bool = False) -> dict[str, Any]:
    """Return the input times the gradient (Shrikumar et al. 2016, arXiv:1605.01713, section 2).

    Parameters
    ----------
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    hold_attention : bool, default False
        Take the weights of attention layers for constants: what moves them moves the output no more (Jain and Wallace
        2019, arXiv:1902.10186, section 4.1).

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output; where the input is 0 it is 0. ``prediction``, of
        the same pass.

    Raises
    ------
    RefusedError
        If attention is to be held, and there is none, or none that can be.
    """
    model = hold_own_weights(model, x) if flag(hold_attention, "hold_attention") else model
    slopes, prediction = model.path_gradient(x, target, outputs=True)
    found = attribution(each(np.multiply, x, slopes), long_name="input x gradient", units=OUTPUT)
    return {"attribution": found, "prediction": prediction}
