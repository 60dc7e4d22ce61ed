"""Adapters: one file a framework. The folder is the registry; a framework is imported when a model of it arrives."""

import pkgutil
from functools import cache
from importlib import import_module
from typing import Any

from attrkit.adapters.base import Adapter
from attrkit.errors import UnknownModelError


@cache
def adapters() -> tuple[type[Adapter], ...]:
    """Return the adapter classes: every module of this folder that defines ``ADAPTER``."""
    modules = [import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__)]
    return tuple(module.ADAPTER for module in modules if hasattr(module, "ADAPTER"))


def adapt(model: Any) -> Adapter:
    """Wrap a model in the adapter of its framework.

    Parameters
    ----------
    model : object
        A trained model; an adapter is returned as it is.

    Returns
    -------
    Adapter

    Raises
    ------
    UnknownModelError
        If no adapter takes a model of this type.

    Notes
    -----
    The first class in the model's method resolution order that an adapter handles decides. The package name alone
    cannot: Keras 2 and Keras 3 share ``keras.src``, and a Keras 3 model on torch is also a ``torch.nn.Module``.

    Examples
    --------
    >>> adapt("lstm.keras")
    Traceback (most recent call last):
        ...
    attrkit.errors.UnknownModelError: no adapter takes a str; load a file first: attrkit.load_model('lstm.keras')
    """
    if isinstance(model, Adapter):
        return model
    for cls in type(model).__mro__:
        for adapter in adapters():
            if cls.__module__.startswith(adapter.handles):
                return adapter(model)
    kind = type(model)
    if isinstance(model, str):
        raise UnknownModelError(f"no adapter takes a str; load a file first: attrkit.load_model({model!r})")
    known = ", ".join(sorted(adapter.framework for adapter in adapters()))
    raise UnknownModelError(f"no adapter takes a {kind.__module__}.{kind.__qualname__}; models of {known} are taken")
