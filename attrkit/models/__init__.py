"""Trained models from their files, without running what a file may carry: one file a format."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrkit.errors import InputError, StoreError
from attrkit.models._generators import random_state_kept
from attrkit.models.keras import load_keras
from attrkit.models.saved_model import load_saved_model
from attrkit.models.torch import load_torch

# A suffix says what a file should be, its content what it is.
_SUFFIXES = {
    **dict.fromkeys((".keras", ".h5", ".hdf5"), "Keras"),
    **dict.fromkeys((".pt", ".pth", ".pt2", ".safetensors"), "torch"),
}


@random_state_kept()
def load_model(
    path: str | Path,
    *,
    into: Any = None,
    custom_objects: Mapping[str, Any] | None = None,
    allow_code_execution: bool = False,
) -> Any:
    """Load a trained model from its file.

    Parameters
    ----------
    path : str or Path
        A ``.keras`` or ``.h5`` file of Keras 2 or 3; a SavedModel folder; a file of ``torch.save``, ``torch.jit.save``
        or ``torch.export.save``; a ``.safetensors`` file. What is in the file decides, not its suffix alone.
    into : keras.Model or torch.nn.Module, optional
        The model that you built, for a file that holds weights only. It is filled, and must fit exactly.
    custom_objects : mapping of str to class or function, optional
        Keras layers and functions of your own. Layers of keras-self-attention are known.
    allow_code_execution : bool, default False
        Load a file that holds code: Lambda layers, a torch module pickled whole, TensorFlow operations that touch
        files. It runs when the file is loaded or in every call. Say so only for a file you trust.

    Returns
    -------
    keras.Model, torch.nn.Module or SavedModel
        A Keras model is not compiled: losses and metrics play no part in an explanation. Torch tensors are on the CPU.

    Raises
    ------
    StoreError
        If there is no such file, its kind is not known, it cannot be read, or its weights are not those of the model.
    RefusedError
        If it holds code and `allow_code_execution` does not allow that.
    InputError
        If `path` is no path, or `into` or `custom_objects` is given for a file that has no use for it.
    MissingDependencyError
        If the framework is not installed.

    Notes
    -----
    A Keras 2 file is read by Keras 3 too: its description is translated, and every array of the file is compared with
    the weights of the model. Keras is the one in use: tf-keras where ``TF_USE_LEGACY_KERAS=1`` is set.

    Examples
    --------
    >>> model = attrkit.load_model("trained.keras")
    >>> [layer.name for layer in model.layers][:2]
    ['lstm', 'attention']

    Weights of torch go into a module that you build, ``attrkit.load_model("state.pt", into=MyNet())``.
    """
    try:
        source = Path(path)
    except TypeError as err:
        raise InputError(f"path is a {type(path).__name__}; accepted is a str or Path") from err
    if source.is_dir():
        if into is not None:
            raise InputError(f"{source} is a folder, a whole model; leave into= out")
        return load_saved_model(source, custom_objects=custom_objects, allow_code_execution=allow_code_execution)
    if not source.is_file():
        raise StoreError(f"there is no file {source}")
    meant, found = _SUFFIXES.get(source.suffix), _content(source)
    if meant is None and found is None:
        raise StoreError(
            f"{source} is no model file that is known; accepted are {', '.join(_SUFFIXES)} and SavedModel folders"
        )
    if meant and found and meant != found:
        raise StoreError(f"{source} ends in {source.suffix}, but is a {found} file by what it holds; rename it")
    if (meant or found) == "Keras":
        return load_keras(source, into=into, custom_objects=custom_objects, allow_code_execution=allow_code_execution)
    if custom_objects:
        raise InputError(f"{source} is a torch file, which has no use for custom_objects")
    return load_torch(source, into=into, allow_code_execution=allow_code_execution)


def _content(source: Path) -> str | None:
    """Say which framework wrote a file, by its first bytes or the names in its archive."""
    with source.open("rb") as file:
        start = file.read(9)
    if start[:8] == b"\x89HDF\r\n\x1a\n":
        return "Keras"
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            names = archive.namelist()
        torch = any(name.endswith(("data.pkl", "archive_format", "serialized_exported_program.json")) for name in names)
        return "torch" if torch else "Keras" if "config.json" in names else None
    # A pickle, or the header of a safetensors file.
    return "torch" if start[:1] == b"\x80" or start[8:9] == b"{" else None
