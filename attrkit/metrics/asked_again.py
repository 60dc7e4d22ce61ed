"""What results were asked of their model, so that it can be asked more of the same: its inputs, its output, itself."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from attrkit.adapters.base import Adapter
from attrkit.adapters.outputs import difference_of
from attrkit.errors import InputError
from attrkit.targets import Target, output_coordinate, resolve_target


def alike(datasets: Mapping[str, xr.Dataset], name: str) -> xr.DataArray | None:
    """Return a variable or coordinate of all results that have it, which must be the same.

    Examples
    --------
    >>> results = {"a": xr.Dataset({"input": ("sample", [1.0])}), "b": xr.Dataset({"input": ("sample", [2.0])})}
    >>> alike(results, "input")
    Traceback (most recent call last):
        ...
    attrkit.errors.InputError: 'a' and 'b' differ in their input; give results that share it
    """
    found = {key: ds[name].reset_coords(drop=True) for key, ds in datasets.items() if name in ds.variables}
    first = next(iter(found), "")
    for key, values in found.items():
        if not values.variable.equals(found[first].variable):
            raise InputError(f"{first!r} and {key!r} differ in their {name}; give results that share it")
    return found.get(first)


def inputs_of(datasets: Mapping[str, xr.Dataset], inputs: Any) -> Any:
    """Return what was explained: the inputs that are given, else those that the results hold."""
    if inputs is not None:
        return inputs
    found = alike(datasets, "input")
    if found is None:
        raise InputError("the results hold no inputs; pass those that were explained: inputs=")
    others = sorted({str(name) for ds in datasets.values() for name in ds.data_vars if str(name).startswith("input_")})
    if others:
        raise InputError(
            f"the results are of several inputs, {', '.join(others)} among them; pass all by name: inputs="
        )
    return found


def check_same_model(
    datasets: Mapping[str, xr.Dataset], prediction: np.ndarray, model: Adapter, *, target: Any
) -> None:
    """Refuse a model, or inputs, of which results hold another prediction.

    What is measured of one model with the attributions of another is a number that looks like any other: this is no
    matter for a warning. What results hold is not compared where it is another output that they were asked: a function
    of the outputs, logits beside probabilities, or the explained output alone, as some toolkits keep it.

    Parameters
    ----------
    datasets : mapping of str to Dataset
    prediction : ndarray of shape (sample, output)
        What `model` says of the inputs.
    model : Adapter
        As it was asked.
    target : optional
        What the user gave.
    """
    for name, ds in datasets.items():
        other_output = callable(target) or of_function(ds) or ("explained_before" in ds.attrs) != model.question.logits
        if other_output or "prediction" not in ds:
            continue
        known = ds["prediction"].values.reshape(len(prediction), -1)
        if known.shape[1] == 1 < prediction.shape[1]:
            continue
        way_out = (
            "give the model and all the inputs that were explained (inputs=); to measure these attributions by another "
            "model all the same, drop their variable 'prediction'"
        )
        if known.shape != prediction.shape:
            raise InputError(
                f"the model has {prediction.shape[1]} outputs, and {name!r} holds {known.shape[1]}; {way_out}"
            )
        scale, difference = difference_of(prediction, known)
        # Of another batch, another machine: ten times what one pass may be off.
        if not difference <= 10 * model.precision * scale:
            raise InputError(
                f"the model predicts something else than {name!r} holds, by {difference:.3g} (largest {scale:.3g}); "
                f"{way_out}"
            )


def target_of(
    datasets: Mapping[str, xr.Dataset],
    target: Any,
    model: Adapter,
    prediction: np.ndarray,
    output_labels: Sequence[Any] | None = None,
) -> Target:
    """Return which output is explained: what was asked for, else what the results say."""
    if callable(target):
        if prediction.shape[1] != 1:
            raise InputError(
                f"the function given as target returns {prediction.shape[1]} values a sample; it must return one"
            )
        name = getattr(target, "__name__", type(target).__name__)
        return Target(np.zeros(len(prediction), int), np.full(len(prediction), name))
    known = None if target is not None else _shared_target(datasets)
    if known is None:
        return resolve_target(target, model.outputs, predictions=prediction, output_labels=output_labels)
    labels = np.broadcast_to(known.values, len(prediction))
    coordinate = output_coordinate(model.outputs, output_labels)
    # Names that were given when the results were made are known to them alone.
    recorded = [ds["prediction"] for ds in datasets.values() if "prediction" in ds]
    named = [array["output"].values for array in recorded if array.sizes.get("output") == len(coordinate)]
    fitting = [names.tolist() for names in (coordinate, *named) if set(labels.tolist()) <= set(names.tolist())]
    if not fitting:
        raise InputError(
            f"the results explain the output {labels.tolist()[0]!r}, and the model's are {coordinate.tolist()[:8]}; "
            "say which to look at: target="
        )
    return Target(np.array([fitting[0].index(label) for label in labels.tolist()]), labels)


def _shared_target(datasets: Mapping[str, xr.Dataset]) -> xr.DataArray | None:
    if any(of_function(ds) for ds in datasets.values()):
        raise InputError("the results are of a function of the outputs; give it again: target=")
    try:
        return alike(datasets, "target")
    except InputError as err:
        raise InputError(f"{err}, or say which output to look at: target=") from err


def of_function(ds: xr.Dataset) -> bool:
    """Whether results explain a function of the outputs, which they do not hold."""
    return str(ds.attrs.get("target", "")).startswith("function ")
