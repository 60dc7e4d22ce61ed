"""Keras models from ``.keras`` and ``.h5`` files, of Keras 2 and 3."""

import builtins
import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from attrkit.errors import MissingDependencyError, RefusedError, StoreError
from attrkit.file_checks import check_holds_all
from attrkit.models import _keras2

_SELF_ATTENTION = (
    "SeqSelfAttention",
    "SeqWeightedAttention",
    "ScaledDotProductAttention",
    "ResidualScaledDotProductAttention",
)

# A description names the Python object that each part of a model is made from. Of Keras, these folders hold what models
# are made of; others hold functions that download, unpack or delete.
_PARTS = re.compile(
    r"(tf_)?keras(\.src|\.api|\._tf_keras|\.keras|\.engine|\.legacy)*\.([A-Z]\w*|(activations|constraints|dtype_policies|"
    r"functional|initializers|layers|losses|metrics|mixed_precision|models|ops|optimizers|random|regularizers|"
    r"sequential|training|input_layer)(\.\w+)+)"
)

# Layers that hold code, or the path of another file.
_CODE = ("Lambda", "__lambda__", "TorchModuleWrapper", "TFSMLayer")

# Keras 2 keeps an operation between layers as the name of any TensorFlow function, and calls it with arguments of the
# file when it loads: tf.io.gfile.rmtree is one. These compute.
_COMPUTING = re.compile(
    r"(compat\.v1\.)?((math|nn|linalg|signal|__operators__|keras\.(activations|backend))\.\w+(\.\w+)*|"
    r"abs|add|argmax|argmin|argsort|boolean_mask|broadcast_to|cast|clip_by_value|concat|convert_to_tensor|cumsum|divide|"
    r"einsum|exp|expand_dims|eye|fill|gather|gather_nd|greater|greater_equal|identity|less|less_equal|logical_and|"
    r"logical_not|logical_or|matmul|maximum|minimum|multiply|negative|not_equal|equal|norm|one_hot|ones|ones_like|pad|"
    r"pow|range|rank|reduce_\w+|repeat|reshape|reverse|roll|round|shape|sigmoid|sign|size|slice|sort|split|sqrt|square|"
    r"squeeze|stack|stop_gradient|strided_slice|subtract|tanh|tensordot|tile|transpose|unstack|where|zeros|zeros_like)"
)


# In the archive that a .keras file is.
_WEIGHTS = "model.weights.h5"


class _File(NamedTuple):
    source: Path
    description: str | None  # JSON; None where the file holds weights only
    version: str  # of the Keras that wrote it

    @property
    def zipped(self) -> bool:
        return zipfile.is_zipfile(self.source)

    @property
    def of_keras3(self) -> bool:
        return self.version.startswith("3")


def load_keras(source: Path, *, into: Any, custom_objects: Mapping[str, Any] | None, allow_code_execution: bool) -> Any:
    """Load a Keras file; `attrkit.load_model` says how."""
    file = _read(source)
    known = dict(custom_objects or {})
    if into is not None:
        return _weights_into(into, file)
    if file.description is None:
        raise StoreError(f"{source} holds weights only; build their model and pass it: load_model(path, into=model)")
    description = _parsed(file)
    keras = in_use()
    if file.of_keras3 and not is_keras3(keras):
        raise StoreError(
            f"{source} was written by Keras {file.version}, and Keras {keras.__version__} is in use, which cannot read "
            "it; unset TF_USE_LEGACY_KERAS, or install keras>=3, before TensorFlow is imported"
        )
    known = with_self_attention(file.description, known)
    if not allow_code_execution:
        check_harmless(keras, source, description, known)
    try:
        return _load(keras, file, description, known, safe_mode=not allow_code_execution)
    except (StoreError, MissingDependencyError) as err:
        raise type(err)(f"{source} (written by Keras {file.version}): {err}") from err
    except Exception as err:  # Keras raises every kind of error here, and few of them name the cause.
        # Keras wraps one error into another, and each repeats the description; the last says what is wrong.
        cause = str(err).split("Exception encountered: ")[-1]
        raise StoreError(
            f"Keras {keras.__version__} cannot load {source} (written by Keras {file.version}): {cause}"
        ) from err


