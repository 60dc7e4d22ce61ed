"""Gradients as one would write them by hand and compile them, in each framework, and loops over batches of them."""

import copy
import shutil
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Compiled(NamedTuple):
    """Bring an array to the device; run forward and backward, to (output, gradient); wait for it as an array."""

    put: Callable[[np.ndarray], Any]
    run: Callable[[Any], tuple[Any, Any]]
    get: Callable[[Any], np.ndarray]


def forms_of(framework: str, model: Any) -> dict[str, Compiled]:
    """Return every way to compile the gradient of a model of one output that its framework has."""
    if framework == "keras-tensorflow":
        return _tensorflow(model)
    if framework == "keras-jax":
        state = [v.value for v in model.trainable_variables], [v.value for v in model.non_trainable_variables]
        return _jax(lambda points, state: model.stateless_call(*state, points)[0], state)
    if framework == "jax":
        function, params = model
        return _jax(lambda points, params: function(params, points), params)
    if framework == "keras-torch":
        return {"torch, eager": _torch(model, next(model.parameters()).device)}
    return _module(model)


def _tensorflow(model: Any) -> dict[str, Compiled]:
    import tensorflow as tf

    def run(points: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(points)
            output = model(points, training=False)
        return output, tape.gradient(output, points)

    return {
        name: Compiled(tf.constant, tf.function(run, jit_compile=xla), lambda values: values.numpy())
        for name, xla in (("tf.function", False), ("tf.function, XLA", True))
    }


def _jax(function: Callable[[Any, Any], Any], state: Any) -> dict[str, Compiled]:
    import jax

    def summed(points: Any, state: Any) -> Any:
        output = function(points, state)
        return output.sum(), output

    def run(points: Any, state: Any) -> Any:
        slope, output = jax.grad(summed, has_aux=True)(points, state)
        return output, slope

    compiled = jax.jit(run)
    return {"jax.jit": Compiled(jax.device_put, lambda points: compiled(points, state), np.asarray)}


def _module(model: Any) -> dict[str, Compiled]:
    import torch

    device = next(model.parameters()).device
    model = copy.deepcopy(model).requires_grad_(False)
    if device.type == "cuda":
        # The backward pass of cuDNN's recurrent layers wants training; nothing else in these models depends on it.
        model.train()
    forms = {"torch, eager": _torch(model, device)}
    if device.type == "cuda" or shutil.which("g++") or shutil.which("clang++"):
        forms["torch.compile"] = _torch(torch.compile(model), device)
    return forms


def _torch(function: Callable[[Any], Any], device: Any) -> Compiled:
    import torch

    def run(points: Any) -> Any:
        points = points.detach().requires_grad_()
        output = function(points)
        return output.detach(), torch.autograd.grad(output.sum(), points)[0]

    return Compiled(lambda a: torch.tensor(a, device=device), run, lambda values: values.float().cpu().numpy())


def gradients(form: Compiled, points: np.ndarray, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Return outputs and gradients of all points, a batch at a time; the last is filled up, not compiled anew."""
    found = []
    for first in range(0, len(points), batch):
        part = points[first : first + batch]
        if len(part) < batch and first:
            part = np.concatenate([part, np.repeat(part[-1:], batch - len(part), axis=0)])
        found.append(form.run(form.put(part)))
    # Taken off the device after all were sent to it, so that one need not wait for another.
    outputs, slopes = ([form.get(values) for values in column] for column in zip(*found, strict=True))
    return np.concatenate(outputs)[: len(points)], np.concatenate(slopes)[: len(points)]


def plain_gradient(form: Compiled, x: np.ndarray, batch: int) -> np.ndarray:
    return gradients(form, x, batch)[1]


def smoothgrad(form: Compiled, x: np.ndarray, batch: int, *, n_samples: int, noise_scale: float) -> np.ndarray:
    spread = noise_scale * (x.max(axis=1, keepdims=True) - x.min(axis=1, keepdims=True))
    noise = np.random.default_rng(0).standard_normal((len(x), n_samples, *x.shape[1:]), dtype="float32")
    points = (x[:, None] + noise * spread[:, None]).reshape(-1, *x.shape[1:])
    return gradients(form, points, batch)[1].reshape(noise.shape).mean(axis=1)


def integrated_gradients(form: Compiled, x: np.ndarray, batch: int, *, n_steps: int) -> np.ndarray:
    nodes, weights = np.polynomial.legendre.leggauss(n_steps)
    points = (x[:, None] * ((nodes + 1) / 2)[:, None, None]).reshape(-1, *x.shape[1:]).astype("float32")
    slopes = gradients(form, points, batch)[1].reshape(len(x), n_steps, *x.shape[1:])
    return x * np.einsum("nktc,k->ntc", slopes, weights / 2)


def ceiling(form: Compiled, points: np.ndarray, batch: int) -> Callable[[], None]:
    """Return what runs as many plain forward and backward passes as there are points, on data on the device already."""
    held = form.put(points[:batch])

    def run() -> None:
        # Outputs too, lest a compiler leave them out.
        last = [form.run(held) for _ in range(-(-len(points) // batch))][-1]
        form.get(last[0]), form.get(last[1])

    return run
