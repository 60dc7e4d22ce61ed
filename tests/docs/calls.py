"""The calls of attrkit in tables of the documentation, found and run."""

import re

import attrkit
from tests.docs.examples import DOCS

PAGES = sorted(path.stem for path in (DOCS / "coming_from").glob("*.rst") if path.stem != "index")

# Calls that need TensorFlow, or packages of a page: run in the default environment, all others in that of torch.
HERE_ONLY = ('"xplique:', "attrkit.report(")


def calls_of(page):
    """Return the calls of attrkit that a page shows, in their order, each once."""
    text = (DOCS / "coming_from" / f"{page}.rst").read_text()
    found = [" ".join(call.split()) for call in re.findall(r"``(attrkit\..+?)``", text, flags=re.DOTALL)]
    return list(dict.fromkeys(found))


def run_calls(calls, names):
    """Run each call, and say which it was that failed."""
    for call in calls:
        try:
            eval(call, {"attrkit": attrkit, **names})
        except Exception as err:
            raise AssertionError(f"{call} fails: {type(err).__name__}: {err}") from err
