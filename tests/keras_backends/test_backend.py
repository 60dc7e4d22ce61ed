"""The process is what its lane says it is."""

import os
import sys

import keras
import numpy as np
import pytest
from keras import layers

import attrkit
from attrkit.errors import RefusedError


def test_keras_runs_on_the_backend_of_the_lane(x):
    model = keras.Sequential([layers.Input((8, 3)), layers.Flatten(), layers.Dense(1)])
    ds = attrkit.extract(model, x, "gradient", show_progress=False)
    assert ds.attrs["backend"] == keras.backend.backend() == os.environ["KERAS_BACKEND"]
    assert ds.attrs["framework"] == "keras"
    np.testing.assert_allclose(ds["attribution"][0], model.get_weights()[0].reshape(8, 3), rtol=1e-6)
    assert "tensorflow" not in sys.modules


def test_a_copy_in_double_precision_is_refused():
    model = keras.Sequential([layers.Input((8, 3)), layers.Flatten(), layers.Dense(1)])
    with pytest.raises(RefusedError, match="computes recurrent layers in single precision"):
        attrkit.to_float64(model)
