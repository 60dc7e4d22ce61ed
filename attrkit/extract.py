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
from attrkit.errors import AttrkitWarning, CompletenessWarning, InputError, SaturationWarning
from attrkit.explained import Explained, at_embeddings, explain_inputs, reduce_embedding
from attrkit.inputs import read_array
from attrkit.methods import find_method
from attrkit.parts import Parts
from attrkit.targets import Output, Target, label_prediction, output_coordinate, resolve_target

COMPLETENESS_TOLERANCE = 0.01
"""Largest completeness gap, as a share of the change in output, that passes without a warning."""

# What `extract` itself hands to a method that has a parameter of this name; all others are the method's options.
_GIVEN = ("target", "prediction", "baseline", "layer", "mask", "seed", "inputs")

SATURATED = 0.99
"""A softmax output beyond this share, or below one less it, has next to no gradient."""


class _Asked(NamedTuple):
    """What is asked of every method alike."""

    target: Any
    baseline: Any
    layer: str | Sequence[str] | None
    seed: int
    output_labels: Sequence[Any] | None
    mask: Any
    logits: bool
    embedding: str | None
    embedding_reduction: str | None


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
    mask: Any = None,
    logits: bool = False,
    embedding: str | None = None,
    embedding_reduction: str | None = "sum",
    **options: Any,
) -> xr.Dataset:
    """Ask one method what a trained model looks at.

    Parameters
    ----------
    model : object
        A trained model, or what `attrkit.adapt` made of it. It is left as it was found.
    inputs : array_like, DataFrame, DataArray, Dataset or list of those; dict or tuple of such
        What to explain, of shape (sample, timestep, channel), or token ids of shape (sample, timestep); see
        `attrkit.inputs.label_inputs`. For a model of several inputs a dict by name, or a tuple in the model's order,
        where one may be static, of shape (sample, channel); integers that are no sequence, such as an attention mask,
        are handed on.
    method : str or callable, default "integrated_gradients"
        A built-in method: ``attention``, ``gradient``, ``input_x_gradient``, ``integrated_gradients``, ``occlusion``,
        ``smoothgrad``; or a function ``f(model, x, target, **options)`` of your own.
    target : optional
        Which output: nothing for a model that has one, an index, a tuple such as (horizon, channel), a label of
        `output_labels`, ``"predicted"`` (the largest), or a list with one of these a sample; ``"all"`` for every
        output, along a dim ``output``; or a function of the model's outputs, in the framework's own tensors, to one
        value a sample. Attention does not depend on it, and keeps it as a coordinate.
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
    mask : array_like of bool of shape (sample, timestep), optional
        False where the input is padded; known without it for a model that masks.
    logits : bool, default False
        Explain the scores that go into the softmax or sigmoid of the output, not what comes out: a saturated softmax
        has no gradient.
    embedding : str, optional
        For token ids and methods that need gradients: the layer whose output is explained; found if there is one.
    embedding_reduction : {"sum", "abs_sum", "norm", None}, default "sum"
        How the units of an embedding become one value a token; None keeps them as channels.
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
    explained = explain_inputs(adapter, inputs)
    asked = _Asked(target, baseline, layer, seed, output_labels, mask, logits, embedding, embedding_reduction)
    return _explain(adapter, explained, method, options, asked, batch_size=batch_size, show_progress=show_progress)


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
    mask: Any = None,
    logits: bool = False,
    embedding: str | None = None,
    embedding_reduction: str | None = "sum",
) -> xr.DataTree:
    """Ask several methods the same question.

    Parameters
    ----------
    model, inputs, target, baseline, layer, batch_size, seed, show_progress, output_labels, mask, logits, embedding, \
    embedding_reduction
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
    explained = explain_inputs(adapter, inputs)
    runs = _named_methods(methods)
    if not runs:
        raise InputError("no methods were given; name at least one")
    names = [name for name, _, _ in runs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"two methods are named {twice!r}; give names of your own: compare(..., {{'name': method}})")
    takes = {name: inspect.signature(find_method(method)[1]).parameters for name, method, _ in runs}
    for word, said in (("baseline", _says_baseline(baseline)), ("layer", layer is not None)):
        if said and not any(word in parameters for parameters in takes.values()):
            raise InputError(f"none of {', '.join(names)} takes a {word}; leave {word}= out")
    groups: dict[str, xr.Dataset] = {}
    for name, method, options in runs:
        asked = _Asked(
            target,
            baseline if "baseline" in takes[name] else 0.0,
            layer if "layer" in takes[name] else None,
            seed,
            output_labels,
            mask,
            logits,
            embedding,
            embedding_reduction,
        )
        groups[name] = _explain(
            adapter, explained, method, options, asked, batch_size=batch_size, show_progress=show_progress
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
    explained: Explained,
    method: str | Callable[..., Any],
    options: dict[str, Any],
    asked: _Asked,
    *,
    batch_size: int | None,
    show_progress: bool,
) -> xr.Dataset:
    started = time.perf_counter()
    name, function = find_method(method)
    takes = inspect.signature(function).parameters
    _check_options(name, takes, options, asked)
    by_gradient = getattr(function, "needs_gradient", False)
    if by_gradient:
        explained = at_embeddings(adapter, explained, asked.embedding)
    head = asked.target if callable(asked.target) else None
    model = adapter.configured(
        batch_size=batch_size,
        show_progress=show_progress,
        question=explained.question(head=head, logits=asked.logits),
    )
    x = explained.parts()
    given, variables, attrs = _answerable(name, takes, model, explained, x, asked)
    targets = given.pop("targets", [None])
    found = []
    for target in targets:
        if target is not None:
            given["target"] = target.index
        arguments = {key: given[key] for key in _GIVEN if key in takes}
        result = function(model, x, **arguments, **options)
        result = dict(result) if isinstance(result, Mapping) and "attribution" in result else result
        found.append(_variables(result, explained, asked))
    several = asked.target is not None and not callable(asked.target) and _is(asked.target, "all")
    outputs = [target.label[0] for target in targets if target is not None]
    variables |= _joined(found, outputs if several and "target" in takes else None)
    prediction = variables.pop("prediction", given.get("prediction"))
    prediction = model.predict(x) if prediction is None else prediction
    variables["prediction"] = label_prediction(prediction, model.outputs, asked.output_labels)
    if given["mask"] is not None:
        variables.setdefault("mask", given["mask"])
    variables |= explained.others()
    attrs |= {
        "method_options": json.dumps(_all_options(takes, options), default=str),
        **model.cost,
        "seconds": round(time.perf_counter() - started, 3),
        **_peak_memory(),
    }
    coords: dict[Hashable, Any] = {}
    if len(targets) == 1 and targets[0] is not None:
        coords = {"target": ("sample", targets[0].label)}
    ds = schema.build(variables, inputs=explained.main, coords=coords, attrs=attrs)
    for target in targets:
        values = None if target is None else prediction[np.arange(len(prediction)), target.index]
        if by_gradient and values is not None and not asked.logits:
            _check_saturation(name, prediction, values, model.outputs)
        part = ds.sel(output=target.label[0]) if several and target is not None and "target" in takes else ds
        _check_result(part, name, values)
    return ds


