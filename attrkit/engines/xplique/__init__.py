"""xplique's attribution methods, ``"xplique:IntegratedGradients"``, with what would be silently wrong refused.

xplique is given a function, not the model: passes, batches, padding, costs and gradients are those of the adapter, so
that it runs on models of any framework. The classes that replace the gradient of ReLUs get the Keras model.
"""

import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

from attrkit.engines._toolkit import offered_method
from attrkit.errors import MissingDependencyError, RefusedError

# Class of xplique.attributions -> module of this folder and the function in it.
_OFFERED = {
    "DeconvNet": ("layers", "deconv_net"),
    "GradientInput": ("gradient", "gradient_input"),
    "GuidedBackprop": ("layers", "guided_backprop"),
    "IntegratedGradients": ("gradient", "integrated_gradients"),
    "KernelShap": ("surrogate", "kernel_shap"),
    "Lime": ("surrogate", "lime"),
    "Occlusion": ("perturbation", "occlusion"),
    "Rise": ("perturbation", "rise"),
    "Saliency": ("gradient", "saliency"),
    "SmoothGrad": ("gradient", "smooth_grad"),
    "SquareGrad": ("gradient", "square_grad"),
    "VarGrad": ("gradient", "var_grad"),
}

_MAPS = (
    "takes the maps of a convolution over two axes: of a Conv1D it would average over filters too, and it resizes them "
    "as images; use xplique:GradientInput, or lrp"
)
_IMAGES = "draws its masks on the grid of an image, and takes nothing else; use xplique:Rise, or xplique:KernelShap"
_REFUSED = {
    "FEM": _MAPS,
    "GradCAM": _MAPS,
    "GradCAMPP": _MAPS,
    "HsicAttributionMethod": _IMAGES,
    "SobolAttributionMethod": _IMAGES,
}


def names() -> list[str]:
    """Return xplique's classes; those of images are refused, with the reason, by `method`."""
    return sorted(_OFFERED | _REFUSED)


def method(name: str) -> Callable[..., Any]:
    """Return the method that runs a class of xplique.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    callable
        With the version of xplique as its attribute ``provenance``.

    Raises
    ------
    RefusedError
        If the class holds for images only.
    MissingDependencyError
        If xplique is not installed.
    """
    if name in _REFUSED:
        raise RefusedError(f"xplique:{name} {_REFUSED[name]}")
    try:
        # Packages that it imports set filters of warnings.
        with warnings.catch_warnings():
            xplique = import_module("xplique")
            import_module("xplique.attributions")
    except ImportError as err:
        raise MissingDependencyError(f"xplique is needed for 'xplique:{name}': pip install 'attrkit[xplique]'") from err
    return offered_method("xplique", name, _OFFERED, version=str(xplique.__version__))
