"""What a row of a board opens to: its settings, its seeds as text, and what would tell it from the best."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine

from service.errors import NotFound
from service.resources import boards, numbers
from service.resources.board_schemas import Board, BoardCell, BoardRow, SeedValue, UnrankedRow
from service.resources.board_seeds import Seed, seeds_of
from service.web import columns
from service.web.columns import ABSENT
from service.web.leaderboard import setting_text
from service.web.luck import offered, told_apart
from service.web.measured import measured

MOST_SETTINGS = 100
"""Settings that a row opens to; a link leads to the others."""

Shown = BoardRow | UnrankedRow


def row_details(engine: Engine, board: Board, estimator: str) -> dict[str, Any]:
    """Everything that ``_board_row.html`` shows of one estimator.

    Raises:
        NotFound: it is not on the board.
    """
    row = _row(board, estimator)
    cells = boards.list_cells(
        engine,
        board.id,
        select=board.select,
        report=board.report,
        estimator=estimator,
        limit=MOST_SETTINGS,
    )
    names = [board.select, *board.report]
    return {
        "estimator": estimator,
        "title": row.title,
        "metrics": [metric.title for metric in board.metrics],
        "apart": told_apart(row, board.rows[0].title) if isinstance(row, BoardRow) else row.reason,
        "offered": _offered(row),
        "cells": _cells(cells.cells, names, maximize=board.goal == "maximize"),
        "left_out": cells.total - len(cells.cells),
        "seeds": [_seed(seed, row, names) for seed in seeds_of(engine, row.cell)],
    }


def _row(board: Board, estimator: str) -> Shown:
    rows: tuple[Shown, ...] = (*board.rows, *board.unranked)
    for row in rows:
        if row.estimator == estimator:
            return row
    raise NotFound(f"no estimator {estimator!r} is on this board")


def _offered(row: Shown) -> int:
    to_best = row.standing.to_best if isinstance(row, BoardRow) else None
    return 0 if to_best is None else offered(to_best)


def _cells(cells: list[BoardCell], names: list[str], *, maximize: bool) -> list[dict[str, Any]]:
    """Settings, best first, those without a result last; numbers point under point."""
    ordered = sorted(cells, key=lambda cell: _cost(cell, names[0], maximize=maximize))
    lines = [_cell(cell, names) for cell in ordered]
    values = columns.aligned_columns([[one["value"] for one in line["metrics"]] for line in lines])
    for line, aligned in zip(lines, values, strict=True):
        for one, value in zip(line["metrics"], aligned, strict=True):
            one["value"] = value
    return lines


def _cost(cell: BoardCell, metric: str, *, maximize: bool) -> float:
    found = cell.metrics.get(metric)
    return float("inf") if found is None else -found.mean if maximize else found.mean


def _cell(cell: BoardCell, names: list[str]) -> dict[str, Any]:
    return {
        "setting": setting_text(cell.setting, cell.setting.parameters),
        "metrics": [measured(cell.metrics.get(name)) for name in names],
        "chosen": cell.chosen,
        "eligible": cell.eligible,
        "trials": cell.trials,
        "succeeded": cell.succeeded,
        "failed": cell.failed,
    }


def _seed(seed: Seed, row: Shown, names: list[str]) -> dict[str, Any]:
    found: Mapping[str, SeedValue | None] = {
        name: next((one for one in row.metrics[name].seeds if one.seed == seed.seed), None)
        for name in names
        if isinstance(row, BoardRow) and name in row.metrics
    }
    values = [found.get(name) for name in names]
    return {
        "seed": seed.seed,
        "key": seed.key,
        "state": seed.state,
        "word": seed.state if seed.diverged_at is None else f"diverged at step {seed.diverged_at:,}",
        "values": [ABSENT.text if one is None else numbers.five_digits(one.value) for one in values],
        "far": any(one is not None and one.outlier for one in values),
        "error": seed.error,
    }
