"""What runs in the worker: iNNvestigate on Keras 2, in graphs. Sent there as source; imports nothing of attrkit.

A request is a dict of built-in values, arrays as bytes; the answer is ``["done", values]``, ``["refused", why]`` for
what cannot be analysed, ``["wrong option", why]``, or ``["failed", why]``.
"""

import contextlib
import inspect
import io
import json
import os
import sys
import traceback
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from typing import Any

KEPT_MODELS = 4

# They reverse a model layer by layer, by rules for the layers of dense and convolutional nets.
BY_LAYER = ("lrp", "deep_taylor", "deconvnet", "guided_backprop")
DRAWS = ("smoothgrad", "random")


class Refusal(Exception):
    """What is asked cannot be had of this model, and the message says why."""


class WrongOption(Exception):
    """An analyzer does not take its options."""


class Loaded:
    """A model in a graph of its own, and the analyses that have been built for it."""

    def __init__(self, request: dict[str, Any]) -> None:
        import tensorflow as tf

        self.tf, self.keras, self.request = tf, tf.keras, request
        self.analyses: dict[Any, Analysis] = {}
        self.graph = tf.Graph()
        self.session = tf.compat.v1.Session(graph=self.graph)
        description, weights = json.loads(request["description"]), unpacked(request["weights"])
        with self.running():
            self.keras.backend.set_floatx(request["floatx"])
            custom = {name: imported(place) for name, place in description["custom"].items()}
            kind = self.keras.Sequential if description["sequential"] else self.keras.Model
            with self.keras.utils.custom_object_scope(custom):
                self.model = kind.from_config(readable(self.keras, description["config"], custom))
            self.model.set_weights([weights[f"w{i}"] for i in range(len(weights))])

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Make the model's graph the one that is worked in."""
        with self.graph.as_default():
            self.tf.compat.v1.keras.backend.set_session(self.session)
            yield

    def predict(self, x: Any) -> Any:
        """Return the model's output."""
        with self.running():
            return self.session.run(self.model.outputs[0], {self.model.inputs[0]: x, **self.not_training()})

    def not_training(self) -> dict[Any, bool]:
        """Return what a session is fed beside inputs."""
        phase = self.tf.compat.v1.keras.backend.learning_phase()
        return {} if isinstance(phase, int) else {phase: False}

    def without_head(self, *, logits: bool) -> tuple[Any, str]:
        """Return the model that is analysed, and the name of the activation that was taken off its end."""
        from innvestigate.backend.graph import copy_layer_wo_activation

        last = self.model.layers[-1]
        while hasattr(last, "layers"):
            last = last.layers[-1]
        own = getattr(getattr(last, "activation", None), "__name__", "")
        name = "softmax" if type(last).__name__ == "Softmax" else own
        if name != "softmax" and not (logits and name == "sigmoid"):
            return self.model, ""
        layer, node, _ = self.model.outputs[0]._keras_history
        output = layer.get_input_at(node)
        if hasattr(layer, "activation") and type(layer).__name__ != "Activation":
            # Under a name of its own: the next free one of its kind may be another layer's.
            output = copy_layer_wo_activation(layer, name_template=f"%s_without_{name}")(output)
        elif layer is not last:
            raise Refusal(f"its {name} at the end cannot be taken off: it is inside {layer.name}")
        return self.keras.Model(self.model.inputs, output, name=self.model.name), name


