"""Classes of xplique that fit a linear model to outputs with random features at the baseline: LIME, Kernel SHAP."""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.checks import whole_number
from attrkit.engines._draws import seed_of_sample
from attrkit.engines._features import feature_count, features_of
from attrkit.engines.xplique._call import Explained, attribute, drawing
from attrkit.errors import InputError, RefusedError
from attrkit.method import OUTPUT, attribution, checked_first, measured, predicted_at
from attrkit.parts import Parts, by_name, each, masks_like, unnamed


def _check_lime(
    model: Adapter,
    x: Parts | None,
    *,
    feature_mask: Any = None,
    interpretable_model: Any = None,
    nb_samples: int = 150,
    distance_mode: str = "euclidean",
    kernel_width: float = 45.0,
    prob: float = 0.5,
) -> None:
    whole_number(nb_samples, "nb_samples", least=2)
    if distance_mode == "cosine":
        raise RefusedError(
            "xplique:Lime with distance_mode='cosine' gives the most weight to what is least like the sample: Keras 3 "
            "has the cosine with the other sign than xplique takes it for; use 'euclidean'"
        )
    if distance_mode != "euclidean":
        raise InputError(f"unknown distance_mode {distance_mode!r}; accepted is 'euclidean'")
    if not kernel_width > 0:
        raise InputError(f"kernel_width must be greater than 0, got {kernel_width!r}")
    if not 0 < prob < 1:
        raise InputError(f"prob must be between 0 and 1, got {prob!r}")
    if interpretable_model is not None and not hasattr(interpretable_model, "fit"):
        raise InputError(
            f"interpretable_model must be a linear model of scikit-learn, got {type(interpretable_model).__name__}"
        )
    if x is not None:
        features_of(feature_mask, x)


@checked_first(_check_lime)
def lime(
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    *,
    baseline: Parts,
    masks: Any = None,
    feature_mask: Any = None,
    interpretable_model: Any = None,
    nb_samples: int = 150,
    distance_mode: str = "euclidean",
    kernel_width: float = 45.0,
    prob: float = 0.5,
    seed: int = 0,
) -> dict[str, Any]:
    """Return xplique's ``Lime``: coefficients of a ridge regression over which features are there (arXiv:1602.04938).

    Parameters
    ----------
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    baseline : Parts of the dims of `x`, each of its length or 1
        What features that are left out are; xplique's ``ref_value``.
    masks : ndarray of bool of shape (sample, timestep), or dict of such by part, optional
        False where padded: that is no feature, and nothing is attributed there.
    feature_mask : None, "timestep", "channel", array_like of int of shape (timestep[, channel]), or dict of such
        What counts as one feature: each value if None; else values of one number. In place of xplique's
        ``map_to_interpret_space``.
    interpretable_model : estimator of scikit-learn, optional
        What is fitted, a copy of it; ``Ridge(alpha=2)`` if not given.
    nb_samples : int, default 150
        Random sets of features, for each sample.
    distance_mode : {"euclidean"}
        How unlike the sample a set is.
    kernel_width : float, default 45
        Distance at which the weight of a set has fallen to 1/e, in units of the input over all its values.
    prob : float, default 0.5
        Of a feature, to be in a set.
    seed : int, default 0

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output, a feature's at each of its values.
    """
    module, begin = drawing("lime")
    own = {} if interpretable_model is None else {"interpretable_model": copy.deepcopy(interpretable_model)}
    further = {**own, "distance_mode": distance_mode, "kernel_width": float(kernel_width), "prob": float(prob)}
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="All similarities are zero", category=UserWarning)
        try:
            values, _ = _fitted(
                module.Lime, begin, model, x, target, baseline, masks, feature_mask, nb_samples, seed, **further
            )
        except UserWarning as err:
            raise InputError(
                f"kernel_width={kernel_width!r} is so small that no set of features has any weight; make it about the "
                "distance of a sample from its baseline"
            ) from err
    return {"attribution": attribution(values, long_name="LIME coefficient", units=OUTPUT)}


