"""``/boards/{id}/trials``, ``/curves`` and ``/figure``: what a board rests on, as files."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from service.api.conditional import NOT_MODIFIED, IfNoneMatch, conditional
from service.api.downloads import file_name, streamed
from service.dependencies import BoardId, EngineDep, Report, Select
from service.resources import board_figures, boards, describe, drawing, tables, tidy
from service.resources.colours import Scheme
from service.resources.tables import Table

router = APIRouter(prefix="/boards", tags=["boards"])

Format = Literal["csv", "parquet"]
FormatQuery = Annotated[
    Format, Query(description="Parquet needs the server's optional package pyarrow; 501 where it is missing.")
]
CellsQuery = Annotated[
    tidy.Cells, Query(description="Of all settings, or of those alone that the board shows.")
]

MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}
PICTURES = {"svg": "image/svg+xml", "png": "image/png"}

TABLES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "text/csv": {"schema": {"type": "string"}},
            "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
        }
    },
    501: {"description": "Parquet, and the server has no pyarrow."},
}


@router.get("/{id}/trials", response_class=Response, responses=TABLES)
def show_trials(
    engine: EngineDep,
    id: BoardId,
    select: Select = None,
    cells: CellsQuery = "all",
    format: FormatQuery = "csv",
) -> Response:
    """Every trial of a board, a row each: setting, seed, state, final metrics, what it took."""
    source = tidy.source(engine, id, select=select, cells=cells)
    return _table(tidy.trials_table(source), source, "trials", format)


@router.get("/{id}/curves", response_class=Response, responses=TABLES)
def show_curves(
    engine: EngineDep,
    id: BoardId,
    select: Select = None,
    cells: CellsQuery = "all",
    format: FormatQuery = "csv",
) -> Response:
    """Every curve of a board's trials, a row for each metric and epoch."""
    source = tidy.source(engine, id, select=select, cells=cells)
    return _table(tidy.curves_table(source), source, "curves", format)


@router.get(
    "/{id}/figure",
    response_class=Response,
    responses={200: {"content": {name: {} for name in PICTURES.values()}}, **NOT_MODIFIED},
)
def show_figure(
    engine: EngineDep,
    id: BoardId,
    kind: board_figures.Kind,
    select: Select = None,
    report: Report = None,
    format: drawing.Format = "svg",
    scheme: Scheme = "light",
    if_none_match: IfNoneMatch = None,
) -> Response:
    """A figure of a board, on a light or a dark ground."""
    board = boards.show_board(engine, id, select=select, report=report)
    body = drawing.draw(board_figures.picture(board, kind), format=format, scheme=scheme)
    return conditional(body, PICTURES[format], if_none_match)


def _table(table: Table, source: tidy.Source, what: str, format: Format) -> Response:
    board = source.board
    name = file_name(describe.board_title(board.task), board.task_key, what, format)
    blocks = tables.csv_blocks(table) if format == "csv" else tables.parquet_blocks(table)
    return streamed(blocks, MEDIA_TYPES[format], name)
