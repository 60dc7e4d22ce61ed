"""The models that are timed: the same weights in Keras, torch and JAX, so that results can be held against each other.

``seed`` is the model of the original question: an LSTM, additive self-attention over all timesteps, a linear layer.
"""

from typing import Any

import numpy as np

import attrkit

FRAMEWORKS = ("keras-tensorflow", "keras-jax", "keras-torch", "torch", "jax")
MODELS = ("seed", "lstm", "gru", "conv", "transformer")
UNITS, ATTENTION, KERNEL = 60, 32, 5
WIDTH, HEADS, INNER = 64, 4, 128

Weights = dict[str, np.ndarray]


def weights_of(name: str, *, timesteps: int, channels: int) -> Weights:
    """Return a model's weights, always the same, by name; laid out and in order as Keras has them."""
    head = WIDTH // HEADS
    recurrent = {
        gates: {
            "kernel": (channels, gates * UNITS),
            "recurrent": (UNITS, gates * UNITS),
            "bias": (gates * UNITS,) if gates == 4 else (2, gates * UNITS),
        }
        for gates in (3, 4)
    }
    additive = {
        "Wt": (UNITS, ATTENTION),
        "Wx": (UNITS, ATTENTION),
        "bh": (ATTENTION,),
        "Wa": (ATTENTION, 1),
        "ba": (1,),
    }
    projections = {
        f"{part}_{what}": shape
        for part in ("query", "key", "value")
        for what, shape in (("kernel", (WIDTH, HEADS, head)), ("bias", (HEADS, head)))
    }
    bodies: dict[str, dict[str, tuple[int, ...]]] = {
        "seed": {**recurrent[4], **additive},
        "lstm": recurrent[4],
        "gru": recurrent[3],
        "conv": {
            "kernel_1": (KERNEL, channels, UNITS),
            "bias_1": (UNITS,),
            "kernel_2": (KERNEL, UNITS, UNITS),
            "bias_2": (UNITS,),
        },
        "transformer": {
            "embed_kernel": (channels, WIDTH),
            "embed_bias": (WIDTH,),
            **projections,
            "joined_kernel": (HEADS, head, WIDTH),
            "joined_bias": (WIDTH,),
            "gamma_1": (WIDTH,),
            "beta_1": (WIDTH,),
            "inner_kernel": (WIDTH, INNER),
            "inner_bias": (INNER,),
            "outer_kernel": (INNER, WIDTH),
            "outer_bias": (WIDTH,),
            "gamma_2": (WIDTH,),
            "beta_2": (WIDTH,),
        },
    }
    flat = {"seed": timesteps * UNITS, "conv": (timesteps - 2 * (KERNEL - 1)) * UNITS, "transformer": WIDTH}
    shapes = {**bodies[name], "head_kernel": (flat.get(name, UNITS), 1), "head_bias": (1,)}
    rng = np.random.default_rng(0)
    return {
        key: (rng.standard_normal(shape) * _scale(key, shape) + ("gamma" in key)).astype("float32")
        for key, shape in shapes.items()
    }


def _scale(key: str, shape: tuple[int, ...]) -> float:
    """Return a spread that keeps values of the size they came in."""
    if any(word in key for word in ("bias", "gamma", "beta", "bh", "ba")):
        return 0.1
    fan_in = shape[0] if key.split("_")[0] in ("query", "key", "value") else int(np.prod(shape[:-1]))
    return float(fan_in**-0.5)


def model_of(framework: str, name: str, *, timesteps: int, channels: int) -> Any:
    """Return a model as a user of the framework has it; of JAX a function and its weights."""
    weights = weights_of(name, timesteps=timesteps, channels=channels)
    if framework.startswith("keras"):
        from common.keras_models import keras_model

        return keras_model(name, weights, timesteps=timesteps, channels=channels)
    if framework == "torch":
        from common.torch_models import torch_model

        return torch_model(name, weights, channels=channels)
    from common.jax_models import jax_function

    return jax_function(name, weights)


def adapted(model: Any) -> Any:
    """Return what attrkit makes of a model."""
    return attrkit.adapt(model[0], params=model[1]) if isinstance(model, tuple) else attrkit.adapt(model)


def samples_of(count: int, *, timesteps: int, channels: int) -> np.ndarray:
    """Return inputs of shape (sample, timestep, channel)."""
    return np.random.default_rng(1).standard_normal((count, timesteps, channels)).astype("float32")
