"""SHAP values: an `Explanation`, or the arrays that `shap_values` returns."""

from typing import Any

import numpy as np
import xarray as xr

from attrkit import schema
from attrkit.errors import InputError
from attrkit.inputs import is_labelled, label_inputs, read_array
from attrkit.parts import OUTPUT
from attrkit.targets import Output, output_coordinate, resolve_target


def from_shap(
    explanation: Any,
    *,
    inputs: Any = None,
    mask: Any = None,
    target: Any = None,
    base_values: Any = None,
    prediction: Any = None,
    name: str = "shap",
) -> xr.Dataset:
    """Read SHAP values of a sequence model.

    Parameters
    ----------
    explanation : shap.Explanation, array_like, or list of array_like
        Values in the shape of the inputs, (sample, timestep[, channel]), with an axis of outputs behind it where there
        are several; or a list with one array for each output, as older releases return it. Values of inputs that were
        flattened, ``x.reshape(len(x), -1)``, are taken back to their shape if the explanation's ``data`` are `inputs`.
    inputs : array_like, optional
        What was explained, with its labels; else it is the explanation's ``data``, and ``feature_names`` label the axis
        that has as many steps.
    mask : array_like of bool of shape (sample, timestep), optional
        False where padded; else that of `inputs`.
    target : int, str or sequence, optional
        Which of several outputs to keep: an index or an output's name, ``"predicted"``, or one a sample. All if not
        given.
    base_values : array_like, optional
        What the values start from, such as the explainer's ``expected_value``: a number, one an output, one a sample,
        or of shape (sample, output). Only if the explanation has none.
    prediction : array_like of shape (sample,) or (sample, output), optional
        The model's outputs, which no explanation holds. With them, the dataset has a ``completeness_gap``: the sum of
        the values minus the change from the base value to the prediction.
    name : str, default "shap"
        The attribute ``method`` of the dataset, which plots show.

    Returns
    -------
    Dataset
        With ``attribution``, ``input``, and ``baseline_prediction`` where base values are known.

    Raises
    ------
    InputError
        If there are no inputs to tell the axes by, shapes do not fit, or feature names could be those of two axes.
    SchemaError
        If the mask or labels do not fit.

    Notes
    -----
    Interactions, ``error_std``, ``clustering`` and ``display_data`` are left out.

    Examples
    --------
    >>> values = np.zeros((2, 5, 3, 2))
    >>> ds = from_shap(values, inputs=np.ones((2, 5, 3)), base_values=[0.5, 0.25])
    >>> ds["attribution"].dims, ds["baseline_prediction"].values.tolist()
    (('sample', 'output', 'timestep', 'channel'), [[0.5, 0.25], [0.5, 0.25]])
    """
    explained = hasattr(explanation, "values") and hasattr(explanation, "base_values")
    if explained:
        _check_slices(explanation, labelled=inputs is not None)
    if explained and explanation.base_values is not None:
        if base_values is not None:
            raise InputError("the explanation has base_values of its own; leave base_values= out")
        base_values = explanation.base_values
    values = _values(explanation.values if explained else explanation)
    data = explanation.data if explained else None
    x = _inputs(inputs, data, values, explanation.feature_names if explained else None)
    if mask is None and "mask" in x.coords:
        mask = x["mask"].values
    x = x.drop_vars("mask", errors="ignore")
    values = _by_output(_unflattened(values, x, data), x)
    samples, outputs = values.shape[0], values.shape[-1]
    names = explanation.output_names if explained else None
    labels = output_coordinate([Output("output", (outputs,))], _labels(names, outputs))
    coords = {"output": labels}
    found = {"attribution": xr.DataArray(values, dims=(*x.dims, "output"), coords=coords, attrs=_ATTRS)}
    found["attribution"] = found["attribution"].transpose("sample", "output", ...)
    if base_values is not None:
        base = _per_output(base_values, samples, outputs, "base_values")
        found["baseline_prediction"] = xr.DataArray(base, dims=("sample", "output"), coords=coords)
    if prediction is not None:
        known = _per_output(prediction, samples, outputs, "prediction", by_sample=True)
        found["prediction"] = xr.DataArray(known, dims=("sample", "output"), coords=coords)
        if base_values is not None:
            sums = values.reshape(samples, -1, outputs).sum(axis=1, dtype=float)
            found["completeness_gap"] = xr.DataArray(sums - (known - base), dims=("sample", "output"), coords=coords)
    given: dict[Any, Any] = {}
    if isinstance(names, str):
        # An explanation that was sliced to one output keeps its name.
        given = {"target": ("sample", np.full(samples, names))}
    if target is not None or outputs == 1:
        at, given = _chosen(target, found, outputs, labels, given)
        # Predictions keep all outputs, as those of extract do.
        keep = {"prediction": found["prediction"]} if outputs > 1 and "prediction" in found else {}
        found = {key: array.isel(output=at).drop_vars("output") for key, array in found.items()} | keep
    if mask is not None:
        found["mask"] = schema.as_dataarray("mask", mask)
    attrs: dict[str, str | int | float] = {"method": name}
    if explained and isinstance(explanation.compute_time, int | float):
        attrs["seconds"] = round(explanation.compute_time, 3)
    return schema.build(found, inputs=x, coords=given, attrs=attrs)


