"""Sequence models in numpy and nothing else, with backward passes written by hand."""

from collections.abc import Mapping
from typing import Any

import numpy as np

__version__ = "1.0"


class Recurrent:
    """h[t] = tanh(x[t] W + h[t - 1] U + b).

    From (sample, timestep, channel) to (sample, timestep, unit).
    """

    def __init__(self, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray) -> None:
        self.kernel, self.recurrent, self.bias = kernel, recurrent, bias

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the state after each timestep."""
        states = [np.zeros((len(x), len(self.bias)))]
        for step in x.swapaxes(0, 1):
            states.append(np.tanh(step @ self.kernel + states[-1] @ self.recurrent + self.bias))
        return np.stack(states[1:], axis=1)

    def backward(self, x: np.ndarray, states: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        """Return the slopes of what came in, for those of the states that went out."""
        found, later = np.zeros(x.shape), np.zeros(states[:, 0].shape)
        for t in reversed(range(x.shape[1])):
            at_sum = (slopes[:, t] + later) * (1 - states[:, t] ** 2)
            found[:, t], later = at_sum @ self.kernel.T, at_sum @ self.recurrent.T
        return found


class Readout:
    """The last state, weighted: from (sample, timestep, unit) to (sample, output)."""

    def __init__(self, kernel: np.ndarray, bias: np.ndarray) -> None:
        self.kernel, self.bias = kernel, bias

    def forward(self, states: np.ndarray) -> np.ndarray:
        """Return the outputs."""
        return states[:, -1] @ self.kernel + self.bias

    def backward(self, states: np.ndarray, outputs: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        """Return the slopes of the states, for those of the outputs."""
        found = np.zeros(states.shape)
        found[:, -1] = slopes @ self.kernel.T
        return found


class Model:
    """Layers by name, one after the other; ``n_channels`` is what the first of them takes."""

    def __init__(self, layers: Mapping[str, Any], n_channels: int) -> None:
        self.layers, self.n_channels = dict(layers), n_channels


def small_model(seed: int = 0) -> Model:
    """Return a model of 3 channels, 5 units and 2 outputs, its weights drawn."""
    rng = np.random.default_rng(seed)
    kernel, own, bias = rng.normal(size=(3, 5)), 0.4 * rng.normal(size=(5, 5)), rng.normal(size=5)
    readout = Readout(rng.normal(size=(5, 2)), np.zeros(2))
    return Model({"recurrent": Recurrent(kernel, own, bias), "readout": readout}, n_channels=3)
