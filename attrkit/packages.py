"""Packages that only part of attrkit needs: imported when it is asked for."""

from importlib import import_module
from typing import Any

from attrkit.errors import MissingDependencyError


def needed(module: str, what: str, *, extra: str) -> Any:
    """Import a module of an extra, or say what needs it and how to install it.

    Examples
    --------
    >>> needed("json", "a report", extra="report").dumps({})
    '{}'
    >>> needed("jason.tables", "a report", extra="report")
    Traceback (most recent call last):
        ...
    attrkit.errors.MissingDependencyError: jason is needed for a report: pip install 'attrkit[report]'
    """
    try:
        return import_module(module)
    except ImportError as err:
        package = module.split(".")[0]
        raise MissingDependencyError(f"{package} is needed for {what}: pip install 'attrkit[{extra}]'") from err
