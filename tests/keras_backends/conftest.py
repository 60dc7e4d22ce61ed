"""Keras 3 on JAX and on torch, in processes without TensorFlow; lanes set ``KERAS_BACKEND``."""

import os

import numpy as np
import pytest

# Another backend has its tests in tests/keras.
collect_ignore_glob = [] if os.environ.get("KERAS_BACKEND") in ("jax", "torch") else ["test_*.py", "common.py"]


@pytest.fixture(autouse=True)
def _seeded():
    import keras

    keras.utils.set_random_seed(7)
    yield
    keras.backend.clear_session()


@pytest.fixture
def x():
    """Five samples of 8 timesteps and 3 channels."""
    return np.random.default_rng(3).standard_normal((5, 8, 3)).astype("float32")
