"""Reading attempts: those at a trial, and all of them, searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from service.states import AttemptState, Cause
from service.storage.models import Attempt, Cohort, FormerCohort, Node, Sweep, SweepTrial, Trial


class AttemptRow(NamedTuple):
    """One execution of a cohort."""

    id: int
    cohort_id: int
    number: int
    label: str
    lanes: int
    state: AttemptState
    cause: Cause | None
    error: str | None
    node: str | None
    host: str | None
    claimed_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    steps_done: int
    steps_total: int
    worker: dict[str, Any] | None
    provenance: dict[str, Any] | None
    log: str | None
    resumed: dict[str, int] | None


class Wanted(NamedTuple):
    """A sweep that wants trials of a cohort."""

    cohort_id: int
    sweep_id: int
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """Which attempts; what is ``None`` is not asked for.

    Attributes:
        state: their state.
        host: where they ran: the name of the machine, or of the node.
        text: part of their error, log or label, in any case.
        sweep_id: of cohorts in which trials of this sweep stand or stood.
    """

    state: AttemptState | None = None
    host: str | None = None
    text: str | None = None
    sweep_id: int | None = None


_ROWS = (
    sa.select(
        Attempt.id,
        Attempt.cohort_id,
        Attempt.number,
        Cohort.label,
        Cohort.lanes,
        Attempt.state,
        Attempt.cause,
        Attempt.error,
        Node.name,
        Attempt.host,
        Attempt.claimed_at,
        Attempt.started_at,
        Attempt.ended_at,
        Attempt.steps_done,
        Attempt.steps_total,
        Attempt.worker,
        Attempt.provenance,
        Attempt.log,
        Attempt.resumed,
    )
    .join(Cohort, Cohort.id == Attempt.cohort_id)
    .outerjoin(Node, Node.id == Attempt.node_id)
)


def attempts_at(connection: Connection, trial_id: int) -> list[AttemptRow]:
    """All attempts of the cohorts that the trial stands or stood in, oldest first."""
    rows = connection.execute(
        _ROWS.where(Attempt.cohort_id.in_(_cohorts(Trial.id == trial_id))).order_by(Attempt.id)
    )
    return [AttemptRow._make(row) for row in rows]


def found_attempts(
    connection: Connection, search: Search, *, limit: int, before: int | None = None
) -> list[AttemptRow]:
    """Attempts, newest first."""
    query = _ROWS.order_by(Attempt.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Attempt.id < before)
    if search.state is not None:
        query = query.where(Attempt.state == search.state)
    if search.host is not None:
        query = query.where(sa.or_(Attempt.host == search.host, Node.name == search.host))
    if search.text is not None:
        texts = (Attempt.error, Attempt.log, Cohort.label)
        query = query.where(sa.or_(*(one.icontains(search.text, autoescape=True) for one in texts)))
    if search.sweep_id is not None:
        mine = sa.select(SweepTrial.trial_id).where(SweepTrial.sweep_id == search.sweep_id)
        query = query.where(Attempt.cohort_id.in_(_cohorts(Trial.id.in_(mine))))
    return [AttemptRow._make(row) for row in connection.execute(query)]


def sweeps_of(connection: Connection, cohort_ids: Sequence[int]) -> list[Wanted]:
    """The sweeps that want trials which stand or stood in these cohorts."""
    members = sa.union(
        sa.select(Trial.cohort_id, Trial.id.label("trial_id")).where(Trial.cohort_id.in_(cohort_ids)),
        sa.select(FormerCohort.cohort_id, FormerCohort.trial_id).where(
            FormerCohort.cohort_id.in_(cohort_ids)
        ),
    ).subquery()
    rows = connection.execute(
        sa.select(members.c.cohort_id, Sweep.id, Sweep.name)
        .join(SweepTrial, SweepTrial.trial_id == members.c.trial_id)
        .join(Sweep, Sweep.id == SweepTrial.sweep_id)
        .distinct()
        .order_by(members.c.cohort_id, Sweep.id)
    )
    return [Wanted(*row) for row in rows]


def _cohorts(trials: sa.ColumnElement[bool]) -> sa.CompoundSelect[int]:
    """Those that the trials stand or stood in."""
    now = sa.select(Trial.cohort_id).where(trials, Trial.cohort_id.is_not(None))
    before = sa.select(FormerCohort.cohort_id).join(Trial, Trial.id == FormerCohort.trial_id).where(trials)
    return sa.union(now, before)
