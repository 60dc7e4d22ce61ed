"""What the gallery needs to know of attrkit: a block whose last line makes a figure shows it, as in a notebook.

The figures of attrkit do not go through pyplot, so the scraper that comes with sphinx-gallery does not see them.
"""

import ast
import warnings
from pathlib import Path
from typing import Any

from sphinx_gallery.scrapers import figure_rst

from attrkit.plot import Panels

LAST = "___"
"""Where sphinx-gallery keeps the value of a block's last line."""


def scrape(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Save the figure of the block's last line, and return the text that shows it."""
    last = block_vars["example_globals"].get(LAST)
    statements = ast.parse(block[1]).body
    # The value of an earlier block stays where it is until another line ends in one.
    if not isinstance(last, Panels) or not statements or not isinstance(statements[-1], ast.Expr):
        return ""
    path = Path(next(block_vars["image_path_iterator"]))
    last.save(path, dpi=150)
    return figure_rst([str(path)], gallery_conf["src_dir"])


def shorten_warnings(gallery_conf: dict[str, Any], script: str) -> None:
    """Print warnings without the path of the file, which differs from machine to machine."""
    warnings.formatwarning = lambda message, category, *_, **__: f"{category.__name__}: {message}\n"
