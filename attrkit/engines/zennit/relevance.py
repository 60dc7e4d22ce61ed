"""Composites of zennit that propagate relevance."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.checks import is_number
from attrkit.engines._torch_refusals import hookable
from attrkit.engines.zennit._hooked import Hooked
from attrkit.engines.zennit._refusals import check_ruled, first_layer
from attrkit.engines.zennit._rooms import room
from attrkit.errors import InputError
from attrkit.method import OUTPUT, attribution, checked_first, measured, needs_gradient
from attrkit.parts import Parts, arrays_of, by_name, each, unnamed

Stabiliser = float | Callable[[Any], Any]


def _check(name: str) -> Callable[..., None]:
    """Return the check of a composite before any pass: layers that have no rule, and options."""

    def check(model: Adapter, x: Parts | None, *, low: Any = None, high: Any = None, **options: Any) -> None:
        hookable(model, f"zennit:{name}", has_rules=True)
        for key in ("epsilon", "stabilizer"):
            value = options.get(key, 1.0)
            if not callable(value) and not (is_number(value) and 0 < value < math.inf):
                # At 0 zennit divides by sums that may be 0.
                raise InputError(f"{key} must be a number greater than 0, or a function of sums, got {value!r}")
        gamma = options.get("gamma", 0.25)
        if not (is_number(gamma) and 0 <= gamma < math.inf):
            raise InputError(f"gamma must be a number of at least 0, got {gamma!r}")
        zeroed = options.get("zero_params")
        if zeroed not in (None, "bias", ["bias"], ("bias",)):
            raise InputError(f"zero_params must be None or 'bias', got {zeroed!r}")
        if x is not None and name == "EpsilonGammaBox":
            _box(low, high, x)

    return check


@needs_gradient
@checked_first(_check("EpsilonPlus"))
def epsilon_plus(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    prediction: np.ndarray,
    masks: Any = None,
    epsilon: Stabiliser = 1e-6,
    stabilizer: Stabiliser = 1e-6,
    zero_params: Any = None,
) -> dict[str, Any]:
    """Return zennit's ``EpsilonPlus``: the z-plus rule for convolutions, epsilon for dense layers.

    Parameters
    ----------
    model : Adapter
        A torch module of layers that the composite has rules for: dense and convolutional layers, activations, average
        pooling, ``zennit.layer.Sum``, and batch normalisation after a layer of weights, which is merged into it. Beside
        them there may be max-pooling, ReLU, and what moves values.
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    prediction : ndarray of shape (sample, output)
        The model's outputs at `x`, laid flat.
    masks : ndarray of bool of shape (sample, timestep), or dict of such by part, optional
        False where padded.
    epsilon : float or callable, default 1e-6
        What keeps the sums of the epsilon rule from zero (Bach et al. 2015, doi:10.1371/journal.pone.0130140, eq. 58),
        or a function of them such as ``zennit.core.Stabilizer``.
    stabilizer : float or callable, default 1e-6
        The same for other rules.
    zero_params : {None, "bias"}, default None
        With ``"bias"``, rules leave biases out.

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output; ``completeness_gap`` of shape (sample,): the sum
        of the attributions less the output. It is what biases and stabilisers have absorbed, and padding.
    """
    options = {"epsilon": epsilon, "stabilizer": stabilizer, "zero_params": zero_params}
    return _relevance("EpsilonPlus", model, x, target, prediction, masks, options)


@needs_gradient
@checked_first(_check("EpsilonAlpha2Beta1"))
def epsilon_alpha2_beta1(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    prediction: np.ndarray,
    masks: Any = None,
    epsilon: Stabiliser = 1e-6,
    stabilizer: Stabiliser = 1e-6,
    zero_params: Any = None,
) -> dict[str, Any]:
    """Return zennit's ``EpsilonAlpha2Beta1``: alpha 2, beta 1 for convolutions, epsilon for dense layers.

    Parameters and what is returned are those of `epsilon_plus`.
    """
    options = {"epsilon": epsilon, "stabilizer": stabilizer, "zero_params": zero_params}
    return _relevance("EpsilonAlpha2Beta1", model, x, target, prediction, masks, options)


@needs_gradient
@checked_first(_check("EpsilonPlusFlat"))
def epsilon_plus_flat(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    prediction: np.ndarray,
    masks: Any = None,
    epsilon: Stabiliser = 1e-6,
    stabilizer: Stabiliser = 1e-6,
    zero_params: Any = None,
) -> dict[str, Any]:
    """Return zennit's ``EpsilonPlusFlat``: as `epsilon_plus`, equal shares for all inputs of the first layer's units.

    Parameters and what is returned are those of `epsilon_plus`. One layer of weights may be called with the input
    (Lapuschkin et al. 2019, doi:10.1038/s41467-019-08987-4).
    """
    options = {"epsilon": epsilon, "stabilizer": stabilizer, "zero_params": zero_params}
    return _relevance("EpsilonPlusFlat", model, x, target, prediction, masks, options)


@needs_gradient
@checked_first(_check("EpsilonAlpha2Beta1Flat"))
def epsilon_alpha2_beta1_flat(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    prediction: np.ndarray,
    masks: Any = None,
    epsilon: Stabiliser = 1e-6,
    stabilizer: Stabiliser = 1e-6,
    zero_params: Any = None,
) -> dict[str, Any]:
    """Return zennit's ``EpsilonAlpha2Beta1Flat``: `epsilon_alpha2_beta1` with a flat first layer.

    Parameters and what is returned are those of `epsilon_plus_flat`.
    """
    options = {"epsilon": epsilon, "stabilizer": stabilizer, "zero_params": zero_params}
    return _relevance("EpsilonAlpha2Beta1Flat", model, x, target, prediction, masks, options)


@needs_gradient
@checked_first(_check("EpsilonGammaBox"))
def epsilon_gamma_box(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    prediction: np.ndarray,
    masks: Any = None,
    low: Any = None,
    high: Any = None,
    epsilon: Stabiliser = 1e-6,
    gamma: float = 0.25,
    stabilizer: Stabiliser = 1e-6,
    zero_params: Any = None,
) -> dict[str, Any]:
    """Return zennit's ``EpsilonGammaBox``: z-box for the first convolution, gamma for others.

    Parameters
    ----------
    model, x, target, prediction, masks, epsilon, stabilizer, zero_params
        As of `epsilon_plus`, dense layers too. One layer of weights may be called with the input, a convolution.
    low, high : float, array_like that broadcasts to (timestep[, channel]), or dict of such by part, optional
        Smallest and largest possible value of the input (Montavon et al. 2017, doi:10.1016/j.patcog.2016.11.008);
        those of all of `x` if not given. zennit takes them in the layout of the first convolution, here they are in
        that of the input.
    gamma : float, default 0.25
        By how much contributions of the sign of a unit's output are raised.

    Returns
    -------
    dict
        As of `epsilon_plus`.
    """
    options = {"epsilon": epsilon, "gamma": gamma, "stabilizer": stabilizer, "zero_params": zero_params}
    return _relevance("EpsilonGammaBox", model, x, target, prediction, masks, options, box=_box(low, high, x))


@needs_gradient
@checked_first(_check("ExcitationBackprop"))
def excitation_backprop(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    prediction: np.ndarray,
    masks: Any = None,
    stabilizer: Stabiliser = 1e-6,
    zero_params: Any = None,
) -> dict[str, Any]:
    """Return zennit's ``ExcitationBackprop``: the z-plus rule for all layers of weights (arXiv:1608.00507, section 3).

    Parameters
    ----------
    model, x, target, prediction, masks, stabilizer, zero_params
        As of `epsilon_plus`. Activations other than ReLU have no rule.

    Returns
    -------
    dict
        As of `epsilon_plus`.
    """
    options = {"stabilizer": stabilizer, "zero_params": zero_params}
    return _relevance("ExcitationBackprop", model, x, target, prediction, masks, options)


def _relevance(
    name: str,
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    prediction: np.ndarray,
    masks: Any,
    options: dict[str, Any],
    *,
    box: tuple[Parts, Parts] | None = None,
) -> dict[str, Any]:
    import torch

    hooked = Hooked(model, name, x, target, merge=True, has_rules=True)
    kind = getattr(room("composites"), name)
    # zennit keeps one call of a layer. A ReLU that a model calls again and again needs no hook, see `check_ruled`.
    paths = [call.layer.path for call in hooked.graph.calls if type(call.layer.layer) is torch.nn.ReLU]
    if len(set(paths)) < len(paths):
        options = {**options, "layer_map": [((torch.nn.ReLU,), None)]}
    composite = kind(**options) if box is None else kind(low=0.0, high=0.0, **options)
    hooks = hooked.hooks(composite)
    check_ruled(f"zennit:{name}", hooked.graph, hooks, hooked.merged)
    first = None
    if hasattr(composite, "first_map"):
        first = first_layer(f"zennit:{name}", hooked.graph, hooks, composite.first_map)

    def composite_of(rows: np.ndarray) -> Any:
        if box is None or first is None:
            return composite
        low, high = (
            hooked.seen_by(first, each(lambda own, a: np.broadcast_to(own, a[rows].shape), bound, x), rows)
            for bound in box
        )
        return kind(low=low, high=high, **options)

    values = hooked.attribute(composite_of, lambda output: output.detach(), prediction, masks)
    gap = measured(values, np.zeros(len(prediction)), prediction, target)["completeness_gap"]
    return {"attribution": attribution(values, long_name=f"relevance ({name})", units=OUTPUT), "completeness_gap": gap}


def _box(low: Any, high: Any, x: Parts) -> tuple[Parts, Parts]:
    """Return the smallest and largest possible values, of shape (1, timestep[, channel]) a part."""
    named = by_name(x)
    arrays = arrays_of(x)
    least, most = min(float(a.min()) for a in arrays), max(float(a.max()) for a in arrays)
    found = {}
    for key, given, extreme in (("low", low, least), ("high", high, most)):
        given = extreme if given is None else given
        if isinstance(given, Mapping) and set(given) != set(named):
            raise InputError(f"{key} must have all of {list(named)}, got {list(given)}")
        own = dict(given) if isinstance(given, Mapping) else dict.fromkeys(named, given)
        found[key] = {name: _bound(own[name], key, array) for name, array in named.items()}
    for name, array in named.items():
        if (array < found["low"][name]).any() or (array > found["high"][name]).any():
            raise InputError(
                "low and high must be the smallest and largest possible values; the inputs, which go from "
                f"{array.min():.6g} to {array.max():.6g}, are beyond them"
            )
    return unnamed(found["low"]), unnamed(found["high"])


def _bound(given: Any, key: str, array: np.ndarray) -> np.ndarray:
    try:
        bound = np.asarray(given, array.dtype)
        if not np.isfinite(bound).all():
            raise ValueError
        return np.broadcast_to(bound, array.shape[1:])[None]
    except (ValueError, TypeError) as err:
        raise InputError(
            f"{key} must be a finite number, or an array of such that broadcasts to {array.shape[1:]}, got {given!r}"
        ) from err
