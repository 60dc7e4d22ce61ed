"""What is kept for a model from call to call: compiled functions, what was checked of it, how many rows a pass holds.

It lives as long as the model, which it does not keep alive, and as long as the model is built as it was. New weights
need no new function: weights are read, or handed in, in every pass.
"""

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType, FunctionType
from typing import Any

from attrkit.adapters._interception import standing_in
from attrkit.adapters._pace import Pace
from attrkit.targets import Output

MOST_FUNCTIONS = 64
"""Compiled functions kept for one model; those used longest ago go first."""


class Shared:
    """What is kept for one model.

    Attributes
    ----------
    structure : hashable
        How the model was built when this was begun.
    steady : set of bool
        For which of its outputs (their logits, or not) a sample's output is known to be its own.
    outputs : dict
        Names and shapes of the model's outputs, by kind of input.
    paces : dict
        By kind of pass.
    """

    def __init__(self, structure: Hashable = None) -> None:
        self.structure = structure
        self.steady: set[bool] = set()
        self.outputs: dict[Hashable, tuple[Output, ...]] = {}
        self.paces: dict[Hashable, Pace] = {}
        self._functions: OrderedDict[Hashable, Any] = OrderedDict()
        self._local = threading.local()

    @contextmanager
    def lending(self, *held: Any) -> Iterator[None]:
        """Say what `held` is for the time of a block.

        A compiled function needs the model when it is traced, and must not keep it.
        """
        before = self.held
        self._local.held = held
        try:
            yield
        finally:
            self._local.held = before

    @property
    def held(self) -> tuple[Any, ...]:
        """What is lent to the functions that this thread runs."""
        found: tuple[Any, ...] = getattr(self._local, "held", ())
        return found

    def function(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return the compiled function of a key; it is made once, and once for what stands in for calls of classes."""
        key = standing_in(), key
        if key not in self._functions:
            self._functions[key] = make()
            while len(self._functions) > MOST_FUNCTIONS:
                self._functions.popitem(last=False)
        self._functions.move_to_end(key)
        return self._functions[key]


_KEPT: dict[int, Shared] = {}
_LOCK = threading.Lock()


def shared_of(model: Any, structure: Hashable) -> Shared:
    """Return what is kept for a model; it begins anew where the model's structure, None if unknown, is another."""
    if structure is None:
        return Shared()
    with _LOCK:
        # By identity: models of some libraries are equal if their settings are, or have no hash.
        kept = _KEPT.get(id(model))
        if kept is None:
            try:
                weakref.finalize(model, _KEPT.pop, id(model), None)
            except TypeError:
                return Shared()
        if kept is None or kept.structure != structure:
            kept = _KEPT[id(model)] = Shared(structure)
        return kept


def settings_of(layers: Iterable[Any], *, besides: Collection[str] = ()) -> Hashable:
    """Return what a compiled pass through some layers bakes in: which they are, and their plain attributes.

    ``besides`` are names of attributes that no pass depends on.
    """

    def plain(value: Any) -> bool:
        return isinstance(value, bool | int | float | str)

    def settings(layer: Any) -> Iterator[Hashable]:
        for name, value in vars(layer).items():
            if name in besides:
                continue
            if plain(value):
                yield name, value
            elif isinstance(value, list | tuple) and all(map(plain, value)):
                yield name, tuple(value)
            elif isinstance(value, FunctionType | BuiltinFunctionType):
                # An activation.
                yield name, id(value)

    return tuple((id(layer), *settings(layer)) for layer in layers)
