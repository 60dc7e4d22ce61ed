"""Classes of Captum that fit a linear model to outputs with random features at the baseline: LIME, Kernel SHAP."""

import warnings
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.checks import whole_number
from attrkit.engines._draws import seed_of_sample
from attrkit.engines._features import feature_count, features_of
from attrkit.engines.captum._call import ExplainedOutput, captum_class
from attrkit.engines.captum._features import at_once, attribute_features, check_features, sums_of_features
from attrkit.errors import AttrkitWarning, InputError, MissingDependencyError
from attrkit.method import OUTPUT, attribution, checked_first, measured, predicted_at
from attrkit.parts import Parts, arrays_of, real_only


def _check_lime(
    model: Adapter,
    x: Parts | None,
    *,
    feature_mask: Any = None,
    n_samples: int = 25,
    alpha: float = 0.01,
    perturbations_per_eval: int | None = None,
) -> None:
    _check_fit("Lime", n_samples)
    check_features(model, x, feature_mask=feature_mask, perturbations_per_eval=perturbations_per_eval)
    if not alpha > 0:
        raise InputError(f"alpha must be greater than 0, got {alpha!r}")


@checked_first(_check_lime)
def lime(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    baseline: Parts,
    masks: Any = None,
    feature_mask: Any = None,
    n_samples: int = 25,
    alpha: float = 0.01,
    perturbations_per_eval: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Return Captum's ``Lime``: coefficients of a lasso over which features are there (arXiv:1602.04938).

    Parameters
    ----------
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    baseline : Parts of the dims of `x`, each of its length or 1
        What features that are left out are.
    masks : ndarray of bool of shape (sample, timestep), or dict of such by part, optional
        False where padded; nothing is attributed there.
    feature_mask : None, "timestep", "channel", array_like of int of shape (timestep[, channel]), or dict of such
        What counts as one feature: each value if None; else see ``features_of``.
    n_samples : int, default 25
        Random sets of features, for each sample.
    alpha : float, default 0.01
        Penalty of the lasso, in units of the output.
    perturbations_per_eval : int, optional
        Sets in one call; as many as a batch holds if not given.
    seed : int, default 0

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output, a feature's at each of its values. Captum fits in
        single precision.
    """
    lasso = import_module("captum._utils.models.linear_model").SkLearnLasso(alpha=alpha)
    instance = captum_class("Lime")(ExplainedOutput(model, x, target), interpretable_model=lasso)
    values = _fitted(
        "Lime", instance, model, x, baseline, features_of(feature_mask, x), n_samples, perturbations_per_eval, seed
    )
    empty = np.all([~array.reshape(len(array), -1).any(axis=1) for array in arrays_of(values)], axis=0)
    if empty.any():
        warnings.warn(
            f"captum:Lime: the penalty alpha={alpha:g} leaves no feature to {int(empty.sum())} of {len(empty)} "
            "samples, whose attributions are all 0. Lower alpha, which is in units of the output",
            AttrkitWarning,
            stacklevel=4,
        )
    return {"attribution": attribution(real_only(values, masks), long_name="LIME coefficient", units=OUTPUT)}


def _check_kernel_shap(
    model: Adapter,
    x: Parts | None,
    *,
    feature_mask: Any = None,
    n_samples: int = 25,
    perturbations_per_eval: int | None = None,
) -> None:
    _check_fit("KernelShap", n_samples)
    check_features(model, x, feature_mask=feature_mask, perturbations_per_eval=perturbations_per_eval)
    if x is not None:
        count = feature_count(features_of(feature_mask, x))
        if count < 2:
            raise InputError("KernelShap compares features, and feature_mask makes one of all values")
        if n_samples <= count:
            raise InputError(
                f"KernelShap fits {count} features to n_samples={n_samples} outputs, which many solutions fit; give "
                f"n_samples of at least {count + 1}, better several times that, or group values with feature_mask"
            )


@checked_first(_check_kernel_shap)
def kernel_shap(
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
    """Return Captum's ``KernelShap``: Shapley values by weighted least squares (arXiv:1705.07874, section 4.1).

    Parameters
    ----------
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    prediction : ndarray of shape (sample, output)
        The model's outputs at `x`, laid flat.
    baseline : Parts of the dims of `x`, each of its length or 1
        What features that are left out are.
    masks : ndarray of bool of shape (sample, timestep), or dict of such by part, optional
        False where padded; nothing is attributed there.
    feature_mask : None, "timestep", "channel", array_like of int of shape (timestep[, channel]), or dict of such
        What counts as one feature: each value if None; else see ``features_of``.
    n_samples : int, default 25
        Sets of features, for each sample; more than there are features.
    perturbations_per_eval : int, optional
        Sets in one call; as many as a batch holds if not given.
    seed : int, default 0

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output, a feature's at each of its values;
        ``baseline_prediction`` and ``completeness_gap`` of shape (sample,): the sum over features less the change in
        output. Captum fits in single precision.
    """
    features = features_of(feature_mask, x)
    instance = captum_class("KernelShap")(ExplainedOutput(model, x, target))
    values = _fitted("KernelShap", instance, model, x, baseline, features, n_samples, perturbations_per_eval, seed)
    at_start = predicted_at(model, x, target, baseline)
    found = measured(sums_of_features(values, features), at_start, prediction, target)
    return {"attribution": attribution(real_only(values, masks), long_name="Kernel SHAP value", units=OUTPUT), **found}


def _check_fit(name: str, n_samples: int) -> None:
    whole_number(n_samples, "n_samples", least=2)
    try:
        import_module("sklearn")
    except ImportError as err:
        raise MissingDependencyError(
            f"Captum fits with scikit-learn, which is needed for 'captum:{name}': pip install scikit-learn"
        ) from err


def _fitted(
    name: str,
    instance: Any,
    model: Adapter,
    x: Parts,
    baseline: Parts,
    features: Mapping[str, np.ndarray],
    n_samples: int,
    perturbations_per_eval: int | None,
    seed: int,
) -> Any:
    # A sample at a time: Captum fits a model to each, and draws from one generator for all.
    return attribute_features(
        *(model, x, instance, features),
        label=name,
        size=1,
        together=at_once(model, perturbations_per_eval, n_samples),
        baseline=baseline,
        seed=seed_of_sample(seed, model.first_sample),
        n_samples=n_samples,
    )
