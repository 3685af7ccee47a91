"""Planning, claiming and losing cohorts: the dispatcher's side of the queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection

from benchmarks.spec import CellSpec
from service.states import AttemptState, Cause, CohortState, Event, TrialState
from service.storage.models import Attempt, Cell, Cohort, Sweep, Trial
from service.storage.queries import bulk
from service.storage.queries.moves import chunks, move
from service.storage.queries.reports import share_done
from workers.ports import Backlog
from workers.sharing import Waiting


class UnplannedTrial(NamedTuple):
    """A queued trial that is in no cohort."""

    id: int
    signature: str
    steps: int
    priority: int
    sweep_order: int
    lanes_at_most: int | None
    submitter: str


class ClaimedCohort(NamedTuple):
    """A cohort whose attempt was just raised."""

    id: int
    attempt: int
    lanes: int
    label: str


class RunningCohort(NamedTuple):
    """A cohort in the hands of an attempt, locked until the end of the transaction."""

    id: int
    attempt: int
    attempt_id: int
    begun: bool
    stopping: bool


_STORING = sa.select(Sweep.id).where(Sweep.storing_until.is_not(None))
_UNPLANNED = (
    Trial.state == TrialState.QUEUED,
    Trial.cohort_id.is_(None),
    Trial.wanted,
    Trial.sweep_order.not_in(_STORING),  # sweeps that are not stored completely
)
_CLAIMABLE = (
    Cohort.state == CohortState.QUEUED,
    sa.or_(Cohort.not_before <= sa.bindparam("now"), Cohort.not_before > sa.bindparam("latest")),
)
"""``latest`` is how far ahead a pause may end: one that ends later was set before the clock was set back."""
_BACKLOG = sa.select(  # once: making the statement takes longer than carrying it out
    sa.select(Trial.id).where(*_UNPLANNED).exists(), sa.select(Cohort.id).where(*_CLAIMABLE).exists()
)


def backlog(connection: Connection, *, now: datetime, latest: datetime) -> Backlog:
    """Whether trials wait for a cohort, and cohorts for a claim; no pause ends after ``latest``."""
    unplanned, claimable = connection.execute(_BACKLOG, {"now": now, "latest": latest}).one()
    return Backlog(unplanned=bool(unplanned), claimable=bool(claimable))


class PlannedCohort(NamedTuple):
    """A cohort as it was thought out."""

    trial_ids: Sequence[int]
    label: str
    priority: int
    sweep_order: int
    submitter: str


_SUBMITTER = sa.func.coalesce(
    sa.select(Sweep.owner).where(Sweep.id == Trial.sweep_order).scalar_subquery(), ""
)
_TRIALS = sa.select(
    Trial.id,
    Trial.signature,
    Trial.steps,
    Trial.priority,
    Trial.sweep_order,
    Trial.lanes_at_most,
    _SUBMITTER.label("submitter"),
).where(*_UNPLANNED)


def unplanned_trials(connection: Connection, *, limit: int) -> list[UnplannedTrial]:
    """The first queued trials in no cohort, in the order they should run: of every owner as many."""
    in_order = _TRIALS.order_by(Trial.priority.desc(), Trial.sweep_order, Trial.id)
    first = [UnplannedTrial(*row) for row in connection.execute(in_order.limit(limit))]
    return first if len(first) < limit else _shares(connection, limit)


def _shares(connection: Connection, limit: int) -> list[UnplannedTrial]:
    trials = _TRIALS.subquery()
    in_order = (trials.c.priority.desc(), trials.c.sweep_order, trials.c.id)
    place = sa.func.row_number().over(partition_by=(trials.c.priority, trials.c.submitter), order_by=in_order)
    ranked = sa.select(trials, place.label("place")).subquery()
    columns = [ranked.c[name] for name in UnplannedTrial._fields]
    rows = connection.execute(
        sa.select(*columns).order_by(ranked.c.priority.desc(), ranked.c.place, ranked.c.id).limit(limit)
    )
    return sorted((UnplannedTrial(*row) for row in rows), key=lambda t: (-t.priority, t.sweep_order, t.id))


def still_unplanned(connection: Connection, trial_ids: Sequence[int]) -> list[UnplannedTrial]:
    """Those of the trials that are queued in no cohort, locked; without any that somebody else has locked.

    Passing those by, and not waiting for them, keeps out of each other's way whatever order others lock in.
    """
    found = []
    for some in chunks(trial_ids):
        mine = bulk.among(connection, Trial.id, some)
        rows = connection.execute(_TRIALS.where(mine).with_for_update(skip_locked=True))
        found += [UnplannedTrial(*row) for row in rows]
    return found


def cell_specs(connection: Connection, trial_ids: Sequence[int]) -> dict[int, CellSpec]:
    """Trial id -> specification of its cell."""
    found: dict[int, CellSpec] = {}
    for some in chunks(trial_ids):
        rows = connection.execute(sa.select(Trial.id, Cell.spec).join(Cell).where(Trial.id.in_(some)))
        found.update({id: spec for id, spec in rows})
    return found


def insert_cohorts(connection: Connection, planned: Sequence[PlannedCohort], *, now: datetime) -> None:
    """Make queued cohorts of queued trials, with ids that rise in this order."""
    ids = bulk.take_ids(connection, Cohort, len(planned))
    moment = bulk.moment(connection, now)
    rows = [
        (
            id,
            CohortState.QUEUED.value,
            one.label,
            len(one.trial_ids),
            one.priority,
            one.sweep_order,
            one.submitter,
            0,
            moment,
            moment,
        )
        for id, one in zip(ids, planned, strict=True)
    ]
    columns = (
        "id",
        "state",
        "label",
        "lanes",
        "priority",
        "sweep_order",
        "submitter",
        "attempt",
        "not_before",
        "created_at",
    )
    bulk.insert(connection, Cohort, columns, rows)
    members = [(trial, id) for id, one in zip(ids, planned, strict=True) for trial in one.trial_ids]
    bulk.set_one(connection, Trial, "cohort_id", members)


def next_priority(connection: Connection, *, below: int) -> int | None:
    """The highest priority of queued cohorts below this one."""
    return connection.execute(
        sa.select(sa.func.max(Cohort.priority)).where(
            Cohort.state == CohortState.QUEUED, Cohort.priority < below
        )
    ).scalar_one()


def running_by_submitter(connection: Connection) -> dict[str, int]:
    """Owner -> cohorts that run."""
    running = sa.select(Cohort.submitter, sa.func.count()).where(Cohort.state == CohortState.RUNNING)
    return {owner: count for owner, count in connection.execute(running.group_by(Cohort.submitter))}


def heads(connection: Connection, *, priority: int, now: datetime, latest: datetime) -> dict[str, Waiting]:
    """Owner -> the first claimable cohort of this priority. It jumps from owner to owner through the index,
    however long their lines are."""
    rows = connection.execute(_HEADS, {"now": now, "latest": latest, "priority": priority})
    return {owner: Waiting(sweep_order, id) for owner, sweep_order, id in rows}


def line(
    connection: Connection, owner: str, *, priority: int, now: datetime, latest: datetime, limit: int
) -> list[Waiting]:
    """The first claimable cohorts of an owner, those first that go first."""
    mine = {"now": now, "latest": latest, "priority": priority, "submitter": owner, "limit": limit}
    return [Waiting(*row) for row in connection.execute(_LINE, mine)]


def lock_claimable(connection: Connection, ids: Sequence[int]) -> list[ClaimedCohort]:
    """Those of the cohorts that are queued, in the given order, locked, as they will be when claimed; those
    that somebody else has locked are passed by."""
    # Looked at here and not in the statement: with both, SQLite reads all queued cohorts.
    columns = (Cohort.state, Cohort.id, Cohort.attempt + 1, Cohort.lanes, Cohort.label)
    rows = connection.execute(sa.select(*columns).where(Cohort.id.in_(ids)).with_for_update(skip_locked=True))
    locked = {row[1]: ClaimedCohort(*row[1:]) for row in rows if row[0] is CohortState.QUEUED}
    return [locked[id] for id in ids if id in locked]


def _line_of(submitter: ColumnElement[str]) -> sa.Select[int, int]:
    mine = (*_CLAIMABLE, Cohort.priority == sa.bindparam("priority"), Cohort.submitter == submitter)
    return sa.select(Cohort.sweep_order, Cohort.id).where(*mine).order_by(Cohort.sweep_order, Cohort.id)


def _heads() -> sa.Select[str, int, int]:
    queued = (Cohort.state == CohortState.QUEUED, Cohort.priority == sa.bindparam("priority"))
    smallest = sa.select(sa.func.min(Cohort.submitter)).where(*queued)
    owners = sa.select(smallest.scalar_subquery().label("submitter")).cte("owners", recursive=True)
    following = smallest.where(Cohort.submitter > owners.c.submitter).scalar_subquery()
    owners = owners.union_all(sa.select(following).where(owners.c.submitter.is_not(None)))
    first = _line_of(owners.c.submitter).with_only_columns(Cohort.id).limit(1).scalar_subquery()
    head = sa.select(owners.c.submitter, first.label("id")).where(owners.c.submitter.is_not(None)).cte("head")
    # Not a join, for which PostgreSQL may read all cohorts.
    order = sa.select(Cohort.sweep_order).where(Cohort.id == head.c.id).scalar_subquery()
    return sa.select(head.c.submitter, order, head.c.id).where(head.c.id.is_not(None))


_HEADS = _heads()
_LINE = _line_of(sa.bindparam("submitter", type_=sa.String)).limit(sa.bindparam("limit", type_=sa.Integer))


def claim_cohorts(
    connection: Connection, cohorts: Sequence[ClaimedCohort], *, owner: str, lease_until: datetime
) -> None:
    """Raise the attempt of queued cohorts, which are locked, and give them to ``owner``, their trials with
    them."""
    claim = move(CohortState.QUEUED, Event.CLAIM).where(Cohort.id == sa.bindparam("cohort"))
    raised = claim.values(attempt=Cohort.attempt + 1, owner=owner, lease_until=lease_until)
    # One by one: for a list of ids SQLite reads all queued cohorts.
    connection.execute(raised, [{"cohort": cohort.id} for cohort in cohorts])
    ids = [cohort.id for cohort in cohorts]
    connection.execute(move(TrialState.QUEUED, Event.CLAIM).where(Trial.cohort_id.in_(ids)))


def insert_attempts(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    """Add claimed attempts: ``cohort_id, number, secret_hash, owner, claimed_at``.

    Returns attempt ids by cohort id.
    """
    statement = sa.insert(Attempt).returning(Attempt.cohort_id, Attempt.id)
    claimed = [{**row, "state": AttemptState.CLAIMED} for row in rows]
    return {cohort: id for cohort, id in connection.execute(statement, claimed)}


def running_cohorts(
    connection: Connection, condition: ColumnElement[bool], *, skip_locked: bool = False
) -> list[RunningCohort]:
    """Running cohorts with their current attempt, locked.

    ``skip_locked`` passes those that somebody reports on right now; otherwise their report goes first.
    """
    begun, stopping = Attempt.started_at.is_not(None), Cohort.stop_since.is_not(None)
    rows = connection.execute(
        sa.select(Cohort.id, Cohort.attempt, Attempt.id, begun, stopping)
        .join(Attempt, sa.and_(Attempt.cohort_id == Cohort.id, Attempt.number == Cohort.attempt))
        .where(Cohort.state == CohortState.RUNNING, condition)
        .order_by(Cohort.id)
        .with_for_update(of=Cohort, skip_locked=skip_locked)
    )
    return [RunningCohort(*row) for row in rows]


def held_by_attempt(attempt_id: int) -> ColumnElement[bool]:
    """The cohort that this attempt holds."""
    return Attempt.id == attempt_id


def held_by_owner(owner: str) -> ColumnElement[bool]:
    """Cohorts that this dispatcher claimed."""
    return Cohort.owner == owner


def lease_ended(now: datetime, *, latest: datetime) -> ColumnElement[bool]:
    """Cohorts that nobody has reported on for a lease. No lease ends after ``latest``: one that does was
    given before the clock was set back, and would be valid for as long again."""
    return sa.or_(Cohort.lease_until < now, Cohort.lease_until > latest)


def ended_attempts(connection: Connection, attempt_ids: Sequence[int]) -> dict[int, bool]:
    """Those of the attempts that have ended, and whether they were lost."""
    rows = connection.execute(
        sa.select(Attempt.id, Attempt.state).where(
            Attempt.id.in_(attempt_ids), Attempt.state.in_((AttemptState.FINISHED, AttemptState.LOST))
        )
    )
    return {id: state is AttemptState.LOST for id, state in rows}


def overdue_attempts(connection: Connection, attempt_ids: Sequence[int], *, before: datetime) -> list[int]:
    """Those of the attempts that hold a cohort and were asked to stop before this moment."""
    rows = connection.scalars(
        sa.select(Attempt.id)
        .join(Cohort, sa.and_(Attempt.cohort_id == Cohort.id, Attempt.number == Cohort.attempt))
        .where(Cohort.state == CohortState.RUNNING, Cohort.stop_since < before, Attempt.id.in_(attempt_ids))
    )
    return list(rows)


def end_lost_attempt(
    connection: Connection, attempt_id: int, *, reason: str, cause: Cause, blameless: bool, now: datetime
) -> None:
    """A claimed or running attempt is lost."""
    for old in (AttemptState.CLAIMED, AttemptState.RUNNING):
        lost = move(old, Event.LOSE).where(Attempt.id == attempt_id)
        connection.execute(lost.values(ended_at=now, error=reason, cause=cause, blameless=blameless))


def blameless_losses(connection: Connection, cohort_id: int) -> int:
    """How many attempts of the cohort were lost by no fault of its trials."""
    return connection.execute(
        sa.select(sa.func.count()).where(Attempt.cohort_id == cohort_id, Attempt.blameless)
    ).scalar_one()


def blame(connection: Connection, cohort_id: int) -> int:
    """Count a loss for the cohort's unfinished trials; returns the most that one of them has."""
    mine = (Trial.cohort_id == cohort_id, Trial.state == TrialState.RUNNING)
    connection.execute(sa.update(Trial).where(*mine).values(losses=Trial.losses + 1))
    return connection.execute(
        sa.select(sa.func.coalesce(sa.func.max(Trial.losses), 0)).where(*mine)
    ).scalar_one()


