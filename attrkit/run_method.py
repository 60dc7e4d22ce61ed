"""One method on one model: what it is given, what comes of it, what is recorded."""

import inspect
import json
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from attrkit import schema
from attrkit.adapters.base import Adapter
from attrkit.adapters.memory import peak_memory
from attrkit.adapters.outputs import check_finite
from attrkit.embeddings import at_embeddings, reduce_embedding
from attrkit.errors import InputError, SchemaError
from attrkit.explained import Explained
from attrkit.inputs import read_array
from attrkit.methods import find_method, parameters_of
from attrkit.parts import Parts, row_count
from attrkit.question import Asked, baseline_of, masks_of, targets_of
from attrkit.result_checks import check_result, check_saturation
from attrkit.targets import label_prediction

# What a method is handed if it has a parameter of this name; all others are its options.
_GIVEN = ("target", "prediction", "baseline", "layer", "mask", "masks", "seed", "inputs")


def run_method(
    adapter: Adapter,
    explained: Explained,
    method: str | Callable[..., Any],
    options: dict[str, Any],
    asked: Asked,
    *,
    batch_size: int | None,
    show_progress: bool,
) -> xr.Dataset:
    """Run one method and build its dataset."""
    started = time.perf_counter()
    name, function = find_method(method)
    takes = parameters_of(name, function)
    _check_options(name, takes, options, asked)
    by_gradient = getattr(function, "needs_gradient", False)
    if by_gradient:
        adapter.check_gradient()
    if hasattr(function, "check"):
        function.check(adapter.configured(question=explained.question(logits=asked.logits)), None, **options)
    if by_gradient:
        explained = at_embeddings(adapter.configured(batch_size=batch_size), explained, asked.embedding)
    question = explained.question(head=asked.target if callable(asked.target) else None, logits=asked.logits)
    model = adapter.configured(batch_size=batch_size, show_progress=show_progress, question=question)
    if asked.output_labels is None and not callable(asked.target):
        asked = asked._replace(output_labels=model.output_labels)
    x = explained.parts()
    if hasattr(function, "check"):
        function.check(model, x, **options)
    # Where a method's own pass gives the outputs, none is spent on them alone.
    by_method = getattr(function, "gives_prediction", False) and _is_fixed(asked.target)
    if by_method:
        model.learn_outputs(x)
    given, variables, attrs = _given(name, takes, model, explained, x, asked, predict=not by_method)
    targets = given.pop("targets", [])
    found = []
    # A method that does not depend on the target is run once.
    for target in targets if "target" in takes else [None]:
        if target is not None:
            given["target"] = target.index
        arguments = {key: given[key] for key in _GIVEN if key in takes}
        found.append(_variables(function(model, x, **arguments, **options), explained, asked))
    by_output = asked.every_output and "target" in takes
    variables |= _along_outputs(found, [target.label[0] for target in targets]) if by_output else found[0]
    prediction = given.get("prediction")
    if "prediction" in variables:
        prediction = _prediction(name, variables.pop("prediction"), model, x)
    elif prediction is None:
        prediction = model.predict(x)
    if by_method:
        check_finite(prediction)
    variables["prediction"] = label_prediction(prediction, model.outputs, asked.output_labels)
    variables |= explained.others()
    attrs |= {
        **getattr(function, "provenance", {}),
        "method_options": json.dumps(_all_options(takes, options), default=str),
        **({"half_precision": model.half} if model.half else {}),
        **model.cost,
        "seconds": round(time.perf_counter() - started, 3),
        **_peak_memory(),
    }
    coords: dict[Hashable, Any] = {}
    if targets and not asked.every_output:
        coords = {"target": ("sample", targets[0].label)}
    if "attention" in variables and not explained.one_calendar:
        # Which of the inputs a layer runs over is not known, so its timesteps are counted.
        own = variables["attention"].sizes
        coords |= {dim: np.arange(own[dim]) for dim in ("query_timestep", "key_timestep") if dim in own}
    ds = schema.build(variables, inputs=explained.main, coords=coords, attrs=attrs)
    for target in targets if "target" in takes else ():
        values = prediction[np.arange(len(prediction)), target.index]
        if by_gradient and not asked.logits and not callable(asked.target):
            check_saturation(name, model, x, prediction, target.index)
        check_result(ds.sel(output=target.label[0]) if by_output else ds, name, values)
    return ds


def _prediction(name: str, values: Any, model: Adapter, x: Parts) -> np.ndarray:
    """Return the outputs that a method gives, laid flat; refuse those of another shape."""
    model.learn_outputs(x)
    prediction = read_array(values, f"the prediction of {name}", "accepted are numbers")
    wanted = (row_count(x), sum(output.size for output in model.outputs))
    if prediction.shape != wanted or prediction.dtype.kind not in "fiu":
        raise InputError(
            f"{name} returns a prediction of shape {prediction.shape} and dtype {prediction.dtype}; accepted are "
            f"numbers of shape {wanted}, all outputs laid flat, or none"
        )
    return prediction


