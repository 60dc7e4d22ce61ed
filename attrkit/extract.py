"""The one call, for one method or for several."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from reprlib import repr as short
from typing import Any

import xarray as xr

from attrkit.adapters import adapt
from attrkit.collect import as_tree, check_names
from attrkit.errors import InputError
from attrkit.explained import explain_inputs
from attrkit.methods import find_method, parameters_of
from attrkit.question import Asked, check_asked
from attrkit.run_method import run_method


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
    embedding_reduction: str | None = "auto",
    explain: str | Sequence[str] | None = None,
    store: str | Path | None = None,
    chunk_size: int | None = None,
    client: Any = None,
    **options: Any,
) -> xr.Dataset:
    """Ask one method what a trained model looks at.

    Parameters
    ----------
    model : object
        A trained model, or what `attrkit.adapt` made of it. It is left as it was found. With `store`, the path of its
        file too.
    inputs : array_like, DataFrame, DataArray, Dataset or list of those; dict or tuple of such
        What to explain, of shape (sample, timestep, channel), or token ids of shape (sample, timestep); see
        `attrkit.inputs.label_inputs`. For a model of several inputs a dict by name, or a tuple in the model's order,
        where one may be static, of shape (sample, channel); integers that are no sequence, such as an attention mask,
        are handed on. With `store`, also what is not in memory: arrays of zarr and dask, memory maps, lazy DataArrays,
        or an iterator of batches, each of what is taken without.
    method : str or callable, default "integrated_gradients"
        A built-in method: ``attention``, ``gradient``, ``input_x_gradient``, ``integrated_gradients``, ``lrp``,
        ``occlusion``, ``smoothgrad``; a method of another toolkit, ``"innvestigate:lrp.z"``; or a function
        ``f(model, x, target, **options)`` of your own.
    target : optional
        Which output: nothing for a model that has one, an index, a tuple such as (horizon, channel), a label of
        `output_labels`, ``"predicted"`` (the largest), or a list with one of these a sample; ``"all"`` for every
        output, along a dim ``output``; or a function of the model's outputs, in the framework's own tensors, to one
        value a sample. Attention does not depend on it, and keeps it as a coordinate.
    baseline : float, str or array_like, default 0.0
        What stands for "no signal" in methods that need it: a number, ``"mean"``, or an array; for several inputs also
        a dict of these by name.
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
    mask : array_like of bool of shape (sample, timestep), or mapping of str to such, optional
        False where the input is padded; known without it for a model that masks, and for what `attrkit.pad` made.
    logits : bool, default False
        Explain the scores that go into the softmax or sigmoid of the output, not what comes out: a saturated softmax
        has no gradient.
    embedding : str, optional
        For token ids and methods that need gradients: the layer whose output is explained; found if there is one.
    embedding_reduction : {"auto", "sum", "abs_sum", "norm", None}, default "auto"
        How the units of an embedding become one value a token: ``"auto"`` is the sum where attributions share out the
        output, the norm where they are slopes, and the attribute ``cell_methods`` says which; None keeps them as
        channels.
    explain : str or list of str, optional
        Of several inputs, those to explain, by name; the others are handed on. All that can be, if not given: integers
        that are a mask and no token ids look like token ids.
    store : str or Path, optional
        A zarr folder to write to, chunk by chunk, in constant memory. It appears when it is complete; until then the
        work is in ``NAME.zarr.partial``, and the same call goes on where it was stopped.
    chunk_size : int, optional
        Samples a chunk of `store`; as many as make some 64 MiB, if not given.
    client : dask.distributed.Client, optional
        Whose workers explain the chunks of `store`; they must see its folder.
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
        If the method does not hold for this model; with `store`, also if its result for a sample depends on the others.
    StoreError
        If `store` cannot be written, or holds the answer to another question.

    Warns
    -----
    CompletenessWarning
        If attributions miss the change of the output by more than 1 percent.

    See Also
    --------
    compare : Several methods, one question.
    layer_outputs : What layers put out.
    attrkit.metrics.faithfulness : Whether what is ranked first matters.

    Examples
    --------
    >>> ds = attrkit.extract(model, x, "integrated_gradients", n_steps=64, show_progress=False)
    >>> ds["attribution"].dims
    ('sample', 'timestep', 'channel')
    >>> bool(abs(ds["completeness_gap"]).max() < 1e-5)
    True

    What does not fit in memory goes to a folder, and is read from there when it is used:

    >>> batches = (x[i : i + 1] for i in range(5))
    >>> attrkit.extract(model, batches, "gradient", store="gradient.zarr", show_progress=False).sizes["sample"]
    5
    """
    asked = check_asked(
        Asked(target, baseline, layer, seed, output_labels, mask, logits, embedding, embedding_reduction)
    )
    if store is not None:
        # Not at the top: it brings the files of models and stores along.
        from attrkit.streaming.run import stream

        return stream(
            *(model, inputs, method, options, asked),
            store=store,
            chunk_size=chunk_size,
            client=client,
            batch_size=batch_size,
            show_progress=show_progress,
            explained=explain,
        )
    if chunk_size is not None or client is not None:
        raise InputError("chunk_size= and client= are for results that go to a folder; give store= too")
    adapter = adapt(model)
    explained = explain_inputs(adapter, inputs, explain)
    with adapter.left_as_found(), adapter.weights_held():
        return run_method(
            adapter, explained, method, options, asked, batch_size=batch_size, show_progress=show_progress
        )


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
    embedding_reduction: str | None = "auto",
    explain: str | Sequence[str] | None = None,
) -> xr.DataTree:
    """Ask several methods the same question.

    Parameters
    ----------
    model, inputs
        As in `extract`.
    methods : sequence of str or callable, or mapping
        Methods; or a mapping of a name of your choice to a method, or to a method with options:
        ``{"attention": ("attention", {"reduce": "mean"}), "ig": "integrated_gradients"}``.
    target, baseline, layer, batch_size, seed, show_progress, output_labels, mask, logits : optional
        As in `extract`; `baseline` and `layer` go to the methods that take them.
    embedding, embedding_reduction, explain : optional
        As in `extract`.

    Returns
    -------
    DataTree
        One group a method, each a dataset as `extract` returns it.

    Raises
    ------
    InputError
        Also if two methods have one name.

    See Also
    --------
    extract : One method.
    stack : The results as one array.
    attrkit.metrics.agreement : Whether they say the same.

    Examples
    --------
    >>> tree = attrkit.compare(model, x, ["attention", "input_x_gradient"], show_progress=False)
    >>> list(tree.children)
    ['attention', 'input_x_gradient']
    >>> tree["attention"]["attention"].dims
    ('sample', 'query_timestep', 'key_timestep')
    """
    adapter = adapt(model)
    explained = explain_inputs(adapter, inputs, explain)
    runs = _named_methods(methods)
    if not runs:
        raise InputError("no methods were given; name at least one")
    names = [name for name, _, _ in runs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"two methods are named {twice!r}; give names of your own: compare(..., {{'name': method}})")
    takes = {name: parameters_of(name, find_method(method)[1]) for name, method, _ in runs}
    asked = check_asked(
        Asked(target, baseline, layer, seed, output_labels, mask, logits, embedding, embedding_reduction)
    )
    for word, said in (("baseline", asked.has_baseline), ("layer", layer is not None)):
        if said and not any(word in parameters for parameters in takes.values()):
            raise InputError(f"none of {', '.join(names)} takes a {word}; leave {word}= out")
    groups: dict[str, xr.Dataset] = {}
    for name, method, options in runs:
        own = asked._replace(
            baseline=baseline if "baseline" in takes[name] else 0.0, layer=layer if "layer" in takes[name] else None
        )
        with adapter.left_as_found(), adapter.weights_held():
            groups[name] = run_method(
                adapter, explained, method, options, own, batch_size=batch_size, show_progress=show_progress
            )
    return as_tree(groups)


def _named_methods(methods: Any) -> list[tuple[str, Any, dict[str, Any]]]:
    if isinstance(methods, str) or callable(methods):
        methods = [methods]
    if isinstance(methods, Mapping):
        named = []
        for name, value in methods.items():
            method, options = value if isinstance(value, tuple) and len(value) == 2 else (value, {})
            if isinstance(method, tuple) or not isinstance(options, Mapping):
                raise InputError(f"method {name!r} is {short(value)}; accepted are a method, or (method, options)")
            if not all(isinstance(option, str) for option in options):
                raise InputError(f"options of {name!r} are {short(options)}; accepted is text as the name of an option")
            named.append((name, method, dict(options)))
        check_names(methods)
        return named
    if not isinstance(methods, Iterable) or isinstance(methods, bytes) or getattr(methods, "ndim", 1) == 0:
        raise InputError(f"methods={short(methods)} came; accepted are a list of methods, or a mapping of names")
    return [(find_method(method)[0], method, {}) for method in methods]
