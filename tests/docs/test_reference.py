"""The reference and the bibliography are whole: every public name once, every paper cited."""

import importlib
import inspect
import re

import pytest

import attrkit
from tests.docs.examples import DOCS

ROOMS = ("attrkit", *(f"attrkit.{room}" for room in ("plot", "metrics", "studies", "study_output", "datasets")))
ROOMS += ("attrkit.relevance", "attrkit.errors")


def documented():
    """Yield the dotted names of docs/api.rst, in their order."""
    module = ""
    for line in (DOCS / "api.rst").read_text().splitlines():
        if found := re.match(r"\.\. currentmodule:: (\S+)", line):
            module = found[1]
        elif found := re.match(r"   (\w+)$|\.\. data:: (\w+)", line):
            yield f"{module}.{found[1] or found[2]}"


def object_of(name):
    room, _, own = name.rpartition(".")
    return getattr(importlib.import_module(room), own)


def public(room):
    """Return what a user may take from a room: its functions and classes, without those of other packages."""
    module = importlib.import_module(room)
    return {
        name: value
        for name, value in ((name, getattr(module, name)) for name in [*vars(module), *getattr(module, "__all__", ())])
        if not name.startswith("_")
        and (inspect.isclass(value) or (inspect.isfunction(value) and room != "attrkit.errors"))
        and value.__module__.startswith("attrkit")
        and (room == "attrkit" or value.__module__.startswith(room))
    }


def test_no_name_is_documented_twice():
    names = list(documented())
    assert len(names) > 100
    objects = [id(object_of(name)) for name in names]
    assert not [name for name, own in zip(names, objects, strict=True) if objects.count(own) > 1]


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_documented(room):
    known = {id(object_of(name)) for name in documented()}
    found = public(room)
    assert found
    assert not [name for name, value in found.items() if id(value) not in known]


def test_the_study_is_public():
    assert any(object_of(name) is attrkit.study for name in documented())


def test_every_paper_is_cited_and_every_citation_is_there():
    labels = re.findall(r"^\.\. _([\w-]+):$", (DOCS / "bibliography.rst").read_text(), flags=re.MULTILINE)
    cited = set()
    for page in DOCS.rglob("*.rst"):
        if "_build" not in page.parts:
            cited |= set(re.findall(r":ref:`[^`<]+<([a-z]+-\d{4})>`", page.read_text()))
    assert labels == sorted(labels)
    assert set(labels) == cited


def test_every_benchmark_is_named_where_figures_are_said_to_come_from():
    named = (DOCS / "measured.rst").read_text()
    found = sorted(path.name for path in (DOCS.parent / "benchmarks").glob("*.py"))
    assert len(found) > 10
    assert not [name for name in found if name not in named]