def _is_fixed(target: Any) -> bool:
    """Whether a target names outputs, and does not depend on their values."""
    return not callable(target) and not (isinstance(target, str) and target == "predicted")


def _given(
    name: str,
    takes: Mapping[str, Any],
    model: Adapter,
    explained: Explained,
    x: Parts,
    asked: Asked,
    *,
    predict: bool,
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return what a method can be given, and the variables and attributes that record it."""
    variables: dict[str, Any] = {}
    attrs: dict[str, Any] = {"method": name, **model.describe()}
    if explained.layers:
        attrs["explained_at"] = ", ".join(explained.layers.values())
    if asked.logits:
        attrs["explained_before"] = "softmax or sigmoid"
    masks = masks_of(model, explained, x, asked.mask)
    given: dict[str, Any] = {
        "inputs": explained.main,
        "layer": asked.layer,
        "mask": masks.get(explained.primary),
        "masks": explained.like_parts(masks),
        "seed": asked.seed,
    }
    variables |= explained.variables("mask", {part: schema.as_dataarray("mask", own) for part, own in masks.items()})
    if asked.target is not None or "target" in takes or "prediction" in takes:
        # The values come with the method's result; a target needs no more than the shape.
        given["prediction"] = model.predict(x) if predict else _unknown(model, row_count(x))
    if asked.target is not None or "target" in takes:
        # A method that does not depend on the target keeps it all the same: what was asked of all methods alike.
        given["targets"], attrs["target"] = targets_of(model, asked, given["prediction"])
    if "baseline" in takes:
        given["baseline"], recorded, attrs["baseline"] = baseline_of(name, model, explained, x, masks, asked.baseline)
        variables |= recorded
    if "seed" in takes:
        attrs["seed"] = asked.seed
    return given, variables, attrs


def _unknown(model: Adapter, n_samples: int) -> np.ndarray:
    return np.full((n_samples, sum(output.size for output in model.outputs)), np.nan)


def _variables(result: Any, explained: Explained, asked: Asked) -> dict[str, Any]:
    """Name what a method returned; units of an embedding become one value a token."""
    bare = not isinstance(result, Mapping) or set(result) == set(explained.inputs)
    named = {"attribution": result} if bare else dict(result)
    if "attribution" not in named:
        return named
    found = named.pop("attribution")
    parts = found if isinstance(found, Mapping) else {explained.primary: found}
    parts = {part: schema.as_dataarray("attribution", values) for part, values in parts.items()}
    for part in explained.embedded.keys() & parts:
        parts[part] = reduce_embedding(parts[part], asked.embedding_reduction)
    return {**explained.variables("attribution", parts), **named}


def _along_outputs(found: Sequence[dict[str, Any]], labels: Sequence[Any]) -> dict[str, Any]:
    """Join what was found for each output along a dim ``output``, after the samples."""
    joined = {"prediction": found[0]["prediction"]} if "prediction" in found[0] else {}
    for name in [name for name in found[0] if name not in joined]:
        arrays = [schema.as_dataarray(name, one[name]) for one in found]
        wrong = [array.dims for array in arrays if "sample" not in array.dims or "output" in array.dims]
        if wrong:
            raise SchemaError(f"{name!r} has dims {wrong[0]}; accepted are those with 'sample' and without 'output'")
        arrays = [array.drop_vars("output", errors="ignore") for array in arrays]
        whole = xr.concat(arrays, xr.DataArray(list(labels), dims="output", name="output"), combine_attrs="override")
        joined[name] = whole.transpose("sample", "output", ...)
    return joined


def _check_options(name: str, takes: Mapping[str, Any], options: Mapping[str, Any], asked: Asked) -> None:
    own = [key for key in list(takes)[2:] if key not in _GIVEN and takes[key].kind is not inspect.Parameter.VAR_KEYWORD]
    if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in takes.values()):
        unknown = [key for key in options if key not in own]
        if unknown:
            shared = [key for key in unknown if key in Asked._fields]
            raise InputError(
                f"{name} has no option {', '.join(map(repr, unknown))}; its options are {', '.join(own) or 'none'}"
                + (f"; {', '.join(shared)}: said once for all methods, beside them" if shared else "")
            )
    missing = [key for key in own if takes[key].default is inspect.Parameter.empty and key not in options]
    if missing:
        raise InputError(
            f"{name} needs {', '.join(map(repr, missing))}; pass it as an option, or name the parameter by what "
            f"extract gives: {', '.join(_GIVEN)}"
        )
    if "baseline" not in takes and asked.has_baseline:
        raise InputError(f"{name} has no baseline; leave baseline= out")
    if "layer" not in takes and asked.layer is not None:
        raise InputError(f"{name} does not look inside the model; leave layer= out")


def _all_options(takes: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with the defaults of those not given, so that a result says all of what was run."""
    own = {k: p.default for k, p in takes.items() if k not in _GIVEN and p.default is not inspect.Parameter.empty}
    return {**own, **options}


def _peak_memory() -> dict[str, float]:
    """Return the largest memory the process has held so far, where the system says."""
    held = peak_memory()
    return {"process_peak_memory_mib": round(held / 2**20, 1)} if held else {}
