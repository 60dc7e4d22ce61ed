"""The gradient of the explained output with respect to the input."""

from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.attention.impose import hold_own_weights
from attrkit.checks import flag
from attrkit.method import OUTPUT_PER_INPUT, attribution, gives_prediction, needs_gradient
from attrkit.parts import Parts


@needs_gradient
@gives_prediction
def gradient(model: Adapter, x: Parts, target: np.ndarray, *, hold_attention: bool = False) -> dict[str, Any]:
    """Return the gradient of the output with respect to the input (Simonyan et al. 2014, arXiv:1312.6034, eq. 3).

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
        ``attribution`` of the shape of `x`, in units of the output over units of the input. It is signed: take the
        absolute value yourself where only the size counts. ``prediction``, of the same pass.

    Raises
    ------
    RefusedError
        If attention is to be held, and there is none, or none that can be.
    """
    model = hold_own_weights(model, x) if flag(hold_attention, "hold_attention") else model
    values, prediction = model.path_gradient(x, target, outputs=True)
    found = attribution(values, long_name="gradient", units=OUTPUT_PER_INPUT)
    return {"attribution": found, "prediction": prediction}
