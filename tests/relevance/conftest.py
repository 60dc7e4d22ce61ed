"""Which Keras the tests of this folder run on is the lane's choice, and what of it they may ask for."""

import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest


@pytest.fixture(scope="session")
def keras():
    """Keras 3 on its backend, or Keras 2 where a lane has that."""
    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        from tensorflow import keras
    else:
        import keras
    gc.freeze()
    return keras


@pytest.fixture
def precision(keras):
    """float64 where Keras computes in it: on TensorFlow only; layers made in the test are of this type."""
    name = "float64" if keras.backend.backend() == "tensorflow" else "float32"
    before = keras.backend.floatx()
    # Keras 3 settles the type of layers with the first that is made, in whichever test.
    keras.backend.clear_session()
    keras.backend.set_floatx(name)
    keras.utils.set_random_seed(7)
    yield name
    keras.backend.set_floatx(before)
    keras.backend.clear_session()


@pytest.fixture
def tolerance(precision):
    """Largest difference from the reference, as a share of the largest relevance."""
    return 1e-10 if precision == "float64" else 1e-5


# What needs TensorFlow: keras-self-attention, and iNNvestigate.
_ON_TENSORFLOW = ["test_self_attention.py", "test_innvestigate.py"]
collect_ignore = [] if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow" else _ON_TENSORFLOW
