"""What explains the models of a study, and what it is held against: chance, and no preference at all."""

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from attrkit.errors import InputError
from attrkit.methods import find_method

EXTRACTORS: dict[str, Any] = {
    "attention": "attention",
    "input_x_gradient_held": ("input_x_gradient", {"hold_attention": True}),
    "input_x_gradient": "input_x_gradient",
    "integrated_gradients": ("integrated_gradients", {"n_steps": "auto"}),
    "lrp": "lrp",
    "occlusion": "occlusion",
}
"""If nothing else is asked for."""


CONTROLS = ("random", "uniform")
"""Extractors that do not look at the model."""


def takes_baseline(method: Any) -> bool:
    """Whether a method starts from a baseline."""
    return "baseline" in inspect.signature(find_method(method)[1]).parameters


def random(model: Any, x: np.ndarray, target: np.ndarray, *, draw: int) -> np.ndarray:
    """Draw the score of every timestep."""
    return np.random.default_rng([draw, len(x)]).random(x.shape[:2])


def uniform(model: Any, x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Say that every timestep matters alike."""
    return np.full(x.shape[:2], 1 / x.shape[1])


def read_extractors(extractors: Any) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Return methods with their options by the names of extractors, ``random`` and ``uniform`` among them.

    Raises
    ------
    InputError
        If a name is taken, or is no name.
    """
    given = EXTRACTORS if extractors is None else extractors
    if isinstance(given, str) or callable(given):
        raise InputError(f"extractors={given!r} is one; give a list, or a mapping of names to methods")
    if not isinstance(given, Mapping):
        given = {
            method if isinstance(method, str) else getattr(method, "__name__", "method"): method for method in given
        }
    found = {}
    for name, method in given.items():
        if not isinstance(name, str) or not name or "/" in name or name in CONTROLS:
            raise InputError(
                f"an extractor cannot be called {name!r}; accepted is text without '/', and not random or uniform, "
                "which are added"
            )
        found[name] = (method[0], dict(method[1])) if isinstance(method, tuple) else (method, {})
    return {**found, "random": (random, {}), "uniform": (uniform, {})}
