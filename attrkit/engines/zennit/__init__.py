"""zennit's composites, ``"zennit:EpsilonPlus"``, with what of theirs would be silently wrong refused.

A composite maps layers to rules, and leaves those it does not know, and everything that is no layer, on their plain
gradient. So the graph of the model is looked at first, and zennit gets a copy of the model.
"""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from attrkit.engines._toolkit import offered_method
from attrkit.engines.zennit._rooms import load

# Class of zennit.composites -> module of this folder and the function in it.
_OFFERED = {
    "BetaSmooth": ("gradient", "beta_smooth"),
    "DeconvNet": ("gradient", "deconv_net"),
    "EpsilonAlpha2Beta1": ("relevance", "epsilon_alpha2_beta1"),
    "EpsilonAlpha2Beta1Flat": ("relevance", "epsilon_alpha2_beta1_flat"),
    "EpsilonGammaBox": ("relevance", "epsilon_gamma_box"),
    "EpsilonPlus": ("relevance", "epsilon_plus"),
    "EpsilonPlusFlat": ("relevance", "epsilon_plus_flat"),
    "ExcitationBackprop": ("relevance", "excitation_backprop"),
    "GuidedBackprop": ("gradient", "guided_backprop"),
}


def names() -> list[str]:
    """Return the composites that are offered: all of zennit's that need no map of layers."""
    return list(_OFFERED)


def method(name: str) -> Callable[..., Any]:
    """Return the method that runs a composite of zennit.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    callable
        With the version of zennit as its attribute ``provenance``.

    Raises
    ------
    MissingDependencyError
        If zennit is not installed.
    """
    load(f"zennit:{name}")
    return offered_method("zennit", name, _OFFERED, version=version("zennit"))
