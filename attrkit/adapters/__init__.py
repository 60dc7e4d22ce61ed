"""Adapters: one file a kind of model. The folder is the registry; a framework is imported when a model of it arrives.

A file has ``HANDLES``, the modules that its models' classes come from, and ``adapt(model)``. Another package adds such
a module under the entry point ``attrkit.adapters``.
"""

import pkgutil
from functools import cache
from importlib import import_module
from typing import Any

from attrkit.adapters.base import Adapter
from attrkit.adapters.function import adapt_function
from attrkit.errors import InputError, UnknownModelError
from attrkit.plugins import modules_in


@cache
def adapters() -> dict[str, Any]:
    """Return the modules that adapt models, by name: those of other packages first, then those of this folder."""
    found = dict(modules_in("attrkit.adapters", ("HANDLES", "adapt")))
    for info in pkgutil.iter_modules(__path__):
        if not info.name.startswith("_"):
            found.setdefault(info.name, import_module(f"{__name__}.{info.name}"))
    return {name: module for name, module in found.items() if hasattr(module, "HANDLES")}


def adapt(model: Any, *, framework: str | None = None, params: Any = None) -> Adapter:
    """Wrap a model in the adapter of its framework.

    Parameters
    ----------
    model : object
        A trained model, or a function of arrays with samples first; an adapter is returned as it is.
    framework : {"jax", "numpy"}, optional
        What a plain function is made of. A jitted function is known to be of JAX; any other is taken for one of numpy,
        which has no gradients.
    params : pytree, optional
        The weights of a JAX function that takes them first, ``f(params, x)``. They are handed in at every pass, and so
        what is compiled is kept as long as the adapter, and is right for others: ``adapter.params = new``. What else
        such a function closes over must stay as it is. Without `params` a function is compiled anew in each call.

    Returns
    -------
    Adapter
        Its ``repr`` says which it is.

    Raises
    ------
    UnknownModelError
        If no adapter takes a model of this type.
    InputError
        If `params` are given for anything but a JAX function.

    Notes
    -----
    The first class in the model's method resolution order that an adapter handles decides. The package name alone
    cannot: Keras 2 and Keras 3 share ``keras.src``, and a Keras 3 model on torch is also a ``torch.nn.Module``.

    Examples
    --------
    >>> adapt(lambda x: x.sum(axis=(1, 2)))
    <NumpyFunction: framework numpy, framework_version ..., model <lambda>>
    >>> adapt("lstm.keras")
    Traceback (most recent call last):
        ...
    attrkit.errors.UnknownModelError: no adapter takes a str; load a file first: attrkit.load_model('lstm.keras')
    """
    if isinstance(model, Adapter):
        found: Adapter | None = model
    else:
        found = _adapted(model) if framework is None else None
    if found is not None:
        if params is not None:
            raise InputError(f"params are the weights of a JAX function; a {type(model).__name__} has its own")
        return found
    if callable(model) and not isinstance(model, type):
        return adapt_function(model, framework, params)
    kind = type(model)
    if isinstance(model, str):
        raise UnknownModelError(f"no adapter takes a str; load a file first: attrkit.load_model({model!r})")
    known = ", ".join(sorted(adapters()))
    raise UnknownModelError(
        f"no adapter takes a {kind.__module__}.{kind.__qualname__}; models of {known}, and functions, are taken"
    )


def _adapted(model: Any) -> Adapter | None:
    for cls in type(model).__mro__:
        for module in adapters().values():
            if cls.__module__.startswith(module.HANDLES):
                found: Adapter = module.adapt(model)
                return found
    return None
