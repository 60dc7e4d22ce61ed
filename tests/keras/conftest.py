"""Models for the Keras lanes. Which Keras it is, is the lane's choice: ``from tensorflow import keras`` follows it."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest
from tensorflow import keras

collect_ignore = ["test_keras2.py"] if keras.Model.__module__.startswith("keras.src.models") else []


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(7)
    yield
    keras.backend.clear_session()