_ATTRS = {"long_name": "SHAP value", "units": OUTPUT, "sign": "signed"}


def _check_slices(explanation: Any, *, labelled: bool) -> None:
    """Refuse explanations that lost their samples' axis, or the names of their features, when they were sliced."""
    for done in getattr(explanation, "op_history", ()):
        place = done.args[0] if done.name == "__getitem__" and done.args else slice(None)
        first = place[0] if isinstance(place, tuple) and place else place
        if isinstance(first, int | np.integer):
            raise InputError(f"the explanation is that of sample {first} alone; keep its axis: explanation[[{first}]]")
        kept = first is Ellipsis or (isinstance(first, slice) and first == slice(None))
        if not kept and not labelled and explanation.feature_names is not None:
            raise InputError(
                "SHAP cuts the names of the features with the samples when an explanation is sliced; pass what was "
                "explained with its labels: inputs=x"
            )


def _values(values: Any) -> np.ndarray:
    """Read the values; a list with one array for each output gets them as its last axis."""
    accepted = "accepted are an Explanation, an array, or a list of arrays, one an output"
    if isinstance(values, list) and values and all(hasattr(one, "ndim") for one in values):
        shapes = {tuple(one.shape) for one in values}
        if len(shapes) > 1:
            raise InputError(f"the SHAP values of outputs differ in shape: {sorted(shapes)}; {accepted}")
        values = np.stack([read_array(one, "SHAP values", accepted) for one in values], axis=-1)
    array = read_array(values, "SHAP values", accepted)
    if array.dtype.kind not in "fiu" or array.ndim < 2:
        raise InputError(
            f"SHAP values have shape {array.shape} and dtype {array.dtype}; {accepted}. Sequences of several lengths, "
            "such as texts, are padded first; one sample keeps its axis: explanation[:1]"
        )
    return array


def _inputs(inputs: Any, data: Any, values: np.ndarray, names: Any) -> xr.DataArray:
    if inputs is not None:
        return label_inputs(inputs)
    if data is None:
        raise InputError("SHAP values alone do not say which axis is which; pass what was explained: inputs=x")
    if is_labelled(data):
        raise InputError("the explanation's data are a table; pass what was explained: inputs=x")
    array = read_array(data, "the explanation's data", "accepted is an array; pass inputs=x")
    if array.ndim != 3:
        raise InputError(
            f"the explanation's data have shape {array.shape}, and a feature there may be a timestep, a channel or "
            "both; pass what was explained: inputs=x"
        )
    x = label_inputs(array)
    labels = [] if names is None else list(names)
    if not labels or not all(isinstance(label, str | int | float | np.number) for label in labels):
        return x
    fits = [dim for dim in x.dims[1:] if x.sizes[dim] == len(labels)]
    if len(fits) != 1:
        raise InputError(
            f"{len(labels)} feature names may be those of {' or '.join(map(str, fits)) or 'no axis'}, as the data have "
            f"{dict(x.sizes)}; pass the inputs with their labels: inputs=DataArray(x, dims=..., coords=...)"
        )
    return x.assign_coords({fits[0]: labels})


