"""Reading sweeps: a few rows per sweep, grouped in the database."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.orm import aliased

from benchmarks.spec import CellSpec
from service.states import CohortState, Hold, TrialState
from service.storage.models import Attempt, Cell, Cohort, Sweep, SweepCell, SweepFallback, SweepTrial, Trial
from service.storage.queries.bulk import among


class SweepRow(NamedTuple):
    """A sweep with what is kept of its trials."""

    id: int
    name: str
    owner: str | None
    priority: int
    created_at: datetime
    held: Hold
    deleted_at: datetime | None
    boards: int
    cells: int
    trials: int
    new_trials: int
    succeeded: int
    failed: int
    cancelled: int
    steps: int
    steps_ended: int
    steps_done: int
    finished_at: datetime | None
    recomputed_by: int | None


class RunningRow(NamedTuple):
    """One sweep's trials that run in one attempt (``steps``), and how far the whole attempt is.

    ``attempt_ended`` are the steps of trials that it has ended; the two numbers after it contain them.
    """

    sweep_id: int
    trials: int
    steps: int
    attempt_ended: int
    attempt_done: int
    attempt_total: int
    started_at: datetime | None
    reported_at: datetime | None


class CellStateRow(NamedTuple):
    """One sweep's trials of one cell in one state."""

    cell_id: int
    state: TrialState
    trials: int


class CellRow(NamedTuple):
    """A cell and its board."""

    id: int
    cell_key: str
    board_id: int
    spec: CellSpec


class BoardRule(NamedTuple):
    """What a sweep says of its boards: its task, the metric that chooses, and those reported."""

    task: str
    select: str
    report: tuple[str, ...]


class FallbackRow(NamedTuple):
    """Attempts in which the same could not be compiled."""

    failures: tuple[str, ...]
    attempts: int


def sweep_rows(
    connection: Connection, *, limit: int, before: int | None, deleted: bool = False
) -> list[SweepRow]:
    """Newest first, from the one before ``before`` on; those in the bin where ``deleted`` are asked for."""
    rows = _sweeps(deleted=deleted).order_by(Sweep.id.desc()).limit(limit)
    if before is not None:
        rows = rows.where(Sweep.id < before)
    return [SweepRow(*row) for row in connection.execute(rows)]


def sweep_row(connection: Connection, sweep_id: int) -> SweepRow | None:
    """The sweep with this id."""
    row = connection.execute(_sweeps().where(Sweep.id == sweep_id)).one_or_none()
    return None if row is None else SweepRow(*row)


def open_rows(connection: Connection, *, besides: Sequence[int]) -> list[SweepRow]:
    """Sweeps that have not finished, and these whether they have or not; the oldest first."""
    asked = sa.or_(Sweep.finished_at.is_(None), among(connection, Sweep.id, besides))
    return [SweepRow(*row) for row in connection.execute(_sweeps().where(asked).order_by(Sweep.id))]


def running_rows(connection: Connection, sweep_ids: Sequence[int]) -> list[RunningRow]:
    """Trials by sweep and running attempt."""
    attempt = (Attempt.steps_done, Attempt.steps_total, Attempt.started_at, Attempt.reported_at)
    other = aliased(Trial)
    ended = (
        sa.select(sa.cast(sa.func.coalesce(sa.func.sum(other.steps), 0), sa.BigInteger))
        # by cohort first, which is indexed
        .where(other.cohort_id == Attempt.cohort_id, other.attempt_id == Attempt.id)
        .scalar_subquery()
    )
    steps = sa.cast(sa.func.sum(Trial.steps), sa.BigInteger)
    rows = connection.execute(
        sa.select(SweepTrial.sweep_id, sa.func.count(), steps, ended, *attempt)
        .select_from(Cohort)
        .join(Attempt, sa.and_(Attempt.cohort_id == Cohort.id, Attempt.number == Cohort.attempt))
        .join(Trial, Trial.cohort_id == Cohort.id)
        .join(SweepTrial, SweepTrial.trial_id == Trial.id)
        .where(
            Cohort.state == CohortState.RUNNING,
            Trial.state == TrialState.RUNNING,
            among(connection, SweepTrial.sweep_id, sweep_ids),
        )
        .group_by(SweepTrial.sweep_id, Attempt.id, Attempt.cohort_id, *attempt)
    )
    return [RunningRow(*row) for row in rows]


