"""The random numbers of the process, which are the user's."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Put the generators of Python and of numpy back when the block ends.

    Keras draws a seed for each layer that it builds, for weights that are overwritten at once.
    """
    of_python, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - it is the one that is shared.
    try:
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)  # noqa: NPY002
