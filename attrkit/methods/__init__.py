"""Methods: one file each, holding a function of the same name over an adapter. The folder is the registry."""

import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import Any

from attrkit.engines import find_in_engine
from attrkit.errors import InputError


def method_names() -> list[str]:
    """Return the names of the built-in methods.

    Returns
    -------
    list of str
        In alphabetical order.

    Examples
    --------
    >>> method_names()[:3]
    ['attention', 'gradient', 'input_x_gradient']
    """
    return sorted(info.name for info in pkgutil.iter_modules(__path__) if not info.name.startswith("_"))


def find_method(method: Any) -> tuple[str, Callable[..., Any]]:
    """Return name and function of a method given by either.

    Parameters
    ----------
    method : str or callable
        A name of `method_names`; one of another toolkit, ``"captum:DeepLift"``; or a function ``f(model, x, target,
        **options)`` that returns an array of shape (sample, timestep[, channel]) or a mapping of names of the schema
        to arrays.

    Returns
    -------
    name : str
        What results say in the attribute ``method``.
    function : callable
        Called with an adapter, the input, and what it names of `attrkit.extract`.

    Raises
    ------
    InputError
        If there is no method of that name.

    Examples
    --------
    >>> find_method("gradients")
    Traceback (most recent call last):
        ...
    attrkit.errors.InputError: unknown method 'gradients'; did you mean 'gradient'? known are attention, ...
    """
    if callable(method):
        return getattr(method, "__name__", type(method).__name__), method
    if ":" in str(method):
        return str(method), find_in_engine(str(method))
    names = method_names()
    if method not in names:
        import difflib

        close = difflib.get_close_matches(str(method), names, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise InputError(f"unknown method {method!r}; {hint}known are {', '.join(names)}, or a function of your own")
    return method, getattr(import_module(f"{__name__}.{method}"), method)
