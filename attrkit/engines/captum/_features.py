"""What Captum attributes to features, and how many of their perturbations go into one call."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.checks import whole_number
from attrkit.engines._features import features_of
from attrkit.engines.captum._call import Group, attribute
from attrkit.parts import Parts, by_name, row_sums, unnamed


def check_features(
    model: Adapter, x: Parts | None, *, feature_mask: Any = None, perturbations_per_eval: int | None = None
) -> None:
    """Refuse options of features that are not known."""
    at_once(model, perturbations_per_eval, 1)
    if x is not None:
        features_of(feature_mask, x)


def sums_of_features(values: Parts, features: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the sum over features of each sample's attributions, where a feature's stands at each of its values."""
    sizes = np.bincount(np.concatenate([own.ravel() for own in features.values()]))
    return row_sums(unnamed({name: array / sizes[features[name]] for name, array in by_name(values).items()}))


def at_once(model: Adapter, perturbations_per_eval: int | None, count: int) -> int:
    """Return how many of a sample's perturbations go into one call."""
    if perturbations_per_eval is None:
        return min(model.batch_size, count)
    return whole_number(perturbations_per_eval, "perturbations_per_eval", least=1)


def attribute_features(
    model: Adapter,
    x: Parts,
    instance: Any,
    features: Mapping[str, np.ndarray],
    *,
    label: str,
    size: int,
    together: int,
    baseline: Parts | None = None,
    seed: Callable[[int], int] | None = None,
    **further: Any,
) -> Any:
    """Return what a class of Captum attributes to each value by the feature that it belongs to.

    ``together`` perturbations go into one call, ``further`` are the class's own options; else as `attribute`.
    """

    def call(group: Group) -> Any:
        starts = {} if baseline is None else {"baselines": group.starts}
        return instance.attribute(
            group.inputs,
            feature_mask=tuple(group.at.new_tensor(np.ascontiguousarray(own)) for own in features.values()),
            perturbations_per_eval=together,
            additional_forward_args=(group.at,),
            **starts,
            **further,
        )

    return attribute(model, x, call, size=size, label=label, baseline=baseline, seed=seed)
