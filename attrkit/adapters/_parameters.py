"""What a model holds in arrays: read, set, put back bit for bit, and differentiated with respect to."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from attrkit.adapters._feeds import rows_of
from attrkit.adapters._interception import LOCK
from attrkit.adapters.terms import Feed, Parameter, Reader, Readings
from attrkit.errors import InputError, RefusedError
from attrkit.parts import Parts, row_count

if TYPE_CHECKING:
    from attrkit.adapters.base import Adapter


class Held(NamedTuple):
    """One array of a model, where the framework keeps it.

    Attributes
    ----------
    layer : str
        Path of the layer that it belongs to, ``""`` for the model itself.
    name : str
    learnt : bool
        Whether it is a parameter, and no average, state or seed.
    frozen : bool
        Whether training leaves it as it is.
    array : object
        The framework's variable.
    """

    layer: str
    name: str
    learnt: bool
    frozen: bool
    array: Any


Place = tuple[str, int, str]
"""Where something was read: the layer's path, which of its calls, what it is named."""


def by_name(held: Sequence[Held]) -> dict[str, Held]:
    """Name arrays by their layer's path and their own name; the second of one name is ``name#2``."""
    found: dict[str, Held] = {}
    for one in held:
        name = f"{one.layer}.{one.name}" if one.layer else one.name
        nth = 1
        while (unique := name if nth == 1 else f"{name}#{nth}") in found:
            nth += 1
        found[unique] = one
    return found


def parameters_of(model: "Adapter") -> dict[str, Parameter]:
    """Return what a model has learnt, by name."""
    return {
        name: Parameter(one.layer, one.name, model._fetch(one.array), one.frozen)
        for name, one in by_name(model._held()).items()
        if one.learnt
    }


def learnt_of(model: "Adapter") -> dict[str, Any]:
    """Return the framework's variables that training would change, by name."""
    return {name: one.array for name, one in by_name(model._held()).items() if one.learnt and not one.frozen}


def state_of(model: "Adapter") -> dict[str, np.ndarray]:
    """Return copies of all arrays of a model, by name."""
    return {name: model._fetch(one.array) for name, one in by_name(model._held()).items()}


def assign(model: "Adapter", values: Mapping[str, Any]) -> None:
    """Set some arrays of a model; all are checked before one is set."""
    held = by_name(model._held())
    unknown = [name for name in values if name not in held]
    if unknown:
        raise InputError(f"the model holds no {', '.join(map(repr, unknown))}; it holds {', '.join(held) or 'nothing'}")
    given = {name: np.asarray(array) for name, array in values.items()}
    for name, array in given.items():
        shape = tuple(held[name].array.shape)
        if array.shape != shape or array.dtype.kind not in "biufc":
            raise InputError(
                f"{name!r} came with shape {array.shape} of {array.dtype}; accepted are numbers of shape {shape}"
            )
    with LOCK:
        for name, array in given.items():
            model._put(held[name].array, array)


@contextmanager
def state_kept(model: "Adapter") -> Iterator[None]:
    """Put all arrays of a model back when the block ends, bit for bit; no other thread changes the model meanwhile."""
    with LOCK:
        before = state_of(model)
        try:
            yield
        finally:
            now = state_of(model)
            # Bytes, because NaN is not itself and -0.0 is 0.0; a write for nothing may spoil a backward pass of the
            # user's that needs the array.
            assign(model, {name: old for name, old in before.items() if old.tobytes() != now[name].tobytes()})


def parameter_gradient(
    model: "Adapter",
    x: Parts,
    output_cotangent: np.ndarray,
    *,
    readers: Mapping[str, Reader],
    reading_cotangents: Readings,
    sample: np.ndarray | None,
) -> dict[str, np.ndarray]:
    """Return the gradient of outputs and readings, each times its cotangent and all added up."""
    model.check_gradient()
    if not learnt_of(model):
        raise RefusedError(
            "the model has no parameters that are not frozen; unfreeze some (trainable=True in Keras, "
            "requires_grad_() in torch)"
        )
    missing = [path for path in reading_cotangents if path not in readers]
    if missing:
        raise InputError(f"cotangents came for {', '.join(missing)}, which no reader reads; give readers for them too")
    places = tuple(
        (path, i, name) for path, calls in reading_cotangents.items() for i, call in enumerate(calls) for name in call
    )
    whole = [output_cotangent, *(reading_cotangents[path][i][name] for path, i, name in places)]
    n_samples = row_count(x)
    if any(len(values) != n_samples for values in whole):
        raise InputError(f"cotangents came for {[len(values) for values in whole]} samples, and x has {n_samples}")
    model.learn_outputs(x)
    width = sum(output.size for output in model.outputs)
    if output_cotangent.shape[1:] != (width,):
        raise InputError(
            f"a cotangent of shape {output_cotangent.shape} came for the outputs laid flat, of shape (sample, {width})"
        )
    totals: dict[str, np.ndarray] = {}

    def run(feed: Feed, rows: np.ndarray, way: str) -> None:
        # Rows that only fill a pass up count for nothing.
        own = [np.zeros((rows_of(feed), *values.shape[1:]), values.dtype) for values in whole]
        for filled, values in zip(own, whole, strict=True):
            filled[: len(rows)] = values[rows]
        for name, slope in model._parameter_gradient(feed, readers, places, own, way).items():
            totals[name] = totals[name] + slope if name in totals else slope
        model.cost["gradient_evaluations"] += len(rows)

    model._run_batches(x, "parameters", run, sample=sample, key=(places, tuple(readers.items())))
    return totals


def with_cotangents(
    flat: Any, readings: Mapping[str, Sequence[Mapping[str, Any]]], places: Sequence[Place], cotangents: Sequence[Any]
) -> list[tuple[Any, Any]]:
    """Return pairs of what a pass gave, in the framework's tensors, and its cotangent; shapes must be the same."""
    found = [("the outputs", flat)]
    for path, i, name in places:
        calls = readings.get(path, [])
        if i >= len(calls) or name not in calls[i]:
            raise InputError(f"no {name!r} is read in call {i} of layer {path!r}, for which a cotangent came")
        found.append((f"{name!r} of layer {path!r}", calls[i][name]))
    for (what, value), cotangent in zip(found, cotangents, strict=True):
        # A traced size may be unknown.
        sizes, given = tuple(value.shape)[1:], tuple(cotangent.shape)[1:]
        if len(sizes) != len(given) or any(a is not None and a != b for a, b in zip(sizes, given, strict=True)):
            raise InputError(f"a cotangent of shape {given} a sample came for {what}, of shape {sizes}")
    return [(value, cotangent) for (_, value), cotangent in zip(found, cotangents, strict=True)]


def not_reached() -> RefusedError:
    """Return the refusal of a pass that depends on none of the parameters."""
    return RefusedError("no differentiable path leads from the model's parameters to what was asked for")
