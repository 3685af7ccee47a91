"""Reports of suites as Markdown and LaTeX."""

from __future__ import annotations

from typing import Any

from service.api import markup
from service.resources import cost_tables, report_tables
from service.resources.suite_schemas import SuiteReport


def markdown(report: SuiteReport) -> str:
    """The report for people and for GitHub: claims first, then a table a board."""
    return markup.markdown("report.md", **_context(report))


def latex(report: SuiteReport) -> str:
    """The report as a document with booktabs tables."""
    return markup.latex("report.tex", **_context(report))


def _context(report: SuiteReport) -> dict[str, Any]:
    return {
        "report": report,
        "words": report_tables,
        "tables": report_tables.tables(report),
        "costs": cost_tables,
    }
