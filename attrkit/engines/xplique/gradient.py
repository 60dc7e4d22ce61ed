"""Classes of xplique that are made of plain gradients, which hold for any model that has some."""

from collections.abc import Callable
from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.checks import whole_number
from attrkit.engines._draws import seed_of_sample
from attrkit.engines.xplique._call import Explained, attribute, plain_call
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
from attrkit.parts import Parts, each


@needs_gradient
def saliency(model: Adapter, x: Parts, target: np.ndarray, *, masks: Any = None) -> dict[str, Any]:
    """Return xplique's ``Saliency``: the size of the gradient (Simonyan et al. 2014, arXiv:1312.6034, section 3).

    Parameters
    ----------
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    masks : ndarray of bool of shape (sample, timestep), or dict of such by part, optional
        False where padded; nothing is attributed there.

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output over units of the input. It has no sign, always:
        the signed gradient is attrkit's own ``gradient``.
    """
    values = _plain("Saliency", model, x, target, masks)
    return {
        "attribution": attribution(values, long_name="absolute gradient", units=OUTPUT_PER_INPUT, sign="non-negative")
    }


@needs_gradient
def gradient_input(model: Adapter, x: Parts, target: np.ndarray, *, masks: Any = None) -> dict[str, Any]:
    """Return xplique's ``GradientInput`` (Shrikumar et al. 2016, arXiv:1605.01713, section 2).

    Parameters
    ----------
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    masks : ndarray of bool of shape (sample, timestep), or dict of such by part, optional
        False where padded; nothing is attributed there.

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output.
    """
    values = _plain("GradientInput", model, x, target, masks)
    return {"attribution": attribution(values, long_name="input x gradient", units=OUTPUT)}


def _check_steps(model: Adapter, x: Parts | None, *, steps: int = 50) -> None:
    # Of one point there is no trapezoid, and xplique gives NaN.
    whole_number(steps, "steps", least=2)


