"""Configuration of the documentation: everything is built from what is on this machine, nothing is fetched."""

import doctest
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Progress bars would fill the output of the examples.
os.environ.setdefault("TQDM_DISABLE", "1")

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

import attrkit  # noqa: E402

project = "attrkit"
author = "The attrkit developers"
copyright = "The attrkit developers"
version = release = attrkit.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "schema_tables",
]

root_doc = "index"
exclude_patterns = ["_build", "_ext", "examples", "lessons", "**.ipynb"]
default_role = "py:obj"
highlight_language = "python"

# ---- reference ------------------------------------------------------------------------------------------------------

autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
# Everything but an extended summary and a list of what else to see, which not every name needs. Summaries stand on the
# first line here, and arguments that are described together have no type and no order of their own.
numpydoc_validation_checks = {"all", "ES01", "GL01", "GL02", "PR03", "PR04", "SA01"}
# Named tuples and data classes describe their attributes; exceptions are their first line; rules are in the guide.
numpydoc_validation_exclude = {
    r"\.(adapters\.base|adapters\.terms|errors)\.",
    r"\.relevance\.(Epsilon|AlphaBeta|Gamma|Flat|WSquare|ZBox|Composite|Flow)(\.|$)",
    r"\.(Case|Panels)(\.|$)",
}

# ---- examples -------------------------------------------------------------------------------------------------------

sphinx_gallery_conf = {
    "examples_dirs": ["lessons", "examples"],
    "gallery_dirs": ["tutorials", "gallery"],
    "filename_pattern": r"plot_\d\d_",
    "ignore_pattern": r"torch_model",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("matplotlib", "panels_scraper.scrape"),
    "reset_modules": ("panels_scraper.shorten_warnings",),
    "capture_repr": ("__repr__",),
    # What a block draws is shown, not what its last call returns.
    "ignore_repr_types": r"attrkit\.plot\.panels\.Panels|matplotlib\.text",
    # How long the machine that built the page took is nobody's matter.
    "min_reported_time": float("inf"),
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "abort_on_example_error": True,
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

doctest_global_setup = f"""
from pathlib import Path
import numpy as np
import pandas as pd
import xarray as xr
import attrkit
DOCS = Path({str(HERE)!r})
"""
doctest_default_flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
# Docstrings are run by pytest, where what they need is imported.
doctest_test_doctest_blocks = ""

# ---- pages ----------------------------------------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = "attrkit"
html_math_renderer = "mathml"
html_show_sourcelink = False
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["attrkit.css"]
html_sidebars = {"index": [], "search": [], "genindex": []}
html_theme_options = {
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "show_nav_level": 2,
    "collapse_navigation": False,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
}
