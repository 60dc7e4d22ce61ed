"""Hostile names on the page of a report: no name becomes a tag, an attribute or a script."""

from collections import Counter

# It sets filters of warnings when it is imported.
import bokeh.plotting  # noqa: F401
from hypothesis import given
from hypothesis import strategies as st

import attrkit
from tests.fuzz.contract import fuzz, outcome
from tests.fuzz.test_plots import HOSTILE, hostile_trees
from tests.report.pages import Page


def shape(path):
    """Return which tags a page has, and with which attributes."""
    return Counter((tag, tuple(sorted(attrs))) for tag, attrs in Page(path).tags)


@given(hostile_trees(), st.sampled_from(HOSTILE).filter(str.strip))
@fuzz(2)
def test_hostile_names_stay_text(tmp_path_factory, made, title):
    data, names = made
    folder = tmp_path_factory.mktemp("page")
    outcome(
        "hostile names on a page",
        lambda: attrkit.report(data, folder / "hostile.html", title=title),
        about={"data": data},
        valid=lambda found: found,
    )
    tame = {f"e{number}": ds.copy() for number, ds in enumerate(data.values())}
    for ds in tame.values():
        ds.attrs |= {key: "plain" for key in ("method", "model") if key in ds.attrs}
    tame = {
        name: ds.assign_coords(channel=["c", "d"], sample=["s", "t"], target=("sample", ["u", "v"]))
        for name, ds in tame.items()
    }
    attrkit.report(tame, folder / "tame.html", title="Title")
    found, expected = shape(folder / "hostile.html"), shape(folder / "tame.html")
    assert {tag for tag, _ in found} == {tag for tag, _ in expected}
    assert set(found) <= set(expected), set(found) - set(expected)
    for tag in ("script", "style", "link", "iframe", "img", "meta", "base", "form"):
        each = [sum(count for (own, _), count in page.items() if own == tag) for page in (found, expected)]
        assert each[0] == each[1], f"{each[0]} of {tag} in place of {each[1]}"
    held = Page(folder / "hostile.html").data
    assert names[2] in "".join(held["channels"])
