"""The models of the reference in every framework, with its weights."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np

import attrkit
from tests.contract import reference
from tests.contract.reference import CHANNELS, HEADS, OUTPUTS, STEPS, UNITS, WIDTH

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

HEAD = ("head", "head_bias")


@contextmanager
def built(framework: str, kind: str, precision: str) -> Iterator[Any]:
    """Yield a model, in a process that computes in this precision until the block ends."""
    with BUILDERS[framework](kind, precision) as model:
        yield model


def _keras_on(backend: str) -> Callable[..., Any]:
    @contextmanager
    def build(kind: str, precision: str) -> Iterator[Any]:
        import keras

        assert keras.__version__.startswith("3."), f"Keras {keras.__version__} is here, not Keras 3"
        assert keras.backend.backend() == backend, f"Keras runs on {keras.backend.backend()}, not on {backend}"
        with _floatx(keras, _of_weights(precision)), _x64(precision == "float64" and backend == "jax"):
            yield _keras_model(keras, kind, precision)

    return build


@contextmanager
def _keras2(kind: str, precision: str) -> Iterator[Any]:
    from tensorflow import keras

    version = import_module(keras.Model.__module__.split(".")[0]).__version__
    assert version.startswith("2."), f"Keras {version} is here, not Keras 2; tf-keras needs TF_USE_LEGACY_KERAS=1"
    with _floatx(keras, _of_weights(precision)):
        yield _keras_model(keras, kind, precision)


def _of_weights(precision: str) -> str:
    """Return what weights and inputs are in, of a precision or of a policy that computes in half of it."""
    return "float32" if precision.startswith("mixed_") else precision


@contextmanager
def _floatx(keras: Any, precision: str) -> Iterator[None]:
    before = keras.backend.floatx()
    keras.backend.set_floatx(precision)
    try:
        yield
    finally:
        keras.backend.set_floatx(before)


@contextmanager
def _x64(on: bool) -> Iterator[None]:
    if not on:
        yield
        return
    import jax

    with jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64():
        yield


def _keras_model(keras: Any, kind: str, precision: str) -> Any:
    layers, w = keras.layers, reference.weights(kind)
    # Keras 3 settles the default of layers once, whatever floatx becomes after that.
    of = {"dtype": precision}
    inputs = keras.Input((STEPS, CHANNELS), dtype=_of_weights(precision))
    if kind == "lstm":
        body = layers.LSTM(UNITS, name="body", **of)
        hidden, given = body(inputs), [w["kernel"], w["recurrent"], w["bias"]]
    elif kind == "gru":
        body = layers.GRU(UNITS, reset_after=True, name="body", **of)
        hidden, given = body(inputs), [w["kernel"], w["recurrent"], w["bias"]]
    elif kind == "conv":
        body = layers.Conv1D(UNITS, 3, activation="tanh", name="body", **of)
        hidden, given = layers.Flatten(**of)(body(inputs)), [w["kernel"], w["bias"]]
    else:
        embedded = layers.Dense(WIDTH, name="embed", **of)(inputs)
        body = layers.MultiHeadAttention(HEADS, WIDTH // HEADS, name="body", **of)
        hidden = layers.Flatten(**of)(body(embedded, embedded))
        given = [a for pair in zip(w["kernel"], w["bias"], strict=True) for a in pair] + [w["join"], w["join_bias"]]
    model = keras.Model(inputs, layers.Dense(OUTPUTS, name="head", **of)(hidden))
    model.get_layer("body").set_weights(given)
    model.get_layer("head").set_weights([w[name] for name in HEAD])
    if kind == "attention":
        model.get_layer("embed").set_weights([w["embed"], w["embed_bias"]])
    return model


@contextmanager
def _torch(kind: str, precision: str) -> Iterator[Any]:
    import torch

    nn, w = torch.nn, reference.weights(kind)

    class Model(nn.Module):
        def __init__(self, body: Any, hidden: int) -> None:
            super().__init__()
            self.body, self.head = body, nn.Linear(hidden, OUTPUTS)
            if kind == "attention":
                self.embed = nn.Linear(CHANNELS, WIDTH)

        def forward(self, x: Any) -> Any:
            if kind in ("lstm", "gru"):
                hidden = self.body(x)[0][:, -1]
            elif kind == "conv":
                hidden = torch.tanh(self.body(x.transpose(1, 2))).transpose(1, 2).flatten(1)
            else:
                embedded = self.embed(x)
                hidden = self.body(embedded, embedded, embedded, need_weights=False)[0].flatten(1)
            return self.head(hidden)

    if kind == "lstm":
        # i, f, g, o: the order of Keras, whose c is torch's g. torch has two biases, Keras their sum.
        model = Model(nn.LSTM(CHANNELS, UNITS, batch_first=True), UNITS)
        given = {
            "body.weight_ih_l0": w["kernel"].T,
            "body.weight_hh_l0": w["recurrent"].T,
            "body.bias_ih_l0": w["bias"],
            "body.bias_hh_l0": np.zeros_like(w["bias"]),
        }
    elif kind == "gru":
        # r, z, n where Keras has z, r, h; both apply the reset gate after the product.
        model = Model(nn.GRU(CHANNELS, UNITS, batch_first=True), UNITS)
        given = {
            "body.weight_ih_l0": _reset_first(w["kernel"]).T,
            "body.weight_hh_l0": _reset_first(w["recurrent"]).T,
            "body.bias_ih_l0": _reset_first(w["bias"][0]),
            "body.bias_hh_l0": _reset_first(w["bias"][1]),
        }
    elif kind == "conv":
        model = Model(nn.Conv1d(CHANNELS, UNITS, 3), (STEPS - 2) * UNITS)
        given = {"body.weight": w["kernel"].transpose(2, 1, 0), "body.bias": w["bias"]}
    else:
        model = Model(nn.MultiheadAttention(WIDTH, HEADS, batch_first=True), STEPS * WIDTH)
        given = {
            "embed.weight": w["embed"].T,
            "embed.bias": w["embed_bias"],
            "body.in_proj_weight": np.concatenate([kernel.reshape(WIDTH, WIDTH).T for kernel in w["kernel"]]),
            "body.in_proj_bias": w["bias"].reshape(-1),
            "body.out_proj.weight": w["join"].reshape(WIDTH, WIDTH).T,
            "body.out_proj.bias": w["join_bias"],
        }
    given |= {"head.weight": w["head"].T, "head.bias": w["head_bias"]}
    model = model.to(getattr(torch, precision))
    model.load_state_dict({name: torch.tensor(values) for name, values in given.items()})
    yield model.eval()


def as_in_reference(framework: str, kind: str, found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return arrays that a framework names, in the names and layouts of the reference."""
    on_torch, laid = framework == "torch", {}
    laid["head"] = found["head.weight"].T if on_torch else found["head.kernel"]
    laid["head_bias"] = found["head.bias"]
    if kind == "attention":
        laid["embed"] = found["embed.weight"].T if on_torch else found["embed.kernel"]
        laid["embed_bias"] = found["embed.bias"]
        heads = (HEADS, WIDTH // HEADS)
        if on_torch:
            kernels = np.split(found["body.in_proj_weight"], 3)
            laid["kernel"] = np.stack([kernel.T.reshape(WIDTH, *heads) for kernel in kernels])
            laid["bias"] = found["body.in_proj_bias"].reshape(3, *heads)
            laid["join"] = found["body.out_proj.weight"].T.reshape(*heads, WIDTH)
            laid["join_bias"] = found["body.out_proj.bias"]
        else:
            parts = ("query", "key", "value")
            laid["kernel"], laid["bias"] = (
                np.stack([found[f"body.{part}.{name}"] for part in parts]) for name in ("kernel", "bias")
            )
            laid["join"] = found["body.attention_output.kernel"]
            laid["join_bias"] = found["body.attention_output.bias"]
    elif kind == "conv":
        laid["kernel"] = found["body.weight"].transpose(2, 1, 0) if on_torch else found["body.kernel"]
        laid["bias"] = found["body.bias"]
    elif on_torch:
        gates = _reset_first if kind == "gru" else lambda values: values
        laid["kernel"], laid["recurrent"] = (gates(found[f"body.weight_{part}_l0"].T) for part in ("ih", "hh"))
        both = [gates(found[f"body.bias_{part}_l0"]) for part in ("ih", "hh")]
        laid["bias"] = np.stack(both) if kind == "gru" else both[0]
    else:
        laid["kernel"], laid["recurrent"] = found["body.kernel"], found["body.recurrent_kernel"]
        laid["bias"] = found["body.bias"]
    return laid


def _reset_first(values: np.ndarray) -> np.ndarray:
    update, reset, new = np.split(values, 3, axis=-1)
    return np.concatenate([reset, update, new], axis=-1)


@contextmanager
def _jax_function(kind: str, precision: str) -> Iterator[Any]:
    import jax.numpy as jnp

    def function(x: Any) -> Any:
        return reference.forward(kind, x.astype(precision), jnp)[0]

    with _x64(precision == "float64"):
        yield attrkit.adapt(function, framework="jax")


@contextmanager
def _numpy_function(kind: str, precision: str) -> Iterator[Any]:
    yield lambda x: reference.forward(kind, x.astype(precision))[0]


BUILDERS: dict[str, Callable[..., Any]] = {
    "keras-tensorflow": _keras_on("tensorflow"),
    "keras-jax": _keras_on("jax"),
    "keras-torch": _keras_on("torch"),
    "keras2": _keras2,
    "torch": _torch,
    "jax": _jax_function,
    "numpy": _numpy_function,
}
