"""A study from a file: what to train, on which data, and what to ask, in TOML."""

import importlib
import importlib.util
import inspect
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrkit import datasets
from attrkit.data_files import read_arrays, read_dataset
from attrkit.errors import InputError, StoreError
from attrkit.studies import study

DATASETS = ("ismail", "freq_shapes", "seq_comb", "low_var", "japanese_vowels", "basic_motions")
"""Those of attrkit.datasets that have one label a sample."""

_OWN = ("factory", "data", "store", "out")
_NONE = ("gate", "channels", "n_samples", "batch_size", "layer", "head")
"""Options that may be none, which TOML has no word for."""


def read_config(path: str | Path) -> dict[str, Any]:
    """Read the file of a study, and what it names: the factory and the data.

    Reading it runs the code of the file or module that has the factory.

    Parameters
    ----------
    path : str or Path
        TOML. Paths in it are from its folder.

    Returns
    -------
    dict
        Arguments of `attrkit.study`, and ``out``, the folder for what comes out.

    Raises
    ------
    InputError
        If a key is not known or missing, or what it names is not there.
    StoreError
        If a file cannot be read.
    """
    source = Path(path)
    try:
        given = tomllib.loads(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as err:
        raise StoreError(f"{source} cannot be read: {err}") from err
    options = [name for name in inspect.signature(study).parameters if name not in ("model_factory", "show_progress")]
    _check_keys(given, [*_OWN, *(name for name in options if name not in _OWN)], source.name)
    missing = [name for name in ("factory", "data") if name not in given]
    if missing:
        raise InputError(f"{source.name} has no {' and no '.join(missing)}")
    folder = source.absolute().parent
    out = folder / str(given.get("out", source.stem))
    return {
        "model_factory": _factory(given["factory"], folder),
        "data": _data(given["data"], folder),
        "store": folder / given["store"] if "store" in given else out / "study.zarr",
        "out": out,
        **{name: _value(name, value) for name, value in given.items() if name not in _OWN},
    }


def _check_keys(given: Mapping[str, Any], known: Any, where: str) -> None:
    unknown = [repr(name) for name in given if name not in known]
    if unknown:
        raise InputError(f"{where} has {', '.join(unknown)}, which is not known; accepted are {', '.join(known)}")


def _value(name: str, value: Any) -> Any:
    if name in _NONE and value == "none":
        return None
    if name == "extractors" and isinstance(value, Mapping):
        return {own: _extractor(own, method) for own, method in value.items()}
    return value


def _extractor(name: str, value: Any) -> Any:
    """Return a method, or a method with its options: ``{method = "lrp", composite = "epsilon"}``."""
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping) or not isinstance(value.get("method"), str):
        raise InputError(
            f'extractor {name!r} is {value!r}; accepted are the name of a method, or {{method = "NAME", ...}} with its '
            "options"
        )
    return value["method"], {key: own for key, own in value.items() if key != "method"}


def _factory(text: Any, folder: Path) -> Callable[..., Any]:
    """Import ``file.py:function``, from the folder of the configuration, or ``module:function``."""
    place, _, name = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    if not place or not name.isidentifier():
        raise InputError(f"factory={text!r}; accepted are 'file.py:function' and 'module:function'")
    if place.endswith(".py"):
        file = folder / place
        if not file.is_file():
            raise InputError(f"factory={text!r}: there is no file {file}")
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # It may import its neighbours, as it does when it is run by itself.
        sys.path.insert(0, str(file.parent))
        try:
            spec.loader.exec_module(module)
        finally:
            sys.path.remove(str(file.parent))
    else:
        try:
            module = importlib.import_module(place)
        except ModuleNotFoundError as err:
            raise InputError(f"factory={text!r}: {err}") from err
    found = getattr(module, name, None)
    if not callable(found):
        names = [own for own, value in vars(module).items() if inspect.isfunction(value) and not own.startswith("_")]
        raise InputError(f"factory={text!r}: {place} has no function {name!r}; it has {', '.join(names) or 'none'}")
    return found


def _data(given: Any, folder: Path) -> tuple[Any, Any]:
    """Read data to train on and to test on: of `attrkit.datasets`, or from files."""
    if not isinstance(given, Mapping):
        raise InputError(f"data={given!r}; accepted is a table [data] with train and test")
    _check_keys(given, ("dataset", "train", "test"), "[data]")
    if "train" not in given or "test" not in given:
        raise InputError("[data] needs train and test: options of a dataset, or files")
    sides = {side: given[side] for side in ("train", "test")}
    if "dataset" not in given:
        return _from_file(sides["train"], folder, "train"), _from_file(sides["test"], folder, "test")
    name = given["dataset"]
    if name not in DATASETS:
        raise InputError(f"dataset={name!r} is not known; accepted are {', '.join(DATASETS)}")
    make = getattr(datasets, name)
    for side, options in sides.items():
        if not isinstance(options, Mapping):
            raise InputError(f"[data] {side}={options!r}; accepted are options of {name}, such as {_example(make)}")
        takes = inspect.signature(make).parameters
        _check_keys(options, takes, f"[data] {side}")
        left = [key for key, one in takes.items() if one.default is one.empty and key not in options]
        if left:
            raise InputError(f"[data] {side} needs {', '.join(left)} for {name}")
    return make(**sides["train"]), make(**sides["test"])


def _example(make: Callable[..., Any]) -> str:
    return '{split = "train"}' if "split" in inspect.signature(make).parameters else "{n_samples = 200, seed = 0}"


def _from_file(value: Any, folder: Path, side: str) -> Any:
    """Read inputs and labels: a ``.npz`` with both, or a Dataset in ``.nc`` or ``.zarr``."""
    if not isinstance(value, str):
        raise InputError(f"[data] {side}={value!r}; accepted is a file, or say dataset = NAME and give its options")
    file = folder / value
    if file.suffix not in (".npz", ".nc", ".zarr"):
        raise InputError(f"[data] {side}={value!r}; accepted are files in .npz, .nc and .zarr")
    if not file.exists():
        raise InputError(f"[data] {side}={value!r}: there is no file {file}")
    if file.suffix != ".npz":
        return read_dataset(file)
    arrays = read_arrays(file)
    missing = [name for name in ("inputs", "labels") if name not in arrays]
    if missing:
        raise InputError(f"{file} has no array {' and no '.join(missing)}; it has {', '.join(arrays) or 'none'}")
    return arrays["inputs"], arrays["labels"]