def _unflattened(values: np.ndarray, x: xr.DataArray, data: Any) -> np.ndarray:
    """Give values of flattened inputs the shape of the inputs, if the data prove that this is how they were laid."""
    flat = (len(x), x.size // len(x))
    if values.shape[:2] != flat or values.shape[: x.ndim] == x.shape or data is None:
        return values
    laid = np.asarray(data)
    if laid.shape != flat or not np.array_equal(laid, x.values.reshape(flat)):
        raise InputError(
            f"the SHAP values have shape {values.shape}, and the explanation's data are not inputs.reshape{flat}; "
            f"bring the values to the shape of the inputs, {x.shape}, and pass them as an array"
        )
    return values.reshape(*x.shape, *values.shape[2:])


def _by_output(values: np.ndarray, x: xr.DataArray) -> np.ndarray:
    """Put an axis of outputs at the end, where there is none."""
    if values.shape == x.shape:
        return values[..., None]
    if values.ndim == x.ndim + 1 and values.shape[:-1] == x.shape:
        return values
    raise InputError(
        f"the SHAP values have shape {values.shape}, the inputs {x.shape}; accepted are values of that shape, or with "
        "an axis of outputs behind it"
    )


def _labels(names: Any, outputs: int) -> list[Any] | None:
    if names is None or isinstance(names, str) or len(names) != outputs:
        return None
    labels = [str(one) for one in names]
    # What SHAP fills in where it was given no names.
    return None if labels == [f"Output {i}" for i in range(outputs)] else labels


def _per_output(given: Any, samples: int, outputs: int, what: str, *, by_sample: bool = False) -> np.ndarray:
    """Bring base values or predictions to (sample, output); `by_sample` if one of one axis has one a sample only."""
    accepted = f"accepted are ({samples}, {outputs})" + (f" or ({samples},)" if outputs == 1 else "")
    if not by_sample:
        accepted += f", ({outputs},) or one number"
    array = read_array(given, what, accepted)
    if array.ndim == 1 and outputs == 1 and array.shape == (samples,):
        array = array[:, None]
    fits = array.shape == (samples, outputs) or (not by_sample and array.shape in ((), (1,), (outputs,)))
    if not fits or array.dtype.kind not in "fiu" or (array.ndim == 0 and outputs > 1):
        raise InputError(f"{what} have shape {array.shape} and dtype {array.dtype}; {accepted}")
    return np.broadcast_to(array, (samples, outputs)).astype(float)


def _chosen(
    target: Any, found: dict[str, xr.DataArray], outputs: int, labels: np.ndarray, given: dict[Any, Any]
) -> tuple[Any, dict[Any, Any]]:
    """Return which output of each sample is kept, and the coordinate that says so."""
    if target is None:
        return 0, given
    samples = found["attribution"].sizes["sample"]
    known = found.get("prediction")
    if known is None and isinstance(target, str) and target == "predicted":
        raise InputError("target='predicted' needs the model's outputs: pass prediction=")
    rows = np.zeros((samples, outputs)) if known is None else known.values
    text = labels.tolist() if labels.dtype.kind == "U" else None
    chosen = resolve_target(target, [Output("output", (outputs,))], predictions=rows, output_labels=text)
    return xr.DataArray(chosen.index, dims="sample"), {"target": ("sample", chosen.label)}
