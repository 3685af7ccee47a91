"""Reading sweeps: a few rows per sweep, grouped in the database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.orm import aliased

from benchmarks.spec import CellSpec
from service.states import CohortState, Hold, TrialState
from service.storage.models import Attempt, Board, Cell, Cohort, Sweep, SweepTrial, Trial


class SweepRow(NamedTuple):
    """A sweep without its trials."""

    id: int
    name: str
    owner: str | None
    priority: int
    created_at: datetime
    held: Hold
    deleted_at: datetime | None


class StateRow(NamedTuple):
    """The trials of one sweep in one state."""

    sweep_id: int
    state: TrialState
    trials: int
    steps: int
    last_end: datetime | None


class RunningRow(NamedTuple):
    """One sweep's trials that run in one attempt (``steps``), and how far the whole attempt is.

    ``attempt_ended`` are the steps of trials that it has ended; the two numbers after it contain them.
    """

    sweep_id: int
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
    task_key: str
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


def state_rows(connection: Connection, sweep_ids: Sequence[int]) -> list[StateRow]:
    """Trials by sweep and state."""
    rows = connection.execute(
        sa.select(
            SweepTrial.sweep_id,
            Trial.state,
            sa.func.count(),
            sa.cast(sa.func.sum(Trial.steps), sa.BigInteger),
            sa.func.max(Trial.ended_at),
        )
        .join(Trial, Trial.id == SweepTrial.trial_id)
        .where(SweepTrial.sweep_id.in_(sweep_ids))
        .group_by(SweepTrial.sweep_id, Trial.state)
    )
    return [StateRow(*row) for row in rows]


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
    rows = connection.execute(
        sa.select(SweepTrial.sweep_id, sa.cast(sa.func.sum(Trial.steps), sa.BigInteger), ended, *attempt)
        .select_from(Cohort)
        .join(Attempt, sa.and_(Attempt.cohort_id == Cohort.id, Attempt.number == Cohort.attempt))
        .join(Trial, Trial.cohort_id == Cohort.id)
        .join(SweepTrial, SweepTrial.trial_id == Trial.id)
        .where(
            Cohort.state == CohortState.RUNNING,
            Trial.state == TrialState.RUNNING,
            SweepTrial.sweep_id.in_(sweep_ids),
        )
        .group_by(SweepTrial.sweep_id, Attempt.id, Attempt.cohort_id, *attempt)
    )
    return [RunningRow(*row) for row in rows]


def cell_state_rows(connection: Connection, sweep_id: int) -> list[CellStateRow]:
    """The sweep's trials by cell and state."""
    rows = connection.execute(
        sa.select(Trial.cell_id, Trial.state, sa.func.count())
        .join(SweepTrial, SweepTrial.trial_id == Trial.id)
        .where(SweepTrial.sweep_id == sweep_id)
        .group_by(Trial.cell_id, Trial.state)
    )
    return [CellStateRow(*row) for row in rows]


def cell_rows(connection: Connection, sweep_id: int) -> list[CellRow]:
    """The sweep's cells, in the order they were first submitted."""
    rows = connection.execute(
        sa.select(Cell.id, Cell.cell_key, Board.task_key, Cell.spec)
        .join(Board)
        .where(Cell.id.in_(_cells_of(sweep_id)))
        .order_by(Cell.id)
    )
    return [CellRow(*row) for row in rows]


def board_ids(connection: Connection, sweep_id: int) -> list[int]:
    """The boards that the sweep has trials on."""
    query = sa.select(Cell.board_id).where(Cell.id.in_(_cells_of(sweep_id))).distinct()
    return list(connection.scalars(query.order_by(Cell.board_id)))


def board_rule(connection: Connection, sweep_id: int) -> BoardRule:
    """``select`` and ``report`` of the sweep with this id."""
    document = connection.scalars(sa.select(Sweep.document).where(Sweep.id == sweep_id)).one()
    return BoardRule(document["task"]["id"], document["select"]["metric"], tuple(document["report"]))


def fallback_rows(connection: Connection, sweep_id: int) -> list[FallbackRow]:
    """What could not be compiled in attempts that ended trials of the sweep, the most frequent first."""
    ended = (
        sa.select(Trial.attempt_id)
        .join(SweepTrial, SweepTrial.trial_id == Trial.id)
        .where(SweepTrial.sweep_id == sweep_id)
    )
    # Missing in old provenance and null in that of attempts that compiled: both are SQL's null as text.
    failures = Attempt.provenance["fallback"].as_string().label("failures")
    attempts = sa.select(failures).where(Attempt.id.in_(ended)).subquery()
    count = sa.func.count()
    rows = connection.execute(
        sa.select(attempts.c.failures, count)
        .where(attempts.c.failures.is_not(None))
        .group_by(attempts.c.failures)
        .order_by(count.desc(), attempts.c.failures)
    )
    return [FallbackRow(tuple(json.loads(text)), n) for text, n in rows]


def _sweeps(
    *, deleted: bool = False
) -> sa.Select[int, str, str | None, int, datetime, Hold, datetime | None]:
    asked = (Sweep.id, Sweep.name, Sweep.owner, Sweep.priority, Sweep.created_at)
    columns = (*asked, Sweep.held, Sweep.deleted_at)
    return sa.select(*columns).where(Sweep.deleted_at.is_not(None) if deleted else Sweep.deleted_at.is_(None))


def _cells_of(sweep_id: int) -> sa.Select[int]:
    return sa.select(Trial.cell_id).join(SweepTrial).where(SweepTrial.sweep_id == sweep_id)
