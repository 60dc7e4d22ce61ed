"""The few array functions that rules are written in, by the name Keras 3 gives them, in each framework."""

from collections.abc import Callable
from functools import cache, partial
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
    "transpose",
)

Backward = Callable[..., tuple[Any, ...]]
"""Maps these functions, what is held, and a gradient for each value, to a gradient for each source."""


@cache
def keras_ops() -> Any:
    """Return the functions of Keras 3, on whichever backend it runs."""
    import keras

    found = SimpleNamespace(**{name: getattr(keras.ops, name) for name in NAMES})
    with_gradient = {"tensorflow": _tensorflow_gradient, "jax": _jax_gradient, "torch": _torch_gradient}
    found.with_gradient = partial(with_gradient[keras.backend.backend()], found)
    return found


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
    found = SimpleNamespace(**{name: own.get(name) or getattr(tf, name) for name in NAMES})
    found.with_gradient = partial(_tensorflow_gradient, found)
    return found


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
        "transpose": torch.t,
        "repeat": lambda x, repeats, axis=None: torch.repeat_interleave(x, repeats, dim=axis),
        "convert_to_tensor": lambda x, dtype=None: torch.as_tensor(x, dtype=dtype),
        "cast": lambda x, dtype: x.to(dtype),
    }
    return SimpleNamespace(**{name: own.get(name) or getattr(torch, name, None) for name in NAMES})


# ``with_gradient(values, sources, held, backward)`` returns `values`, of which only `sources` get gradients: those that
# `backward` says. All are tuples of tensors.


def _tensorflow_gradient(ops: Any, values: Any, sources: Any, held: Any, backward: Backward) -> Any:
    import tensorflow as tf

    @tf.custom_gradient
    def run(*sources: Any) -> Any:
        return tuple(map(tf.identity, values)), lambda *upstream: backward(ops, held, *upstream)

    return run(*sources)


def _jax_gradient(ops: Any, values: Any, sources: Any, held: Any, backward: Backward) -> Any:
    return _jax_operation()(backward, ops, values, sources, held)


@cache
def _jax_operation() -> Any:
    import jax

    @partial(jax.custom_vjp, nondiff_argnums=(0, 1))
    def run(backward: Backward, ops: Any, values: Any, sources: Any, held: Any) -> Any:
        return values

    def forward(backward: Backward, ops: Any, values: Any, sources: Any, held: Any) -> Any:
        return values, held

    def pull(backward: Backward, ops: Any, held: Any, upstream: Any) -> Any:
        # None is a gradient of zeros.
        return None, backward(ops, held, *upstream), None

    run.defvjp(forward, pull)
    return run


def _torch_gradient(ops: Any, values: Any, sources: Any, held: Any, backward: Backward) -> Any:
    return _torch_operation().apply(lambda *upstream: backward(ops, held, *upstream), len(values), *values, *sources)


@cache
def _torch_operation() -> Any:
    import torch

    class WithGradient(torch.autograd.Function):
        """Hands values on, and gradients back to what they did not come from."""

        @staticmethod
        def forward(ctx: Any, pull: Any, count: int, *given: Any) -> Any:
            ctx.pull, ctx.count = pull, count
            return tuple(value.clone() for value in given[:count])

        @staticmethod
        def backward(ctx: Any, *upstream: Any) -> Any:
            return (None, None, *[None] * ctx.count, *ctx.pull(*upstream))

    return WithGradient
