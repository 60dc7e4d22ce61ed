"""Layers by name: which of them a word means, and what they put out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from attrkit import schema
from attrkit.adapters import adapt
from attrkit.adapters.terms import Call
from attrkit.checks import flag
from attrkit.errors import InputError, RefusedError
from attrkit.explained import explain_inputs
from attrkit.targets import label_prediction


def match_layers(name: str | Sequence[str], paths: Sequence[str], *, what: str = "layer") -> list[str]:
    """Return the paths a name means: the layer of that name, else all layers that have it as a part.

    Parameters
    ----------
    name : str or sequence of str
        Names, or parts of names.
    paths : sequence of str
        The layers there are.
    what : str
        How errors call them.

    Returns
    -------
    list of str
        In the order of `paths`.

    Raises
    ------
    InputError
        If a name means none.

    Examples
    --------
    >>> match_layers("lstm", ["lstm", "lstm_1", "dense"]), match_layers("lst", ["lstm", "lstm_1", "dense"])
    (['lstm'], ['lstm', 'lstm_1'])
    """
    found: set[str] = set()
    if not isinstance(name, str | list | tuple) or not all(isinstance(word, str) for word in name):
        raise InputError(
            f"a {what} is given by name, or a list of names, got {name!r}; there are {', '.join(paths) or 'none'}"
        )
    if not name:
        raise InputError(f"no {what} is named: {name!r} came; there are {', '.join(paths) or 'none'}")
    for word in [name] if isinstance(name, str) else name:
        hits = [path for path in paths if path == word] or [path for path in paths if word in path]
        if not hits:
            raise InputError(
                f"no {what} is named {word!r} or has it in its name; there are {', '.join(paths) or 'none'}"
            )
        found.update(hits)
    return [path for path in paths if path in found]


def layer_outputs(
    model: Any,
    inputs: Any,
    layer: str | Sequence[str] | None = None,
    *,
    training: bool = False,
    batch_size: int | None = None,
    show_progress: bool = False,
) -> xr.DataTree:
    """Return what layers of a model put out.

    Parameters
    ----------
    model : object
        A trained model; it is left as it was found.
    inputs : array_like
        What `attrkit.extract` takes.
    layer : str or list of str, optional
        A layer's name; or part of it, then every layer that has it in its name; every layer if not given. Layers of
        nested models are named ``"encoder.lstm"``.
    training : bool, default False
        Run the model as in training: dropout on, batch statistics of all samples in one batch.
    batch_size : int, optional
        Samples a pass.
    show_progress : bool, default False
        Show a bar for what takes longer than a second.

    Returns
    -------
    DataTree
        A group a layer, with ``activation`` of dims (sample[, timestep], channel), where channel counts the units. A
        layer that is called more than once has a group for each call, ``"shared@0"``, ``"shared@1"``. Of a layer with
        several outputs it is the first.

    Raises
    ------
    InputError
        If no layer has that name, or the inputs do not fit.
    RefusedError
        If a layer is not reached, or runs inside a loop.

    See Also
    --------
    extract : What an output depends on.
    attrkit.plot.curves : Outputs, a panel for each unit.

    Examples
    --------
    >>> layer_outputs(model, x, "lstm")["lstm"]["activation"].dims
    ('sample', 'timestep', 'channel')
    """
    flag(training, "training")
    plain = adapt(model)
    explained = explain_inputs(plain, inputs)
    labelled = explained.main
    adapter = plain.configured(batch_size=batch_size, show_progress=show_progress, question=explained.question())
    kinds = {entry.path: entry.kind for entry in adapter.layers()}
    asked = list(kinds) if layer is None else match_layers(layer, list(kinds))
    with adapter.left_as_found(), adapter.weights_held():
        prediction, readings = adapter.read(explained.parts(), dict.fromkeys(asked, _read_output), training=training)
    missed = [path for path in asked if path not in readings]
    # Of a part of a name, what is reached is enough.
    exact = {layer} if isinstance(layer, str) else set(layer or ())
    if layer is not None and (exact & set(missed) or len(missed) == len(asked)):
        raise RefusedError(f"the model's forward pass does not reach {', '.join(missed)}; there is no output to read")
    groups = {}
    for path, calls in ((path, readings[path]) for path in asked if path in readings):
        for i, call in enumerate(calls):
            groups[path if len(calls) == 1 else f"{path}@{i}"] = schema.build(
                {
                    "activation": _label_activation(call["output"], labelled, one_calendar=explained.one_calendar),
                    "prediction": label_prediction(prediction, adapter.outputs),
                },
                inputs=labelled,
                attrs={
                    **adapter.describe(),
                    "method": "layer_outputs",
                    "layer": path,
                    "layer_kind": kinds[path],
                    "training": str(training),
                },
            )
    return xr.DataTree.from_dict(groups)


def _read_output(call: Call) -> tuple[Any, dict[str, Any]]:
    output = call.original(*call.args, **call.kwargs)
    first = output
    while isinstance(first, list | tuple | Mapping):
        first = next(iter(first.values())) if isinstance(first, Mapping) else first[0]
    return output, {"output": first}


def _label_activation(values: np.ndarray, labelled: xr.DataArray, *, one_calendar: bool) -> xr.DataArray:
    middle = [] if values.ndim < 3 else ["timestep", *(f"dim_{axis}" for axis in range(2, values.ndim - 1))]
    dims = ["sample", *middle, "channel"][: values.ndim]
    array = xr.DataArray(values, dims=dims)
    labels = {dim: np.arange(size) for dim, size in array.sizes.items() if dim != "sample"}
    if one_calendar and array.sizes.get("timestep") == labelled.sizes.get("timestep"):
        del labels["timestep"]
    return array.assign_coords(labels)