def _is(value: Any, word: str) -> bool:
    return isinstance(value, str) and value == word


def _variables(result: Any, explained: Explained, asked: _Asked) -> dict[str, Any]:
    """Name what a method returned; units of an embedding become one value a token."""
    named = dict(result) if isinstance(result, Mapping) and not _by_part(result, explained) else {"attribution": result}
    attribution = named.pop("attribution", None)
    if attribution is None:
        return named
    if explained.embedded:
        parts = attribution if isinstance(attribution, Mapping) else {explained.primary: attribution}
        parts = {
            part: reduce_embedding(values, asked.embedding_reduction) if part in explained.embedded else values
            for part, values in parts.items()
        }
        attribution = parts if isinstance(attribution, Mapping) else parts[explained.primary]
    return {**explained.variables("attribution", attribution), **named}


def _by_part(result: Mapping[str, Any], explained: Explained) -> bool:
    return set(result) == set(explained.inputs)


def _joined(found: Sequence[dict[str, Any]], outputs: Sequence[Any] | None) -> dict[str, Any]:
    """Join what was found for each output along a dim of that name, after the samples."""
    if outputs is None:
        return found[0]
    joined = {}
    for name in found[0]:
        arrays = [_labelled(name, one[name]) for one in found]
        whole = xr.concat(arrays, xr.DataArray(list(outputs), dims="output", name="output"), combine_attrs="override")
        joined[name] = whole.transpose("sample", "output", ...)
    return joined


def _labelled(name: str, values: Any) -> xr.DataArray:
    if isinstance(values, xr.DataArray):
        return values
    return xr.DataArray(values, dims=schema.default_dims(name, np.ndim(values)))


