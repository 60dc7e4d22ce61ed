"""Integrated gradients along the straight line from a baseline."""

from typing import Any

import numpy as np
import xarray as xr

from attrkit.adapters.base import Adapter
from attrkit.checks import is_number, real_number, whole_number
from attrkit.errors import InputError
from attrkit.method import OUTPUT, attribution, measured, needs_gradient, predicted_at
from attrkit.methods._adaptive_steps import integrate
from attrkit.parts import Parts, each
from attrkit.quadrature import fixed_rule

TOLERANCE = 0.01
MAX_STEPS = 255


@needs_gradient
def integrated_gradients(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    prediction: np.ndarray,
    baseline: Parts,
    n_steps: int | str = 64,
    quadrature: str | None = None,
    tolerance: float = TOLERANCE,
    max_steps: int = MAX_STEPS,
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
    n_steps : int or "auto", default 64
        Gradients a sample. With ``"auto"``, nested rules of 7, 15, 31, ... steps, those of Fejér (Waldvogel 2006,
        doi:10.1007/s10543-006-0045-4), until a sample's completeness gap is within `tolerance` and its attributions
        have moved by less than 5 tolerances since the rule before. No gradient is taken twice, and a sample that is
        done costs nothing more.
    quadrature : {"gauss_legendre", "midpoint", "trapezoid", "left"}, optional
        For a number of steps: where on the line the gradients are taken, and their weights. The first is what is used
        if none is given, and needs the fewest steps. The last two are the sums of xplique, with both ends, and of
        iNNvestigate, from the baseline on without the end.
    tolerance : float, default 0.01
        For ``"auto"``: the largest completeness gap, as a share of the change in output, of a sample that is done.
    max_steps : int, default 255
        For ``"auto"``: the largest number of steps. A sample that is not done by then is warned about.

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output; ``baseline_prediction`` and ``completeness_gap`` of
        shape (sample,): the sum of the attributions less (output at the input - output at the baseline), which is 0
        for the exact integral (Proposition 1); for ``"auto"`` also ``gradient_evaluations`` of shape (sample,).

    Raises
    ------
    InputError
        If `n_steps` is below 1, the quadrature unknown, or an option is given that the steps have no use for.
    """
    start = each(lambda b, a: np.broadcast_to(b, a.shape), baseline, x)
    if isinstance(n_steps, str) and n_steps == "auto":
        _check_auto(quadrature, tolerance, max_steps)
        at_start = predicted_at(model, x, target, baseline)
        explained = prediction[np.arange(len(prediction)), target]
        values, evaluations = integrate(
            model,
            x,
            target,
            start=start,
            explained=explained,
            at_start=at_start,
            tolerance=tolerance,
            most=max_steps,
        )
        extra = {"gradient_evaluations": _labelled(evaluations)}
    else:
        alphas, weights = _fixed(n_steps, quadrature, tolerance, max_steps)
        slopes = model.path_gradient(x, target, baseline=start, alphas=alphas, weights=weights)
        values = each(lambda a, b, slope: (a - b) * slope, x, start, slopes)
        at_start, extra = predicted_at(model, x, target, baseline), {}
    found = measured(values, at_start, prediction, target)
    return {"attribution": attribution(values, long_name="integrated gradients", units=OUTPUT), **found, **extra}


def _check_auto(quadrature: str | None, tolerance: float, max_steps: int) -> None:
    if quadrature is not None:
        raise InputError(f'n_steps="auto" has a quadrature of its own, got {quadrature!r}; leave quadrature= out')
    real_number(tolerance, "tolerance", above=0)
    whole_number(max_steps, "max_steps", least=7)


def _fixed(
    n_steps: int | str, quadrature: str | None, tolerance: float, max_steps: int
) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(n_steps, str):
        raise InputError(f'n_steps must be a whole number, 1 or more, or "auto", got {n_steps!r}')
    for name, value, default in (("tolerance", tolerance, TOLERANCE), ("max_steps", max_steps, MAX_STEPS)):
        if not is_number(value) or value != default:
            raise InputError(
                f'{name}={value!r} is for n_steps="auto"; with n_steps={n_steps!r} the number of steps is fixed'
            )
    return fixed_rule("gauss_legendre" if quadrature is None else quadrature, n_steps)


def _labelled(evaluations: np.ndarray) -> xr.DataArray:
    attrs = {"long_name": "gradients taken", "units": "1", "quadrature": "Fejér's second rule, nested"}
    return xr.DataArray(evaluations, dims="sample", attrs=attrs)
