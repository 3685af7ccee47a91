"""Reading boards from cells and their summaries; trials only of the cells that are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from benchmarks.spec import CellSpec, Component
from service.states import CohortState, TrialState
from service.storage.models import Attempt, Board, Cell, CellSummary, Cohort, CurveSegment, Trial, TrialMetric
from service.storage.queries.moves import chunks


class BoardRow(NamedTuple):
    """A board with its numbers of trials."""

    id: int
    task_key: str
    task: Component
    trials: int
    succeeded: int
    failed: int
    cancelled: int


class CellRow(NamedTuple):
    """A cell, and the selecting metric over its seeds (``None`` before the first result)."""

    id: int
    cell_key: str
    estimator: str
    version: int
    trials: int
    succeeded: int
    failed: int
    n: int | None
    mean: float | None


class ValueRow(NamedTuple):
    """Final value of one metric of one seed."""

    cell_id: int
    seed: int
    metric: str
    value: float


def board_rows(connection: Connection, *, limit: int, before: int | None) -> list[BoardRow]:
    """Newest first, from the one before ``before`` on."""
    query = _boards().order_by(Board.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Board.id < before)
    return [BoardRow(*row) for row in connection.execute(query)]


def boards_by_id(connection: Connection, ids: Sequence[int]) -> list[BoardRow]:
    """The boards with these ids, by rising id."""
    found: list[BoardRow] = []
    for some in chunks(sorted(ids)):
        rows = connection.execute(_boards().where(Board.id.in_(some)).order_by(Board.id))
        found += [BoardRow(*row) for row in rows]
    return found


def tasks_by_id(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[str, Component]]:
    """Board id -> its key and its task, without counting its trials."""
    found: dict[int, tuple[str, Component]] = {}
    for some in chunks(ids):
        rows = connection.execute(sa.select(Board.id, Board.task_key, Board.task).where(Board.id.in_(some)))
        found |= {id: (key, task) for id, key, task in rows}
    return found


def board_by_key(connection: Connection, task_key: str) -> BoardRow | None:
    """The board of this task configuration."""
    row = connection.execute(_boards().where(Board.task_key == task_key)).one_or_none()
    return None if row is None else BoardRow(*row)


def running_trials(connection: Connection, board_id: int) -> int:
    """How many of the board's trials are being computed."""
    return connection.execute(
        sa.select(sa.func.count())
        .select_from(Cohort)
        .join(Trial, Trial.cohort_id == Cohort.id)
        .join(Cell, Cell.id == Trial.cell_id)
        .where(
            Cohort.state == CohortState.RUNNING, Trial.state == TrialState.RUNNING, Cell.board_id == board_id
        )
    ).scalar_one()


def cell_rows(connection: Connection, board_id: int, *, metric: str) -> list[CellRow]:
    """All cells of a board with the summary of one metric."""
    summary = sa.and_(CellSummary.cell_id == Cell.id, CellSummary.metric == metric)
    counts = (Cell.trials, Cell.succeeded, Cell.failed)
    rows = connection.execute(
        sa.select(
            Cell.id, Cell.cell_key, Cell.estimator, Cell.version, *counts, CellSummary.count, CellSummary.mean
        )
        .outerjoin(CellSummary, summary)
        .where(Cell.board_id == board_id)
        .order_by(Cell.id)
    )
    return [CellRow(*row) for row in rows]


def cell_specs(connection: Connection, cell_ids: Sequence[int]) -> dict[int, CellSpec]:
    """Cell id -> its specification."""
    rows = connection.execute(sa.select(Cell.id, Cell.spec).where(Cell.id.in_(cell_ids)))
    return {id: spec for id, spec in rows}


def cell_ids(connection: Connection, cell_keys: Sequence[str]) -> dict[str, int]:
    """Key -> id of those cells that are stored."""
    found: dict[str, int] = {}
    for some in chunks(cell_keys):
        rows = connection.execute(sa.select(Cell.cell_key, Cell.id).where(Cell.cell_key.in_(some)))
        found.update({key: id for key, id in rows})
    return found


def final_values(connection: Connection, cell_ids: Sequence[int], metrics: Sequence[str]) -> list[ValueRow]:
    """Final values of every seed of some cells, by cell, metric and seed."""
    rows = connection.execute(
        sa.select(Trial.cell_id, Trial.seed, TrialMetric.metric, TrialMetric.value)
        .join(TrialMetric, TrialMetric.trial_id == Trial.id)
        .where(Trial.cell_id.in_(cell_ids), TrialMetric.metric.in_(metrics))
        .order_by(Trial.cell_id, TrialMetric.metric, Trial.seed)
    )
    return [ValueRow(*row) for row in rows]


def provenances(connection: Connection, cell_ids: Sequence[int]) -> list[dict[str, Any]]:
    """What the results of some cells were computed with, once per attempt, earlier ones that had a part in
    them, as their curves tell, included."""
    mine = (Trial.cell_id.in_(cell_ids), Trial.state == TrialState.SUCCEEDED)
    last = sa.select(Trial.attempt_id).where(*mine)
    earlier = sa.select(CurveSegment.attempt_id).join(Trial, Trial.id == CurveSegment.trial_id).where(*mine)
    query = sa.select(Attempt.provenance).where(Attempt.id.in_(sa.union(last, earlier))).order_by(Attempt.id)
    return [provenance for provenance in connection.scalars(query) if provenance is not None]


def _boards() -> sa.Select[int, str, Component, int, int, int, int]:
    sums = (Cell.trials, Cell.succeeded, Cell.failed, Cell.cancelled)
    total = (sa.cast(sa.func.coalesce(sa.func.sum(column), 0), sa.Integer) for column in sums)
    trials, succeeded, failed, cancelled = total
    return (
        sa.select(Board.id, Board.task_key, Board.task, trials, succeeded, failed, cancelled)
        .outerjoin(Cell, Cell.board_id == Board.id)
        .group_by(Board.id)
    )
