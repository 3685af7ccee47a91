"""``/suites/{suite}/{exhibit}``: reports and pictures, with an entity tag."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from starlette.responses import Response

from service.api import report_texts
from service.api.conditional import NOT_MODIFIED, IfNoneMatch, conditional
from service.dependencies import EngineDep, ExhibitId, MeasuredDep, SuiteId, TierQuery
from service.resources import drawing, figures, reproductions, suite_reports
from service.resources.colours import Scheme
from service.resources.suite_schemas import SuiteReport

router = APIRouter(prefix="/suites/{suite}/{exhibit}", tags=["suites"])

MEDIA_TYPES = {
    "json": "application/json",
    "markdown": "text/markdown; charset=utf-8",
    "latex": "application/x-latex; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
}


@router.get(
    "/report",
    response_model=SuiteReport,
    responses={200: {"content": {"text/markdown": {}, "application/x-latex": {}}}, **NOT_MODIFIED},
)
def show_report(
    engine: EngineDep,
    measured: MeasuredDep,
    suite: SuiteId,
    exhibit: ExhibitId,
    tier: TierQuery,
    format: Literal["json", "markdown", "latex"] = "json",
    if_none_match: IfNoneMatch = None,
) -> Response:
    """What was measured of a table or figure beside what was published."""
    found = reproductions.exhibit(f"{suite}/{exhibit}")
    report = suite_reports.show_report(engine, found, reproductions.tier_of(found, tier), measured)
    if format == "json":
        return conditional(report.model_dump_json(), MEDIA_TYPES[format], if_none_match)
    body = report_texts.markdown(report) if format == "markdown" else report_texts.latex(report)
    return conditional(body, MEDIA_TYPES[format], if_none_match)


@router.get(
    "/figure",
    response_class=Response,
    responses={200: {"content": {"image/svg+xml": {}, "image/png": {}}}, **NOT_MODIFIED},
)
def show_figure(
    engine: EngineDep,
    suite: SuiteId,
    exhibit: ExhibitId,
    tier: TierQuery,
    format: drawing.Format = "svg",
    scheme: Scheme = "light",
    if_none_match: IfNoneMatch = None,
) -> Response:
    """A figure in the paper's layout, on a light or a dark ground."""
    found = reproductions.exhibit(f"{suite}/{exhibit}")
    picture = figures.picture(engine, found, reproductions.tier_of(found, tier))
    body = drawing.draw(picture, format=format, scheme=scheme)
    return conditional(body, MEDIA_TYPES[format], if_none_match)
