"""The one call: label the inputs, adapt the model, run a method, build the dataset."""

import inspect
import json
import sys
import time
import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from attrkit import schema
from attrkit.adapters import adapt
from attrkit.adapters.base import Adapter
from attrkit.baselines import resolve_baseline
from attrkit.collect import as_tree
from attrkit.errors import AttrkitWarning, CompletenessWarning, InputError
from attrkit.inputs import label_inputs
from attrkit.methods import find_method
from attrkit.targets import label_prediction, resolve_target

COMPLETENESS_TOLERANCE = 0.01
"""Largest completeness gap, as a share of the change in output, that passes without a warning."""

# What `extract` itself hands to a method that has a parameter of this name; all others are the method's options.
_GIVEN = ("target", "prediction", "baseline", "layer", "mask", "seed", "inputs")


class _Question(NamedTuple):
    """What is asked of every method alike."""

    target: Any
    baseline: Any
    layer: str | Sequence[str] | None
    seed: int
    output_labels: Sequence[Any] | None


def extract(
    model: Any,
    inputs: Any,
    method: str | Callable[..., Any] = "integrated_gradients",
    *,
    target: Any = None,
    baseline: Any = 0.0,
    layer: str | Sequence[str] | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    show_progress: bool = True,
    output_labels: Sequence[Any] | None = None,
    **options: Any,
) -> xr.Dataset:
    """Ask one method what a trained model looks at.

    Parameters
    ----------
    model : object
        A trained model, or what `attrkit.adapt` made of it. It is left as it was found.
    inputs : array_like, DataFrame, DataArray, Dataset or list of those
        What to explain, of shape (sample, timestep, channel); see `attrkit.inputs.label_inputs`.
    method : str or callable, default "integrated_gradients"
        A built-in method: ``attention``, ``gradient``, ``input_x_gradient``, ``integrated_gradients``, ``occlusion``,
        ``smoothgrad``; or a function ``f(model, x, target, **options)`` of your own.
    target : optional
        Which output: nothing for a model that has one, an index, a tuple such as (horizon, channel), a label of
        `output_labels`, ``"predicted"`` (the largest), or a list with one of these a sample. Attention does not depend
        on it, and keeps it as a coordinate.
    baseline : float, str or array_like, default 0.0
        What stands for "no signal" in methods that need it: a number, ``"mean"``, or an array.
    layer : str or list of str, optional
        Which layers, for methods that look inside the model.
    batch_size : int, optional
        Rows a pass; a row is one sample at one step.
    seed : int, default 0
        For methods that draw random numbers.
    show_progress : bool, default True
        Show a bar for what takes longer than a second.
    output_labels : sequence, optional
        Names for the last axis of the output: classes, forecast channels.
    **options
        The method's own options, such as ``n_steps`` or ``reduce``.

    Returns
    -------
    Dataset
        The method's result beside ``input`` and ``prediction``, with what was run in its attributes; see
        `attrkit.schema`.

    Raises
    ------
    UnknownModelError
        If no adapter takes the model.
    InputError
        If inputs, target, baseline or an option do not fit.
    RefusedError
        If the method does not hold for this model.

    Warns
    -----
    CompletenessWarning
        If attributions miss the change of the output by more than 1 percent.

    Examples
    --------
    >>> ds = attrkit.extract(model, x, "integrated_gradients", n_steps=64, show_progress=False)
    >>> ds["attribution"].dims
    ('sample', 'timestep', 'channel')
    >>> bool(abs(ds["completeness_gap"]).max() < 1e-5)
    True
    """
    adapter = adapt(model)
    labelled = label_inputs(inputs, shape=adapter.input_shape, dtype=adapter.input_dtype)
    question = _Question(target, baseline, layer, seed, output_labels)
    return _explain(adapter, labelled, method, options, question, batch_size=batch_size, show_progress=show_progress)


