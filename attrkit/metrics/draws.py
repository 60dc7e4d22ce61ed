"""Random numbers of one sample: what is drawn depends on no other sample, and on no batch."""

import numpy as np

# Each use of random numbers within a metric has a stream of its own.
TIES, OPERATOR, DRAWS = range(3)

ONLY = 0
"""The stream of a metric with one use."""


def generator(seed: int, stream: int, number: int, draw: int = 0) -> np.random.Generator:
    """Return the generator of one draw for one sample, by its number."""
    return np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, 0, draw, number]))
