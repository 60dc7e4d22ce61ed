"""torch models: state dicts, TorchScript, torch.export, and whole modules where code is allowed."""

import copy
import pickle
import re
import zipfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from attrkit.errors import InputError, MissingDependencyError, RefusedError, StoreError

# Where training scripts put the weights among what else they keep.
_NESTED = ("state_dict", "model_state_dict", "model")

# What TorchScript can call that reads or writes files.
_FILES = re.compile(r"\b(torch|aten)\.(save|load|from_file|_save\w*)\b")


def load_torch(source: Path, *, into: Any, allow_code_execution: bool) -> Any:
    """Load a torch file; `attrkit.load_model` says how."""
    try:
        torch = import_module("torch")
    except ImportError as err:
        raise MissingDependencyError("torch is needed to load this file: pip install 'attrkit[torch]'") from err
    kind = _kind(source)
    if kind in ("script", "export") and into is not None:
        raise InputError(f"{source} holds a whole model; leave into= out")
    try:
        if kind == "script":
            return _script(torch, source, allow_code_execution)
        if kind == "export":
            return _exported(torch, source, allow_code_execution)
        found = _safetensors(source) if kind == "safetensors" else _pickled(torch, source, allow_code_execution)
    except (RefusedError, StoreError, MissingDependencyError):
        raise
    except Exception as err:  # torch raises every kind of error for what is no file of its own.
        raise StoreError(f"{source} cannot be read by torch {torch.__version__}, or is cut short: {err}") from err
    return _filled(torch, source, found, into)


def _kind(source: Path) -> str:
    if not zipfile.is_zipfile(source):
        with source.open("rb") as file:
            return "safetensors" if file.read(9)[8:] == b"{" else "pickle"
    with zipfile.ZipFile(source) as archive:
        names = archive.namelist()
    if any(name.endswith(("archive_format", "serialized_exported_program.json")) for name in names):
        return "export"
    return "script" if any(name.endswith("constants.pkl") for name in names) else "pickle"


def _pickled(torch: Any, source: Path, allow_code_execution: bool) -> Any:
    try:
        return torch.load(source, map_location="cpu", weights_only=not allow_code_execution)
    except pickle.UnpicklingError as err:
        named = re.search(r"GLOBAL (\S+)", str(err))
        with source.open("rb") as file:
            is_pickle = file.read(1) == b"\x80" or zipfile.is_zipfile(source)
        if named is None and not (is_pickle and "Unsupported" in str(err)):
            # torch's own message advises to try without the limits.
            raise StoreError(f"{source} is not a file of torch, or is cut short") from err
        raise RefusedError(
            f"{source} is a pickle that calls {named[1] if named else 'what torch does not know'} when it is loaded: a "
            "whole module, or code. Save the weights alone, torch.save(model.state_dict(), path), and load them with "
            "into=model; if you trust the file, pass allow_code_execution=True"
        ) from err


def _safetensors(source: Path) -> Any:
    try:
        return import_module("safetensors.torch").load_file(source)
    except ImportError as err:
        raise MissingDependencyError("safetensors is needed to load this file: pip install safetensors") from err


def _script(torch: Any, source: Path, allow_code_execution: bool) -> Any:
    with zipfile.ZipFile(source) as archive:
        code = [archive.read(name).decode() for name in archive.namelist() if name.endswith(".py")]
    found = next(filter(None, map(_FILES.search, code)), None)
    if found and not allow_code_execution:
        raise RefusedError(
            f"the TorchScript of {source} calls {found[0]}, which reads or writes files; if you trust the file, pass "
            "allow_code_execution=True"
        )
    return torch.jit.load(str(source), map_location="cpu")


def _exported(torch: Any, source: Path, allow_code_execution: bool) -> Any:
    if not allow_code_execution:
        raise RefusedError(
            f"{source} is a file of torch.export, whose loading unpickles without limits and calls any function that "
            "the file names in torch; if you trust the file, pass allow_code_execution=True"
        )
    return torch.export.load(source).module()


def _filled(torch: Any, source: Path, found: Any, into: Any) -> Any:
    """Put weights into the model of `into`, which must fit exactly."""
    if isinstance(found, torch.nn.Module):
        if into is None:
            return found
        found = found.state_dict()
    state = found
    for key in _NESTED:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            state = found[key]
            break
    if not isinstance(state, Mapping) or not state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise StoreError(f"{source} holds a {type(found).__name__}, not the weights of a model by their names")
    if into is None:
        names = ", ".join(list(state)[:3])
        raise StoreError(
            f"{source} holds {len(state)} tensors ({names}, ...) and no model; build the model that they belong to and "
            "pass it: load_model(path, into=model)"
        )
    if not isinstance(into, torch.nn.Module):
        raise InputError(f"into is a {type(into).__name__}; {source} holds weights of a torch.nn.Module")
    before = copy.deepcopy(into.state_dict())
    try:
        into.load_state_dict(state)
    except Exception as err:  # Modules may load with code of their own.
        # torch fills what fits before it says what does not.
        into.load_state_dict(before, strict=False)
        raise StoreError(f"the weights of {source} do not fit the model of into=: {err}") from err
    return into
