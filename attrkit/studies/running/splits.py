"""Data to train on and data to test on, as a study takes them."""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from attrkit.errors import InputError
from attrkit.metrics.held_out import check_one_kind, read_split
from attrkit.streaming.identity import digest_of


class Split(NamedTuple):
    """Inputs and what the model is to say of them.

    Attributes
    ----------
    inputs : DataArray of dims (sample, timestep[, channel])
        With a coordinate ``mask`` where samples are padded.
    labels : ndarray of shape (sample,) or, of numbers, (sample[, output])
        Integers for classes, floats for numbers.
    saliency : DataArray of bool, or None
        Which cells matter, where that is known.
    """

    inputs: xr.DataArray
    labels: np.ndarray
    saliency: xr.DataArray | None

    @property
    def of_classes(self) -> bool:
        """Whether labels are classes, not numbers."""
        return self.labels.dtype.kind in "iu"

    @property
    def mask(self) -> np.ndarray | None:
        """Which timesteps are real, of shape (sample, timestep); None if all are."""
        return self.inputs["mask"].values if "mask" in self.inputs.coords else None

    def some(self, rows: np.ndarray) -> "Split":
        """Return some of the samples."""
        saliency = None if self.saliency is None else self.saliency.isel(sample=rows)
        return Split(self.inputs.isel(sample=rows), self.labels[rows], saliency)

    def digest(self) -> str:
        """Return the SHA-256 of all values and labels."""
        inputs = self.inputs
        parts = [inputs, *(coord for _, coord in sorted(inputs.coords.items())), self.labels]
        return digest_of(*parts, *(() if self.saliency is None else (self.saliency,)))


def read_splits(data: Any) -> tuple[Split, Split]:
    """Read data to train on and data to test on.

    Raises
    ------
    InputError
        If they are not two, or do not go with each other.
    """
    if not isinstance(data, tuple | list) or len(data) != 2:
        what = f"{len(data)} of them" if isinstance(data, tuple | list) else f"a {type(data).__name__}"
        raise InputError(
            f"data must be two, to train on and to test on: (train, test), each a Dataset with input and label, or a "
            f"tuple of inputs and labels; got {what}"
        )
    train, test = (_read(side, name) for side, name in zip(data, ("train", "test"), strict=True))
    if train.inputs.shape[1:] != test.inputs.shape[1:]:
        raise InputError(
            f"the inputs have shape {train.inputs.shape} for train and {test.inputs.shape} for test; all but the first "
            "axis must be the same"
        )
    check_one_kind(train.labels, test.labels)
    return train, test


def _read(side: Any, name: str) -> Split:
    saliency = None
    if isinstance(side, xr.Dataset):
        missing = [key for key in ("input", "label") if key not in side]
        if missing:
            raise InputError(f"{name} has no variable {' and no '.join(missing)}; it has {list(map(str, side))}")
        given, labels, saliency = side["input"], side["label"], side.get("saliency")
    elif isinstance(side, tuple | list) and len(side) == 2:
        given, labels = side
    else:
        raise InputError(
            f"{name} is a {type(side).__name__}; accepted are a Dataset with input and label, or a tuple of both"
        )
    inputs, values = read_split(name, (given, labels))
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError(f"the labels of {name} hold NaN or infinity; leave those samples out")
    return Split(inputs, values, saliency)
