"""Parameters drawn anew: layer by layer, in the order in which the model calls its layers."""

from collections.abc import Mapping

import numpy as np

from attrkit.adapters.base import Adapter
from attrkit.adapters.terms import Call, Parameter, Reader
from attrkit.metrics.draws import ONLY, generator
from attrkit.parts import Parts

DRAW = "normal, mean 0, the root mean square of the trained values of each array"


def by_layer(parameters: Mapping[str, Parameter]) -> dict[str, list[str]]:
    """Return the names of the parameters of each layer that has any, in the order of layers."""
    found: dict[str, list[str]] = {}
    for name, one in parameters.items():
        found.setdefault(one.layer, []).append(name)
    return found


def in_order_of_calls(model: Adapter, x: Parts, paths: list[str]) -> list[str]:
    """Return layers in the order in which a pass of the model calls them first.

    One that is not called itself, because another uses its parameters, stands behind the layer that holds it; what is
    the model's own comes first.
    """
    calls: dict[str, int] = {}

    def noting(path: str) -> Reader:
        def read(call: Call) -> tuple[object, None]:
            calls.setdefault(path, len(calls))
            return call.original(*call.args, **call.kwargs), None

        return read

    model.read(x, {entry.path: noting(entry.path) for entry in model.layers()})

    def place(path: str) -> int:
        while path and path not in calls:
            path = path.rpartition(".")[0]
        return calls.get(path, -1)

    # Sorting keeps the order of layers where places are the same.
    return sorted(paths, key=place)


DRAW_AS_FRESH = "normal, the mean and standard deviation of the trained values of each array"


def redrawn(values: np.ndarray, *, seed: int, number: int) -> np.ndarray:
    """Draw an array from `DRAW`; `number` is its place among the model's parameters. Zeros stay zeros."""
    size = np.sqrt(np.mean(np.square(values, dtype=np.float64))) if values.size else 0.0
    drawn = size * generator(seed, ONLY, number).standard_normal(values.shape)
    return np.asarray(drawn, values.dtype)


def drawn_as_fresh(values: np.ndarray, *, seed: int, number: int) -> np.ndarray:
    """Draw an array from `DRAW_AS_FRESH`, to train it: scales near 1 stay near 1, what is constant stays."""
    wide = values.astype(np.float64)
    if not values.size or wide.min() == wide.max():
        return values.copy()
    drawn = wide.mean() + wide.std() * generator(seed, ONLY, number).standard_normal(values.shape)
    return np.asarray(drawn, values.dtype)