def cell_rows(connection: Connection, sweep_id: int, *, limit: int, after: int | None) -> list[CellRow]:
    """The sweep's cells, board by board as they were first submitted, from the one after ``after``."""
    query = (
        sa.select(Cell.id, Cell.cell_key, Cell.board_id, Cell.spec)
        .join(SweepCell, SweepCell.cell_id == Cell.id)
        .where(SweepCell.sweep_id == sweep_id)
        .order_by(SweepCell.board_id, SweepCell.cell_id)
        .limit(limit)
    )
    if after is not None:
        place = sa.select(Cell.board_id).where(Cell.id == after).scalar_subquery()
        here, there = sa.tuple_(SweepCell.board_id, SweepCell.cell_id), sa.tuple_(place, sa.literal(after))
        query = query.where(here > there)
    return [CellRow(*row) for row in connection.execute(query)]


def cell_state_rows(connection: Connection, sweep_id: int, cell_ids: Sequence[int]) -> list[CellStateRow]:
    """The sweep's trials of some cells, by cell and state."""
    rows = connection.execute(
        sa.select(Trial.cell_id, Trial.state, sa.func.count())
        .join(SweepTrial, SweepTrial.trial_id == Trial.id)
        .where(among(connection, Trial.cell_id, cell_ids), SweepTrial.sweep_id == sweep_id)
        .group_by(Trial.cell_id, Trial.state)
    )
    return [CellStateRow(*row) for row in rows]


def board_ids(connection: Connection, sweep_id: int, *, limit: int, after: int | None = None) -> list[int]:
    """The sweep's boards in the order they were first submitted, from the one after ``after``.

    Each is looked up as the next one in the index, for a board may have a hundred thousand cells.
    """
    found: list[int] = []
    following = sa.select(sa.func.min(SweepCell.board_id)).where(
        SweepCell.sweep_id == sweep_id, SweepCell.board_id > sa.bindparam("last")
    )
    last = after or 0
    while len(found) < limit:
        board = connection.execute(following, {"last": last}).scalar_one()
        if board is None:
            break
        found.append(board)
        last = board
    return found


def board_rule(connection: Connection, sweep_id: int) -> BoardRule:
    """``select`` and ``report`` of the sweep with this id."""
    document = connection.scalars(sa.select(Sweep.document).where(Sweep.id == sweep_id)).one()
    return BoardRule(document["task"]["id"], document["select"]["metric"], tuple(document["report"]))


def fallback_rows(connection: Connection, sweep_id: int) -> list[FallbackRow]:
    """What could not be compiled in attempts that ended trials of the sweep, the most frequent first."""
    rows = connection.execute(
        sa.select(SweepFallback.failures, SweepFallback.attempts).where(SweepFallback.sweep_id == sweep_id)
    )
    counts: Counter[tuple[str, ...]] = Counter()
    for text, attempts in rows:
        counts[tuple(json.loads(text))] += attempts
    return [FallbackRow(*one) for one in sorted(counts.items(), key=lambda one: (-one[1], one[0]))]


def failed_now(connection: Connection, sweep_id: int) -> int:
    """Trials of the sweep that are failed now, whatever they were when it finished."""
    return connection.execute(
        sa.select(sa.func.count())
        .select_from(SweepTrial)
        .join(Trial, Trial.id == SweepTrial.trial_id)
        .where(SweepTrial.sweep_id == sweep_id, Trial.state == TrialState.FAILED)
    ).scalar_one()


def _sweeps(*, deleted: bool = False) -> sa.Select[Any]:
    """Those that are stored completely, and not in the bin unless those are asked for."""
    columns = (getattr(Sweep, name) for name in SweepRow._fields)
    there = Sweep.deleted_at.is_not(None) if deleted else Sweep.deleted_at.is_(None)
    return sa.select(*columns).where(Sweep.storing_until.is_(None), there)