def _load(keras: Any, file: _File, description: Any, known: dict[str, Any], *, safe_mode: bool) -> Any:
    translated = not file.of_keras3 and is_keras3(keras)
    if not translated and (not file.zipped or file.of_keras3 or _reads_as_it_is(keras, file)):
        options = {"safe_mode": safe_mode} if file.zipped else {}
        model = keras.models.load_model(str(file.source), custom_objects=known, compile=False, **options)
        if not file.zipped:
            with _weights(file) as weights:
                _keras2.compare(_keras2.by_order(model, weights["model_weights"]))
        return model
    if translated:
        description = _keras2.translate(description)
        known = {_keras2.HARD_SIGMOID: _keras2.hard_sigmoid, **known}
    # The scope is for functions, which layers look up by themselves.
    with keras.saving.custom_object_scope(known):
        model = keras.saving.deserialize_keras_object(description, custom_objects=known, safe_mode=safe_mode)
    with _weights(file) as weights:
        if file.zipped:
            _fill_by_place(keras, model, weights)
        else:
            _fill_by_order(model, weights)
    return model


def _fill_by_order(model: Any, weights: Any) -> None:
    stored = _keras2.by_order(model, weights.get("model_weights", weights))
    _keras2.fill(stored)
    _keras2.compare(stored)


def _fill_by_place(keras: Any, model: Any, weights: Any) -> None:
    stored = _keras2.by_place(model, weights, is_layer=lambda value: isinstance(value, keras.layers.Layer))
    _keras2.fill(stored)
    _keras2.compare(stored)


def _weights_into(model: Any, file: _File) -> Any:
    """Load weights into a model that the user built."""
    keras = keras_of(model)
    if keras is None:
        raise StoreError(f"{file.source} holds weights of a Keras model; into= is a {type(model).__name__}")
    before: list[tuple[Any, np.ndarray]] = []
    try:
        before = [(variable, np.array(variable.numpy())) for variable in model.variables]
        with _weights(file) as weights:
            if "model_weights" in weights or "layer_names" in weights.attrs:
                _fill_by_order(model, weights)
                return model
            if "_layer_checkpoint_dependencies" in weights:
                _fill_by_place(keras, model, weights)
                return model
        with tempfile.TemporaryDirectory() as folder:
            # Keras goes by the suffix.
            copy = Path(folder, "model.keras" if file.zipped else "model.weights.h5")
            shutil.copyfile(file.source, copy)
            model.load_weights(str(copy))
    except Exception as err:
        # Layers before the one that does not fit are filled by now.
        for variable, value in before:
            variable.assign(value)
        for layer in model._flatten_layers():
            if hasattr(layer, "finalize_state"):
                layer.finalize_state()
        raise StoreError(f"the weights of {file.source} do not fit the model of into=: {err}") from err
    return model


def in_use() -> Any:
    """Return the Keras that TensorFlow uses, or Keras 3 without TensorFlow."""
    name = "tf_keras" if os.environ.get("TF_USE_LEGACY_KERAS", "").lower() in ("1", "true") else "keras"
    try:
        return import_module(name)
    except ImportError as err:
        raise MissingDependencyError(
            f"{name} is needed to load a Keras model: pip install 'attrkit[tensorflow]'"
        ) from err


def keras_of(model: Any) -> Any:
    """Return the Keras that a model is one of; None if it is of none."""
    root = next((c.__module__.split(".")[0] for c in type(model).__mro__ if "keras" in c.__module__), None)
    return root and import_module(root)


def is_keras3(keras: Any) -> bool:
    """Whether a package of Keras is version 3."""
    return not keras.__version__.startswith("2")


def _reads_as_it_is(keras: Any, file: _File) -> bool:
    """Whether a Keras 2 reads a ``.keras`` file of Keras 2: from 2.15 on, weights are at other places in it."""
    numbers = [tuple(map(int, re.findall(r"\d+", version)[:2])) for version in (keras.__version__, file.version)]
    return not is_keras3(keras) and (numbers[0] < (2, 15)) == (numbers[1] < (2, 15))


def with_self_attention(description: str, known: dict[str, Any]) -> dict[str, Any]:
    """Add the layers of keras-self-attention to those that are known, where a description names them."""
    if not any(name in description for name in _SELF_ATTENTION):
        return known
    try:
        package = import_module("keras_self_attention")
    except ImportError as err:
        raise MissingDependencyError(
            "the model has layers of keras-self-attention: pip install keras-self-attention"
        ) from err
    return {**{name: getattr(package, name) for name in _SELF_ATTENTION}, **known}


