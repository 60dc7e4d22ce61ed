"""Which output of the model is explained: every way to say it becomes one flat index a sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from reprlib import repr as short
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from attrkit.errors import InputError
from attrkit.inputs import read_array


class Output(NamedTuple):
    """One output of a model: its name and its shape without the batch axis."""

    name: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of values a sample."""
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Target:
    """What to explain: ``index`` of shape (sample,) into the outputs laid flat, ``label`` to show for each sample."""

    index: np.ndarray
    label: np.ndarray


def resolve_target(
    target: Any,
    outputs: Sequence[Output],
    *,
    predictions: np.ndarray,
    output_labels: Sequence[Any] | None = None,
) -> Target:
    """Turn a user's target into one flat output index a sample.

    Parameters
    ----------
    target : None, int, str, tuple, or sequence of int or str
        * None: the only output of a model that has one;
        * an index into the outputs, or one of `output_labels`;
        * a tuple with one entry an output axis, such as (horizon, channel); with several named outputs the name
          goes first, ``("price", 3)``;
        * ``"predicted"``: the largest output of each sample, for classifiers;
        * a list with one of these a sample, or an array, Series or DataArray with one index or label a sample, in
          the order of the samples.
    outputs : sequence of Output
        The model's outputs, in order.
    predictions : ndarray of shape (sample, output)
        The outputs laid flat.
    output_labels : sequence, optional
        Names for the last axis of a single output: class names, channel names. They are text; a number is an index.

    Returns
    -------
    Target
        One index and one label a sample.

    Raises
    ------
    InputError
        If the target does not say one output a sample. One-hot arrays and float arrays are refused.

    Examples
    --------
    >>> flat = np.array([[0.1, 0.9], [0.8, 0.2]])
    >>> resolve_target("warm", [Output("dense", (2,))], predictions=flat, output_labels=["cold", "warm"]).index
    array([1, 1])
    >>> resolve_target("predicted", [Output("dense", (2,))], predictions=flat).index
    array([1, 0])
    """
    n_samples = len(predictions)
    coordinate = output_coordinate(outputs, output_labels)
    accepted = _accepted(outputs, output_labels)
    if target is None:
        if len(coordinate) > 1:
            raise InputError(f"the model has {len(coordinate)} outputs, say which to explain; {accepted}")
        flat = np.zeros(n_samples, dtype=int)
    elif isinstance(target, str) and target == "predicted":
        if len(outputs) > 1 or len(outputs[0].shape) != 1 or outputs[0].size < 2:
            raise InputError(
                f"target='predicted' needs one output of shape (class,), got {_shapes(outputs)}; {accepted}"
            )
        flat = predictions.argmax(axis=1)
    elif isinstance(target, list | np.ndarray | pd.Series | pd.Index | xr.DataArray):
        flat = _per_sample(target, outputs, n_samples, output_labels, accepted)
    else:
        flat = np.full(n_samples, _flat_index(target, outputs, output_labels, accepted))
    return Target(flat, coordinate[flat])


def output_coordinate(outputs: Sequence[Output], output_labels: Sequence[Any] | None = None) -> np.ndarray:
    """Name every value of the outputs laid flat.

    Integers or `output_labels` for a single output with one axis, else text such as ``"3, rain"`` or
    ``"price: 3"``, which reads like the tuple that selects it.
    """
    if output_labels is not None:
        output_labels = _read_labels(output_labels)
        if len(outputs) > 1 or not outputs[0].shape or outputs[0].shape[-1] != len(output_labels):
            raise InputError(
                f"output_labels has {len(output_labels)} entries; they name the last axis of a single output, "
                f"and the model has {_shapes(outputs)}"
            )
        if len(set(output_labels)) < len(output_labels):
            raise InputError(f"output_labels repeat: {output_labels}")
    if len(outputs) == 1 and sum(n > 1 for n in outputs[0].shape) <= 1:
        shape = outputs[0].shape
        if output_labels is not None and len(output_labels) == outputs[0].size:
            return np.array(output_labels)
        if output_labels is None or not shape:
            return np.arange(outputs[0].size)
    names = []
    for output in outputs:
        prefix = f"{output.name}: " if len(outputs) > 1 else ""
        for place in np.ndindex(output.shape):
            parts: list[Any] = list(place)
            if output_labels is not None:
                parts[-1] = output_labels[place[-1]]
            names.append((prefix + ", ".join(map(str, parts))) if parts else output.name)
    return np.array(names)


def label_prediction(
    flat: np.ndarray, outputs: Sequence[Output], output_labels: Sequence[Any] | None = None
) -> xr.DataArray:
    """Label outputs laid flat, of shape (sample, output); a model of one output gets no ``output`` dim."""
    coordinate = output_coordinate(outputs, output_labels)
    if len(coordinate) == 1:
        return xr.DataArray(flat[:, 0], dims="sample")
    return xr.DataArray(flat, dims=("sample", "output"), coords={"output": coordinate})


