"""What people want of sweeps, carried over to trials and cohorts.

Callers hold ``serialise(connection, "submit")`` and ``serialise(connection, "plan")``: nobody adds wants or
cohorts meanwhile. :func:`lock_cohorts` comes first, then trials, then sweeps, as in the reports of attempts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import aliased

from service.states import PENDING, CohortState, Event, Hold, TrialState
from service.storage.engine import is_sqlite
from service.storage.models import Attempt, Cohort, FormerCohort, Node, Sweep, SweepTrial, Trial
from service.storage.queries.moves import chunks, move


class ControlledSweep(NamedTuple):
    """A sweep that somebody wants something of."""

    id: int
    name: str
    owner: str | None
    held: Hold
    priority: int
    deleted_at: datetime | None


def controlled(connection: Connection, sweep_id: int) -> ControlledSweep | None:
    """The sweep with this id, in the bin or not."""
    columns = (Sweep.id, Sweep.name, Sweep.owner, Sweep.held, Sweep.priority, Sweep.deleted_at)
    stored = (Sweep.id == sweep_id, Sweep.storing_until.is_(None))
    row = connection.execute(sa.select(*columns).where(*stored)).one_or_none()
    return None if row is None else ControlledSweep(*row)


def pending_trials(connection: Connection, sweep_id: int) -> int:
    """How many of the sweep's trials have no outcome."""
    return connection.execute(
        sa.select(sa.func.count()).where(Trial.id.in_(_of(sweep_id)), Trial.state.in_(PENDING))
    ).scalar_one()


def hold(connection: Connection, sweep: ControlledSweep, event: Event) -> None:
    """Note on the sweep what somebody wants of it."""
    connection.execute(move(sweep.held, event).where(Sweep.id == sweep.id))


def set_priority(connection: Connection, sweep_id: int, priority: int) -> None:
    """Note the sweep's priority."""
    connection.execute(sa.update(Sweep).where(Sweep.id == sweep_id).values(priority=priority))


def describe(connection: Connection, sweep_id: int, *, name: str | None, description: str | None) -> None:
    """Note what the sweep says of itself; what is ``None`` stays."""
    given = {"name": name, "description": description}
    values = {key: value for key, value in given.items() if value is not None}
    if values:
        connection.execute(sa.update(Sweep).where(Sweep.id == sweep_id).values(values))


def set_deleted(connection: Connection, sweep_id: int, at: datetime | None) -> None:
    """Put the sweep into the bin, where its Idempotency-Key is free again, or take it out."""
    moved = sa.update(Sweep).where(Sweep.id == sweep_id).values(deleted_at=at)
    connection.execute(moved if at is None else moved.values(idempotency_key=None))


def lock_cohorts(connection: Connection, sweep_id: int) -> None:
    """Keep others from claiming and reporting on cohorts with pending trials of the sweep."""
    cohorts = sa.select(Trial.cohort_id).where(Trial.id.in_(_of(sweep_id)), Trial.state.in_(PENDING))
    connection.execute(
        sa.select(Cohort.id).where(Cohort.id.in_(cohorts)).order_by(Cohort.id).with_for_update()
    ).all()


def update_wanted(connection: Connection, sweep_id: int) -> None:
    """Set again which pending trials of the sweep are wanted, and how urgently."""
    pending = (Trial.id.in_(_of(sweep_id)), Trial.state.in_(PENDING))
    wanted = _sweeps_that_want(Hold.ACTIVE).exists()
    connection.execute(sa.update(Trial).where(*pending, Trial.wanted != wanted).values(wanted=wanted))
    urgency = _sweeps_that_want(Hold.ACTIVE).with_only_columns(sa.func.max(Sweep.priority)).scalar_subquery()
    changed = sa.func.coalesce(urgency, Trial.priority)
    connection.execute(sa.update(Trial).where(*pending, Trial.priority != changed).values(priority=changed))


def unfit_cohorts(connection: Connection, sweep_id: int) -> list[int]:
    """Queued cohorts of the sweep with a trial that is not wanted, or not as urgent as the cohort."""
    unfit = sa.or_(sa.not_(Trial.wanted), Trial.priority != Cohort.priority)
    return list(
        connection.scalars(
            sa.select(Cohort.id)
            .join(Trial, Trial.cohort_id == Cohort.id)
            .where(
                Cohort.state == CohortState.QUEUED,
                Trial.state == TrialState.QUEUED,
                Trial.id.in_(_of(sweep_id)),
                unfit,
            )
            .distinct()
            .order_by(Cohort.id)
        )
    )


def ask_to_stop(connection: Connection, condition: ColumnElement[bool], *, now: datetime) -> None:
    """Ask the running cohorts among these to stop that compute what nobody wants, or on a node that drains;
    let the others go on."""
    unwanted = (
        sa.select(Trial.id)
        .where(Trial.cohort_id == Cohort.id, Trial.state == TrialState.RUNNING, sa.not_(Trial.wanted))
        .exists()
    )
    draining = _current_attempts().join(Node).where(Node.draining).exists()
    running = sa.update(Cohort).where(Cohort.state == CohortState.RUNNING, condition)
    asked = running.where(sa.or_(unwanted, draining), Cohort.stop_since.is_(None))
    connection.execute(asked.values(stop_since=now))
    connection.execute(running.where(sa.not_(unwanted), sa.not_(draining)).values(stop_since=None))