def _read(source: Path) -> _File:
    """Read what describes the model, without building any of it."""
    try:
        if not zipfile.is_zipfile(source):
            with _opened(source) as weights:
                check_holds_all(weights, source)
                version = weights.attrs.get("keras_version", "unknown")
                return _File(source, _text(weights.attrs.get("model_config")), str(_text(version)))
        with zipfile.ZipFile(source) as archive:
            names = archive.namelist()
            outside = [name for name in names if name.startswith(("/", "\\")) or re.search(r"\.\.|^\w:", name)]
            if outside:
                raise RefusedError(f"{source} holds {outside[0]!r}, a file to be written outside of the model's folder")
            if "config.json" not in names:
                raise StoreError(f"{source} is not a Keras model file: it is a zip archive without config.json")
            if _WEIGHTS in names:
                with archive.open(_WEIGHTS) as inner, _opened(inner) as weights:
                    check_holds_all(weights, source)
            metadata = json.loads(archive.read("metadata.json")) if "metadata.json" in names else {}
            version = str(metadata.get("keras_version", "unknown"))
            return _File(source, archive.read("config.json").decode(), version)
    except RefusedError:
        raise
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as err:
        if isinstance(err, StoreError):
            raise
        raise StoreError(f"{source} is not a Keras model file, or is cut short: {err}") from err


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _parsed(file: _File) -> Any:
    try:
        description = json.loads(file.description or "")
    except ValueError as err:
        raise StoreError(f"{file.source} is not a Keras model file: its description is not JSON: {err}") from err
    if not isinstance(description, dict):
        raise StoreError(f"{file.source} is not a Keras model file: its description is a {type(description).__name__}")
    # How it was trained plays no part.
    description.pop("compile_config", None)
    return description


@contextmanager
def _opened(source: Any, mode: str = "r") -> Iterator[Any]:
    import h5py

    with h5py.File(source, mode) as file:
        yield file


@contextmanager
def _weights(file: _File) -> Iterator[Any]:
    """Open the arrays of a file."""
    if not file.zipped:
        with _opened(file.source) as weights:
            yield weights
        return
    with zipfile.ZipFile(file.source) as archive:
        assets = [name for name in archive.namelist() if name.startswith("assets/") and not name.endswith("/")]
        if assets:
            raise StoreError(
                f"the file holds {assets[0]}, a table of a layer such as TextVectorization, which only the Keras that "
                "wrote it can read"
            )
        if _WEIGHTS not in archive.namelist():
            raise StoreError(f"the file holds no {_WEIGHTS}")
        with _opened(BytesIO(archive.read(_WEIGHTS))) as weights:
            yield weights


def check_harmless(keras: Any, source: Path, description: Any, known: Mapping[str, Any]) -> None:
    """Refuse a description that makes Keras run more than layers: its own and those that the user names."""
    found = next(filter(None, (_harm(keras, entry, known) for entry in _entries(description))), None)
    if found:
        raise RefusedError(f"{source} holds {found}; if you trust the file, pass allow_code_execution=True")


def _harm(keras: Any, entry: Mapping[str, Any], known: Mapping[str, Any]) -> str | None:
    kind, module, config = (entry.get(key) for key in ("class_name", "module", "config"))
    code = [
        name
        for name in (kind, config, entry.get("registered_name"))
        if isinstance(name, str) and name.split(".")[-1] in _CODE
    ]
    if code:
        return f"a {code[0].strip('_')} layer, which is code that runs when the file is loaded".replace(
            "lambda", "Lambda"
        )
    if kind == "TFOpLambda":
        function = config.get("function") if isinstance(config, dict) else None
        if not _COMPUTING.fullmatch(str(function)):
            return f"a call of the TensorFlow function {function!r}, which may do more than compute"
    if kind is None or not isinstance(module, str):
        return None
    name = config if kind in ("function", "class") else entry.get("spec_name", kind)
    if keras.saving.get_registered_object(
        str(name if kind == "function" else entry.get("registered_name", kind)), custom_objects=known
    ):
        return None
    # Keras's own functions are written as builtins by some versions.
    if (module == "builtins" and not hasattr(builtins, str(name))) or _PARTS.fullmatch(f"{module}.{name}"):
        return None
    return f"{name!r} of {module!r}, which is no layer of Keras; if it is yours, name it in custom_objects"


def _entries(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a JSON value, however deep."""
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _entries(part)