def _read_labels(labels: Any) -> list[Any]:
    several = isinstance(labels, Sequence | np.ndarray | pd.Series | pd.Index) and not isinstance(labels, str | bytes)
    several = several and getattr(labels, "ndim", 1) == 1
    entries = list(labels) if several else []
    counted = [entry for entry in entries if isinstance(entry, int | np.integer) and not isinstance(entry, bool)]
    if not entries or not (all(isinstance(entry, str) for entry in entries) or counted == list(range(len(entries)))):
        raise InputError(
            f"output_labels are {short(labels)}; accepted is a list of text: integer labels would be read as indices"
        )
    return entries


def _per_sample(
    target: Any, outputs: Sequence[Output], n_samples: int, labels: Sequence[Any] | None, accepted: str
) -> np.ndarray:
    tuples = isinstance(target, list) and any(isinstance(entry, tuple) for entry in target)
    entries = target if tuples else _read_entries(target, n_samples, accepted)
    if len(entries) != n_samples:
        raise InputError(f"a target of one index a sample has {n_samples} entries, got {len(entries)}; {accepted}")
    return np.array([_flat_index(entry, outputs, labels, accepted) for entry in entries])


def _read_entries(target: Any, n_samples: int, accepted: str) -> list[Any]:
    values = read_array(target, "the target", accepted)
    if values.dtype.kind == "O":
        # Text from pandas comes as objects.
        values = read_array(values.tolist(), "the target", accepted)
    if values.shape != (n_samples,) or values.dtype.kind not in "iuU":
        one_hot = values.ndim == 2 and values.dtype.kind in "biuf" and values.size and np.isin(values, (0, 1)).all()
        hint = "; this looks one-hot, pass its argmax over the last axis" if one_hot else ""
        raise InputError(
            f"a target of one index a sample has shape ({n_samples},) and integers or labels, got shape {values.shape} "
            f"of {values.dtype}{hint}; {accepted}"
        )
    return values.tolist()


def _flat_index(target: Any, outputs: Sequence[Output], labels: Sequence[Any] | None, accepted: str) -> int:
    parts = list(target) if isinstance(target, tuple) else [target]
    offset, output = 0, outputs[0]
    if len(outputs) > 1:
        names = [o.name for o in outputs]
        if not parts or not isinstance(parts[0], str) or parts[0] not in names:
            raise InputError(f"target {short(target)} does not name an output; {accepted}")
        at = names.index(parts.pop(0))
        offset, output = sum(o.size for o in outputs[:at]), outputs[at]
    shape = output.shape
    if len(parts) != len(shape):
        # (24, 1) reads as 24 horizons, () as one output: axes of length 1 need no index.
        shape = tuple(n for n in shape if n > 1) or (1,) * min(len(parts), 1)
    if len(parts) != len(shape):
        raise InputError(
            f"target {short(target)} has {len(parts)} entries, output {output.name!r} has shape {output.shape}; "
            f"{accepted}"
        )
    if labels is not None and parts and isinstance(parts[-1], str) and shape[-1] == len(labels):
        known = list(labels)
        parts[-1] = known.index(parts[-1]) if parts[-1] in known else parts[-1]
    for part, size in zip(parts, shape, strict=True):
        if isinstance(part, bool) or not isinstance(part, int | np.integer):
            raise InputError(f"target {short(target)} is not an index or a known label; {accepted}")
        if not -size <= part < size:
            raise InputError(
                f"target {short(target)} is out of range for an output of shape {output.shape}; {accepted}"
            )
    index = [int(part) % size for part, size in zip(parts, shape, strict=True)]
    return offset + (int(np.ravel_multi_index(index, shape)) if index else 0)


def _accepted(outputs: Sequence[Output], labels: Sequence[Any] | None) -> str:
    if len(outputs) > 1:
        names = ", ".join(f"{o.name!r} {o.shape}" for o in outputs)
        return f"accepted are tuples of an output's name and its index; outputs are {names}"
    shape = outputs[0].shape
    ways = []
    if sum(n > 1 for n in shape) <= 1:
        ways.append(f"an index from 0 to {max(outputs[0].size - 1, 0)}")
    if len(shape) > 1:
        ways.append(f"a tuple of {len(shape)} indices into {shape}")
    texts = [str(label) for label in ([] if labels is None else labels) if isinstance(label, str)]
    if texts:
        ways.append("a label of " + ", ".join(map(repr, texts[:8])) + (" ..." if len(texts) > 8 else ""))
    if len(shape) == 1 and shape[0] > 1:
        ways.append("'predicted'")
    return "accepted are " + ", ".join([*ways, "a list with one of these a sample"])


def _shapes(outputs: Sequence[Output]) -> str:
    return ", ".join(f"{o.name!r} of shape {o.shape}" for o in outputs)
