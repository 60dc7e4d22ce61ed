"""Integrated gradients along the straight line from a baseline."""

from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.checks import whole_number
from attrkit.errors import InputError
from attrkit.method import OUTPUT, attribution, measured, needs_gradient, predicted_at
from attrkit.parts import Parts, each

QUADRATURES = ("gauss_legendre", "midpoint", "trapezoid", "left")


@needs_gradient
def integrated_gradients(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    prediction: np.ndarray,
    baseline: Parts,
    n_steps: int = 64,
    quadrature: str = "gauss_legendre",
) -> dict[str, Any]:
    """Return integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365, eq. 1).

    Parameters
    ----------
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    prediction : ndarray of shape (sample, output)
        The model's outputs at `x`, laid flat.
    baseline : Parts of the dims of `x`, each of its length or 1
        Where the line starts.
    n_steps : int, default 64
        Gradients a sample.
    quadrature : {"gauss_legendre", "midpoint", "trapezoid", "left"}
        Where on the line the gradients are taken, and their weights. The first needs the fewest steps. The last two are
        the sums of xplique, with both ends, and of iNNvestigate, from the baseline on without the end.

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
    alphas, weights = _nodes(quadrature, n_steps)
    start = each(lambda b, a: np.broadcast_to(b, a.shape), baseline, x)
    slopes = model.path_gradient(x, target, baseline=start, alphas=alphas, weights=weights)
    values = each(lambda a, b, slope: (a - b) * slope, x, start, slopes)
    found = measured(values, predicted_at(model, x, target, baseline), prediction, target)
    return {"attribution": attribution(values, long_name="integrated gradients", units=OUTPUT), **found}


def _nodes(quadrature: str, n_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return places on the line, from 0 at the baseline to 1, and their weights."""
    if quadrature not in QUADRATURES:
        raise InputError(f"unknown quadrature {quadrature!r}; accepted are {', '.join(QUADRATURES)}")
    n_steps = whole_number(n_steps, "n_steps", least=2 if quadrature == "trapezoid" else 1)
    if quadrature == "gauss_legendre":
        nodes, weights = np.polynomial.legendre.leggauss(n_steps)
        return (nodes + 1) / 2, weights / 2
    if quadrature == "trapezoid":
        weights = np.full(n_steps, 1 / (n_steps - 1))
        weights[[0, -1]] /= 2
        return np.linspace(0, 1, n_steps), weights
    return (np.arange(n_steps) + (0.5 if quadrature == "midpoint" else 0)) / n_steps, np.full(n_steps, 1 / n_steps)
