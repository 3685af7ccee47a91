"""Pause, resume, cancel, retry, delete: what people do with sweeps that are there.

All of it is one predicate and one arrow. A trial is wanted when a sweep that is ``active`` wants it, and a
cohort that holds one which is not, or not as urgently, dissolves: at once while it is queued, and when its
attempt has stopped while it runs. What is wanted then is planned again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Engine

from benchmarks.sweep_file.issues import Issues
from benchmarks.sweep_file.limits import MAX_PRIORITY, MIN_PRIORITY
from benchmarks.sweep_file.texts import check_texts
from service.errors import InvalidRequest, NotFound, NothingToDo
from service.states import ENDED_BADLY, CohortState, Event, Hold, TrialState
from service.storage.engine import Clock, database_clock, serialise, write
from service.storage.queries import cells, checkpoints, control, events, submission, totals
from service.storage.queries.control import ControlledSweep


class Controls:
    """What can be done with a sweep. Every method is one transaction, and says what it did by an event.

    All raise :class:`NotFound` without such a sweep, and when it is in the bin.

    Args:
        engine: either kind of database, its schema current.
        clock: what time it is; tests bring their own.
    """

    def __init__(self, engine: Engine, *, clock: Clock = database_clock) -> None:
        self._engine = engine
        self._clock = clock

    def pause(self, sweep_id: int) -> None:
        """Compute nothing more of it for now; what runs stops at its next segment and keeps its place.

        Raises:
            NothingToDo: it is paused or cancelled, or all its trials have ended.
        """
        with self._sweep(sweep_id) as (connection, sweep, now):
            _require_work(connection, sweep, "paused")
            if sweep.held is not Hold.ACTIVE:
                raise NothingToDo(f"sweep {sweep.id} is {sweep.held.value}; only an active one can be paused")
            self._hold(connection, sweep, Event.PAUSE, now)

    def resume(self, sweep_id: int) -> None:
        """Go on with a paused sweep where it stopped; a cancelled one begins again with what it lacks.

        Raises:
            NothingToDo: it is active.
        """
        with self._sweep(sweep_id) as (connection, sweep, now):
            if sweep.held is Hold.ACTIVE:
                raise NothingToDo(f"sweep {sweep.id} is active; there is nothing to resume")
            _want_again(connection, sweep, (TrialState.CANCELLED,), now)
            self._hold(connection, sweep, Event.RESUME, now)

    def cancel(self, sweep_id: int) -> None:
        """Give up what has no outcome. What has stays, and trials that other sweeps want go on.

        Raises:
            NothingToDo: it is cancelled, or all its trials have ended.
        """
        with self._sweep(sweep_id) as (connection, sweep, now):
            _require_work(connection, sweep, "cancelled")
            if sweep.held is Hold.CANCELLED:
                raise NothingToDo(f"sweep {sweep.id} is cancelled already")
            self._hold(connection, sweep, Event.CANCEL, now)

    def retry(self, sweep_id: int) -> int:
        """Queue its failed and cancelled trials again; returns how many.

        Raises:
            NothingToDo: none failed, and none was cancelled.
        """
        with self._sweep(sweep_id) as (connection, sweep, now):
            again = _want_again(connection, sweep, ENDED_BADLY, now)
            if not again:
                raise NothingToDo(f"no trial of sweep {sweep.id} has failed or was cancelled")
            if sweep.held is Hold.ACTIVE:
                settle(connection, sweep.id, now)
                self._record(connection, sweep, f"retried: {again} trials", now)
            else:
                self._hold(connection, sweep, Event.RESUME, now)
        return again

    def set_priority(self, sweep_id: int, priority: int) -> None:
        """Let it go before sweeps of lower priority, or after those of higher; what runs is not disturbed.

        Raises:
            InvalidRequest: not from ``MIN_PRIORITY`` to ``MAX_PRIORITY``.
        """
        if not MIN_PRIORITY <= priority <= MAX_PRIORITY:
            raise InvalidRequest(f"priority is {priority}; it goes from {MIN_PRIORITY} to {MAX_PRIORITY}")
        with self._sweep(sweep_id) as (connection, sweep, now):
            control.set_priority(connection, sweep.id, priority)
            settle(connection, sweep.id, now)
            self._record(connection, sweep, f"priority {sweep.priority} became {priority}", now)

    def describe(
        self,
        sweep_id: int,
        *,
        name: str | None = None,
        description: str | None = None,
        tags: Sequence[str] | None = None,
    ) -> None:
        """Change what it says of itself; what is ``None`` stays. Its file stays as it was submitted.

        Raises:
            SpecError: a text cannot be used.
        """
        given = {"name": name, "description": description, "tags": tags}
        issues = Issues()
        check_texts(given, issues)
        issues.raise_if_any("change")
        with self._sweep(sweep_id) as (connection, sweep, now):
            control.describe(connection, sweep.id, name=name, description=description)
            if tags is not None:
                submission.set_tags(connection, sweep.id, tags)
            told = ", ".join(key for key, value in given.items() if value is not None)
            self._record(connection, sweep, f"changed: {told}", now)

    def delete(self, sweep_id: int) -> None:
        """Put it into the bin, cancelled; :meth:`restore` takes it out again."""
        with self._sweep(sweep_id) as (connection, sweep, now):
            control.set_deleted(connection, sweep.id, now)
            if sweep.held is Hold.CANCELLED:
                self._record(connection, sweep, "deleted", now)
            else:
                self._hold(connection, sweep, Event.CANCEL, now, "deleted")

    def restore(self, sweep_id: int) -> None:
        """Take it out of the bin. It stays cancelled where something was left to compute.

        Raises:
            NothingToDo: it is not in the bin.
        """
        with self._sweep(sweep_id, deleted=True) as (connection, sweep, now):
            if sweep.deleted_at is None:
                raise NothingToDo(f"sweep {sweep.id} is not in the bin")
            control.set_deleted(connection, sweep.id, None)
            self._record(connection, sweep, "restored", now)

    @contextmanager
    def _sweep(
        self, sweep_id: int, *, deleted: bool = False
    ) -> Iterator[tuple[Connection, ControlledSweep, datetime]]:
        with write(self._engine) as connection:
            serialise(connection, "submit")
            serialise(connection, "plan")
            sweep = control.controlled(connection, sweep_id)
            if sweep is None or (sweep.deleted_at is not None and not deleted):
                raise NotFound(f"there is no sweep {sweep_id}")
            control.lock_cohorts(connection, sweep_id)
            yield connection, sweep, self._clock(connection)

    def _hold(
        self, connection: Connection, sweep: ControlledSweep, event: Event, now: datetime, told: str = ""
    ) -> None:
        control.hold(connection, sweep, event)
        settle(connection, sweep.id, now)
        self._record(connection, sweep, told or _PAST[event], now)

    def _record(self, connection: Connection, sweep: ControlledSweep, what: str, now: datetime) -> None:
        events.record(connection, "sweep_controlled", f"{sweep.name}: {what}", at=now, sweep_id=sweep.id)


_PAST = {Event.PAUSE: "paused", Event.RESUME: "resumed", Event.CANCEL: "cancelled"}


def settle(connection: Connection, sweep_id: int, now: datetime) -> None:
    """Bring the sweep's trials and their cohorts in line with what sweeps want.

    The caller holds ``serialise(connection, "submit")`` and ``serialise(connection, "plan")``.
    """
    control.lock_cohorts(connection, sweep_id)
    control.update_wanted(connection, sweep_id)
    control.dissolve(connection, control.unfit_cohorts(connection, sweep_id), CohortState.QUEUED)
    control.ask_to_stop(connection, control.of_sweep(sweep_id), now=now)
    cancel_forgotten(connection, control.in_sweep(sweep_id), now)


def release(connection: Connection, cohort_id: int, now: datetime) -> None:
    """The attempt of a running cohort has stopped: what is left of its trials goes back to planning, and what
    no sweep waits for is cancelled."""
    left = control.trials_of(connection, [cohort_id])
    control.dissolve(connection, [cohort_id], CohortState.RUNNING)
    cancel_forgotten(connection, control.with_ids(left), now)


def cancel_forgotten(connection: Connection, among: ColumnElement[bool], now: datetime) -> None:
    """Cancel what no sweep waits for among these trials, and count it."""
    ended = control.cancel_forgotten(connection, among, now=now)
    cells.count_ends(connection, [(cell, TrialState.CANCELLED) for _, cell in ended])
    checkpoints.forget_ended(connection, among)
    totals.note_ends(connection, [trial for trial, _ in ended], now=now)


def _require_work(connection: Connection, sweep: ControlledSweep, what: str) -> None:
    if not control.pending_trials(connection, sweep.id):
        raise NothingToDo(f"all trials of sweep {sweep.id} have ended; there is nothing to be {what}")


def _want_again(
    connection: Connection, sweep: ControlledSweep, ends: Sequence[TrialState], now: datetime
) -> int:
    """Queue trials of the sweep that ended so; returns how many."""
    again = sum(submission.requeue(connection, old, sweep.id, priority=sweep.priority) for old in ends)
    if again:
        totals.recount(connection, sweep.id, now=now)
    return again
