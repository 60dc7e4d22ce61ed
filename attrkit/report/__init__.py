"""Results as one page for the browser, which works without a network and without a server."""

from attrkit.report.report import report

__all__ = ["report"]
