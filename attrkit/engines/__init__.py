"""Other toolkits behind the same call, ``"captum:DeepLift"``: one module each, named as its package is.

The folder is the registry. A module has two functions: ``names`` lists what the toolkit offers, and ``method`` makes a
method of one of these, a function over an adapter as in `attrkit.methods`, with an attribute ``provenance`` that goes
into the attributes of its results. The toolkit is imported when it is asked for.
"""

import difflib
import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import Any

from attrkit.adapters._interception import standing_in
from attrkit.errors import InputError, RefusedError


def engine_names() -> list[str]:
    """Return the names of the toolkits."""
    return sorted(info.name for info in pkgutil.iter_modules(__path__) if not info.name.startswith("_"))


def find_in_engine(method: str) -> Callable[..., Any]:
    """Return a method of another toolkit.

    Parameters
    ----------
    method : str
        The toolkit and its own name of the method, ``"captum:DeepLift"``.

    Returns
    -------
    callable

    Raises
    ------
    InputError
        If there is no such toolkit, or it has no such method.
    MissingDependencyError
        If the toolkit is not installed.
    RefusedError
        If something stands in for the calls of layers, of which a toolkit with copies and processes of its own knows
        nothing.
    """
    if standing_in() is not None:
        raise RefusedError(
            f"{method} may run the model as its layers compute it, and not with uniform attention; inside "
            "uniform_attention use attrkit's own methods"
        )
    engine, _, name = method.partition(":")
    if engine not in engine_names():
        raise InputError(f"unknown toolkit {engine!r} in {method!r}; known are {', '.join(engine_names())}")
    module = import_module(f"{__name__}.{engine}")
    names = module.names()
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise InputError(f"{engine} has no method {name!r}; {hint}known are {', '.join(names)}")
    found: Callable[..., Any] = module.method(name)
    return found
