"""Reading sweeps: a few rows per sweep, grouped in the database."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection
from sqlalchemy.orm import aliased

from benchmarks.spec import CellSpec
from service.states import CohortState, Hold, SweepState, TrialState
from service.storage.models import (
    Attempt,
    Cell,
    Cohort,
    Sweep,
    SweepCell,
    SweepFallback,
    SweepTag,
    SweepTrial,
    Trial,
)
from service.storage.queries.bulk import among


class SweepRow(NamedTuple):
    """A sweep with what is kept of its trials."""

    id: int
    name: str
    owner: str | None
    description: str
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """Which sweeps; what is ``None`` or empty is not asked for.

    Attributes:
        owner: whose they are.
        state: their state.
        tag: one of their tags.
        words: each is part of the name, the description or a tag, in any case.
    """

    owner: str | None = None
    state: SweepState | None = None
    tag: str | None = None
    words: tuple[str, ...] = ()


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


class SeedRow(NamedTuple):
    """One trial of a cell."""

    cell_id: int
    key: str
    seed: int
    state: TrialState


class ErrorRow(NamedTuple):
    """Trials that failed with the same words; ``first`` is the id of one of them."""

    error: str
    diverged: bool
    trials: int
    first: int


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
    connection: Connection,
    *,
    limit: int,
    before: int | None,
    deleted: bool = False,
    search: Search = Search(),
) -> list[SweepRow]:
    """Newest first, from the one before ``before`` on; those in the bin where ``deleted`` are asked for."""
    rows = _sweeps(deleted=deleted).where(*_found(search)).order_by(Sweep.id.desc()).limit(limit)
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


def tags(connection: Connection, sweep_ids: Sequence[int]) -> dict[int, list[str]]:
    """Sweep id -> its tags, in their order; sweeps without any are left out."""
    found: dict[int, list[str]] = {}
    rows = connection.execute(
        sa.select(SweepTag.sweep_id, SweepTag.tag)
        .where(among(connection, SweepTag.sweep_id, sweep_ids))
        .order_by(SweepTag.sweep_id, SweepTag.place)
    )
    for id, tag in rows:
        found.setdefault(id, []).append(tag)
    return found


def all_owners(connection: Connection, *, limit: int) -> list[str]:
    """Who has sweeps, by name."""
    owners = sa.select(Sweep.owner).where(Sweep.owner.is_not(None)).distinct()
    return [owner for owner in connection.scalars(owners.order_by(Sweep.owner).limit(limit)) if owner]


def all_tags(connection: Connection, *, limit: int) -> list[str]:
    """The tags that sweeps have, by name."""
    return list(connection.scalars(sa.select(SweepTag.tag).distinct().order_by(SweepTag.tag).limit(limit)))


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


def cell_rows(
    connection: Connection, sweep_id: int, *, limit: int, after: int | None, estimator: str | None = None
) -> list[CellRow]:
    """The sweep's cells, all or those of one estimator, board by board as they were first submitted, from
    the one after ``after``."""
    query = (
        sa.select(Cell.id, Cell.cell_key, Cell.board_id, Cell.spec)
        .join(SweepCell, SweepCell.cell_id == Cell.id)
        .where(SweepCell.sweep_id == sweep_id)
        .order_by(SweepCell.board_id, SweepCell.cell_id)
        .limit(limit)
    )
    if estimator is not None:
        query = query.where(Cell.estimator == estimator)
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


def seed_rows(connection: Connection, sweep_id: int, cell_ids: Sequence[int]) -> list[SeedRow]:
    """The sweep's trials of some cells, by cell and seed."""
    rows = connection.execute(
        sa.select(Trial.cell_id, Trial.key, Trial.seed, Trial.state)
        .join(SweepTrial, SweepTrial.trial_id == Trial.id)
        .where(among(connection, Trial.cell_id, cell_ids), SweepTrial.sweep_id == sweep_id)
        .order_by(Trial.cell_id, Trial.seed)
    )
    return [SeedRow(*row) for row in rows]


def estimator_cells(connection: Connection, sweep_id: int) -> dict[str, int]:
    """Estimator -> how many cells the sweep has of it, in the order in which they were first submitted."""
    rows = connection.execute(
        sa.select(Cell.estimator, sa.func.count())
        .join(SweepCell, SweepCell.cell_id == Cell.id)
        .where(SweepCell.sweep_id == sweep_id)
        .group_by(Cell.estimator)
        .order_by(sa.func.min(Cell.id))
    )
    return {estimator: cells for estimator, cells in rows}


