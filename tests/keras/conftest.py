"""Models for the Keras lanes. Which Keras it is, is the lane's choice: ``from tensorflow import keras`` follows it."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
from tensorflow import keras

collect_ignore = ["test_keras2.py"] if keras.Model.__module__.startswith("keras.src.models") else []


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(7)
    yield
    keras.backend.clear_session()


@pytest.fixture
def x():
    """Ten samples of 12 timesteps and 3 channels."""
    return np.random.default_rng(3).standard_normal((10, 12, 3)).astype("float32")


@pytest.fixture
def padded(x):
    """The same with sample i padded (zeros) after 12 - i steps, and the mask."""
    mask = np.arange(12)[None, :] < (12 - np.arange(10))[:, None]
    return np.where(mask[..., None], x, 0).astype("float32"), mask
