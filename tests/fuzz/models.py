"""Functions to explain, of known answers."""

import numpy as np

WEIGHTS = np.array([1.0, -2.0])


def model(x):
    """A function of numpy with two outputs, without a gradient, of inputs (sample, 6, 2)."""
    assert x.shape[1:] == (6, 2), "the model takes (sample, 6, 2)"
    hidden = np.tanh(x.astype(float))
    return np.stack([hidden.mean(axis=1) @ WEIGHTS, (hidden[:, -1] ** 2) @ WEIGHTS], axis=1)


def any_shape(x):
    """A function of numpy with one output, of inputs of any number of timesteps and channels."""
    return np.tanh(x.astype(float)).reshape(len(x), -1).sum(axis=1)
