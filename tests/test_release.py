"""What a release says of itself in several places is the same in all of them."""

import re
import tomllib
from pathlib import Path

import yaml

import attrkit
from tests.extras import CALLS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
CHANGES = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    headings = re.findall(r"^## (.*)$", CHANGES, flags=re.MULTILINE)
    assert headings[:2] == ["[Unreleased]", f"[{PROJECT['version']}] - {citation['date-released']}"]
    assert citation["version"] == PROJECT["version"] == attrkit.__version__
    assert citation["license"] == PROJECT["license"]


def test_changes_are_under_the_headings_of_keep_a_changelog():
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    for release in re.split(r"^## ", CHANGES, flags=re.MULTILINE)[1:]:
        found = re.findall(r"^### (.*)$", release, flags=re.MULTILINE)
        assert len(found) == len(set(found)), f"a heading is there twice in {release.splitlines()[0]}"
        assert set(found) <= kinds, set(found) - kinds


def members(extra):
    """Return the extras that another is made of, and those that these are made of."""
    found = {name for line in EXTRAS[extra] if line.startswith("attrkit[") for name in line[8:-1].split(",")}
    return found.union(*map(members, found))


def test_every_extra_is_called_from_the_wheel():
    assert set(CALLS) == {"core", *EXTRAS} - {"all"}
    # The pins of these two keep out the newest TensorFlow.
    assert members("all") == set(EXTRAS) - {"all", "innvestigate", "xplique"}


def test_every_package_that_is_asked_for_has_its_licence_on_the_page():
    asked = {re.split(r"[^\w.-]", line)[0] for lines in (PROJECT["dependencies"], *EXTRAS.values()) for line in lines}
    listed = re.findall(
        r"^   \* - ([\w.-]+)$", (ROOT / "docs" / "licences.rst").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(listed) == sorted((asked - {"attrkit"}) | {"package"})
