"""What a running attempt writes. :func:`hold` comes first in every transaction."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypedDict, Unpack

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.sql.dml import ReturningUpdate

from benchmarks.spec import CellSpec, Component
from service.states import AttemptState, CohortState, Event, TrialState
from service.storage.models import Attempt, Board, Cell, Cohort, Trial, TrialMetric
from service.storage.queries import bulk
from service.storage.queries.bulk import among
from service.storage.queries.moves import move


class HeldCohort(NamedTuple):
    """The cohort that the reporting attempt holds; its row is locked and its lease renewed."""

    id: int
    number: int
    stop_since: datetime | None


class AttemptRecord(NamedTuple):
    """What is known of an attempt, whatever became of it."""

    id: int
    cohort_id: int
    number: int
    secret_hash: str
    state: AttemptState
    last_seq: int


class Lane(NamedTuple):
    """A trial that the attempt has yet to end."""

    id: int
    key: str
    cell_id: int
    seed: int
    steps: int


def hold(
    connection: Connection,
    attempt_id: int,
    *,
    secret_hash: str,
    states: tuple[AttemptState, ...],
    lease_until: datetime,
) -> HeldCohort | None:
    """Take the row lock of the attempt's cohort and renew the lease, or find that the attempt is stale.

    It must be a write: between a SELECT of the attempt number and the writes after it another claim fits.
    """
    values = {"of_attempt": attempt_id, "of_secret": secret_hash, "renewed": lease_until}
    row = connection.execute(_hold(states), values).one_or_none()
    return None if row is None else HeldCohort(*row)


@functools.cache  # statements of every report are made once: making one takes longer than carrying it out
def _hold(states: tuple[AttemptState, ...]) -> ReturningUpdate[int, int, datetime | None]:
    return (
        sa.update(Cohort)
        .where(
            Cohort.id == Attempt.cohort_id,
            Cohort.attempt == Attempt.number,
            Cohort.state == CohortState.RUNNING,
            Attempt.id == sa.bindparam("of_attempt"),
            Attempt.secret_hash == sa.bindparam("of_secret"),
            sa.or_(*(Attempt.state == state for state in states)),  # IN is rendered anew at each use
        )
        .values(lease_until=sa.bindparam("renewed"))
        .returning(Cohort.id, Cohort.attempt, Cohort.stop_since)
    )


def attempt_record(connection: Connection, attempt_id: int) -> AttemptRecord | None:
    """The attempt with this id."""
    row = connection.execute(_RECORD, {"of_attempt": attempt_id}).one_or_none()
    return None if row is None else AttemptRecord(*row)


_RECORD = sa.select(
    Attempt.id, Attempt.cohort_id, Attempt.number, Attempt.secret_hash, Attempt.state, Attempt.last_seq
).where(Attempt.id == sa.bindparam("of_attempt"))


def start_attempt(connection: Connection, attempt_id: int, *, now: datetime) -> None:
    """The attempt computes; nothing happens when it does already."""
    begun = move(AttemptState.CLAIMED, Event.START).where(Attempt.id == attempt_id)
    connection.execute(begun.values(started_at=now))


def running_lanes(connection: Connection, cohort_id: int) -> list[Lane]:
    """The cohort's unfinished trials."""
    return [Lane(*row) for row in connection.execute(_LANES, {"of_cohort": cohort_id})]


_LANES = (
    sa.select(Trial.id, Trial.key, Trial.cell_id, Trial.seed, Trial.steps)
    .where(Trial.cohort_id == sa.bindparam("of_cohort"), Trial.state == TrialState.RUNNING)
    .order_by(Trial.id)
)


def running_ids(connection: Connection, cohort_id: int) -> dict[str, int]:
    """Key -> id of each of the cohort's unfinished trials.

    They come as one row: fetching a row gives Python's lock away, and while other threads work it is a while
    until it comes back.
    """
    listed = connection.execute(_RUNNING_IDS, {"of_cohort": cohort_id}).scalar_one() or ""
    pairs = (pair.split(" ") for pair in listed.split(",") if pair)
    return {key: int(id) for id, key in pairs}


_RUNNING_IDS = sa.select(sa.func.aggregate_strings(sa.cast(Trial.id, sa.Text) + " " + Trial.key, ",")).where(
    Trial.cohort_id == sa.bindparam("of_cohort"), Trial.state == TrialState.RUNNING
)


def cell_specs(connection: Connection, cell_ids: Iterable[int]) -> dict[int, CellSpec]:
    """Cell id -> its specification."""
    rows = connection.execute(sa.select(Cell.id, Cell.spec).where(among(connection, Cell.id, cell_ids)))
    return {id: spec for id, spec in rows}


def task_of(connection: Connection, cell_id: int) -> Component:
    """The task of a cell."""
    return connection.execute(_TASK, {"of_cell": cell_id}).scalar_one()


_TASK = sa.select(Board.task).join(Cell).where(Cell.id == sa.bindparam("of_cell"))


