"""The models as functions of JAX; those that one writes by hand."""

from collections.abc import Callable
from typing import Any

from common.models import UNITS, Weights

NAMES = ("seed", "lstm", "conv")


def jax_function(name: str, weights: Weights) -> tuple[Callable[[Any, Any], Any], Any]:
    """Return a function of weights and arrays (sample, timestep, channel), and its weights."""
    import jax

    if name not in NAMES:
        raise SystemExit(f"there is no {name} as a function of JAX; there are {', '.join(NAMES)}")
    jnp = jax.numpy

    def recurrent(w: Any, x: Any) -> Any:
        def step(state: Any, given: Any) -> Any:
            hidden, cell = state
            gates = jnp.split(given + hidden @ w["recurrent"], 4, axis=-1)
            admit, forget, out = (jax.nn.sigmoid(gates[i]) for i in (0, 1, 3))
            cell = forget * cell + admit * jnp.tanh(gates[2])
            hidden = out * jnp.tanh(cell)
            return (hidden, cell), hidden

        start = jnp.zeros((len(x), UNITS), x.dtype)
        _, hidden = jax.lax.scan(step, (start, start), jnp.swapaxes(x @ w["kernel"] + w["bias"], 0, 1))
        return jnp.swapaxes(hidden, 0, 1)

    def attended(w: Any, x: Any) -> Any:
        both = jnp.tanh((x @ w["Wt"])[:, :, None] + (x @ w["Wx"])[:, None] + w["bh"])
        score = (both @ w["Wa"])[..., 0] + w["ba"]
        return jax.nn.softmax(jax.nn.sigmoid(score), axis=-1) @ x

    def convolved(w: Any, x: Any) -> Any:
        for number in (1, 2):
            x = jax.lax.conv_general_dilated(
                x, w[f"kernel_{number}"], (1,), "VALID", dimension_numbers=("NWC", "WIO", "NWC")
            )
            x = jax.nn.relu(x + w[f"bias_{number}"])
        return x

    def model(w: Any, x: Any) -> Any:
        if name == "conv":
            hidden = convolved(w, x).reshape(len(x), -1)
        else:
            hidden = recurrent(w, x)
            hidden = hidden[:, -1] if name == "lstm" else attended(w, hidden).reshape(len(x), -1)
        return hidden @ w["head_kernel"] + w["head_bias"]

    return model, {key: jnp.asarray(values) for key, values in weights.items()}
