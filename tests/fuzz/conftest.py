"""How many cases were tried, shown where that is asked for."""

from tests.fuzz.contract import COUNTS, THOROUGH


def pytest_terminal_summary(terminalreporter):
    """Show of each subject how many cases came to what; of one process, so run it with -n 0."""
    if not (THOROUGH and COUNTS):
        return
    terminalreporter.section("cases tried")
    for subject in sorted({subject for subject, _ in COUNTS}):
        own = {kind: count for (known, kind), count in sorted(COUNTS.items()) if known == subject}
        each = ", ".join(f"{count} {kind}" for kind, count in own.items())
        terminalreporter.line(f"{subject}: {sum(own.values())} ({each})")
