"""The examples of the documentation, as modules."""

import importlib.util
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
EXTENDING = DOCS / "extending"

sys.path.append(str(DOCS / "_ext"))


def module_of(path):
    """Run a script of the documentation and return it as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
