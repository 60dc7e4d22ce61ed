"""SHAP's explainers, ``"shap:PermutationExplainer"``, for models of every framework.

The explainers that call a model get a game instead: players are features, and what each coalition is worth comes of the
adapter's own passes (``_game.py``). ``GradientExplainer`` gets gradients of the adapter (``_hosts.py``).
"""

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any

from attrkit.engines._toolkit import offered_method
from attrkit.errors import MissingDependencyError, RefusedError

# Class of shap -> module of this folder and the function in it.
_OFFERED = {
    "ExactExplainer": ("shapley", "exact"),
    "GradientExplainer": ("gradient", "gradient_explainer"),
    "KernelExplainer": ("kernel", "kernel"),
    "PartitionExplainer": ("partition", "partition"),
    "PermutationExplainer": ("shapley", "permutation"),
    "SamplingExplainer": ("shapley", "sampling"),
}

_TREES = "it is for ensembles of trees, which have no timesteps"
_REFUSED = {
    "AdditiveExplainer": "it is for additive models; use shap:PermutationExplainer, which is exact for them",
    "CoalitionExplainer": "its tree of feature names has no place in extract; use shap:PartitionExplainer, or group "
    "values with feature_mask",
    "DeepExplainer": "it replaces the gradient of layers that it knows. With LSTM, GRU and attention of Keras it "
    "fails; on torch it passes their plain gradient on, and takes sums that are wrong by less than 0.01 for right. Use "
    "shap:GradientExplainer or integrated_gradients, which hold for any model with gradients; for torch modules "
    "without such layers captum:DeepLiftShap is the same method, with every operation looked at",
    "GPUTreeExplainer": _TREES,
    "LinearExplainer": "it is for models that are linear, and takes their coefficients; use shap:PermutationExplainer, "
    "which is exact for them",
    "TreeExplainer": _TREES,
}


def names() -> list[str]:
    """Return the explainers that are offered, and then those that are refused with the reason."""
    return [*_OFFERED, *_REFUSED]


def method(name: str) -> Callable[..., Any]:
    """Return the method that runs an explainer.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    callable
        With the version of shap as its attribute ``provenance``.

    Raises
    ------
    RefusedError
        If the explainer does not hold for sequence models.
    MissingDependencyError
        If shap is not installed.
    """
    if name in _REFUSED:
        raise RefusedError(f"shap:{name} is not offered: {_REFUSED[name]}. Offered are {', '.join(_OFFERED)}")
    try:
        shap = import_module("shap")
    except ImportError as err:
        raise MissingDependencyError(f"shap is needed for 'shap:{name}': pip install 'attrkit[shap]'") from err
    function: Any = offered_method("shap", name, _OFFERED, version=str(shap.__version__))

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("background") is not None:
            # Samples are compared with that, and not with the baseline that extract records.
            function.provenance["baseline"] = "each of background"
        return function(*args, **kwargs)

    return run
