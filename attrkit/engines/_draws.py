"""Draws of toolkits that take them from the generators of the process: by seeds, and without a trace."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from attrkit.checks import whole_number

# These generators have one state for all threads.
DRAWING = threading.Lock()


def seed_of_sample(seed: int, first_sample: int = 0) -> Callable[[int], int]:
    """Return the seeds of samples, one each: what is drawn for a sample does not depend on batches.

    Where samples come in chunks, `first_sample` is the number of the first, and the seeds are those of its chunk.
    """
    seed = whole_number(seed, "seed", least=0)
    return lambda sample: int(np.random.SeedSequence([seed, first_sample + sample]).generate_state(1)[0])


def seed_of_all(seed: int) -> Callable[[int], int]:
    """Return one seed for all samples, of a class that draws the same for each."""
    return lambda sample: int(np.random.SeedSequence([seed]).generate_state(1)[0])


@contextmanager
def torch_seeded(seed: int) -> Iterator[None]:
    """Seed the generators of torch and of numpy, and put the user's states back."""
    import torch

    with DRAWING, torch.random.fork_rng(devices=[]):
        state = np.random.get_state()  # noqa: NPY002 - Captum draws from it.
        try:
            # Not torch.manual_seed: it would seed the generators of all devices too.
            torch.default_generator.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002
