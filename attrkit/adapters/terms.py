"""The words in which adapters are spoken to: layers and their calls, what is asked, rows of a pass, rewrites."""

from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from attrkit.parts import Parts

LAYER = "@"
"""Before what is fed to a layer: with the layer's path after it, the array is put in place of the layer's output."""


class Layer(NamedTuple):
    """One layer of a model: where it stands (``"encoder.lstm"``), its class name, the layer itself."""

    path: str
    kind: str
    layer: Any


class Parameter(NamedTuple):
    """One array that a model has learnt, as `Adapter.parameters` names it.

    ``layer`` is the path of its layer, ``""`` where it is the model's own, ``name`` its name there, ``values`` a copy;
    ``frozen`` says that training leaves it as it is.
    """

    layer: str
    name: str
    values: np.ndarray
    frozen: bool


class Call(NamedTuple):
    """One call of a layer, seen from inside a forward pass; ``original`` is the layer's own ``call``."""

    layer: Any
    original: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True)
class LazyRows:
    """Inputs that are made a batch at a time.

    ``make`` maps row numbers, of shape (row,), to arrays of shape (row, ...); ``sample`` maps them to the numbers of
    the samples that the rows are variants of.
    """

    count: int
    make: Callable[[np.ndarray], Parts]
    sample: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Question:
    """What of a model is explained: which of its inputs, and which function of its outputs.

    Attributes
    ----------
    explained : mapping of str to str
        Name of each part -> what it feeds: an input, or ``"@"`` and the path of the layer whose output it replaces.
    context : mapping of str to ndarray
        The other inputs of all samples, as they are.
    static : frozenset of str
        Parts of shape (sample, 1, channel) that the model takes as (sample, channel).
    head : callable, optional
        Maps the model's outputs, in the framework's own tensors, to one value a row.
    by_name : bool
        The user named the inputs: a single one is passed by its name too.
    logits : bool
        Explain what goes into the softmax or sigmoid that makes the output.
    imposed : mapping of str to tuple of str and callable
        Of what is fed to a layer, and is not its output: key of the feed -> the layer's path, and a function of its
        call and of what was fed, which returns the layer's output.
    """

    explained: Mapping[str, str] = field(default_factory=dict)
    context: Mapping[str, np.ndarray] = field(default_factory=dict)
    static: frozenset[str] = frozenset()
    head: Callable[[Any], Any] | None = None
    logits: bool = False
    by_name: bool = False
    imposed: Mapping[str, tuple[str, Callable[[Call, Any], Any]]] = field(default_factory=dict)

    @property
    def is_inside(self) -> bool:
        """Whether something is fed to a layer, past the inputs of the model."""
        return any(key.startswith(LAYER) for key in (*self.explained.values(), *self.context))


Feed = dict[str, np.ndarray]
"""What one pass of the model gets: arrays of one batch by input name, or by ``"@"`` and a layer's path."""


class PathRows(NamedTuple):
    """Rows of one pass of the path gradient, arrays of shape (row, ...): a row is one sample at one step.

    ``weight`` is of shape (row, sum): the weight of a row's gradient in each of the sums.
    """

    sample: np.ndarray
    alpha: np.ndarray
    weight: np.ndarray
    target: np.ndarray
    noise: Feed | None


Reader = Callable[[Call], tuple[Any, Any]]
"""Runs a layer's call in its place: returns the layer's output and a dict of what it read, by name; None if nothing."""


Noise = Callable[[np.ndarray, np.ndarray], Parts]
"""Maps sample numbers and step numbers, each of shape (row,), to noise of shape (row, timestep[, channel])."""


Readings = dict[str, list[dict[str, np.ndarray]]]
"""Layer path -> one entry a call of the layer -> what was read, by name, samples first."""


@dataclass(frozen=True)
class Rewrite:
    """Another backward pass for the same forward pass: what stands in for some layers, and what is differentiated too.

    Attributes
    ----------
    key : hashable
        Rewrites of one key are compiled once.
    leaves : callable
        Maps a batch's feed to arrays of shape (row, ...), which are differentiated beside the inputs; their names begin
        with ``"#"``. One named ``"#what KEY"`` has the shape of the input KEY, and its products count as that input's.
    begin : callable
        Maps these leaves and the feed, in the framework's tensors, to readers by path and to what holds for the pass.
    """

    key: Hashable
    leaves: Callable[[Feed], Feed]
    begin: Callable[[dict[str, Any], dict[str, Any]], tuple[Mapping[str, Reader], AbstractContextManager[Any]]]
