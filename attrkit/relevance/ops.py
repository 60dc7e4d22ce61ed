"""The few array functions that rules are written in, by the name Keras 3 gives them, in each framework."""

from functools import cache
from types import SimpleNamespace
from typing import Any

# What rules may call; operators and comparisons are the tensors' own.
NAMES = (
    "stop_gradient",
    "where",
    "zeros_like",
    "ones_like",
    "maximum",
    "minimum",
    "matmul",
    "tensordot",
    "einsum",
    "conv",
    "pad",
    "mean",
    "sum",
    "sqrt",
    "tanh",
    "reshape",
    "expand_dims",
    "squeeze",
    "concatenate",
    "convert_to_tensor",
    "cast",
    "shape",
    "repeat",
)


@cache
def keras_ops() -> Any:
    """Return the functions of Keras 3, on whichever backend it runs."""
    from keras import ops

    return ops


@cache
def tensorflow_ops() -> Any:
    """Return those of TensorFlow, for Keras 2."""
    import tensorflow as tf

    def conv(x: Any, kernel: Any, strides: Any, padding: str, dilation_rate: Any, data_format: str) -> Any:
        last = "N" + "DHW"[3 - (kernel.shape.rank - 2) :] + "C"
        layout = last if data_format == "channels_last" else "NC" + last[1:-1]
        return tf.nn.convolution(x, kernel, strides, padding.upper(), layout, dilation_rate)

    own = {
        "stop_gradient": tf.stop_gradient,
        "conv": conv,
        "mean": tf.reduce_mean,
        "sum": tf.reduce_sum,
        "concatenate": tf.concat,
    }
    return SimpleNamespace(**{name: own.get(name) or getattr(tf, name) for name in NAMES})


@cache
def torch_ops() -> Any:
    """Return those of torch, for modules."""
    import torch

    own = {
        "stop_gradient": torch.Tensor.detach,
        "concatenate": torch.cat,
        "tensordot": lambda x, y, axes: torch.tensordot(x, y, dims=axes),
        "expand_dims": torch.unsqueeze,
        "shape": lambda x: tuple(x.shape),
        "repeat": lambda x, repeats, axis=None: torch.repeat_interleave(x, repeats, dim=axis),
        "convert_to_tensor": lambda x, dtype=None: torch.as_tensor(x, dtype=dtype),
        "cast": lambda x, dtype: x.to(dtype),
    }
    return SimpleNamespace(**{name: own.get(name) or getattr(torch, name, None) for name in NAMES})