def _check_kernel_shap(model: Adapter, x: Parts | None, *, feature_mask: Any = None, nb_samples: int = 800) -> None:
    whole_number(nb_samples, "nb_samples", least=2)
    if x is not None:
        count = feature_count(features_of(feature_mask, x))
        if count < 2:
            raise InputError("KernelShap compares features, and feature_mask makes one of all values")
        if nb_samples <= count:
            raise InputError(
                f"KernelShap fits {count} features to nb_samples={nb_samples} outputs, which many solutions fit; give "
                f"nb_samples of at least {count + 1}, better several times that, or group values with feature_mask"
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
    nb_samples: int = 800,
    seed: int = 0,
) -> dict[str, Any]:
    """Return xplique's ``KernelShap``: Shapley values by least squares, up to a constant (arXiv:1705.07874, 4.1).

    Parameters
    ----------
    model : Adapter
    x : Parts of shape (sample, timestep[, channel])
    target : ndarray of int of shape (sample,)
        Index into the outputs laid flat.
    prediction : ndarray of shape (sample, output)
        The model's outputs at `x`, laid flat.
    baseline : Parts of the dims of `x`, each of its length or 1
        What features that are left out are; xplique's ``ref_value``.
    masks : ndarray of bool of shape (sample, timestep), or dict of such by part, optional
        False where padded: that is no feature, and nothing is attributed there.
    feature_mask : None, "timestep", "channel", array_like of int of shape (timestep[, channel]), or dict of such
        What counts as one feature: each value if None; else values of one number. In place of xplique's
        ``map_to_interpret_space``.
    nb_samples : int, default 800
        Sets of features, for each sample; more than there are features.
    seed : int, default 0

    Returns
    -------
    dict
        ``attribution`` of the shape of `x`, in units of the output, a feature's at each of its values;
        ``baseline_prediction`` and ``completeness_gap`` of shape (sample,): the sum over features less the change in
        output. xplique does not tie its fit to the output with all features and with none, so that, but for noise of
        sampling, all features come out off by one number, the gap divided by how many they are.
    """
    module, begin = drawing("kernel_shap")
    values, sums = _fitted(module.KernelShap, begin, model, x, target, baseline, masks, feature_mask, nb_samples, seed)
    found = measured(sums, predicted_at(model, x, target, baseline), prediction, target)
    return {"attribution": attribution(values, long_name="Kernel SHAP value", units=OUTPUT), **found}


def _fitted(
    explainer_class: Callable[..., Any],
    begin: Callable[[int], None],
    model: Adapter,
    x: Parts,
    target: np.ndarray,
    baseline: Parts,
    masks: Any,
    feature_mask: Any,
    nb_samples: int,
    seed: int,
    **further: Any,
) -> tuple[Any, np.ndarray]:
    """Return what is fitted to each sample by itself, and the sums over its features."""
    import tensorflow as tf

    features = unnamed(features_of(feature_mask, x))
    numbers: Any = each(lambda own, a: np.broadcast_to(own, a.shape), features, x)
    explained = Explained(model, x, target, start=baseline, masks=masks)
    number = np.concatenate([own.reshape(len(own), -1) for own in by_name(numbers).values()], axis=1)
    real, seeds = _real(x, masks), seed_of_sample(seed, model.first_sample)
    mapping, sums = np.zeros(number.shape[1], "int32"), []
    explainer = explainer_class(
        None,
        batch_size=model.batch_size,
        operator=explained.outputs,
        nb_samples=nb_samples,
        map_to_interpret_space=lambda given: tf.constant(mapping),
        **further,
    )

    def call(given: np.ndarray, at: np.ndarray, first: int) -> Any:
        begin(seeds(first))
        # Padding stays as it is, whatever feature it is given.
        _, places, mapping[real[first]] = np.unique(number[first][real[first]], return_index=True, return_inverse=True)
        values = np.asarray(explainer.explain(given, at))
        sums.append(values[0][real[first]][places].sum(dtype=float))
        return values

    label = explainer_class.__name__
    return attribute(model, explained, call, size=1, label=label, masks=masks), np.array(sums)


def _real(x: Parts, masks: Any) -> np.ndarray:
    """Return which values of each sample are real, of shape (sample, value)."""
    given = by_name(masks_like(x, masks))

    def read(array: np.ndarray, mask: Any) -> np.ndarray:
        own = np.ones(array.shape[:2], bool) if mask is None else mask
        own = own.reshape(*own.shape, *[1] * (array.ndim - 2))
        return np.broadcast_to(own, array.shape).reshape(len(array), -1)

    return np.concatenate([read(array, given[name]) for name, array in by_name(x).items()], axis=1)
