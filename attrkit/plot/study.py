"""What a plot takes of a study: the dataset of one test, of all seeds, and the class that models say."""

from typing import Any

import numpy as np
import xarray as xr

from attrkit.checks import some_of
from attrkit.errors import InputError
from attrkit.studies.summaries.attention_tests import predicted_class


def dataset_of(data: Any, test: str) -> xr.Dataset:
    """Return what a test has found, of a study or as it is.

    Parameters
    ----------
    data : DataTree or Dataset
        A study, or what the test returns; of one model too, without a dim ``seed``.
    test : str

    Raises
    ------
    InputError
        If the study has no such test, or it is something else.
    """
    if isinstance(data, xr.DataTree) and test in data.children:
        return data[test].to_dataset()
    if isinstance(data, xr.DataTree) and data.children:
        raise InputError(
            f"there is no {test!r} in this tree; it has {', '.join(map(str, data.children))}{_why(data, test)}"
        )
    if isinstance(data, xr.DataTree):
        return data.to_dataset()
    if not isinstance(data, xr.Dataset):
        raise InputError(f"got a {type(data).__name__}; accepted are a study, or the Dataset of its test {test!r}")
    return data


def _why(tree: xr.DataTree, test: str) -> str:
    """Say why a test was refused, if it was."""
    if "steps" not in tree.children:
        return ""
    steps = tree["steps"].to_dataset()
    for name, refused in zip(steps["step"].values, steps["refused"].values, strict=True):
        if str(name).rsplit("/", 1)[-1] == test and refused:
            return f"; {test} was refused: {refused}"
    return ""


def variable_of(ds: xr.Dataset, name: str, test: str) -> xr.DataArray:
    """Return a variable of a test."""
    if name not in ds:
        raise InputError(f"the test {test!r} has no {name!r}; it has {', '.join(sorted(map(str, ds.data_vars)))}")
    return ds[name]


def classes_of(data: Any, ds: xr.Dataset) -> xr.DataArray | None:
    """Return the class that each model says of each sample; None where that is not known."""
    if isinstance(data, xr.DataTree) and "model" in data.children and "seed" in ds.dims:
        return predicted_class(data["model"].to_dataset(), ds)
    return None


def extractors_of(ds: xr.Dataset, wanted: Any, defined: xr.DataArray) -> list[str]:
    """Return the extractors to draw: those asked for, or those with a number anywhere."""
    names = [str(name) for name in ds["extractor"].values]
    if wanted is None:
        others = [dim for dim in defined.dims if dim != "extractor"]
        return [name for name, there in zip(names, defined.any(others).values, strict=True) if there]
    return some_of(wanted, "extractors", names)


def seeds_in(ds: xr.Dataset | xr.DataArray) -> str:
    """Say of how many seeds and samples a figure is."""
    parts = []
    for dim in ("seed", "sample"):
        if dim in ds.dims:
            parts.append(f"{ds.sizes[dim]} {dim}{'s' * (ds.sizes[dim] > 1)}")
    return ", ".join(parts)


def interval_said(ds: xr.Dataset | xr.DataArray) -> str:
    """Say what intervals are over."""
    over = "seeds and samples" if ds.sizes.get("seed", 1) > 1 else "samples"
    return f"95% intervals over {over}"


def by_case(values: xr.DataArray) -> np.ndarray:
    """Flatten values of dims ([seed, ]sample), in that order."""
    dims = [dim for dim in ("seed", "sample") if dim in values.dims]
    return np.asarray(values.transpose(*dims).values, float).ravel()
