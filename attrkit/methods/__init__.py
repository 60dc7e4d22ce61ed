"""Methods: one file each, holding a function of the same name over an adapter. The folder is the registry."""

import inspect
import pkgutil
from collections.abc import Callable, Mapping
from importlib import import_module
from reprlib import repr as short
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


def parameters_of(name: str, function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a method by name; refuse what cannot be called as one.

    Examples
    --------
    >>> list(parameters_of("mine", lambda model, x, target: x))
    ['model', 'x', 'target']
    >>> parameters_of("len", len)
    Traceback (most recent call last):
        ...
    attrkit.errors.InputError: method 'len' takes (obj, /); accepted is a function f(model, x, target, **options)
    """
    try:
        signature = inspect.signature(function)
        places = [p for p in signature.parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        fits = len(places) > 1 or any(p.kind is p.VAR_POSITIONAL for p in signature.parameters.values())
    except (TypeError, ValueError):  # Functions of C, and classes of Python's own, may have none.
        signature, fits = None, False
    if signature is None or not fits:
        raise InputError(
            f"method {name!r} takes {signature or 'what is not known'}; accepted is a function f(model, x, target, "
            "**options)"
        )
    return signature.parameters


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
    names = method_names()
    if not isinstance(method, str):
        raise InputError(
            f"method {short(method)} is a {type(method).__name__}; accepted are {', '.join(names)}, the name of a "
            "toolkit's method, or a function of your own"
        )
    if ":" in method:
        return method, find_in_engine(method)
    if method not in names:
        import difflib

        close = difflib.get_close_matches(method, names, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise InputError(f"unknown method {method!r}; {hint}known are {', '.join(names)}, or a function of your own")
    return method, getattr(import_module(f"{__name__}.{method}"), method)
