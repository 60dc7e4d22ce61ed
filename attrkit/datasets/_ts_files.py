"""Classification data in the files that come with sktime."""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from attrkit.checks import one_of
from attrkit.errors import MissingDependencyError
from attrkit.series import pad

SPLITS = ("train", "test", "all")


def read(name: str, split: str, classes: Sequence[str], source: str) -> xr.Dataset:
    """Return the samples of one split, padded to the longest of both, so that a model of one takes the other.

    Parameters
    ----------
    name : str
        Name of the data set in sktime.
    split : {"train", "test", "all"}
    classes : sequence of str
        Names of the classes in the files, in the order of their labels.
    source : str
        Attribute of the data set.

    Returns
    -------
    Dataset
        ``input`` with the coordinate ``mask``, ``label``. Samples count from 0 over train and then test.

    Raises
    ------
    InputError
        If `split` is not known.
    MissingDependencyError
        If sktime is not installed, or has no such file.
    """
    one_of(split, "split", SPLITS)
    train, test = (_parse(_file(name, part).read_text(encoding="utf-8")) for part in ("TRAIN", "TEST"))
    series, names = zip(*train, *test, strict=True)
    data = xr.Dataset(
        {
            "input": pad(list(series)),
            "label": ("sample", [classes.index(one) for one in names], {"long_name": "class"}),
        },
        attrs={"dataset": name, "split": split, "classes": json.dumps(list(classes)), "source": source},
    )
    chosen = {"train": slice(len(train)), "test": slice(len(train), None), "all": slice(None)}[split]
    return data.isel(sample=chosen)


def _file(name: str, part: str) -> Path:
    # Its loaders import scikit-learn and scipy, seconds of them, to read a file of text; so they are not imported.
    spec = importlib.util.find_spec("sktime")
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError("the series come with sktime: pip install 'attrkit[datasets]'")
    path = Path(spec.submodule_search_locations[0], "datasets", "data", name, f"{name}_{part}.ts")
    if not path.exists():
        raise MissingDependencyError(
            f"the installed sktime does not have {path.name} where others do: pip install --upgrade 'attrkit[datasets]'"
        )
    return path


def _parse(text: str) -> list[tuple[np.ndarray, str]]:
    """Return each sample as its series, (timestep, channel), and the name of its class.

    Below ``@data``, a line is a sample: its channels, and last its class, between colons; values between commas.
    """
    lines = text[text.index("@data") :].splitlines()[1:]
    samples = [line.split(":") for line in lines if line.strip()]
    return [(np.array([one.split(",") for one in channels], float).T, label) for *channels, label in samples]
