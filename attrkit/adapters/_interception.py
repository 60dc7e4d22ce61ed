"""Readers in the place of layers' own calls, for one forward pass on the instances, or for a while on the classes."""

import inspect
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from types import MethodType
from typing import Any

from attrkit.adapters.terms import Call, Layer, Reader
from attrkit.errors import RefusedError

# What is set on a layer, or on a model, is seen by every thread: one thread at a time sets any.
LOCK = threading.RLock()

_HERE = threading.local()


def standing_in() -> Hashable:
    """Return what stands in for the calls of classes in this thread, None if nothing.

    What is compiled meanwhile holds only as long.
    """
    return getattr(_HERE, "key", None)


@contextmanager
def standing(key: Hashable) -> Iterator[None]:
    """Let what stands in for the calls of classes be `key` until the block ends; with None, they are their own."""
    before = standing_in()
    _HERE.key = key
    try:
        yield
    finally:
        _HERE.key = before


@contextmanager
def replaced(
    functions: Mapping[type, str],
    stand_in: Callable[[Call], Any],
    key: Hashable,
    *,
    wrap: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda call: call,
) -> Iterator[None]:
    """Let a function stand in for the calls of all layers of some classes, in this thread, until the block ends.

    Parameters
    ----------
    functions : mapping of type to str
        Class -> the name of the call that it defines: ``"call"`` in Keras, ``"forward"`` in torch.
    stand_in : callable
        Maps a call to what the layer returns.
    key : hashable
        What `standing_in` returns meanwhile.
    wrap : callable, optional
        Last touch to what stands in.
    """

    def method(own: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(own)
        def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
            if standing_in() != key:
                return own(layer, *args, **kwargs)
            return stand_in(Call(layer, MethodType(own, layer), args, kwargs))

        # Keras 2 looks at what a call takes without looking behind a wrapper.
        call.__signature__ = inspect.signature(own)  # type: ignore[attr-defined]
        return wrap(call)

    with LOCK:
        before = [(cls, name, vars(cls)[name]) for cls, name in functions.items()]
        try:
            for cls, name, own in before:
                setattr(cls, name, method(own))
            with standing(key):
                yield
        finally:
            for cls, name, own in before:
                setattr(cls, name, own)


@contextmanager
def intercepted(
    attribute: str,
    layers: Callable[[], Iterable[Layer]],
    readers: Mapping[str, Reader],
    *,
    original: Callable[[Any], Callable[..., Any]] | None = None,
    wrap: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda call: call,
    outside: Callable[[], bool] = lambda: False,
) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """Let readers stand in for the calls of their layers until the block ends; all is put back as it was.

    Parameters
    ----------
    attribute : str
        Name of a layer's own call: ``"call"`` in Keras, ``"forward"`` in torch.
    layers : callable
        Returns all layers; called only if one is to be replaced.
    readers : mapping of str to Reader
        By path.
    original : callable, optional
        Returns a layer's own call, where that is more than its attribute.
    wrap : callable, optional
        Last touch to what stands in.
    outside : callable, optional
        Whether the call runs where its values cannot be taken out, such as in a compiled loop.

    Yields
    ------
    dict
        What was read, by path, an entry a call; filled while the block runs.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    if not readers:
        yield found
        return
    by_path = {entry.path: entry.layer for entry in layers()}
    owner = threading.get_ident()

    def stand_in(path: str, layer: Any, reader: Reader) -> Callable[..., Any]:
        own = getattr(layer, attribute) if original is None else original(layer)

        def call(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != owner:
                return own(*args, **kwargs)
            output, read = reader(Call(layer, own, args, kwargs))
            if read is None:
                return output
            if outside():
                raise RefusedError(
                    f"layer {path!r} runs inside a loop or an inner function of the model, where its values "
                    "cannot be taken out; read the layer around it"
                )
            found.setdefault(path, []).append(read)
            return output

        # A family of attention layers, in another thread, may look just then for what the call takes.
        call.__signature__ = inspect.signature(own)  # type: ignore[attr-defined]
        return wrap(call)

    with LOCK:
        before = []
        try:
            for path, reader in readers.items():
                layer = by_path[path]
                before.append((layer, vars(layer).get(attribute)))
                # Frameworks track what is set on a layer: go past their own __setattr__.
                object.__setattr__(layer, attribute, stand_in(path, layer, reader))
            yield found
        finally:
            for layer, own in before:
                if own is None:
                    object.__delattr__(layer, attribute)
                else:
                    object.__setattr__(layer, attribute, own)