def estimator_states(connection: Connection, sweep_id: int) -> list[tuple[str, TrialState, int]]:
    """The sweep's trials by estimator and state."""
    rows = connection.execute(
        sa.select(Cell.estimator, Trial.state, sa.func.count())
        .select_from(SweepTrial)
        .join(Trial, Trial.id == SweepTrial.trial_id)
        .join(Cell, Cell.id == Trial.cell_id)
        .where(SweepTrial.sweep_id == sweep_id)
        .group_by(Cell.estimator, Trial.state)
    )
    return [(estimator, state, trials) for estimator, state, trials in rows]


def errors(connection: Connection, sweep_id: int, *, limit: int) -> list[ErrorRow]:
    """What the sweep's trials failed with, the most frequent first."""
    diverged = Trial.diverged_at.is_not(None)
    rows = connection.execute(
        sa.select(Trial.error, diverged, sa.func.count(), sa.func.min(Trial.id))
        .join(SweepTrial, SweepTrial.trial_id == Trial.id)
        .where(SweepTrial.sweep_id == sweep_id, Trial.state == TrialState.FAILED)
        .group_by(Trial.error, diverged)
        .order_by(sa.func.count().desc(), sa.func.min(Trial.id))
        .limit(limit)
    )
    return [ErrorRow(error or "", bool(div), trials, first) for error, div, trials, first in rows]


def document(connection: Connection, sweep_id: int) -> dict[str, Any]:
    """The sweep file as it was submitted, with every default written out."""
    return connection.scalars(sa.select(Sweep.document).where(Sweep.id == sweep_id)).one()


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


def _found(search: Search) -> list[ColumnElement[bool]]:
    conditions = [] if search.state is None else [in_state(search.state)]
    if search.owner is not None:
        conditions.append(Sweep.owner == search.owner)
    if search.tag is not None:
        conditions.append(_tagged(SweepTag.tag == search.tag))
    for word in search.words:
        texts = [one.icontains(word, autoescape=True) for one in (Sweep.name, Sweep.description)]
        conditions.append(sa.or_(*texts, _tagged(SweepTag.tag.icontains(word, autoescape=True))))
    return conditions


def _tagged(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return sa.select(SweepTag.sweep_id).where(SweepTag.sweep_id == Sweep.id, condition).exists()


def in_state(state: SweepState) -> ColumnElement[bool]:
    """Sweeps in a state, as :func:`service.states.sweep_state` derives it from their trials."""
    ended = Sweep.succeeded + Sweep.failed + Sweep.cancelled
    pending = ended < Sweep.trials
    if state in (SweepState.QUEUED, SweepState.RUNNING):
        begun = sa.or_(ended > 0, Sweep.id.in_(_with_running_trials()))
        wanted = begun if state is SweepState.RUNNING else sa.not_(begun)
        return sa.and_(pending, Sweep.held == Hold.ACTIVE, wanted)
    held = {SweepState.PAUSED: Hold.PAUSED, SweepState.CANCELLED: Hold.CANCELLED}
    stopped = sa.and_(Sweep.held == Hold.CANCELLED, Sweep.cancelled > 0)
    failed = sa.and_(sa.not_(pending), Sweep.failed > 0, sa.not_(stopped))
    if state is SweepState.FAILED:
        return failed
    if state is SweepState.SUCCEEDED:
        return sa.and_(sa.not_(pending), Sweep.failed == 0, Sweep.cancelled == 0)
    on_hold = sa.and_(pending, Sweep.held == held[state])
    if state is SweepState.PAUSED:
        return on_hold
    return sa.or_(on_hold, sa.and_(sa.not_(pending), sa.not_(failed), Sweep.cancelled > 0))


def _with_running_trials() -> sa.Select[int]:
    return (
        sa.select(SweepTrial.sweep_id)
        .join(Trial, Trial.id == SweepTrial.trial_id)
        .join(Cohort, Cohort.id == Trial.cohort_id)
        .where(Cohort.state == CohortState.RUNNING, Trial.state == TrialState.RUNNING)
    )


def _sweeps(*, deleted: bool = False) -> sa.Select[Any]:
    """Those that are stored completely, and not in the bin unless those are asked for."""
    columns = (getattr(Sweep, name) for name in SweepRow._fields)
    there = Sweep.deleted_at.is_not(None) if deleted else Sweep.deleted_at.is_(None)
    return sa.select(*columns).where(Sweep.storing_until.is_(None), there)
