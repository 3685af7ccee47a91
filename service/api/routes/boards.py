"""``/boards``: leaderboards as JSON or CSV, with an entity tag."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Header
from starlette.responses import Response

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
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """A board: every estimator at the setting that ``select`` chooses, reported in ``report``."""
    board = boards.show_board(engine, id, select=select, report=report)
    body = board.model_dump_json() if format == "json" else export.board_csv(board)
    tag = f'W/"{hashlib.sha256(body.encode()).hexdigest()[:32]}"'  # weak: the body may travel compressed
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if _named(tag, if_none_match):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    if format == "json":
        return Response(body, media_type="application/json", headers=headers)
    headers["Content-Disposition"] = f'attachment; filename="board-{board.id[:12]}.csv"'
    return Response(body, media_type="text/csv", headers=headers)


def _named(tag: str, if_none_match: str | None) -> bool:
    """Whether If-None-Match names the tag; weak comparison (RFC 9110, 13.1.2)."""
    if if_none_match is None:
        return False
    given = {one.strip().removeprefix("W/") for one in if_none_match.split(",")}
    return "*" in given or tag.removeprefix("W/") in given
