"""Importing zennit, with or without the torchvision that its top level asks for."""

import sys
import threading
from importlib import import_module
from types import ModuleType
from typing import Any

from attrkit.errors import MissingDependencyError

_LOADING = threading.Lock()

_IMAGES = "zennit.torchvision"


def load(needed_for: str) -> None:
    """Import zennit.

    Where torchvision is missing, or was built for another torch, which it says with a RuntimeError, zennit's module for
    nets of images is left out; a later import of it fails as it would by itself. zennit 1.0 needs torchvision elsewhere
    too.

    Raises
    ------
    MissingDependencyError
        If zennit cannot be imported all the same.
    """
    with _LOADING:
        try:
            import_module("zennit")
            return
        except ModuleNotFoundError as err:
            if err.name == "zennit":
                raise _missing(needed_for) from err
        except (ImportError, RuntimeError):
            pass
        sys.modules[_IMAGES] = ModuleType(_IMAGES)
        try:
            zennit = import_module("zennit")
            del zennit.torchvision
        except (ImportError, RuntimeError) as err:
            why = f" and fails on import ({err}); it needs a torchvision that was built for this torch"
            raise _missing(needed_for, why) from err
        finally:
            del sys.modules[_IMAGES]


def room(name: str) -> Any:
    """Return a module of zennit, ``"rules"``; it is loaded by now."""
    return import_module(f"zennit.{name}")


def _missing(needed_for: str, why: str = "") -> MissingDependencyError:
    return MissingDependencyError(f"zennit is needed for {needed_for!r}{why}: pip install 'attrkit[zennit]'")
