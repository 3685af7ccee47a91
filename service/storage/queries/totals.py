"""What is kept per sweep, so that no page has to count trials.

Every transaction that ends or requeues trials says so here, after it has written to cohorts, trials and
cells: the rows of sweeps are locked last, in order of their ids. A finished sweep stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection
from sqlalchemy.dialects import postgresql, sqlite

from service.states import TrialState
from service.storage.engine import is_sqlite
from service.storage.models import Attempt, Sweep, SweepFallback, SweepTrial, Trial, UtcDateTime
from service.storage.queries import board_lists
from service.storage.queries.bulk import among

ENDS = (TrialState.SUCCEEDED, TrialState.FAILED, TrialState.CANCELLED)


class Ended(NamedTuple):
    """Trials of one sweep that have ended, by how: numbers and steps."""

    sweep_id: int
    succeeded: int
    failed: int
    cancelled: int
    steps_ended: int
    steps_done: int


def note_ends(connection: Connection, trial_ids: Sequence[int], *, now: datetime) -> None:
    """These trials have just ended: their boards have changed, and the sweeps that want them count it and
    end with their last."""
    board_lists.note_ends(connection, trial_ids, now=now)
    for sweep in _ended(connection, among(connection, SweepTrial.trial_id, trial_ids)):
        connection.execute(_ADD, {**_parameters(sweep), "now": now})


def note_requeued(connection: Connection, ended: Iterable[Ended], *, by: int | None = None) -> None:
    """Trials that had ended, as :func:`about_to_be_requeued` found them, wait again because of sweep ``by``.

    Sweeps that go on take them out of their counts. Finished ones keep them and note by whom their trials
    were computed again.
    """
    for sweep in ended:
        if sweep.sweep_id != by:
            connection.execute(_TAKE, {**_parameters(sweep), "by": by})


def about_to_be_requeued(connection: Connection, condition: ColumnElement[bool]) -> list[Ended]:
    """What the sweeps count of the ended trials that meet a condition; ask before they are requeued."""
    return _ended(connection, condition)


def recount(connection: Connection, sweep_id: int, *, now: datetime) -> None:
    """Count a sweep's trials again, one that has just been stored or begins anew.

    Its row is locked first: ends that are noted meanwhile are added afterwards.
    """
    locked = sa.select(Sweep.created_at).where(Sweep.id == sweep_id).with_for_update()
    created = connection.execute(locked).scalar_one()
    everything = connection.execute(
        sa.select(sa.func.count(), _sum(Trial.steps), sa.func.max(Trial.ended_at))
        .join(SweepTrial, SweepTrial.trial_id == Trial.id)
        .where(SweepTrial.sweep_id == sweep_id)
    ).one()
    trials, steps, last = everything
    (counted,) = _ended(connection, SweepTrial.sweep_id == sweep_id) or [Ended(sweep_id, 0, 0, 0, 0, 0)]
    done = counted.succeeded + counted.failed + counted.cancelled == trials
    values = counted._asdict() | {"trials": trials, "steps": steps}
    del values["sweep_id"]
    finished = max(last or now, created) if done else None  # all of it may have been known before
    connection.execute(sa.update(Sweep).where(Sweep.id == sweep_id).values(**values, finished_at=finished))


def note_fallback(connection: Connection, cohort_id: int, attempt_id: int, failures: str) -> None:
    """An attempt that could not compile steps has ended: it counts for every sweep of its trials."""
    sweeps = connection.scalars(
        sa.select(SweepTrial.sweep_id)
        .distinct()
        .join(Trial, Trial.id == SweepTrial.trial_id)
        .where(Trial.cohort_id == cohort_id, Trial.attempt_id == attempt_id)
        .order_by(SweepTrial.sweep_id)
    ).all()
    rows = [{"sweep_id": id, "failures": failures, "attempts": 1} for id in sweeps]
    if rows:
        insert = (sqlite if is_sqlite(connection) else postgresql).insert(SweepFallback)
        more = insert.on_conflict_do_update(
            index_elements=[SweepFallback.sweep_id, SweepFallback.failures],
            set_={"attempts": SweepFallback.attempts + 1},
        )
        connection.execute(more, rows)


def recount_fallbacks(connection: Connection, sweep_id: int) -> None:
    """Count the fallbacks of attempts that had ended trials of a sweep before it was submitted."""
    failures = Attempt.provenance["fallback"].as_string()
    ended = (
        sa.select(Trial.attempt_id)
        .join(SweepTrial, SweepTrial.trial_id == Trial.id)
        .where(SweepTrial.sweep_id == sweep_id, Trial.attempt_id.is_not(None))
    )
    # Missing in old provenance and null in that of attempts that compiled: both are SQL's null as text.
    texts = (
        sa.select(failures.label("failures")).where(Attempt.id.in_(ended), failures.is_not(None)).subquery()
    )
    counts = sa.select(sa.literal(sweep_id), texts.c.failures, sa.func.count()).group_by(texts.c.failures)
    connection.execute(sa.insert(SweepFallback).from_select(["sweep_id", "failures", "attempts"], counts))


def _ended(connection: Connection, condition: ColumnElement[bool]) -> list[Ended]:
    query = (
        sa.select(
            SweepTrial.sweep_id,
            _count(TrialState.SUCCEEDED),
            _count(TrialState.FAILED),
            _count(TrialState.CANCELLED),
            _sum(Trial.steps),
            _sum(Trial.steps_done),
        )
        .join(Trial, Trial.id == SweepTrial.trial_id)
        .where(condition, Trial.state.in_(ENDS))
        .group_by(SweepTrial.sweep_id)
        .order_by(SweepTrial.sweep_id)
    )
    return [Ended(*row) for row in connection.execute(query)]


def _count(state: TrialState) -> ColumnElement[int]:
    return sa.func.sum(sa.case((Trial.state == state, 1), else_=0))


def _sum(column: Any) -> ColumnElement[int]:
    return sa.cast(sa.func.coalesce(sa.func.sum(column), 0), sa.BigInteger)


_KEPT = ("succeeded", "failed", "cancelled", "steps_ended", "steps_done")


def _parameters(ended: Ended) -> dict[str, int]:
    return {f"of_{name}": value for name, value in ended._asdict().items()}


def _kept(sign: int) -> dict[str, ColumnElement[int]]:
    return {
        name: getattr(Sweep, name) + sign * sa.bindparam(f"of_{name}", type_=sa.BigInteger) for name in _KEPT
    }


_ALL_ENDED = sum((_kept(1)[state.value] for state in ENDS[1:]), _kept(1)[ENDS[0].value]) >= Sweep.trials
_ADD = (  # statements are made once: making one takes longer than carrying it out
    sa.update(Sweep)
    .where(Sweep.id == sa.bindparam("of_sweep_id"), Sweep.finished_at.is_(None))
    .values(
        **_kept(1),
        finished_at=sa.case(
            (sa.and_(Sweep.storing_until.is_(None), _ALL_ENDED), sa.bindparam("now", type_=UtcDateTime())),
            else_=None,
        ),
    )
)
_GOES_ON = Sweep.finished_at.is_(None)
_TAKE = (
    sa.update(Sweep)
    .where(Sweep.id == sa.bindparam("of_sweep_id"))
    .values(
        **{name: sa.case((_GOES_ON, less), else_=getattr(Sweep, name)) for name, less in _kept(-1).items()},
        recomputed_by=sa.case(
            (_GOES_ON, Sweep.recomputed_by), else_=sa.func.coalesce(sa.bindparam("by"), Sweep.recomputed_by)
        ),
    )
)
