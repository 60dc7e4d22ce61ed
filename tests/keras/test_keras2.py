"""What holds for Keras 2 only."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

import attrkit
from attrkit.errors import RefusedError


class WithBranch(keras.Model):
    """Its call branches on a tensor: Keras 2 converts that to graph operations."""

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


class BranchingAttention(keras.layers.Layer):
    """Its call branches on a tensor, and it gives its weights when asked."""

    def call(self, inputs, return_attention=False):
        weights = tf.nn.softmax(inputs[..., 0])
        out = tf.einsum("st,stc->sc", weights, inputs)
        if tf.shape(inputs)[1] < 3:
            out = -out
        return (out, weights) if return_attention else out


@pytest.mark.filterwarnings("ignore::attrkit.errors.AttentionWarning")
def test_layers_with_python_control_flow_can_be_read(x):
    attention = BranchingAttention(name="attention")
    inputs = keras.Input((12, 3))
    model = keras.Model(inputs, keras.layers.Dense(1)(attention(inputs)))
    ds = attrkit.extract(model, x, "attention", show_progress=False)
    np.testing.assert_allclose(ds["attention"], tf.nn.softmax(x[..., 0]), atol=1e-6)
    outputs = attrkit.layer_outputs(model, x, "attention")["attention"]
    np.testing.assert_allclose(outputs["activation"], attention(x), atol=1e-6)


def test_batch_statistics_at_inference_are_refused_and_stay(x):
    inputs = keras.Input((12, 3))
    norm = keras.layers.BatchNormalization()
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Flatten()(norm(inputs, training=True))))
    before = [v.numpy() for v in norm.non_trainable_variables]
    with pytest.raises(RefusedError, match="depends on the other samples"):
        attrkit.extract(model, x, "gradient", show_progress=False)
    for old, new in zip(before, norm.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(old, new.numpy())
