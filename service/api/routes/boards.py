"""``/boards``: leaderboards as JSON or CSV, with an entity tag."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from starlette.responses import Response

from service.api.conditional import IfNoneMatch, conditional
from service.dependencies import EngineDep, Limit, PageToken, Report, Select
from service.resources import boards, export, schemas

router = APIRouter(prefix="/boards", tags=["boards"])


@router.get("")
def list_boards(engine: EngineDep, limit: Limit = 50, page_token: PageToken = None) -> schemas.BoardList:
    """Boards, newest first."""
    return boards.list_boards(engine, limit=limit, page_token=page_token)


@router.get(
    "/{id}",
    response_model=schemas.Board,
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
    board = boards.show_board(engine, id, select=select, report=report)
    body = board.model_dump_json() if format == "json" else export.board_csv(board)
    if format == "json":
        return conditional(body, "application/json", if_none_match)
    return conditional(body, "text/csv", if_none_match, filename=f"board-{board.id[:12]}.csv")
