"""Pages in Chromium, for the lane ``browser``; in other lanes nothing is collected."""

import os
import shutil

import pytest

collect_ignore_glob = [] if "ATTRKIT_BROWSER" in os.environ else ["test_*.py"]

# Without what calls its makers: the tests count the requests of the page.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def pytest_terminal_summary(terminalreporter):
    """Say how long a large page took to open."""
    passed = terminalreporter.stats.get("passed", [])
    lines = [value for report in passed for name, value in report.user_properties if name == "opening"]
    if lines:
        terminalreporter.section("opening a page")
        for line in dict.fromkeys(lines):
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    assert chromium, "no chromium on this machine; apt-get install chromium"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield launched
        launched.close()
