"""The page as text: figures, numbers and tables in one file, every label escaped."""

import base64
import hashlib
from importlib import import_module
from pathlib import Path
from typing import Any

from attrkit.packages import needed
from attrkit.report._contents import Contents
from attrkit.report._figures import figures
from attrkit.report._numbers import pack_numbers
from attrkit.report._tables import agreement_table, check_table, provenance, warnings_of
from attrkit.schema import installed_version

MOST_BYTES = 4_900_000
"""Of a page: what a mail server still takes."""

_HERE = Path(__file__).parent


def check_packages() -> None:
    """Refuse, before the work is done, to go without a package that a page needs."""
    for package in ("bokeh", "jinja2", "scipy"):
        needed(package, "a report", extra="report")


def render(contents: Contents, *, title: str) -> str:
    """Write a page.

    Parameters
    ----------
    contents : Contents
    title : str

    Returns
    -------
    str
        HTML.

    Raises
    ------
    InputError
        If the attention of so many samples does not fit a page.
    """
    jinja2 = import_module("jinja2")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Bokeh reads its models in the order in which they were written.
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    scripts = [_library(), (_HERE / "page.js").read_text(encoding="utf-8")]
    fixed = {
        "title": title,
        "version": installed_version("attrkit"),
        "contents": contents,
        "scripts": [jinja2.utils.markupsafe.Markup(script) for script in scripts],
        "hashes": [_hash(script) for script in scripts],
        "style": jinja2.utils.markupsafe.Markup((_HERE / "page.css").read_text(encoding="utf-8")),
        "agreement": agreement_table(contents.found),
        "checks": check_table(contents.found),
        "warned": warnings_of(contents.found),
        "origins": {name: provenance(ds) for name, ds in contents.found.items()},
    }
    template = environment.get_template("page.html.j2")
    # All but the numbers: they may have the rest of the room.
    drawn = figures(contents)
    empty = template.render(fixed, data={"figures": drawn, "about": contents.about}, notes=contents.notes)
    numbers = pack_numbers(contents, MOST_BYTES - len(empty.encode()) - 20_000)
    data = {
        "figures": drawn,
        "head": numbers.head,
        "axes": numbers.axes,
        "samples": numbers.samples,
        "about": contents.about,
        "names": contents.samples,
        "channels": contents.channels,
        "strips": [
            {"name": strip.name, "label": strip.label, "resolved": strip.resolved, "note": strip.note}
            for strip in contents.strips
        ],
        "matrices": [matrix.label for matrix in contents.matrices],
        "linked": all(matrix.is_time for matrix in contents.matrices),
    }
    page: str = template.render(fixed, data=data, notes=[*contents.notes, *numbers.notes])
    return page


def _library() -> str:
    """Return the one part of Bokeh's JavaScript that a page needs."""
    resources: Any = import_module("bokeh.resources").Resources(mode="inline", components=["bokeh"], minified=True)
    text: str = resources.js_raw[0]
    if "</script" in text.lower():
        raise RuntimeError("Bokeh's JavaScript cannot stand inside a page as it is")
    return text


def _hash(script: str) -> str:
    """Return what a page allows a script by; no other script will run on it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