def _answerable(
    name: str, takes: Mapping[str, Any], model: Adapter, explained: Explained, x: Parts, asked: _Asked
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Bring a question to what a method can be given; also return the variables and attributes that record it."""
    variables: dict[str, Any] = {}
    attrs: dict[str, Any] = {"method": name, **model.describe()}
    if explained.layers:
        attrs["explained_at"] = ", ".join(explained.layers.values())
    if asked.logits:
        attrs["explained_before"] = "softmax or sigmoid"
    mask = _mask_of(model, explained, x, asked.mask)
    given: dict[str, Any] = {"inputs": explained.main, "layer": asked.layer, "mask": mask, "seed": asked.seed}
    if asked.target is not None or "target" in takes or "prediction" in takes:
        given["prediction"] = model.predict(x)
    if asked.target is not None or "target" in takes:
        # A method that does not depend on the target keeps it all the same: what was asked of all methods alike.
        given["targets"], attrs["target"] = _targets(model, asked, given["prediction"])
    if "baseline" in takes:
        given["baseline"], recorded, attrs["baseline"] = _baseline(name, model, explained, x, mask, asked.baseline)
        variables |= recorded
    if "seed" in takes:
        attrs["seed"] = asked.seed
    return given, variables, attrs


def _targets(model: Adapter, asked: _Asked, prediction: np.ndarray) -> tuple[list[Target], str]:
    """Return one target, or one for every output, and what to record."""
    if callable(asked.target):
        if prediction.shape[1] != 1:
            raise InputError(
                f"the function given as target returns {prediction.shape[1]} values a sample; it must return one"
            )
        name = getattr(asked.target, "__name__", type(asked.target).__name__)
        return [Target(np.zeros(len(prediction), int), np.full(len(prediction), name))], f"function {name}"
    if _is(asked.target, "all"):
        labels = output_coordinate(model.outputs, asked.output_labels)
        rows = len(prediction)
        return [Target(np.full(rows, i), np.full(rows, label)) for i, label in enumerate(labels)], "all"
    chosen = resolve_target(asked.target, model.outputs, predictions=prediction, output_labels=asked.output_labels)
    return [chosen], str(chosen.label[0]) if len(set(chosen.label.tolist())) == 1 else "one a sample"


def _mask_of(model: Adapter, explained: Explained, x: Parts, mask: Any) -> np.ndarray | None:
    """Join the mask a user gave with what the model takes for padding."""
    own = model.mask(x)
    if mask is None:
        return own
    values = read_array(mask, "the mask", "accepted is an array of bool")
    shape = explained.main.shape[:2]
    if values.dtype.kind not in "biu" or values.shape != shape or not np.isin(values, (0, 1)).all():
        raise InputError(f"the mask has shape {values.shape} of {values.dtype}; accepted is bool of shape {shape}")
    return values.astype(bool) if own is None else values.astype(bool) & own


def _baseline(
    name: str, model: Adapter, explained: Explained, x: Parts, mask: np.ndarray | None, baseline: Any
) -> tuple[Parts, dict[str, Any], str]:
    """Return where the way starts, for each part, the variables that record it, and what to write of it."""
    several = len(explained.inputs) > 1
    if isinstance(baseline, Mapping):
        wrong = [part for part in baseline if part not in explained.inputs]
        if wrong:
            raise InputError(f"a baseline is given for {wrong}; the inputs are {list(explained.inputs)}")
    recorded: dict[str, Any] = {}
    texts: dict[str, str] = {}

    def resolve(part: str, array: xr.DataArray) -> np.ndarray:
        own = baseline.get(part, 0.0) if isinstance(baseline, Mapping) else baseline
        values, texts[part] = resolve_baseline(own, array)
        if values.ndim and part not in explained.embedded:
            recorded.update(explained.variables("baseline", {part: values} if several else values))
        return values.values.reshape([values.sizes.get(dim, 1) for dim in array.dims])

    start = explained.parts(resolve)
    if mask is not None:
        main = start[explained.primary] if isinstance(start, dict) else start
        own = x[explained.primary] if isinstance(x, dict) else x
        main = np.where(mask.reshape(*mask.shape, *[1] * (own.ndim - 2)), main, own).astype(own.dtype)
        start = {**start, explained.primary: main} if isinstance(start, dict) else main
        if not explained.embedded:
            # Padding stays as it is on the way from the baseline: anything else there would be real to the model.
            _check_padding(name, model, start if not several else None, mask)
    text = next(iter(texts.values())) if len(set(texts.values())) == 1 else json.dumps(texts)
    return start, recorded, text


def _check_padding(name: str, model: Adapter, start: Parts | None, mask: np.ndarray) -> None:
    at_start = None if start is None else model.mask(start)
    lost = int((mask & ~at_start).sum()) if at_start is not None else 0
    if lost:
        warnings.warn(
            f"{name}: at the baseline the model masks {lost} of {int(mask.sum())} real timesteps, because the "
            "baseline is its mask value; the way from there starts with a jump. Pass a baseline that is not masked, "
            "such as 'mean'",
            AttrkitWarning,
            stacklevel=6,
        )


def _check_saturation(name: str, prediction: np.ndarray, explained: np.ndarray, outputs: Sequence[Output]) -> None:
    """Warn where the explained output is that of a saturated softmax."""
    if len(outputs) > 1 or len(outputs[0].shape) != 1 or prediction.shape[1] < 2:
        return
    if prediction.min() < 0 or not np.allclose(prediction.sum(axis=1), 1, atol=1e-4):
        return
    count = int(((explained > SATURATED) | (explained < 1 - SATURATED)).sum())
    if count:
        warnings.warn(
            f"{name}: the output is a softmax, and for {count} of {len(explained)} samples it is saturated (beyond "
            f"{SATURATED}, or below {1 - SATURATED:.2g}): its gradient vanishes. Pass logits=True to explain the score "
            "before it",
            SaturationWarning,
            stacklevel=4,
        )


def _check_options(name: str, takes: Mapping[str, Any], options: Mapping[str, Any], asked: _Asked) -> None:
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
    if "baseline" not in takes and _says_baseline(asked.baseline):
        raise InputError(f"{name} has no baseline; leave baseline= out")
    if "layer" not in takes and asked.layer is not None:
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
