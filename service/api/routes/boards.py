"""``/boards``: leaderboards as JSON and in other formats, with an entity tag."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from service.api.board_texts import TEXTS, Format
from service.api.conditional import NOT_MODIFIED, IfNoneMatch, conditional
from service.api.downloads import file_name
from service.dependencies import BoardId, EngineDep, IntervalQuery, Limit, PageToken, Report, Select
from service.resources import boards
from service.resources.board_schemas import Board, BoardCellList

router = APIRouter(prefix="/boards", tags=["boards"])

FormatQuery = Annotated[
    Format, Query(description="All but JSON are answered as files; HTML is one that needs no server.")
]
TEXT_ANSWERS: dict[str, Any] = {
    text.media_type.partition(";")[0]: {"schema": {"type": "string"}} for text in TEXTS.values()
}


@router.get(
    "/{id}",
    response_model=Board,
    responses={200: {"content": TEXT_ANSWERS}, **NOT_MODIFIED},
)
def show_board(
    engine: EngineDep,
    id: BoardId,
    select: Select = None,
    report: Report = None,
    interval: IntervalQuery = "t",
    format: FormatQuery = "json",
    if_none_match: IfNoneMatch = None,
) -> Response:
    """A board: every estimator at the setting that ``select`` chooses, reported in ``report``."""
    shown = boards.shown_board(engine, id, select=select, report=report, interval=interval)
    if format == "json":
        return conditional(shown.json, "application/json", if_none_match)
    text, board = TEXTS[format], shown.board
    name = file_name(board.title, board.id, "", text.ending)
    return conditional(text.make(board), text.media_type, if_none_match, filename=name)


@router.get("/{id}/cells")
def list_cells(
    engine: EngineDep,
    id: BoardId,
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
