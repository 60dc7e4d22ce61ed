"""Which frameworks must keep the contract here, and the differences that were measured."""

import os

import pytest

from tests.contract.builders import BUILDERS

# Those of the default environment that no other lane has. A lane names its own; one that is missing there fails.
FRAMEWORKS = os.environ.get("ATTRKIT_CONTRACT", "keras-tensorflow,numpy").split(",")


def pytest_generate_tests(metafunc):
    unknown = sorted(set(FRAMEWORKS) - set(BUILDERS))
    if unknown:
        raise pytest.UsageError(f"ATTRKIT_CONTRACT names {unknown}; accepted are {', '.join(BUILDERS)}")
    if "framework" in metafunc.fixturenames:
        metafunc.parametrize("framework", FRAMEWORKS)


def pytest_terminal_summary(terminalreporter):
    """Show the largest difference of every quantity."""
    rows = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == "contract" and report.when == "call"
    ]
    if rows:
        terminalreporter.section("largest differences from the float64 reference")
        for row in sorted(rows):
            terminalreporter.line(row)