def compare(
    model: Any,
    inputs: Any,
    methods: Iterable[str | Callable[..., Any]] | Mapping[str, Any] = (
        "attention",
        "input_x_gradient",
        "integrated_gradients",
    ),
    *,
    target: Any = None,
    baseline: Any = 0.0,
    layer: str | Sequence[str] | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    show_progress: bool = True,
    output_labels: Sequence[Any] | None = None,
) -> xr.DataTree:
    """Ask several methods the same question.

    Parameters
    ----------
    model, inputs, target, baseline, layer, batch_size, seed, show_progress, output_labels
        As in `extract`; `baseline` and `layer` go to the methods that take them.
    methods : sequence of str or callable, or mapping
        Methods; or a mapping of a name of your choice to a method, or to a method with options:
        ``{"attention": ("attention", {"reduce": "mean"}), "ig": "integrated_gradients"}``.

    Returns
    -------
    DataTree
        One group a method, each a dataset as `extract` returns it.

    Raises
    ------
    InputError
        Also if two methods have one name.

    Examples
    --------
    >>> tree = attrkit.compare(model, x, ["attention", "input_x_gradient"], show_progress=False)
    >>> list(tree.children)
    ['attention', 'input_x_gradient']
    >>> tree["attention"]["attention"].dims
    ('sample', 'query_timestep', 'key_timestep')
    """
    adapter = adapt(model)
    labelled = label_inputs(inputs, shape=adapter.input_shape, dtype=adapter.input_dtype)
    asked = _named_methods(methods)
    if not asked:
        raise InputError("no methods were given; name at least one")
    names = [name for name, _, _ in asked]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"two methods are named {twice!r}; give names of your own: compare(..., {{'name': method}})")
    takes = {name: inspect.signature(find_method(method)[1]).parameters for name, method, _ in asked}
    for word, said in (("baseline", _says_baseline(baseline)), ("layer", layer is not None)):
        if said and not any(word in parameters for parameters in takes.values()):
            raise InputError(f"none of {', '.join(names)} takes a {word}; leave {word}= out")
    groups: dict[str, xr.Dataset] = {}
    for name, method, options in asked:
        question = _Question(
            target,
            baseline if "baseline" in takes[name] else 0.0,
            layer if "layer" in takes[name] else None,
            seed,
            output_labels,
        )
        groups[name] = _explain(
            adapter, labelled, method, options, question, batch_size=batch_size, show_progress=show_progress
        )
    return as_tree(groups)


def _named_methods(methods: Any) -> list[tuple[str, Any, dict[str, Any]]]:
    if isinstance(methods, str) or callable(methods):
        methods = [methods]
    if not isinstance(methods, Mapping):
        return [(find_method(method)[0], method, {}) for method in methods]
    named = []
    for name, value in methods.items():
        method, options = value if isinstance(value, tuple) else (value, {})
        named.append((name, method, dict(options)))
    return named


def _explain(
    adapter: Adapter,
    labelled: xr.DataArray,
    method: str | Callable[..., Any],
    options: dict[str, Any],
    question: _Question,
    *,
    batch_size: int | None,
    show_progress: bool,
) -> xr.Dataset:
    started = time.perf_counter()
    name, function = find_method(method)
    takes = inspect.signature(function).parameters
    _check_options(name, takes, options, question)
    model = adapter.configured(batch_size=batch_size, show_progress=show_progress)
    given, variables, attrs = _answerable(name, takes, model, labelled, question)
    arguments = {key: given[key] for key in _GIVEN if key in takes}
    result = function(model, labelled.values, **arguments, **options)
    variables |= dict(result) if isinstance(result, Mapping) else {"attribution": result}
    prediction = variables.pop("prediction", given.get("prediction"))
    prediction = model.predict(labelled.values) if prediction is None else prediction
    variables["prediction"] = label_prediction(prediction, model.outputs, question.output_labels)
    if given["mask"] is not None:
        variables.setdefault("mask", given["mask"])
    attrs |= {
        "method_options": json.dumps(_all_options(takes, options), default=str),
        **model.cost,
        "seconds": round(time.perf_counter() - started, 3),
        **_peak_memory(),
    }
    target = given.get("target")
    coords: dict[Hashable, Any] = {} if target is None else {"target": ("sample", given["target_label"])}
    ds = schema.build(variables, inputs=labelled, coords=coords, attrs=attrs)
    _check_result(ds, name, None if target is None else prediction[np.arange(len(target)), target])
    return ds


