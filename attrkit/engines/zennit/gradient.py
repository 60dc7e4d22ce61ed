"""Composites of zennit that give ``nn.ReLU`` another gradient."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.checks import is_number
from attrkit.engines._torch_refusals import hookable
from attrkit.engines.zennit._hooked import Hooked
from attrkit.engines.zennit._refusals import check_through_relu
from attrkit.engines.zennit._rooms import room
from attrkit.errors import InputError
from attrkit.method import OUTPUT_PER_INPUT, attribution, checked_first, needs_gradient
from attrkit.parts import Parts


def _check(name: str) -> Callable[..., None]:
    """Return the check of a composite before any pass."""

    def check(model: Adapter, x: Parts | None, *, beta_smooth: float = 10.0) -> None:
        hookable(model, f"zennit:{name}", has_rules=False)
        if not is_number(beta_smooth) or not 0 < beta_smooth < math.inf:
            raise InputError(f"beta_smooth must be a number greater than 0, got {beta_smooth!r}")

    return check


@needs_gradient
@checked_first(_check("DeconvNet"))
def deconv_net(
    model: Adapter, x: Parts, target: np.ndarray, *, prediction: np.ndarray, masks: Any = None
) -> dict[str, Any]:
    """Return zennit's ``DeconvNet``: gradients with ReLUs in the backward pass alone (arXiv:1311.2901).

    Parameters
    ----------
    model : Adapter
        A torch module whose only operations beside linear ones and max-pooling are layers ``nn.ReLU``.
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    prediction : ndarray of shape (sample, output)
        The model's outputs at `x`, laid flat.
    masks : ndarray of bool of shape (sample, timestep), or dict of such by part, optional
        False where padded.

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output over units of the input.
    """
    return _through_relu("DeconvNet", "deconvolution", model, x, target, prediction, masks)


@needs_gradient
@checked_first(_check("GuidedBackprop"))
def guided_backprop(
    model: Adapter, x: Parts, target: np.ndarray, *, prediction: np.ndarray, masks: Any = None
) -> dict[str, Any]:
    """Return zennit's ``GuidedBackprop``: gradients that only go through ReLUs where positive (arXiv:1412.6806).

    Parameters and what is returned are those of `deconv_net`.
    """
    return _through_relu("GuidedBackprop", "guided backpropagation", model, x, target, prediction, masks)


@needs_gradient
@checked_first(_check("BetaSmooth"))
def beta_smooth(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    prediction: np.ndarray,
    masks: Any = None,
    beta_smooth: float = 10.0,
) -> dict[str, Any]:
    """Return zennit's ``BetaSmooth``: gradients of a softplus in place of those of ReLU (arXiv:1906.07983, section 3).

    Parameters
    ----------
    model : Adapter
        A torch module whose only operations beside linear ones and max-pooling are layers ``nn.ReLU``.
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    prediction : ndarray of shape (sample, output)
        The model's outputs at `x`, laid flat.
    masks : ndarray of bool of shape (sample, timestep), or dict of such by part, optional
        False where padded.
    beta_smooth : float, default 10.0
        The slope of a ReLU becomes ``sigmoid(beta_smooth * input)``.

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output over units of the input.
    """
    return _through_relu(
        "BetaSmooth", "smoothed gradient", model, x, target, prediction, masks, beta_smooth=beta_smooth
    )


def _through_relu(
    name: str,
    long_name: str,
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    prediction: np.ndarray,
    masks: Any,
    **options: Any,
) -> dict[str, Any]:
    import torch

    hooked = Hooked(model, name, x, target, merge=False, has_rules=False)
    check_through_relu(f"zennit:{name}", hooked.graph)
    composite = getattr(room("composites"), name)(**options)
    values = hooked.attribute(lambda rows: composite, torch.ones_like, prediction, masks)
    return {"attribution": attribution(values, long_name=long_name, units=OUTPUT_PER_INPUT)}
