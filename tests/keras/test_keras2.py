"""What holds for Keras 2 only: its ``call`` may branch on tensors, because it converts Python to graph operations."""

import numpy as np
import tensorflow as tf
from tensorflow import keras

import attrkit


class WithBranch(keras.Model):
    def __init__(self):
        super().__init__()
        self.head = keras.layers.Dense(1)

    def call(self, inputs):
        if tf.reduce_sum(inputs) > 0:
            return self.head(inputs[:, 0])
        return 2 * self.head(inputs[:, -1])


def test_python_control_flow_in_call(x):
    model = WithBranch()
    model(x)
    expected = np.zeros((1, 12, 3), "float32")
    expected[0, -1] = 2 * model.head.get_weights()[0][:, 0]
    ds = attrkit.extract(model, -np.ones((1, 12, 3), "float32"), "gradient", show_progress=False)
    np.testing.assert_allclose(ds["attribution"], expected)
