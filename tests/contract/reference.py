"""Four models as arrays and formulas, and what every adapter has to find for them, in float64 numpy.

Gradients come by the complex step: ``f(x + ih).imag / h`` is exact to rounding, because nothing is subtracted. It owes
nothing to any framework's differentiation. Gates and kernels are in the order of Keras.
"""

from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from tests.relevance import reference as rules

KINDS = ("lstm", "gru", "conv", "attention")
SAMPLES, STEPS, CHANNELS, UNITS, OUTPUTS = 3, 6, 2, 3, 2
# Queries are scaled by 1 / sqrt(WIDTH / HEADS), which Keras on TensorFlow holds in float32: one that is exact there.
WIDTH, HEADS = 8, 2

TARGET = np.array([0, 1, 0])
BASELINE = 0.25
N_STEPS = 8
N_NOISY, SEED = 4, 5

# The order of the gates along the last axis of kernels is i, f, c, o in an LSTM and z, r, h in a GRU.
SHAPES = {
    "lstm": {
        "kernel": (CHANNELS, 4 * UNITS),
        "recurrent": (UNITS, 4 * UNITS),
        "bias": (4 * UNITS,),
        "head": (UNITS, OUTPUTS),
    },
    "gru": {
        "kernel": (CHANNELS, 3 * UNITS),
        "recurrent": (UNITS, 3 * UNITS),
        "bias": (2, 3 * UNITS),
        "head": (UNITS, OUTPUTS),
    },
    "conv": {
        "kernel": (3, CHANNELS, UNITS),
        "bias": (UNITS,),
        "head": ((STEPS - 2) * UNITS, OUTPUTS),
    },
    "attention": {
        "embed": (CHANNELS, WIDTH),
        "embed_bias": (WIDTH,),
        "kernel": (3, WIDTH, HEADS, WIDTH // HEADS),  # of query, key, value
        "bias": (3, HEADS, WIDTH // HEADS),
        "join": (HEADS, WIDTH // HEADS, WIDTH),
        "join_bias": (WIDTH,),
        "head": (STEPS * WIDTH, OUTPUTS),
    },
}


def drawn(shape: tuple[int, ...], *seed: int, scale: float = 0.6) -> np.ndarray:
    """Draw float64 numbers that float32 holds too, so that both precisions run the same model."""
    return np.random.default_rng(seed).normal(0, scale, shape).astype("float32").astype("float64")


@cache
def weights(kind: str) -> dict[str, np.ndarray]:
    shapes = {**SHAPES[kind], "head_bias": (OUTPUTS,)}
    # Outputs of size 1 in each, so that one tolerance serves all.
    scale = 0.4 if kind == "attention" else 0.6
    return {name: drawn(shape, KINDS.index(kind), i, scale=scale) for i, (name, shape) in enumerate(shapes.items())}


def inputs() -> np.ndarray:
    return drawn((SAMPLES, STEPS, CHANNELS), 99)


def forward(kind: str, x: Any, xp: ModuleType = np, *, held: Any = None) -> tuple[Any, Any]:
    """Return outputs of shape (sample, output) and attention weights or None; takes complex numbers, and JAX arrays.

    ``held`` are attention weights to use in the place of those that the model computes.
    """
    w = {name: values.astype(x.real.dtype) for name, values in weights(kind).items()}
    return with_weights(kind, w, x, xp, held=held)


def with_weights(kind: str, w: dict[str, Any], x: Any, xp: ModuleType = np, *, held: Any = None) -> tuple[Any, Any]:
    """Return what `forward` does, of other weights; complex ones need a complex `x`."""
    hidden, scores = hidden_of(kind, w, x, xp, held=held)
    return hidden @ w["head"] + w["head_bias"], scores


def hidden_of(kind: str, w: dict[str, Any], x: Any, xp: ModuleType = np, *, held: Any = None) -> tuple[Any, Any]:
    """Return what goes into the head, of shape (sample, unit), and attention weights or None."""
    if kind == "attention":
        return _attention(w, x, xp, held)
    return {"lstm": _lstm, "gru": _gru, "conv": _conv}[kind](w, x, xp)


def _sigmoid(z: Any, xp: ModuleType) -> Any:
    return 1 / (1 + xp.exp(-z))


def _loop(step: Any, state: Any, x: Any, xp: ModuleType) -> Any:
    if xp is not np:
        import jax

        return jax.lax.scan(lambda state, now: (step(state, now), None), state, xp.swapaxes(x, 0, 1))[0]
    for t in range(STEPS):
        state = step(state, x[:, t])
    return state


def _lstm(w: dict[str, np.ndarray], x: Any, xp: ModuleType) -> tuple[Any, None]:
    def step(state: Any, now: Any) -> Any:
        h, c = state
        i, f, g, o = xp.split(now @ w["kernel"] + h @ w["recurrent"] + w["bias"], 4, axis=1)
        c = _sigmoid(f, xp) * c + _sigmoid(i, xp) * xp.tanh(g)
        return _sigmoid(o, xp) * xp.tanh(c), c

    zeros = xp.zeros((len(x), UNITS), x.dtype)
    return _loop(step, (zeros, zeros), x, xp)[0], None


def _gru(w: dict[str, np.ndarray], x: Any, xp: ModuleType) -> tuple[Any, None]:
    """Apply the reset gate after the product with the recurrent kernel, as Keras and torch do."""

    def step(h: Any, now: Any) -> Any:
        of_input = xp.split(now @ w["kernel"] + w["bias"][0], 3, axis=1)
        of_state = xp.split(h @ w["recurrent"] + w["bias"][1], 3, axis=1)
        z, r = (_sigmoid(a + b, xp) for a, b in zip(of_input[:2], of_state[:2], strict=True))
        return z * h + (1 - z) * xp.tanh(of_input[2] + r * of_state[2])

    return _loop(step, xp.zeros((len(x), UNITS), x.dtype), x, xp), None


def _conv(w: dict[str, np.ndarray], x: Any, xp: ModuleType) -> tuple[Any, None]:
    rows = [xp.einsum("bkc,kcu->bu", x[:, t : t + 3], w["kernel"]) + w["bias"] for t in range(STEPS - 2)]
    return xp.tanh(xp.concatenate(rows, axis=1)), None


def _attention(w: dict[str, np.ndarray], x: Any, xp: ModuleType, held: Any) -> tuple[Any, Any]:
    embedded = x @ w["embed"] + w["embed_bias"]
    query, key, value = (
        xp.einsum("btw,whk->bthk", embedded, kernel) + bias for kernel, bias in zip(w["kernel"], w["bias"], strict=True)
    )
    scores = xp.exp(xp.einsum("bqhk,bshk->bhqs", query, key) / (WIDTH // HEADS) ** 0.5)
    scores = scores / scores.sum(axis=-1, keepdims=True) if held is None else held
    joined = xp.einsum("bhqs,bshk,hkw->bqw", scores, value, w["join"]) + w["join_bias"]
    return joined.reshape(len(x), -1), scores


def gradient(kind: str, x: np.ndarray, *, held: Any = None) -> np.ndarray:
    """Return the gradient of the target of each sample, by the complex step."""
    step = 1e-30
    nudges = 1j * step * np.eye(STEPS * CHANNELS).reshape(-1, STEPS, CHANNELS)
    points = (x[:, None] + nudges).reshape(-1, STEPS, CHANNELS)
    held = None if held is None else np.repeat(held, len(nudges), axis=0)
    slopes = forward(kind, points, held=held)[0].imag.reshape(len(x), STEPS, CHANNELS, OUTPUTS) / step
    return np.stack([slope[..., target] for slope, target in zip(slopes, TARGET, strict=True)])


def weight_gradient(kind: str, x: np.ndarray, of_output: np.ndarray, of_scores: Any) -> dict[str, np.ndarray]:
    """Return the gradient of outputs and attention weights, each times its cotangent, for each weight, by name."""
    step, found = 1e-30, {}
    for name, values in weights(kind).items():
        found[name] = np.empty(values.shape)
        for place in np.ndindex(*values.shape):
            moved = {**weights(kind), name: values.astype(complex)}
            moved[name][place] += 1j * step
            outputs, scores = with_weights(kind, moved, x.astype(complex))
            found[name][place] = (outputs.imag * of_output).sum() / step
            if scores is not None:
                found[name][place] += (scores.imag * of_scores).sum() / step
    return found


def noise(x: np.ndarray, step: int) -> np.ndarray:
    """Return SmoothGrad's noise as documented: by seed, sample and step, in units of each channel's range."""
    draws = [
        np.random.Generator(np.random.Philox(key=[SEED, 0], counter=[0, 0, step, sample])).standard_normal(x.shape[1:])
        for sample in range(len(x))
    ]
    return 0.15 * (x.max(axis=1, keepdims=True) - x.min(axis=1, keepdims=True)) * np.stack(draws)


def relevance(kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return relevance by the composite ``arras``, and what biases and stabilisers absorb of it."""
    x, w, how = inputs(), weights(kind), {"epsilon": 1e-3}
    prediction, _ = forward(kind, x)
    of_output = np.where(np.arange(OUTPUTS) == TARGET[:, None], prediction, 0)
    of_hidden, *absorbed = rules.dense(hidden_of(kind, w, x)[0], w["head"], w["head_bias"], of_output, **how)
    found = [absorbed]
    if kind == "lstm":
        to_input, *own = rules.lstm(x, w["kernel"], w["recurrent"], w["bias"], of_hidden, **how)
    elif kind == "gru":
        to_input, *own = rules.gru(x, w["kernel"], w["recurrent"], w["bias"], of_hidden, **how)
    elif kind == "conv":
        steps = of_hidden.reshape(SAMPLES, STEPS - 2, UNITS)
        to_input, *own = rules.conv1d(x, w["kernel"], w["bias"], steps, **how)
    else:
        parts = {f"{part}_kernel": w["kernel"][i] for i, part in enumerate(("query", "key", "value"))}
        parts |= {f"{part}_bias": w["bias"][i] for i, part in enumerate(("query", "key", "value"))}
        parts |= {"output_kernel": w["join"], "output_bias": w["join_bias"]}
        embedded, steps = x @ w["embed"] + w["embed_bias"], of_hidden.reshape(SAMPLES, STEPS, WIDTH)
        steps, *own = rules.multi_head_attention(embedded, parts, steps, attention_epsilon=1e-3, **how)
        found.append(own)
        to_input, *own = rules.dense(x, w["embed"], w["embed_bias"], steps, **how)
    of_bias, of_epsilon = np.sum([*found, own], axis=0)
    return to_input, of_bias, of_epsilon


@cache
def expected(kind: str) -> dict[str, np.ndarray]:
    """Return what there is to find, by name."""
    x, rows = inputs(), np.arange(SAMPLES)
    prediction, scores = forward(kind, x)
    nodes, shares = np.polynomial.legendre.leggauss(N_STEPS)
    slopes = sum(
        share / 2 * gradient(kind, BASELINE + (node + 1) / 2 * (x - BASELINE))
        for node, share in zip(nodes, shares, strict=True)
    )
    occluded = np.empty_like(x)
    for t, c in np.ndindex(STEPS, CHANNELS):
        changed = x.copy()
        changed[:, t, c] = BASELINE
        occluded[:, t, c] = (prediction - forward(kind, changed)[0])[rows, TARGET]
    found = {
        "prediction": prediction,
        "occlusion": occluded,
        "gradient": gradient(kind, x),
        "input_x_gradient": x * gradient(kind, x),
        "integrated_gradients": (x - BASELINE) * slopes,
        "smoothgrad": sum(gradient(kind, x + noise(x, step)) for step in range(N_NOISY)) / N_NOISY,
    }
    found |= dict(zip(("relevance", "bias_relevance", "epsilon_relevance"), relevance(kind), strict=True))
    if scores is not None:
        found |= {"attention": scores, "gradient with attention held": gradient(kind, x, held=scores)}
    return found
