"""Trials of a board in pieces, for tables that hold all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from benchmarks.spec import CellSpec
from service.states import TrialState
from service.storage.models import Board, Cell, CellSummary, Trial
from service.storage.queries.moves import chunks


class CellLine(NamedTuple):
    """A cell with its specification, and how many trials it has."""

    id: int
    key: str
    spec: CellSpec
    trials: int


class TrialLine(NamedTuple):
    """A trial without its specification, which its cell has."""

    id: int
    key: str
    cell_id: int
    seed: int
    state: TrialState
    steps: int
    seconds: float | None
    diverged_at: int | None
    error: str | None
    attempt_id: int | None


def cells(connection: Connection, board_id: int, *, after: int, limit: int) -> list[CellLine]:
    """Cells of a board by rising id, those beyond ``after``."""
    rows = connection.execute(
        sa.select(Cell.id, Cell.cell_key, Cell.spec, Cell.trials)
        .where(Cell.board_id == board_id, Cell.id > after)
        .order_by(Cell.id)
        .limit(limit)
    )
    return [CellLine(*row) for row in rows]


def cells_by_key(connection: Connection, board: str, start: str) -> list[CellLine]:
    """Up to two cells of a board, named by its key, whose keys begin with some hexadecimal digits."""
    rows = connection.execute(
        sa.select(Cell.id, Cell.cell_key, Cell.spec, Cell.trials)
        .join(Board, Board.id == Cell.board_id)
        .where(Board.task_key == board, Cell.cell_key >= start, Cell.cell_key <= start + "g")
        .order_by(Cell.cell_key)
        .limit(2)
    )
    return [CellLine(*row) for row in rows]


def trials(connection: Connection, cell_ids: Sequence[int]) -> list[TrialLine]:
    """All trials of some cells, by cell and seed."""
    found: list[TrialLine] = []
    columns = [getattr(Trial, name) for name in TrialLine._fields]
    for some in chunks(sorted(cell_ids)):
        rows = connection.execute(
            sa.select(*columns).where(Trial.cell_id.in_(some)).order_by(Trial.cell_id, Trial.seed, Trial.id)
        )
        found += [TrialLine(*row) for row in rows]
    return found


def metrics(connection: Connection, board_id: int) -> list[str]:
    """Names of all metrics of which the board has a final value."""
    names = sa.select(CellSummary.metric).join(Cell, Cell.id == CellSummary.cell_id)
    return sorted(connection.scalars(names.where(Cell.board_id == board_id).distinct()))


def failed_seeds(connection: Connection, cell_ids: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Cell id and seed of trials that failed."""
    for some in chunks(cell_ids):
        rows = connection.execute(
            sa.select(Trial.cell_id, Trial.seed)
            .where(Trial.cell_id.in_(some), Trial.state == TrialState.FAILED)
            .order_by(Trial.cell_id, Trial.seed)
        )
        yield from ((cell, seed) for cell, seed in rows)
