"""``/boards``: leaderboards as JSON or CSV, with an entity tag."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from service.api.deps import EngineDep, Limit, PageToken
from service.resources import boards, describe, schemas

router = APIRouter(prefix="/boards", tags=["boards"])

Select = Annotated[str | None, Query(max_length=200, description="Metric that chooses the settings.")]
Report = Annotated[list[str] | None, Query(max_length=64, description="Metrics shown beside it.")]


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
    body = board.model_dump_json() if format == "json" else board_csv(board)
    tag = f'W/"{hashlib.sha256(body.encode()).hexdigest()[:32]}"'  # weak: the body may travel compressed
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if _named(tag, if_none_match):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    if format == "json":
        return Response(body, media_type="application/json", headers=headers)
    headers["Content-Disposition"] = f'attachment; filename="board-{board.id[:12]}.csv"'
    return Response(body, media_type="text/csv", headers=headers)


def board_csv(board: schemas.Board) -> str:
    """One line for each estimator and metric."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(CSV_COLUMNS)
    writer.writerows(_lines(board))
    return text.getvalue()


CSV_COLUMNS = (
    "board", "select", "estimator", "version", "parameters", "optimizer", "lr", "precision", "metric",
    "n", "mean", "sd", "low", "high", "median", "outlier_seeds",
    "reference", "reference_mean", "reference_sd", "difference", "select_label",
)  # fmt: skip


def _lines(board: schemas.Board) -> Iterator[list[object]]:
    for row in board.rows:
        setting = row.setting
        parameters = " ".join(f"{name}={value}" for name, value in setting.parameters.items())
        start = [
            board.id,
            board.select,
            row.estimator,
            row.version,
            parameters,
            describe.assignments(setting.optimizer, setting.optimizer_parameters),
            setting.lr,
            setting.precision,
        ]
        for name, m in row.metrics.items():
            outliers = " ".join(str(s.seed) for s in m.seeds if s.outlier)
            measured = [name, m.n, m.mean, m.sd, m.low, m.high, m.median, outliers]
            for reference in _references(board, row, name):
                yield [*start, *measured, *reference, board.select_label]


def _references(board: schemas.Board, row: schemas.BoardRow, metric: str) -> list[list[object]]:
    """The references of one metric; one empty entry where there is none."""
    mean = row.metrics[metric].mean
    found = [r for r in (*row.references, *board.references) if r.metric == metric]
    return [[r.label, r.mean, r.sd, mean - r.mean] for r in found] or [["", "", "", ""]]


def _named(tag: str, if_none_match: str | None) -> bool:
    """Whether If-None-Match names the tag; weak comparison (RFC 9110, 13.1.2)."""
    if if_none_match is None:
        return False
    given = {one.strip().removeprefix("W/") for one in if_none_match.split(",")}
    return "*" in given or tag.removeprefix("W/") in given
