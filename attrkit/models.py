"""Trained models from their files, without running what a file may carry."""

import json
import os
import zipfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from attrkit.errors import MissingDependencyError, RefusedError, StoreError

_KERAS = (".keras", ".h5", ".hdf5")
_SELF_ATTENTION = (
    "SeqSelfAttention",
    "SeqWeightedAttention",
    "ScaledDotProductAttention",
    "ResidualScaledDotProductAttention",
)


def load_model(
    path: str | Path, *, custom_objects: Mapping[str, Any] | None = None, allow_code_execution: bool = False
) -> Any:
    """Load a trained Keras model from its file.

    Parameters
    ----------
    path : str or Path
        A ``.keras`` or ``.h5`` file. It is read by the Keras that is in use: Keras 3, or tf-keras where
        ``TF_USE_LEGACY_KERAS=1`` is set.
    custom_objects : mapping of str to class or function, optional
        Layers of your own. Those of keras-self-attention are known.
    allow_code_execution : bool, default False
        Load a file with Lambda layers, which hold code that runs on loading and in every call. Say so only for a file
        you trust.

    Returns
    -------
    keras.Model
        Not compiled: losses and metrics play no part in an explanation.

    Raises
    ------
    StoreError
        If there is no such file, its kind is not known, or Keras cannot read it.
    RefusedError
        If it holds code and `allow_code_execution` does not allow that.
    MissingDependencyError
        If Keras is not installed.

    Examples
    --------
    >>> model = attrkit.load_model("trained.keras")
    >>> [layer.name for layer in model.layers][:2]
    ['lstm', 'attention']
    """
    source = Path(path)
    if source.suffix not in _KERAS:
        raise StoreError(f"{source} ends in {source.suffix!r}; accepted are {', '.join(_KERAS)}")
    if not source.is_file():
        raise StoreError(f"there is no file {source}")
    text = _config_text(source)
    if _holds_lambda(json.loads(text)) and not allow_code_execution:
        raise RefusedError(
            f"{source} holds a Lambda layer, which is code that runs when the file is loaded; if you trust the file, "
            "pass allow_code_execution=True"
        )
    keras = _keras()
    known = dict(custom_objects or {})
    if any(name in text for name in _SELF_ATTENTION):
        known = {**_self_attention_layers(), **known}
    options = {} if source.suffix in (".h5", ".hdf5") else {"safe_mode": not allow_code_execution}
    try:
        return keras.models.load_model(str(source), custom_objects=known, compile=False, **options)
    except Exception as err:  # Keras raises every kind of error here, and few of them name the cause.
        raise StoreError(
            f"Keras {keras.__version__} cannot load {source} (written by Keras {_written_by(source)}): {err}"
        ) from err


def _keras() -> Any:
    name = "tf_keras" if os.environ.get("TF_USE_LEGACY_KERAS", "").lower() in ("1", "true") else "keras"
    try:
        return import_module(name)
    except ImportError as err:
        raise MissingDependencyError(
            f"{name} is needed to load a Keras model: pip install 'attrkit[tensorflow]'"
        ) from err


def _self_attention_layers() -> dict[str, Any]:
    try:
        package = import_module("keras_self_attention")
    except ImportError as err:
        raise MissingDependencyError(
            "the model has layers of keras-self-attention: pip install keras-self-attention"
        ) from err
    return {name: getattr(package, name) for name in _SELF_ATTENTION}


def _config_text(source: Path) -> str:
    """Return the JSON that describes the model, without building any of it."""
    try:
        if source.suffix == ".keras":
            with zipfile.ZipFile(source) as archive:
                return archive.read("config.json").decode()
        import h5py

        with h5py.File(source) as file:
            config = file.attrs.get("model_config")
    except (OSError, KeyError, zipfile.BadZipFile) as err:
        raise StoreError(f"{source} is not a Keras model file: {err}") from err
    if config is None:
        raise StoreError(
            f"{source} holds weights only; load them into a model that you build: model.load_weights(path)"
        )
    return config.decode() if isinstance(config, bytes) else str(config)


def _holds_lambda(config: Any) -> bool:
    """Whether any layer in the description of a model is a Lambda, however deep."""
    if isinstance(config, dict):
        return config.get("class_name") == "Lambda" or any(map(_holds_lambda, config.values()))
    return isinstance(config, list) and any(map(_holds_lambda, config))


def _written_by(source: Path) -> str:
    if source.suffix == ".keras":
        with zipfile.ZipFile(source) as archive:
            if "metadata.json" not in archive.namelist():
                return "unknown"
            return str(json.loads(archive.read("metadata.json")).get("keras_version", "unknown"))
    import h5py

    with h5py.File(source) as file:
        return str(file.attrs.get("keras_version", "unknown"))
