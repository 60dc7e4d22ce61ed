"""Predictions as a user has them, and the compiled forward pass alone."""

from collections.abc import Callable
from typing import Any

import numpy as np


def predict(framework: str, model: Any, x: np.ndarray, batch: int) -> np.ndarray:
    """Return a model's predictions by what its framework offers; for torch by the loop that everyone writes."""
    if framework.startswith("keras"):
        return np.asarray(model.predict(x, batch_size=batch, verbose=0))
    import torch

    device = next(model.parameters()).device
    with torch.inference_mode():
        parts = [model(torch.tensor(x[i : i + batch], device=device)) for i in range(0, len(x), batch)]
        return torch.cat(parts).cpu().numpy()


def forward_alone(framework: str, model: Any, x: np.ndarray, batch: int) -> Callable[[], None]:
    """Return what runs the forward pass on a batch on the device, as often as it takes for all samples."""
    held, forward, wait = _forward(framework, model, x[:batch])

    def run() -> None:
        wait([forward(held) for _ in range(-(-len(x) // batch))][-1])

    return run


def _forward(framework: str, model: Any, x: np.ndarray) -> tuple[Any, Callable[[Any], Any], Callable[[Any], object]]:
    """Return a batch on the device, the compiled pass, and what waits for its result."""
    if framework == "keras-tensorflow":
        import tensorflow as tf

        return tf.constant(x), tf.function(lambda points: model(points, training=False)), np.asarray
    if framework == "keras-jax":
        import jax

        state = [v.value for v in model.trainable_variables], [v.value for v in model.non_trainable_variables]
        compiled = jax.jit(lambda points, state: model.stateless_call(*state, points)[0])
        return jax.device_put(x), lambda points: compiled(points, state), np.asarray
    import torch

    held = torch.tensor(x, device=next(model.parameters()).device)
    return held, torch.inference_mode()(lambda points: model(points)), lambda output: output.cpu()
