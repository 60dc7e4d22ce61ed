"""Captum's attribution classes, ``"captum:DeepLift"``, with what of theirs would be silently wrong refused.

Captum is given a function, not the model: passes, batches, padding, costs and gradients are those of the adapter. The
classes that replace the gradient of layers get a copy of the model, whose graph is looked at first.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from attrkit.engines._toolkit import offered_method
from attrkit.errors import MissingDependencyError

# Class of captum.attr -> module of this folder and the function in it.
_OFFERED = {
    "Deconvolution": ("layers", "deconvolution"),
    "DeepLift": ("layers", "deep_lift"),
    "DeepLiftShap": ("layers", "deep_lift_shap"),
    "FeatureAblation": ("perturbation", "feature_ablation"),
    "FeaturePermutation": ("perturbation", "feature_permutation"),
    "GradientShap": ("gradient", "gradient_shap"),
    "GuidedBackprop": ("layers", "guided_backprop"),
    "InputXGradient": ("gradient", "input_x_gradient"),
    "IntegratedGradients": ("gradient", "integrated_gradients"),
    "KernelShap": ("surrogate", "kernel_shap"),
    "LRP": ("layers", "lrp"),
    "Lime": ("surrogate", "lime"),
    "NoiseTunnel": ("gradient", "noise_tunnel"),
    "Occlusion": ("perturbation", "occlusion"),
    "Saliency": ("gradient", "saliency"),
    "ShapleyValueSampling": ("shapley", "shapley_value_sampling"),
    "ShapleyValues": ("shapley", "shapley_values"),
}


def names() -> list[str]:
    """Return the classes that are offered: those that attribute to the inputs of a model."""
    return list(_OFFERED)


def method(name: str) -> Callable[..., Any]:
    """Return the method that runs a class of Captum.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    callable
        With the version of Captum as its attribute ``provenance``.

    Raises
    ------
    MissingDependencyError
        If Captum is not installed.
    """
    try:
        captum = import_module("captum")
    except ImportError as err:
        raise MissingDependencyError(f"captum is needed for 'captum:{name}': pip install 'attrkit[captum]'") from err
    return offered_method("captum", name, _OFFERED, version=str(captum.__version__))
