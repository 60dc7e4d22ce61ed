"""Classes of Captum that replace values and watch the output: ablation, permutation, occlusion."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.checks import whole_number
from attrkit.engines._draws import seed_of_all
from attrkit.engines._features import feature_count, features_of
from attrkit.engines.captum._call import ExplainedOutput, Group, attribute, captum_class
from attrkit.engines.captum._features import at_once, attribute_features, check_features
from attrkit.errors import InputError, RefusedError
from attrkit.method import OUTPUT, attribution, checked_first
from attrkit.parts import Parts, by_name, real_only, row_count


@checked_first(check_features)
def feature_ablation(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    baseline: Parts,
    masks: Any = None,
    feature_mask: Any = None,
    perturbations_per_eval: int | None = None,
) -> dict[str, Any]:
    """Return Captum's ``FeatureAblation``: the output less the output with a feature at the baseline.

    Parameters
    ----------
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    baseline : Parts of the dims of `x`, each of its length or 1
        What a feature becomes.
    masks : ndarray of bool of shape (sample, timestep), or dict of such by part, optional
        False where padded; nothing is attributed there.
    feature_mask : None, "timestep", "channel", array_like of int of shape (timestep[, channel]), or dict of such
        What counts as one feature: each value if None; else see ``features_of``.
    perturbations_per_eval : int, optional
        Features replaced in one call; as many as a batch holds if not given.

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output; a feature's stands at each of its values.
    """
    instance = captum_class("FeatureAblation")(ExplainedOutput(model, x, target))
    features = features_of(feature_mask, x)
    together = at_once(model, perturbations_per_eval, feature_count(features))

    size = max(1, model.batch_size // together)
    values = attribute_features(
        model, x, instance, features, label="FeatureAblation", size=size, together=together, baseline=baseline
    )
    return {"attribution": attribution(real_only(values, masks), long_name="feature ablation", units=OUTPUT)}


def _check_permutation(
    model: Adapter, x: Parts | None, *, feature_mask: Any = None, perturbations_per_eval: int | None = None
) -> None:
    check_features(model, x, feature_mask=feature_mask, perturbations_per_eval=perturbations_per_eval)
    if x is not None and row_count(x) < 2:
        raise RefusedError(
            "captum:FeaturePermutation puts values of other samples in the place of a sample's, and there is one "
            "sample only; give several, or use captum:FeatureAblation"
        )


@checked_first(_check_permutation)
def feature_permutation(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    masks: Any = None,
    feature_mask: Any = None,
    perturbations_per_eval: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Return Captum's ``FeaturePermutation``: the output less the output with a feature of another sample.

    Parameters
    ----------
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    masks : ndarray of bool of shape (sample, timestep), or dict of such by part, optional
        Padding is refused: that of one sample would come into another.
    feature_mask : None, "timestep", "channel", array_like of int of shape (timestep[, channel]), or dict of such
        What counts as one feature: each value if None; else see ``features_of``.
    perturbations_per_eval : int, optional
        Features permuted in one call; as many as a batch holds if not given.
    seed : int, default 0

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output. It depends on which samples are given together.
    """
    if any(mask is not None and not mask.all() for mask in by_name(masks).values()):
        raise RefusedError(
            "captum:FeaturePermutation would put padding of one sample in the place of another's values; give samples "
            "of one length, or use captum:FeatureAblation"
        )
    instance = captum_class("FeaturePermutation")(ExplainedOutput(model, x, target))
    features, n_samples = features_of(feature_mask, x), row_count(x)
    together = perturbations_per_eval or max(1, model.batch_size // n_samples)

    seeds = seed_of_all(seed)
    values = attribute_features(
        model, x, instance, features, label="FeaturePermutation", size=n_samples, together=together, seed=seeds
    )
    return {"attribution": attribution(values, long_name="feature permutation", units=OUTPUT)}


def _check_occlusion(
    model: Adapter,
    x: Parts | None,
    *,
    sliding_window_shapes: Any = None,
    strides: Any = None,
    perturbations_per_eval: int | None = None,
) -> None:
    at_once(model, perturbations_per_eval, 1)
    if x is not None:
        _windows(x, sliding_window_shapes, strides)


@checked_first(_check_occlusion)
def occlusion(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    baseline: Parts,
    masks: Any = None,
    sliding_window_shapes: Any = None,
    strides: Any = None,
    perturbations_per_eval: int | None = None,
) -> dict[str, Any]:
    """Return Captum's ``Occlusion``: the output less the output with a window at the baseline.

    Parameters
    ----------
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    baseline : Parts of the dims of `x`, each of its length or 1
        What a value becomes.
    masks : ndarray of bool of shape (sample, timestep), or dict of such by part, optional
        False where padded; nothing is attributed there.
    sliding_window_shapes : tuple of int, or dict of such by input, optional
        Timesteps, and channels, of a window: ``(3, 1)``; one value if not given.
    strides : int or tuple of int, or dict of such by input, optional
        From one window to the next, along each; 1 if not given. Where windows overlap, a value gets their mean.
    perturbations_per_eval : int, optional
        Windows in one call; as many as a batch holds if not given.

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output.
    """
    instance = captum_class("Occlusion")(ExplainedOutput(model, x, target))
    windows, steps = _windows(x, sliding_window_shapes, strides)
    together = at_once(model, perturbations_per_eval, sum(array[0].size for array in by_name(x).values()))

    def call(group: Group) -> Any:
        return instance.attribute(
            group.inputs,
            sliding_window_shapes=windows,
            strides=steps,
            baselines=group.starts,
            perturbations_per_eval=together,
            additional_forward_args=(group.at,),
        )

    size = max(1, model.batch_size // together)
    values = attribute(model, x, call, size=size, label="Occlusion", baseline=baseline)
    return {"attribution": attribution(real_only(values, masks), long_name="occlusion", units=OUTPUT)}


def _windows(x: Parts, shapes: Any, strides: Any) -> tuple[Any, Any]:
    """Return the shape of the window and the stride of each part."""
    named = by_name(x)

    def each_part(given: Any, option: str, default: int) -> tuple[tuple[int, ...], ...]:
        several = given if isinstance(given, Mapping) else dict.fromkeys(named, given)
        if set(several) != set(named):
            raise InputError(f"{option} must have all of {list(named)}, got {list(several)}")
        return tuple(_along(several[name], option, array, default) for name, array in named.items())

    windows = each_part(shapes, "sliding_window_shapes", 1)
    steps = each_part(strides, "strides", 1)
    for array, window, step in zip(named.values(), windows, steps, strict=True):
        if any(w > size or (s > w and w < size) for size, w, s in zip(array.shape[1:], window, step, strict=True)):
            raise InputError(
                f"a window of {window} at strides of {step} does not cover an input of shape {array.shape[1:]}; "
                "windows must be within it, and strides no longer than they are"
            )
    return windows, steps


def _along(given: Any, option: str, array: np.ndarray, default: int) -> tuple[int, ...]:
    axes = array.ndim - 1
    if given is None:
        return (default,) * axes
    # One number is a stride along all axes; a window has a length along each.
    values = (given,) * axes if option == "strides" and not isinstance(given, Sequence) else given
    if not isinstance(values, Sequence) or len(values) != axes:
        raise InputError(f"{option} must have {axes} numbers, for an input of shape {array.shape[1:]}, got {given!r}")
    return tuple(whole_number(value, option, least=1) for value in values)