def _answerable(
    name: str, takes: Mapping[str, Any], model: Adapter, labelled: xr.DataArray, question: _Question
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Bring a question to what a method can be given; also return the variables and attributes that record it."""
    x = labelled.values
    variables: dict[str, Any] = {}
    attrs: dict[str, Any] = {"method": name, **model.describe()}
    given: dict[str, Any] = {"inputs": labelled, "layer": question.layer, "mask": model.mask(x), "seed": question.seed}
    if question.target is not None or "target" in takes or "prediction" in takes:
        given["prediction"] = model.predict(x)
    if question.target is not None or "target" in takes:
        chosen = resolve_target(
            question.target, model.outputs, predictions=given["prediction"], output_labels=question.output_labels
        )
        # A method that does not depend on the target keeps it all the same: what was asked of all methods alike.
        given |= {"target": chosen.index, "target_label": chosen.label}
        attrs["target"] = str(chosen.label[0]) if len(set(chosen.label.tolist())) == 1 else "one a sample"
    if "baseline" in takes:
        values, attrs["baseline"] = resolve_baseline(question.baseline, labelled)
        if values.ndim:
            variables["baseline"] = values
        start = values.values.reshape([values.sizes.get(dim, 1) for dim in labelled.dims])
        given["baseline"] = start if given["mask"] is None else _pin_padding(name, model, x, start, given["mask"])
    if "seed" in takes:
        attrs["seed"] = question.seed
    return given, variables, attrs


def _pin_padding(name: str, model: Adapter, x: np.ndarray, start: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Keep padding as it is on the way from the baseline: anything else there would be real to the model."""
    start = np.where(mask.reshape(*mask.shape, *[1] * (x.ndim - 2)), start, x).astype(x.dtype)
    at_start = model.mask(start)
    lost = int((mask & ~at_start).sum()) if at_start is not None else 0
    if lost:
        warnings.warn(
            f"{name}: at the baseline the model masks {lost} of {int(mask.sum())} real timesteps, because the "
            "baseline is its mask value; the way from there starts with a jump. Pass a baseline that is not masked, "
            "such as 'mean'",
            AttrkitWarning,
            stacklevel=5,
        )
    return start


def _check_options(name: str, takes: Mapping[str, Any], options: Mapping[str, Any], question: _Question) -> None:
    own = [key for key in list(takes)[2:] if key not in _GIVEN and takes[key].kind is not inspect.Parameter.VAR_KEYWORD]
    if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in takes.values()):
        unknown = [key for key in options if key not in own]
        if unknown:
            raise InputError(
                f"{name} has no option {', '.join(map(repr, unknown))}; its options are {', '.join(own) or 'none'}"
            )
    missing = [key for key in own if takes[key].default is inspect.Parameter.empty and key not in options]
    if missing:
        raise InputError(
            f"{name} needs {', '.join(map(repr, missing))}; pass it as an option, or name the parameter by what "
            f"extract gives: {', '.join(_GIVEN)}"
        )
    if "baseline" not in takes and _says_baseline(question.baseline):
        raise InputError(f"{name} has no baseline; leave baseline= out")
    if "layer" not in takes and question.layer is not None:
        raise InputError(f"{name} does not look inside the model; leave layer= out")


def _says_baseline(baseline: Any) -> bool:
    """Whether a baseline other than the default was given."""
    return not (isinstance(baseline, int | float) and baseline == 0)


def _all_options(takes: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with the defaults of those not given, so that a result says all of what was run."""
    own = {k: p.default for k, p in takes.items() if k not in _GIVEN and p.default is not inspect.Parameter.empty}
    return {**own, **options}


def _check_result(ds: xr.Dataset, name: str, explained: np.ndarray | None) -> None:
    if "attribution" in ds:
        bad = int((~np.isfinite(ds["attribution"].values)).sum())
        if bad:
            warnings.warn(
                f"{name}: {bad} of {ds['attribution'].size} attributions are NaN or infinite",
                AttrkitWarning,
                stacklevel=4,
            )
    if "completeness_gap" not in ds or explained is None:
        return
    gap = np.abs(ds["completeness_gap"].values)
    change, size = np.abs(explained), np.abs(explained)
    if "baseline_prediction" in ds:
        start = ds["baseline_prediction"].values
        change, size = np.abs(explained - start), np.maximum(size, np.abs(start))
    # A change that is small beside the output itself is known to rounding only.
    share = gap / np.maximum(np.maximum(change, 1e-3 * size), np.finfo(np.float32).tiny)
    over = share > COMPLETENESS_TOLERANCE
    if over.any():
        worst = int(share.argmax())
        warnings.warn(
            f"{name}: the attributions of {int(over.sum())} of {len(share)} samples miss the change in output by "
            f"more than {COMPLETENESS_TOLERANCE:.0%} of it; the worst, sample {ds['sample'].values[worst]}, by "
            f"{gap[worst]:.3g} of {change[worst]:.3g}. Take more steps; where they do not help, the model jumps on "
            "the way from the baseline: try another baseline, or occlusion",
            CompletenessWarning,
            stacklevel=4,
        )


def _peak_memory() -> dict[str, float]:
    """Return the largest memory the process has held so far, where the system says."""
    try:
        import resource
    except ImportError:
        return {}
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return {"process_peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)}
