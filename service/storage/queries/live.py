"""What the reader of live events asks besides the sweeps that go on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from service.storage.models import Board, Cell, Sweep
from service.storage.queries.bulk import among


class BoardCounts(NamedTuple):
    """How many trials of a board somebody asked for, and how many of them have ended how."""

    task_key: str
    trials: int
    succeeded: int
    failed: int
    cancelled: int


def board_counts(connection: Connection, task_keys: Sequence[str]) -> list[BoardCounts]:
    """The counts of those of these boards that exist, from what is kept of their cells."""
    kept = (Cell.trials, Cell.succeeded, Cell.failed, Cell.cancelled)
    sums = (sa.cast(sa.func.coalesce(sa.func.sum(column), 0), sa.Integer) for column in kept)
    trials, succeeded, failed, cancelled = sums
    query = (
        sa.select(Board.task_key, trials, succeeded, failed, cancelled)
        .outerjoin(Cell, Cell.board_id == Board.id)
        .where(among(connection, Board.task_key, task_keys))
        .group_by(Board.id, Board.task_key)
    )
    return [BoardCounts(*row) for row in connection.execute(query)]


def newest_sweep(connection: Connection) -> int | None:
    """The one that was submitted last; ``None`` where there is none."""
    there = (Sweep.storing_until.is_(None), Sweep.deleted_at.is_(None))
    return connection.scalar(sa.select(Sweep.id).where(*there).order_by(Sweep.id.desc()).limit(1))
