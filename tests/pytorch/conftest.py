"""Models for the torch lane. Where there is no torch nothing is collected: the lane itself fails without it."""

import importlib.util

import numpy as np
import pytest

collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["test_*.py"]


@pytest.fixture(autouse=True)
def _seeded():
    import torch

    torch.manual_seed(7)


@pytest.fixture
def x():
    """Ten samples of 12 timesteps and 3 channels."""
    return np.random.default_rng(3).standard_normal((10, 12, 3)).astype("float32")


@pytest.fixture
def padded(x):
    """The same with sample i padded (zeros) after 12 - i steps, and the mask."""
    mask = np.arange(12)[None, :] < (12 - np.arange(10))[:, None]
    return np.where(mask[..., None], x, 0).astype("float32"), mask