def stop_owner(connection: Connection, owner: str, *, now: datetime) -> int:
    """Ask the running cohorts of a dispatcher to stop, whoever wants their trials; returns how many run."""
    mine = sa.update(Cohort).where(Cohort.state == CohortState.RUNNING, Cohort.owner == owner)
    asked = mine.values(stop_since=sa.func.coalesce(Cohort.stop_since, now))
    return connection.execute(asked).rowcount


def of_sweep(sweep_id: int) -> ColumnElement[bool]:
    """Cohorts with a running trial of the sweep."""
    running = sa.select(Trial.cohort_id).where(Trial.id.in_(_of(sweep_id)), Trial.state == TrialState.RUNNING)
    return Cohort.id.in_(running)


def of_node(node_id: int) -> ColumnElement[bool]:
    """Cohorts whose current attempt has begun on the node."""
    return _current_attempts().where(Attempt.node_id == node_id).exists()


def with_id(cohort_id: int) -> ColumnElement[bool]:
    """This cohort."""
    return Cohort.id == cohort_id


def _current_attempts() -> sa.Select[int]:
    """Of the cohort of the statement around it."""
    mine = (Attempt.cohort_id == Cohort.id, Attempt.number == Cohort.attempt)
    return sa.select(Attempt.id).where(*mine).correlate(Cohort)


def dissolve(connection: Connection, cohort_ids: Sequence[int], old: CohortState) -> None:
    """Cohorts that are queued, or whose attempt has stopped, give their unfinished trials back to planning.

    Where they have been attempted, their trials remember them.
    """
    running = old is CohortState.RUNNING
    trials = TrialState.RUNNING if running else TrialState.QUEUED
    for some in chunks(cohort_ids):
        mine = (Trial.cohort_id.in_(some), Trial.state == trials)
        remember_cohorts(connection, *mine)
        if running:
            free = move(TrialState.RUNNING, Event.STOP).where(Trial.cohort_id.in_(some))
        else:
            free = sa.update(Trial).where(*mine)
        connection.execute(free.values(cohort_id=None))
        connection.execute(
            move(old, Event.STOP if running else Event.DISSOLVE)
            .where(Cohort.id.in_(some))
            .values(owner=None, lease_until=None, stop_since=None)
        )


def remember_cohorts(connection: Connection, *trials: ColumnElement[bool]) -> None:
    """Note for these trials, which are about to leave their cohorts, those that have been attempted."""
    tried = sa.select(Trial.id, Trial.cohort_id).join(Cohort).where(*trials, Cohort.attempt > 0)
    insert = (sqlite if is_sqlite(connection) else postgresql).insert(FormerCohort)
    connection.execute(insert.from_select(["trial_id", "cohort_id"], tried).on_conflict_do_nothing())


def narrow(connection: Connection, cohort_id: int, *, lanes_at_most: int, losses: int | None = None) -> None:
    """Let the unfinished trials of a running cohort stand only in narrower ones from now on.

    ``losses`` replaces what was counted of each.
    """
    values: dict[str, int] = {"lanes_at_most": lanes_at_most}
    values |= {} if losses is None else {"losses": losses}
    mine = (Trial.cohort_id == cohort_id, Trial.state == TrialState.RUNNING)
    connection.execute(sa.update(Trial).where(*mine).values(values))


def trials_of(connection: Connection, cohort_ids: Sequence[int]) -> list[int]:
    """The unfinished trials of some cohorts."""
    found: list[int] = []
    for some in chunks(cohort_ids):
        mine = (Trial.cohort_id.in_(some), Trial.state.in_(PENDING))
        found += connection.scalars(sa.select(Trial.id).where(*mine).order_by(Trial.id))
    return found


def cancel_forgotten(
    connection: Connection, among: ColumnElement[bool], *, now: datetime
) -> list[tuple[int, int]]:
    """Queued trials in no cohort that neither an active nor a paused sweep waits for are cancelled.

    Returns:
        Trial and cell of each.
    """
    waits = _sweeps_that_want(Hold.ACTIVE, Hold.PAUSED).exists()
    forgotten = move(TrialState.QUEUED, Event.CANCEL).where(
        Trial.cohort_id.is_(None), sa.not_(Trial.wanted), among, sa.not_(waits)
    )
    ended = connection.execute(forgotten.values(ended_at=now).returning(Trial.id, Trial.cell_id))
    return [(trial, cell) for trial, cell in ended]


def in_sweep(sweep_id: int) -> ColumnElement[bool]:
    """Trials of the sweep."""
    return Trial.id.in_(_of(sweep_id))


def with_ids(trial_ids: Sequence[int]) -> ColumnElement[bool]:
    """These trials."""
    return Trial.id.in_(trial_ids)


def trials_in(connection: Connection, sweep_id: int, state: TrialState) -> list[int]:
    """The sweep's trials in one state."""
    mine = (Trial.id.in_(_of(sweep_id)), Trial.state == state)
    return list(connection.scalars(sa.select(Trial.id).where(*mine).order_by(Trial.id)))


def _of(sweep_id: int) -> sa.Select[int]:
    return sa.select(SweepTrial.trial_id).where(SweepTrial.sweep_id == sweep_id)


def _sweeps_that_want(*held: Hold) -> sa.Select[int]:
    """Of the trial of the statement around it."""
    mine = aliased(SweepTrial)
    return (
        sa.select(Sweep.id)
        .join(mine, mine.sweep_id == Sweep.id)
        .where(mine.trial_id == Trial.id, Sweep.held.in_(held), Sweep.storing_until.is_(None))
        .correlate(Trial)
    )
