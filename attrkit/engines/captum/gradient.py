"""Classes of Captum that are made of plain gradients, which hold for any model that has some."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.checks import whole_number
from attrkit.engines._baselines import mean_prediction, placed, read_baselines
from attrkit.engines._draws import seed_of_sample
from attrkit.engines.captum._call import ExplainedOutput, Group, attribute, captum_class
from attrkit.errors import InputError
from attrkit.method import (
    OUTPUT,
    OUTPUT_PER_INPUT,
    attribution,
    checked_first,
    measured,
    needs_gradient,
    predicted_at,
)
from attrkit.parts import Parts, arrays_of, by_name, each, real_only, row_count

QUADRATURES = ("gausslegendre", "riemann_left", "riemann_middle", "riemann_right", "riemann_trapezoid")

NOISY = ("Saliency", "InputXGradient")
"""What `noise_tunnel` takes means of."""

NOISE_TYPES = ("smoothgrad", "smoothgrad_sq", "vargrad")


@needs_gradient
def saliency(model: Adapter, x: Parts, target: np.ndarray, *, abs: bool = False) -> dict[str, Any]:
    """Return Captum's ``Saliency``: the gradient (Simonyan et al. 2014, arXiv:1312.6034, eq. 3).

    Parameters
    ----------
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    abs : bool, default False
        Return absolute values. Captum does so by default; here the sign is kept unless it is asked to go.

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output over units of the input.
    """
    instance = captum_class("Saliency")(ExplainedOutput(model, x, target))
    values = attribute(
        model,
        x,
        lambda group: instance.attribute(group.inputs, abs=bool(abs), additional_forward_args=(group.at,)),
        size=model.batch_size,
        label="Saliency",
    )
    name, sign = ("absolute gradient", "non-negative") if abs else ("gradient", "signed")
    return {"attribution": attribution(values, long_name=name, units=OUTPUT_PER_INPUT, sign=sign)}


@needs_gradient
def input_x_gradient(model: Adapter, x: Parts, target: np.ndarray) -> dict[str, Any]:
    """Return Captum's ``InputXGradient`` (Shrikumar et al. 2016, arXiv:1605.01713, section 2).

    Parameters
    ----------
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output.
    """
    instance = captum_class("InputXGradient")(ExplainedOutput(model, x, target))
    values = attribute(
        model,
        x,
        lambda group: instance.attribute(group.inputs, additional_forward_args=(group.at,)),
        size=model.batch_size,
        label="InputXGradient",
    )
    return {"attribution": attribution(values, long_name="input x gradient", units=OUTPUT)}


def _check_quadrature(model: Adapter, x: Parts | None, *, n_steps: int = 50, quadrature: str = QUADRATURES[0]) -> None:
    whole_number(n_steps, "n_steps", least=1)
    if quadrature not in QUADRATURES:
        raise InputError(f"unknown quadrature {quadrature!r}; accepted are {', '.join(QUADRATURES)}")


@needs_gradient
@checked_first(_check_quadrature)
def integrated_gradients(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    prediction: np.ndarray,
    baseline: Parts,
    n_steps: int = 50,
    quadrature: str = QUADRATURES[0],
) -> dict[str, Any]:
    """Return Captum's ``IntegratedGradients`` (Sundararajan et al. 2017, arXiv:1703.01365, eq. 1).

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
    n_steps : int, default 50
        Gradients a sample.
    quadrature : str, default "gausslegendre"
        One of `QUADRATURES`. It is Captum's ``method``, a name that `attrkit.extract` has for itself.

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output; ``baseline_prediction`` and ``completeness_gap`` of
        shape (sample,): the sum of the attributions less the change in output.
    """
    instance = captum_class("IntegratedGradients")(ExplainedOutput(model, x, target))

    def call(group: Group) -> Any:
        return instance.attribute(
            group.inputs,
            baselines=group.starts,
            n_steps=n_steps,
            method=quadrature,
            additional_forward_args=(group.at,),
        )

    size = max(1, model.batch_size // n_steps)
    values = attribute(model, x, call, size=size, label="IntegratedGradients", baseline=baseline)
    found = measured(values, predicted_at(model, x, target, baseline), prediction, target)
    return {"attribution": attribution(values, long_name="integrated gradients", units=OUTPUT), **found}


def _check_gradient_shap(
    model: Adapter, x: Parts | None, *, baselines: Any, n_samples: int = 5, stdevs: Any = 0.0
) -> None:
    whole_number(n_samples, "n_samples", least=1)
    if x is not None:
        read_baselines(baselines, x, least=1)
        _noise_of(stdevs, x)


@needs_gradient
@checked_first(_check_gradient_shap)
def gradient_shap(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    prediction: np.ndarray,
    baselines: Any,
    masks: Any = None,
    n_samples: int = 5,
    stdevs: Any = 0.0,
    seed: int = 0,
) -> dict[str, Any]:
    """Return Captum's ``GradientShap``: gradients at random places between baselines and the input.

    Parameters
    ----------
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    prediction : ndarray of shape (sample, output)
        The model's outputs at `x`, laid flat.
    baselines : Parts of shape (baseline, timestep[, channel])
        What is drawn from, for each sample; where a sample is padded, they are too.
    masks : ndarray of bool of shape (sample, timestep), or dict of such by part, optional
        False where padded; nothing is attributed there.
    n_samples : int, default 5
        Draws a sample. The error of the mean falls with its square root.
    stdevs : float or dict of float by input, default 0
        Standard deviation of noise on the input.
    seed : int, default 0

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output; ``baseline_prediction``, the mean over all
        baselines, and ``completeness_gap``, both of shape (sample,).
    """
    drawn_from, noise = read_baselines(baselines, x, least=1), _noise_of(stdevs, x)
    instance = captum_class("GradientShap")(ExplainedOutput(model, x, target, masks))

    def call(group: Group) -> Any:
        every = np.arange(row_count(drawn_from))
        starts = placed(drawn_from, every, x, np.repeat(group.rows, len(every)), masks)
        return instance.attribute(
            group.inputs,
            baselines=tuple(
                group.at.new_tensor(b, dtype=a.dtype) for b, a in zip(arrays_of(starts), group.inputs, strict=True)
            ),
            n_samples=n_samples,
            stdevs=noise,
            additional_forward_args=(group.at,),
        )

    values = attribute(model, x, call, size=1, label="GradientShap", seed=seed_of_sample(seed, model.first_sample))
    values = real_only(values, masks)
    at_start = mean_prediction(model, x, target, drawn_from, masks)
    found = measured(values, at_start, prediction, target)
    return {"attribution": attribution(values, long_name="GradientSHAP", units=OUTPUT), **found}


def _check_noise_tunnel(
    model: Adapter,
    x: Parts | None,
    *,
    of: str = NOISY[0],
    nt_type: str = NOISE_TYPES[0],
    nt_samples: int = 5,
    stdevs: Any = 1.0,
) -> None:
    whole_number(nt_samples, "nt_samples", least=1)
    if of not in NOISY:
        raise InputError(f"NoiseTunnel of {of!r} is not offered; accepted are {', '.join(NOISY)}")
    if nt_type not in NOISE_TYPES:
        raise InputError(f"unknown nt_type {nt_type!r}; accepted are {', '.join(NOISE_TYPES)}")
    if x is not None:
        _noise_of(stdevs, x)


@needs_gradient
@checked_first(_check_noise_tunnel)
def noise_tunnel(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    masks: Any = None,
    of: str = NOISY[0],
    nt_type: str = NOISE_TYPES[0],
    nt_samples: int = 5,
    stdevs: Any = 1.0,
    seed: int = 0,
) -> dict[str, Any]:
    """Return Captum's ``NoiseTunnel`` of signed gradients: their mean, mean square or variance over noisy inputs.

    Parameters
    ----------
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    masks : ndarray of bool of shape (sample, timestep), or dict of such by part, optional
        False where padded: no noise is added there, and nothing is attributed.
    of : {"Saliency", "InputXGradient"}
        What is repeated; ``Saliency`` without absolute values.
    nt_type : {"smoothgrad", "smoothgrad_sq", "vargrad"}
        Mean, mean of squares, or variance.
    nt_samples : int, default 5
        Noisy copies of each sample.
    stdevs : float or dict of float by input, default 1
        Standard deviation of the noise, in units of the input.
    seed : int, default 0

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`.
    """
    noise = _noise_of(stdevs, x)
    instance = captum_class("NoiseTunnel")(captum_class(of)(ExplainedOutput(model, x, target, masks)))
    further = {"abs": False} if of == "Saliency" else {}

    def call(group: Group) -> Any:
        return instance.attribute(
            group.inputs,
            nt_type=nt_type,
            nt_samples=nt_samples,
            stdevs=noise,
            additional_forward_args=(group.at,),
            **further,
        )

    values = attribute(model, x, call, size=1, label="NoiseTunnel", seed=seed_of_sample(seed, model.first_sample))
    values = real_only(values, masks)
    units = OUTPUT_PER_INPUT if of == "Saliency" else OUTPUT
    name = {"smoothgrad": "mean", "smoothgrad_sq": "mean square", "vargrad": "variance"}[nt_type]
    sign = "signed"
    if nt_type != "smoothgrad":
        units, sign = f"({units})^2", "non-negative"
        # Captum takes a variance as a difference of means, which rounding may leave below 0.
        values = each(lambda a: np.maximum(a, 0), values)
    of_what = "gradient" if of == "Saliency" else "input x gradient"
    return {"attribution": attribution(values, long_name=f"{name} of {of_what} under noise", units=units, sign=sign)}


def _noise_of(stdevs: Any, x: Parts) -> tuple[float, ...]:
    """Return the standard deviation of the noise on each part."""
    names = list(by_name(x))
    given = stdevs if isinstance(stdevs, Mapping) else dict.fromkeys(names, stdevs)
    if set(given) != set(names):
        raise InputError(f"stdevs must be one number, or a dict of one for each of {names}, got {stdevs!r}")
    found = []
    for name in names:
        try:
            found.append(float(given[name]))
        except (TypeError, ValueError) as err:
            raise InputError(f"stdevs must be numbers, got {given[name]!r}") from err
        if not 0 <= found[-1] < np.inf:
            raise InputError(f"stdevs must be 0 or more, got {given[name]!r}")
    return tuple(found)