@needs_gradient
@checked_first(_check_steps)
def integrated_gradients(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    prediction: np.ndarray,
    baseline: Parts,
    masks: Any = None,
    steps: int = 50,
) -> dict[str, Any]:
    """Return xplique's ``IntegratedGradients`` (Sundararajan et al. 2017, arXiv:1703.01365, eq. 1).

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
    masks : ndarray of bool of shape (sample, timestep), or dict of such by part, optional
        False where padded; nothing is attributed there.
    steps : int, default 50
        Gradients a sample, of the trapezoidal rule: both ends and what lies between, evenly.

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output; ``baseline_prediction`` and ``completeness_gap`` of
        shape (sample,): the sum of the attributions less the change in output.
    """
    explained = Explained(model, x, target, start=baseline, masks=masks)
    size = max(1, model.batch_size // steps)
    explainer = _explainer("IntegratedGradients", explained.gradients, batch_size=size * steps, steps=steps)
    values = attribute(model, explained, plain_call(explainer), size=size, label="IntegratedGradients", masks=masks)
    found = measured(values, predicted_at(model, x, target, baseline), prediction, target)
    return {"attribution": attribution(values, long_name="integrated gradients", units=OUTPUT), **found}


def _check_noise(model: Adapter, x: Parts | None, *, nb_samples: int = 50, noise: float = 0.2, least: int = 1) -> None:
    whole_number(nb_samples, "nb_samples", least=least)
    if isinstance(noise, bool) or not isinstance(noise, int | float | np.number) or not 0 <= noise < np.inf:
        raise InputError(f"noise must be one number, 0 or more, got {noise!r}")


def _check_variance(model: Adapter, x: Parts | None, *, nb_samples: int = 50, noise: float = 0.2) -> None:
    _check_noise(model, x, nb_samples=nb_samples, noise=noise, least=2)


@needs_gradient
@checked_first(_check_noise)
def smooth_grad(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    masks: Any = None,
    nb_samples: int = 50,
    noise: float = 0.2,
    seed: int = 0,
) -> dict[str, Any]:
    """Return xplique's ``SmoothGrad``: the mean gradient over noisy copies of the input (arXiv:1706.03825, section 3).

    Parameters
    ----------
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    masks : ndarray of bool of shape (sample, timestep), or dict of such by part, optional
        False where padded: no noise is added there, and nothing is attributed.
    nb_samples : int, default 50
        Noisy copies of each sample.
    noise : float, default 0.2
        Standard deviation of the noise, in units of the input.
    seed : int, default 0
        The noise of a sample depends on it and on the sample's place only, not on batches.

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output over units of the input.
    """
    values = _noisy("SmoothGrad", model, x, target, masks, nb_samples, noise, seed)
    return {"attribution": attribution(values, long_name="mean of gradient under noise", units=OUTPUT_PER_INPUT)}


@needs_gradient
@checked_first(_check_variance)
def var_grad(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    masks: Any = None,
    nb_samples: int = 50,
    noise: float = 0.2,
    seed: int = 0,
) -> dict[str, Any]:
    """Return xplique's ``VarGrad``: the variance of the gradient over noisy copies of the input (arXiv:1810.03292).

    Parameters and what is returned are those of `smooth_grad`, in squared units of the output over units of the input;
    `nb_samples` of 2 or more.
    """
    values = _noisy("VarGrad", model, x, target, masks, nb_samples, noise, seed)
    # xplique takes a variance as a difference of means, which rounding may leave below 0.
    values = each(lambda a: np.maximum(a, 0), values)
    return {"attribution": _squared(values, "variance of gradient under noise")}


@needs_gradient
@checked_first(_check_noise)
def square_grad(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    masks: Any = None,
    nb_samples: int = 50,
    noise: float = 0.2,
    seed: int = 0,
) -> dict[str, Any]:
    """Return xplique's ``SquareGrad``: the mean square of the gradient over noisy copies (arXiv:1806.10758).

    Parameters and what is returned are those of `smooth_grad`, in squared units of the output over units of the input.
    """
    values = _noisy("SquareGrad", model, x, target, masks, nb_samples, noise, seed)
    return {"attribution": _squared(values, "mean square of gradient under noise")}


def _plain(name: str, model: Adapter, x: Parts, target: np.ndarray, masks: Any) -> Any:
    explained = Explained(model, x, target)
    explainer = _explainer(name, explained.gradients, batch_size=model.batch_size)
    return attribute(model, explained, plain_call(explainer), size=model.batch_size, label=name, masks=masks)


def _noisy(
    name: str,
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    masks: Any,
    nb_samples: int,
    noise: float,
    seed: int,
) -> Any:
    # The differences are 0 and the noise is added here: xplique's own comes out of TensorFlow's one generator.
    explained = Explained(model, x, target, start=x, masks=masks)
    moved: list[np.ndarray] = []
    seeds = seed_of_sample(seed, model.first_sample)

    def gradients(model: Any, inputs: Any, targets: Any, batch_size: int | None = None) -> Any:
        return explained.gradients_at(explained.model, inputs, targets, moved=moved[0])

    explainer = _explainer(name, gradients, batch_size=nb_samples, nb_samples=nb_samples, noise=0.0)

    def call(given: np.ndarray, at: np.ndarray, first: int) -> Any:
        source = np.random.default_rng(seeds(first))
        moved[:] = [noise * source.standard_normal((nb_samples, given.shape[1]))]
        return explainer.explain(given, at)

    return attribute(model, explained, call, size=1, label=name, masks=masks)


def _explainer(name: str, gradients: Callable[..., Any], **options: Any) -> Any:
    """Return one of xplique's explainers, with gradients in place of those that it would take of a Keras model."""
    from xplique import attributions

    explainer = getattr(attributions, name)(None, operator=_no_outputs, reducer=None, **options)
    explainer.batch_gradient = gradients
    return explainer


def _no_outputs(model: Any, inputs: Any, targets: Any) -> Any:
    raise AssertionError("xplique asks for outputs where it is given gradients")


def _squared(values: Parts, name: str) -> Any:
    return attribution(values, long_name=name, units=f"({OUTPUT_PER_INPUT})^2", sign="non-negative")
