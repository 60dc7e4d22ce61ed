"""Classes of Captum that add features one after the other: Shapley values, over all orders or some."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.checks import whole_number
from attrkit.engines._draws import seed_of_all
from attrkit.engines._features import feature_count, features_of
from attrkit.engines.captum._call import ExplainedOutput, captum_class
from attrkit.engines.captum._features import at_once, attribute_features, check_features, sums_of_features
from attrkit.errors import RefusedError
from attrkit.method import OUTPUT, attribution, checked_first, measured, predicted_at
from attrkit.parts import Parts, real_only

MOST_FEATURES = 8
"""Features up to which `shapley_values` runs: it goes through all their orders, 40320 of 8."""


def _check_sampling(
    model: Adapter,
    x: Parts | None,
    *,
    feature_mask: Any = None,
    n_samples: int = 25,
    perturbations_per_eval: int | None = None,
) -> None:
    whole_number(n_samples, "n_samples", least=1)
    check_features(model, x, feature_mask=feature_mask, perturbations_per_eval=perturbations_per_eval)


@checked_first(_check_sampling)
def shapley_value_sampling(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    prediction: np.ndarray,
    baseline: Parts,
    masks: Any = None,
    feature_mask: Any = None,
    n_samples: int = 25,
    perturbations_per_eval: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Return Captum's ``ShapleyValueSampling``: what each feature adds, in the mean over random orders.

    Parameters
    ----------
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    prediction : ndarray of shape (sample, output)
        The model's outputs at `x`, laid flat.
    baseline : Parts of the dims of `x`, each of its length or 1
        What features that are not there yet are.
    masks : ndarray of bool of shape (sample, timestep), or dict of such by part, optional
        False where padded; nothing is attributed there.
    feature_mask : None, "timestep", "channel", array_like of int of shape (timestep[, channel]), or dict of such
        What counts as one feature: each value if None; else see ``features_of``.
    n_samples : int, default 25
        Random orders, the same for all samples.
    perturbations_per_eval : int, optional
        Features added in one call; as many as a batch holds if not given.
    seed : int, default 0

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output, a feature's at each of its values;
        ``baseline_prediction`` and ``completeness_gap`` of shape (sample,): the sum over features less the change in
        output, which is 0 whatever the orders.
    """
    further = {"n_samples": n_samples}
    return _shapley(
        "ShapleyValueSampling",
        *(model, x, target, prediction, baseline, masks),
        features_of(feature_mask, x),
        perturbations_per_eval,
        further,
        seed,
    )


def _check_shapley(
    model: Adapter, x: Parts | None, *, feature_mask: Any = None, perturbations_per_eval: int | None = None
) -> None:
    check_features(model, x, feature_mask=feature_mask, perturbations_per_eval=perturbations_per_eval)
    if x is not None:
        count = feature_count(features_of(feature_mask, x))
        if count > MOST_FEATURES:
            raise RefusedError(
                f"captum:ShapleyValues runs through all orders of the features, of which there are {count}! here; up "
                f"to {MOST_FEATURES} features are accepted (a sample then takes "
                f"{MOST_FEATURES * math.factorial(MOST_FEATURES)} passes). Group values with feature_mask, or use "
                "captum:ShapleyValueSampling"
            )


@checked_first(_check_shapley)
def shapley_values(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    prediction: np.ndarray,
    baseline: Parts,
    masks: Any = None,
    feature_mask: Any = None,
    perturbations_per_eval: int | None = None,
) -> dict[str, Any]:
    """Return Captum's ``ShapleyValues``: what each feature adds, in the mean over all orders.

    Parameters
    ----------
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    prediction : ndarray of shape (sample, output)
        The model's outputs at `x`, laid flat.
    baseline : Parts of the dims of `x`, each of its length or 1
        What features that are not there yet are.
    masks : ndarray of bool of shape (sample, timestep), or dict of such by part, optional
        False where padded; nothing is attributed there.
    feature_mask : None, "timestep", "channel", array_like of int of shape (timestep[, channel]), or dict of such
        What counts as one feature, of which there may be `MOST_FEATURES`: each value if None; else see
        ``features_of``.
    perturbations_per_eval : int, optional
        Features added in one call; as many as a batch holds if not given.

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output, a feature's at each of its values;
        ``baseline_prediction`` and ``completeness_gap`` of shape (sample,): the sum over features less the change in
        output.
    """
    return _shapley(
        "ShapleyValues",
        *(model, x, target, prediction, baseline, masks),
        features_of(feature_mask, x),
        perturbations_per_eval,
        {},
        None,
    )


def _shapley(
    name: str,
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    prediction: np.ndarray,
    baseline: Parts,
    masks: Any,
    features: Mapping[str, np.ndarray],
    perturbations_per_eval: int | None,
    further: dict[str, Any],
    seed: int | None,
) -> dict[str, Any]:
    instance = captum_class(name)(ExplainedOutput(model, x, target))
    together = at_once(model, perturbations_per_eval, feature_count(features))

    values = attribute_features(
        *(model, x, instance, features),
        label=name,
        size=max(1, model.batch_size // together),
        together=together,
        baseline=baseline,
        seed=None if seed is None else seed_of_all(seed),
        **further,
    )
    sums = sums_of_features(values, features)
    found = measured(sums, predicted_at(model, x, target, baseline), prediction, target)
    return {"attribution": attribution(real_only(values, masks), long_name="Shapley value", units=OUTPUT), **found}
