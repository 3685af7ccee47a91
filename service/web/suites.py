"""The pages of suites: papers with their tables and figures, and the report of one."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from benchmarks.suites.reading import Exhibit
from service.dependencies import EngineDep, MeasuredDep, TierQuery
from service.errors import BrokenSuite
from service.resources import cost_tables, figures, report_tables, reproductions, suite_reports, suites
from service.resources.colours import colours
from service.resources.schemas import ExhibitLine, TierLine
from service.resources.suite_schemas import SuiteReport
from service.web.render import page

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

CHIPS = {
    "supported": "succeeded",
    "reproduced": "succeeded",
    "contradicted": "failed",
    "not reproduced": "failed",
    "undecided": "cancelled",
    "within noise": "cancelled",
    "not tried": "",
    "not comparable": "",
    "compatible": "succeeded",
    "lower": "",
    "higher": "",
}
"""Verdict, or word on a ratio -> chip of the style sheet; its sign and words stand in it."""

DOWNLOADS = (("markdown", "Markdown"), ("latex", "LaTeX"), ("json", "JSON"))


@router.get("/suites")
def suites_page(engine: EngineDep, measured: MeasuredDep) -> HTMLResponse:
    """All papers."""
    found = suites.list_suites(engine, measured)
    papers = [
        {
            "suite": suite,
            "exhibits": [(line, _tiers(engine, measured, suite.id, line)) for line in suite.exhibits],
        }
        for suite in found.suites
    ]
    return page("suites.html", section="suites", papers=papers, broken=found.broken, **_signs())


@router.get("/suites/{suite}/{exhibit}")
def report_page(
    engine: EngineDep, measured: MeasuredDep, suite: str, exhibit: str, tier: TierQuery | None = None
) -> HTMLResponse:
    """The report of a table or figure; without a tier, of the first that it has."""
    found = reproductions.exhibit(f"{suite}/{exhibit}")
    chosen = reproductions.tier_of(found, tier or next(iter(found.file.tiers)))
    report = suite_reports.show_report(engine, found, chosen, measured)
    picture = figures.picture(engine, found, chosen) if report.figure and report.boards else None
    summary = figures.summary(picture) if picture else ""
    return page("report.html", section="suites", **report_context(report, found), picture=summary, **_signs())


def report_context(report: SuiteReport, exhibit: Exhibit) -> dict[str, Any]:
    """Everything that ``report.html`` shows besides the picture."""
    estimators = [row.estimator for board in report.boards for row in board.rows]
    measured = (board for device in report.devices for board in device.boards)
    estimators += [row.estimator for board in measured for row in board.rows]
    return {
        "report": report,
        "words": report_tables,
        "tables": report_tables.tables(report),
        "colours": colours(estimators),
        "costs": cost_tables.cost_tables(report),
        "not_measured": cost_tables.not_measured(report),
        "rule": cost_tables.RULE,
        "tiers": [
            {"name": one, "href": suite_reports.report_path(exhibit, one), "current": one == report.tier}
            for one in exhibit.file.tiers
        ],
        "downloads": [(title, f"{report.href}&format={format}") for format, title in DOWNLOADS],
    }


def _signs() -> dict[str, Any]:
    return {"chips": CHIPS, "signs": report_tables.SIGNS}


def _tiers(engine: EngineDep, measured: MeasuredDep, suite: str, line: ExhibitLine) -> list[dict[str, Any]]:
    """A row for each tier of an exhibit that has results, and one for all others."""
    exhibit = reproductions.exhibit(f"{suite}/{line.id}")
    begun = [tier for tier in line.tiers if tier.ended or tier.measured_on]
    rows = [_link(exhibit, tier) | _verdicts(engine, measured, exhibit, tier) for tier in begun]
    others = [_link(exhibit, tier) for tier in line.tiers if tier not in begun]
    return [*({"begun": row} for row in rows), *([{"others": others}] if others else [])]


def _link(exhibit: Exhibit, tier: TierLine) -> dict[str, Any]:
    name = reproductions.tier_of(exhibit, tier.tier)
    return {"tier": tier, "href": suite_reports.report_path(exhibit, name)}


def _verdicts(engine: EngineDep, measured: MeasuredDep, exhibit: Exhibit, tier: TierLine) -> dict[str, Any]:
    """Verdicts by number, or why there are none."""
    try:
        found = suite_reports.verdicts(engine, exhibit, reproductions.tier_of(exhibit, tier.tier), measured)
    except BrokenSuite as error:
        return {"claims": {}, "numbers": {}, "broken": str(error)}
    claims, numbers = found
    return {"claims": dict(claims), "numbers": dict(numbers)}
