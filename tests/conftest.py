"""Inputs that the tests of several frameworks share; a folder may have an ``x`` of its own."""

import gc

import numpy as np
import pytest

# Scripts that have written the data, which pytest would import to look for doctests.
collect_ignore = ["data"]


def pytest_collection_finish():
    """Take what frameworks make when they are imported out of garbage collection, which Keras runs for every test."""
    gc.freeze()


@pytest.fixture
def x():
    """Ten samples of 12 timesteps and 3 channels."""
    return np.random.default_rng(3).standard_normal((10, 12, 3)).astype("float32")


@pytest.fixture
def padded(x):
    """The same with sample i padded (zeros) in its last i timesteps, and the mask."""
    n_samples, length = x.shape[:2]
    mask = np.arange(length)[None, :] < (length - np.arange(n_samples))[:, None]
    return np.where(mask[..., None], x, 0).astype("float32"), mask