def requeue_cohort(connection: Connection, cohort: RunningCohort, *, not_before: datetime) -> None:
    """Cohort and unfinished trials wait for another attempt."""
    connection.execute(
        move(CohortState.RUNNING, Event.LOSE)
        .where(Cohort.id == cohort.id, Cohort.attempt == cohort.attempt)
        .values(owner=None, lease_until=None, not_before=not_before)
    )
    connection.execute(move(TrialState.RUNNING, Event.LOSE).where(Trial.cohort_id == cohort.id))


def fail_cohort(
    connection: Connection, cohort: RunningCohort, *, reason: str, now: datetime
) -> list[tuple[int, int]]:
    """Cohort and unfinished trials have failed; returns trial and cell of each.

    Of their steps those count as computed that the last attempt told of.
    """
    connection.execute(
        move(CohortState.RUNNING, Event.GIVE_UP)
        .where(Cohort.id == cohort.id, Cohort.attempt == cohort.attempt)
        .values(owner=None, lease_until=None, stop_since=None)
    )
    share = share_done(connection, cohort.attempt_id, cohort.id)
    failed = move(TrialState.RUNNING, Event.GIVE_UP).where(Trial.cohort_id == cohort.id)
    values = {"error": reason, "ended_at": now, "attempt_id": cohort.attempt_id}
    values["steps_done"] = sa.cast(sa.func.round(Trial.steps * share), sa.BigInteger)
    return [
        (trial, cell)
        for trial, cell in connection.execute(failed.values(values).returning(Trial.id, Trial.cell_id))
    ]