def ended_keys(connection: Connection, cohort_id: int) -> set[str]:
    """Trials of the cohort that have an outcome."""
    ended = (Trial.cohort_id == cohort_id, Trial.state != TrialState.RUNNING)
    return set(connection.scalars(sa.select(Trial.key).where(*ended)))


def forget_losses(connection: Connection, cohort_id: int) -> None:
    """Count no loss of the cohort's unfinished trials so far."""
    mine = (Trial.cohort_id == cohort_id, Trial.state == TrialState.RUNNING, Trial.losses > 0)
    connection.execute(sa.update(Trial).where(*mine).values(losses=0))


def note_provenance(connection: Connection, attempt_id: int, provenance: dict[str, Any]) -> None:
    """With what the attempt computes, as far as it has."""
    connection.execute(sa.update(Attempt).where(Attempt.id == attempt_id).values(provenance=provenance))


class Progress(TypedDict):
    """How far an attempt is, and when it said so."""

    steps_done: int
    steps_total: int
    now: datetime


def note_progress(connection: Connection, attempt_id: int, **progress: Unpack[Progress]) -> None:
    """Store how far the attempt is."""
    connection.execute(_PROGRESS, {"of_attempt": attempt_id, **progress})


_PROGRESS = (
    sa.update(Attempt)
    .where(Attempt.id == sa.bindparam("of_attempt"))
    .values(
        steps_done=sa.bindparam("steps_done"),
        steps_total=sa.bindparam("steps_total"),
        reported_at=sa.bindparam("now"),
    )
)


def count_batch(connection: Connection, attempt_id: int, seq: int, **progress: Unpack[Progress]) -> bool:
    """Count one more batch of metrics and store how far the attempt is.

    Returns:
        False, and nothing is stored, when the batch is not the next one.
    """
    values = {"of_attempt": attempt_id, "seq": seq, **progress}
    return connection.execute(_COUNT_BATCH, values).rowcount == 1


_COUNT_BATCH = _PROGRESS.where(Attempt.last_seq == sa.bindparam("seq") - 1).values(
    last_seq=sa.bindparam("seq")
)


def share_done(connection: Connection, attempt_id: int, cohort_id: int) -> float:
    """Which part of the steps of its unfinished trials the attempt has done, by its last word."""
    attempt = sa.select(Attempt.steps_done, Attempt.steps_total).where(Attempt.id == attempt_id)
    done, total = connection.execute(attempt).one()
    of_ended = sa.select(sa.cast(sa.func.coalesce(sa.func.sum(Trial.steps), 0), sa.BigInteger)).where(
        Trial.cohort_id == cohort_id, Trial.attempt_id == attempt_id
    )
    ended = connection.execute(of_ended).scalar_one()
    return min(max((done - ended) / (total - ended), 0.0), 1.0) if total > ended else 0.0


def end_trials(
    connection: Connection,
    event: Event,
    rows: Sequence[Mapping[str, Any]],
    *,
    cohort_id: int,
    **values: Any,
) -> int:
    """Running trials of the cohort ``succeed`` or ``fail``; returns how many did.

    ``rows`` have ``trial, told_error, told_traceback, told_seconds, told_divergence, told_steps``; ``values``
    are the
    same for all.
    """
    statement = (
        move(TrialState.RUNNING, event)
        .where(Trial.id == sa.bindparam("trial"), Trial.cohort_id == cohort_id)
        .values(
            error=sa.bindparam("told_error"),
            traceback=sa.bindparam("told_traceback"),
            seconds=sa.bindparam("told_seconds"),
            diverged_at=sa.bindparam("told_divergence"),
            steps_done=sa.bindparam("told_steps"),
            **values,
        )
    )
    return connection.execute(statement, rows).rowcount


def insert_trial_metrics(connection: Connection, rows: Sequence[tuple[int, str, float]]) -> None:
    """Add final values: ``trial_id, metric, value``. Plain: a second result of a trial must explode."""
    bulk.insert(connection, TrialMetric, ("trial_id", "metric", "value"), rows)


def finish_cohort(connection: Connection, held: HeldCohort) -> None:
    """Every trial of the cohort has an outcome."""
    connection.execute(
        move(CohortState.RUNNING, Event.FINISH)
        .where(Cohort.id == held.id, Cohort.attempt == held.number)
        .values(owner=None, lease_until=None, stop_since=None)
    )


def finish_attempt(
    connection: Connection,
    attempt_id: int,
    *,
    provenance: dict[str, Any],
    log: str | None,
    whole: bool,
    now: datetime,
) -> None:
    """The attempt has reported its end; a ``whole`` one has done all its steps."""
    finished = move(AttemptState.RUNNING, Event.FINISH).where(Attempt.id == attempt_id)
    finished = finished.values(ended_at=now, provenance=provenance, log=log)
    connection.execute(finished.values(steps_done=Attempt.steps_total) if whole else finished)
