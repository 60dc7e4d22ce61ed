"""Integrated gradients along the straight line from a baseline."""

from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.checks import whole_number
from attrkit.errors import InputError
from attrkit.methods._result import OUTPUT, attribution

QUADRATURES = ("gauss_legendre", "midpoint")


def integrated_gradients(
    model: Adapter,
    x: np.ndarray,
    target: np.ndarray,
    *,
    prediction: np.ndarray,
    baseline: np.ndarray,
    n_steps: int = 64,
    quadrature: str = "gauss_legendre",
) -> dict[str, Any]:
    """Return integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365, eq. 1).

    Parameters
    ----------
    model : Adapter
    x : ndarray of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    prediction : ndarray of shape (sample, output)
        The model's outputs at `x`, laid flat.
    baseline : ndarray of the dims of `x`, each of its length or 1
        Where the line starts.
    n_steps : int, default 64
        Gradients a sample.
    quadrature : {"gauss_legendre", "midpoint"}
        Where on the line the gradients are taken, and their weights.

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output; ``baseline_prediction`` and ``completeness_gap`` of
        shape (sample,): the sum of the attributions less (output at the input - output at the baseline), which is 0
        for the exact integral (Proposition 1).

    Raises
    ------
    InputError
        If `n_steps` is below 1 or the quadrature unknown.
    """
    n_steps = whole_number(n_steps, "n_steps", least=1)
    if quadrature == "gauss_legendre":
        nodes, weights = np.polynomial.legendre.leggauss(n_steps)
        alphas, weights = (nodes + 1) / 2, weights / 2
    elif quadrature == "midpoint":
        alphas, weights = (np.arange(n_steps) + 0.5) / n_steps, np.full(n_steps, 1 / n_steps)
    else:
        raise InputError(f"unknown quadrature {quadrature!r}; accepted are {', '.join(QUADRATURES)}")
    start = np.broadcast_to(baseline, x.shape)
    values = (x - start) * model.path_gradient(x, target, baseline=start, alphas=alphas, weights=weights)
    # Where all samples share the baseline, one row is enough.
    shared = start[:1] if baseline.shape[0] == 1 else start
    at_start = np.broadcast_to(model.predict(np.ascontiguousarray(shared)), prediction.shape)
    rows = np.arange(len(x))
    change = prediction[rows, target].astype(float) - at_start[rows, target]
    total = values.reshape(len(x), -1).sum(axis=1, dtype=float)
    return {
        "attribution": attribution(values, long_name="integrated gradients", units=OUTPUT),
        "baseline_prediction": at_start[rows, target],
        "completeness_gap": total - change,
    }
