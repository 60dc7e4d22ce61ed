"""A highway layer of Keras (Srivastava et al. 2015), and its rule for ``lrp``."""

from typing import Any

import keras

from attrkit.relevance import COMPOSITES, Flow


class Highway(keras.layers.Layer):
    """g * tanh(x W + b) + (1 - g) * x, where the gate g is sigmoid(x V + c)."""

    def build(self, shape: Any) -> None:
        n = shape[-1]
        self.kernel, self.gate_kernel = self.add_weight(shape=(n, n)), self.add_weight(shape=(n, n))
        self.bias, self.gate_bias = self.add_weight(shape=(n,)), self.add_weight(shape=(n,))

    def call(self, x: Any) -> Any:
        gate = keras.ops.sigmoid(x @ self.gate_kernel + self.gate_bias)
        return gate * keras.ops.tanh(x @ self.kernel + self.bias) + (1 - gate) * x


def highway(call: Any, flow: Flow) -> Any:
    """Compute what the layer computes; what gradients flow through carries relevance."""
    layer, (x,) = call.layer, call.args
    # The gate is a constant: it weighs what is carried, and carries nothing itself.
    gate = flow.hold(keras.ops.sigmoid(x @ layer.gate_kernel + layer.gate_bias))
    # A linear map by the epsilon rule; its bias, and the stabiliser, go to the ledger.
    candidate = flow.node(x @ layer.kernel + layer.bias, keras.ops.tanh, bias=layer.bias)
    return gate * candidate + (1 - gate) * x


composite = COMPOSITES["arras"].extended({"Highway": highway})
