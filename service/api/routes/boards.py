"""``/boards``: leaderboards as JSON or CSV, with an entity tag."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from service.api.conditional import IfNoneMatch, conditional
from service.dependencies import EngineDep, Limit, PageToken, Report, Select
from service.resources import boards, export
from service.resources.board_schemas import Board, BoardCellList

router = APIRouter(prefix="/boards", tags=["boards"])


@router.get(
    "/{id}",
    response_model=Board,
    responses={
        200: {"content": {"text/csv": {"schema": {"type": "string"}}}},
        304: {"description": "If-None-Match names the current state."},
    },
)
def show_board(
    engine: EngineDep,
    id: str,
    select: Select = None,
    report: Report = None,
    format: Literal["json", "csv"] = "json",
    if_none_match: IfNoneMatch = None,
) -> Response:
    """A board: every estimator at the setting that ``select`` chooses, reported in ``report``."""
    shown = boards.shown_board(engine, id, select=select, report=report)
    if format == "json":
        return conditional(shown.json, "application/json", if_none_match)
    text = export.board_csv(shown.board)
    return conditional(text, "text/csv", if_none_match, filename=f"board-{shown.board.id[:12]}.csv")


@router.get("/{id}/cells")
def list_cells(
    engine: EngineDep,
    id: str,
    select: Select = None,
    report: Report = None,
    estimator: Annotated[str | None, Query(max_length=64, description="Only its settings.")] = None,
    limit: Limit = 100,
    page_token: PageToken = None,
) -> BoardCellList:
    """Every setting on a board, estimator by estimator, with what its seeds gave."""
    return boards.list_cells(
        engine,
        id,
        select=select,
        report=report,
        estimator=estimator,
        limit=limit,
        page_token=page_token,
    )
