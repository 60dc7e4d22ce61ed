"""A function of ours around one of a toolkit's, as a method."""

from collections.abc import Callable, Mapping
from functools import wraps
from importlib import import_module
from typing import Any

from attrkit.adapters.memory import is_out_of_memory
from attrkit.errors import AttrkitError, EngineError


def offered_method(
    engine: str, name: str, offered: Mapping[str, tuple[str, str]], *, version: str
) -> Callable[..., Any]:
    """Return the method that runs what a toolkit calls `name`; what fails below it is an `EngineError`.

    Parameters
    ----------
    engine : str
        Name of the toolkit, and of its room here.
    name : str
    offered : mapping of str to (str, str)
        Name -> module of the toolkit's room, and the function in it.
    version : str
        Of the toolkit; both go into the attribute ``provenance``.
    """
    room, own = offered[name]
    function = getattr(import_module(f"attrkit.engines.{engine}.{room}"), own)

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except AttrkitError:
            raise
        except Exception as err:  # Toolkits assert, and raise what the frameworks and scikit-learn do.
            if is_out_of_memory(err):
                raise
            raise EngineError(f"{engine}.{name} failed: {err or type(err).__name__}") from err

    run.provenance = {"engine": engine, "engine_version": version}  # type: ignore[attr-defined]
    return run