class Analysis:
    """The tensors of one analyzer; they are run one by one, and never made into a Keras model.

    Making one would fetch what a loop keeps for its gradient, which cannot be fetched.
    """

    def __init__(self, loaded: Loaded, name: str, options: dict[str, Any], *, logits: bool, seed: int) -> None:
        import innvestigate

        loaded.tf.compat.v1.set_random_seed(seed)
        self.loaded, self.draws, self.stream = loaded, name in DRAWS, loaded.session
        model, self.head = loaded.without_head(logits=logits)
        check_layers(name, model, loaded.keras)
        if len(model.outputs[0].shape) > 2:
            model = loaded.keras.Model(model.inputs, loaded.keras.layers.Flatten()(model.outputs[0]))
        try:
            analyzer = innvestigate.create_analyzer(name, model, neuron_selection_mode="index", **options)
        except innvestigate.NotAnalyzeableModelException as err:
            raise Refusal(str(err)) from err
        except (TypeError, ValueError) as err:
            raise WrongOption(str(err)) from err
        try:
            self.wrapper = analyzer if hasattr(analyzer, "_subanalyzer") else None
            base = analyzer._subanalyzer if self.wrapper else analyzer
            prepared, (self.selection,), stop = base._prepare_model(base._model)
            self.given = base._model.inputs[0]
            # Of the one that multiplies its gradients by a Keras layer, the gradients.
            times_input = name == "input_t_gradient"
            kind = innvestigate.analyzer.Gradient if times_input else type(base)
            found = kind._create_analysis(base, prepared, stop_analysis_at_tensors=stop)
            while isinstance(found, list | tuple):
                found = found[0]
            self.result = self.given * found if times_input else found
            if self.wrapper:
                # Its own steps before and after, run apart, so that as many rows are run at once as fit.
                (self.points,) = analyzer._augment([self.given])
                self.at_points = loaded.keras.Input(self.result.shape[1:])
                (self.reduced,) = analyzer._reduce([self.at_points])
        except (NotImplementedError, TypeError, ValueError, KeyError) as err:
            raise Refusal(str(err) or f"{type(err).__name__}, without a message") from err
        # Sets the variables that have come with it.
        loaded.tf.compat.v1.keras.backend.get_session()

    def run(self, x: Any, neuron: Any, rows: int, *, is_first: bool) -> Any:
        """Return what the analyzer finds for a batch; `neuron` has one index a sample."""
        import numpy as np

        session, rest = self.loaded.session, self.loaded.not_training()
        if self.draws and is_first:
            # A session begins the stream of random numbers anew; nothing that is drawn depends on weights.
            self.stream = self.loaded.tf.compat.v1.Session(graph=self.loaded.graph)
        if self.draws and not self.wrapper:
            return self.stream.run(self.result, {self.given: x, **rest})
        points = self.stream.run(self.points, {self.given: x, **rest}) if self.wrapper else x
        neurons = np.repeat(neuron, len(points) // len(x))
        found = []
        for start in range(0, len(points), rows):
            part = points[start : start + rows]
            # One neuron a row, by its place in this very batch.
            chosen = np.stack([np.arange(len(part)), neurons[start : start + rows]], axis=1)
            found.append(session.run(self.result, {self.given: part, self.selection: chosen, **rest}))
        values = np.concatenate(found)
        return session.run(self.reduced, {self.at_points: values, self.given: x, **rest}) if self.wrapper else values


def check_layers(name: str, model: Any, keras: Any) -> None:
    """Refuse what an analyzer that goes through a model layer by layer has no rule for, or a wrong one."""
    from innvestigate.backend import checks

    if name.split(".")[0] not in BY_LAYER:
        return
    layers = list(model._flatten_layers(include_self=False))
    foreign = [f"{layer.name} ({type(layer).__name__})" for layer in layers if not checks.is_convnet_layer(layer)]
    if foreign:
        raise Refusal(f"it has no rule for {', '.join(foreign)}, and would pass on gradients there")
    norms = [layer.name for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
    if norms and name.startswith(("lrp", "deep_taylor")):
        raise Refusal(
            "its rule of batch normalisation squares the variance and leaves out the scale of the mean "
            f"({', '.join(norms)})"
        )
    if name in ("deconvnet", "guided_backprop") and not any(checks.contains_activation(la, "relu") for la in layers):
        raise Refusal("the model has no relu, so it would be the gradient under another name")


def readable(keras: Any, config: Any, custom: dict[str, Any]) -> Any:
    """Leave out of a description what this Keras does not know; whether that changes anything, predictions tell."""
    if isinstance(config, list):
        return [readable(keras, part, custom) for part in config]
    if not isinstance(config, dict):
        return config
    config = {key: readable(keras, value, custom) for key, value in config.items()}
    kind = config.get("class_name")
    if kind is None or "config" not in config or kind in ("Functional", "Sequential", "Model"):
        return config
    cls = custom.get(kind) or getattr(keras.layers, kind, None)
    if cls is None:
        raise Refusal(f"Keras 2 has no layer {kind}")
    known = {"name", "trainable", "dtype", "batch_input_shape"}
    for base in cls.__mro__[:-1]:
        known |= set(inspect.signature(base.__init__).parameters) - {"batch_shape"}
    # Keras 2 asks for these, and Keras 3 has not written them: without, weights are made with the first call.
    asked = dict.fromkeys(("query_shape", "key_shape", "value_shape")) if kind == "MultiHeadAttention" else {}
    known |= set(asked)
    return {**config, "config": asked | {key: value for key, value in config["config"].items() if key in known}}


def imported(place: str) -> Any:
    """Return the class at ``"module:name"``."""
    module, _, name = place.partition(":")
    found = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def unpacked(data: bytes) -> dict[str, Any]:
    """Return arrays by name."""
    import numpy as np

    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def packed(**arrays: Any) -> bytes:
    """Return arrays as bytes; numpy's files have no type for bfloat16, and float32 holds every value."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez(buffer, **{name: a.astype("float32") if a.dtype.name == "bfloat16" else a for name, a in arrays.items()})
    return buffer.getvalue()


def answer(request: dict[str, Any], models: dict[str, Loaded]) -> Any:
    """Do what is asked."""
    if request["do"] == "knows":
        return request["key"] in models
    if request["do"] == "load":
        while len(models) >= KEPT_MODELS:
            models.pop(next(iter(models))).session.close()
        models[request["key"]] = Loaded(request)
        return True
    loaded, arrays = models[request["key"]], unpacked(request["arrays"])
    if request["do"] == "predict":
        return packed(array=loaded.predict(arrays["x"]))
    options, start = json.loads(request["options"]), arrays.get("baseline")
    asked = (
        request["analyzer"],
        request["options"],
        request["logits"],
        request["seed"],
        b"" if start is None else start.tobytes(),
    )
    if start is not None:
        options["reference_inputs"] = [start]
    if asked not in loaded.analyses:
        # Random numbers depend on what stands in a graph before them, so they get one of their own.
        own = Loaded(loaded.request) if request["analyzer"] in DRAWS else loaded
        with own.running():
            loaded.analyses[asked] = Analysis(
                own, request["analyzer"], options, logits=request["logits"], seed=request["seed"]
            )
    analysis = loaded.analyses[asked]
    with analysis.loaded.running():
        found = analysis.run(arrays["x"], arrays["neuron"], request["rows"], is_first=request["is_first"])
    return [packed(array=found), analysis.head]


def begin() -> dict[str, Any]:
    """Import what is needed, in graph mode; return versions."""
    import innvestigate  # noqa: F401
    import tensorflow as tf

    # Two statements that hold for the whole process, which is why it is one of its own.
    tf.compat.v1.disable_eager_execution()
    tf.compat.v1.experimental.output_all_intermediates(True)
    keras = import_module(tf.keras.Model.__module__.split(".")[0])
    if not keras.__version__.startswith("2"):
        raise ImportError(f"TensorFlow {tf.__version__} brings Keras {keras.__version__}, and tf-keras is not there")
    return {
        "innvestigate": version("innvestigate"),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "python": sys.version.split()[0],
    }


def serve(channel: Any) -> None:
    """Answer requests until the channel is closed."""
    setting = channel.receive()
    channel.send(["done", os.getpid()])
    with open(setting["log"], "wb", buffering=0) as log:
        os.dup2(log.fileno(), 2)
    sys.path[:0] = [path for path in setting["sys_path"] if path not in sys.path]
    try:
        channel.send(["done", begin()])
    except Exception as err:
        channel.send(["failed", f"{type(err).__name__}: {err}"])
        return
    models: dict[str, Loaded] = {}
    for request in channel:
        try:
            channel.send(["done", answer(request, models)])
        except Refusal as err:
            channel.send(["refused", str(err)])
        except WrongOption as err:
            channel.send(["wrong option", str(err)])
        except Exception as err:
            traceback.print_exc()
            channel.send(["failed", f"{type(err).__name__}: {err}"])


if __name__ == "__channelexec__":
    serve(channel)  # type: ignore[name-defined]  # noqa: F821
