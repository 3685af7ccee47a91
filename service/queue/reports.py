"""What running attempts report: ``workers.ports.AttemptReports`` on SQL. Every method is one transaction.

A report first writes to its cohort's row, naming the attempt (``queries.reports.hold``): that takes the lock,
renews the lease, and finds no row when another attempt holds the cohort. Then nothing is stored but an event.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from benchmarks.spec import TrialSpec
from service.errors import InvalidReport, NotFound, StaleAttempt, WrongSecret
from service.queue import outcomes, resumption
from service.queue.control import release
from service.queue.storable import storable, storable_json
from service.settings import Settings
from service.states import AttemptState
from service.storage.engine import Clock, database_clock, read, write
from service.storage.queries import control, events, nodes, reports, totals
from service.storage.queries.reports import AttemptRecord, HeldCohort
from workers.components import packages_of
from workers.messages import (
    CheckpointReport,
    Heartbeat,
    HeartbeatReply,
    MetricsBatch,
    Outcome,
    Resumption,
    Start,
    StartReply,
)

COMPUTING = (AttemptState.RUNNING,)
NOT_ENDED = (AttemptState.CLAIMED, AttemptState.RUNNING)

LOG_CHARACTERS = 8_000
"""Of the end of an attempt's log that is kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueRules:
    """How long the queue waits and how often it tries.

    Attributes:
        lease: silence after which a running attempt is given up.
        start: time that a claimed cohort may wait for its launcher.
        stop: time that an attempt has to stop when it is asked to, before it is ended by force.
        max_attempts: attempts at a trial that are lost before it stands alone and fails.
        max_blameless: attempts that may be lost by no fault of their trials; more count as the others.
        bin: how long deleted sweeps can be restored.
        backoff: pause before the second attempt; doubles with every further one.
        longest_backoff: what it doubles up to.
        quarantine_losses: attempts lost on a node in a row before it comes under quarantine.
        quarantine: how long at first; it doubles with every further loss.
        longest_quarantine: what it doubles up to.
        in_service: a node that was not heard of for so long is away.
        disagreement: how long launcher and queue may count the busy slots of a node differently.
        owner_slots: cohorts of one owner of sweeps that may run at the same time; ``None`` for any number.
    """

    lease: timedelta = timedelta(seconds=30)
    start: timedelta = timedelta(seconds=120)
    stop: timedelta = timedelta(seconds=20)
    max_attempts: int = 3
    max_blameless: int = 10
    bin: timedelta = timedelta(days=7)
    backoff: timedelta = timedelta(seconds=5)
    longest_backoff: timedelta = timedelta(minutes=5)
    quarantine_losses: int = 3
    quarantine: timedelta = timedelta(minutes=1)
    longest_quarantine: timedelta = timedelta(hours=1)
    in_service: timedelta = timedelta(seconds=30)
    disagreement: timedelta = timedelta(minutes=1)
    owner_slots: int | None = None

    @classmethod
    def of(cls, settings: Settings) -> QueueRules:
        """The rules that the settings ask for."""
        return cls(
            lease=timedelta(seconds=settings.lease_seconds),
            start=timedelta(seconds=settings.start_seconds),
            max_attempts=settings.max_attempts,
            bin=timedelta(days=settings.bin_days),
            backoff=timedelta(seconds=settings.backoff_seconds),
            quarantine_losses=settings.quarantine_losses,
            quarantine=timedelta(seconds=settings.quarantine_seconds),
            owner_slots=settings.owner_slots,
        )


class Report(NamedTuple):
    """A report whose attempt holds its cohort, and when it came."""

    held: HeldCohort
    now: datetime


Repeated = Callable[[AttemptRecord], bool]
"""Whether a report is one that was stored before."""


class Reports:
    """The running attempts' side of the queue.

    All reports raise :class:`NotFound` without such an attempt, :class:`WrongSecret` when the secret is not
    its own, and :class:`StaleAttempt` when it was superseded or has ended.

    Args:
        engine: either kind of database, its schema current.
        rules: times and limits.
        clock: what time it is; tests bring their own.
    """

    def __init__(
        self, engine: Engine, *, rules: QueueRules | None = None, clock: Clock = database_clock
    ) -> None:
        self._engine = engine
        self._rules = rules or QueueRules()
        self._clock = clock

    def check(self, attempt_id: int, secret: str) -> None:
        """Whether the secret is the attempt's own; a short read.

        Raises:
            NotFound: there is no such attempt.
            WrongSecret: it is not.
        """
        with read(self._engine) as connection:
            _known(connection, attempt_id, secret)

    def start(self, attempt_id: int, secret: str, message: Start | None = None) -> StartReply:
        """The attempt begins: what it is to compute, and from where. Of the curves of earlier
        attempts that goes which no checkpoint has behind it.

        On a node that drains nothing begins: it is asked to stop in this answer.
        """
        with self._transaction(attempt_id) as connection:
            held, now = self._hold(connection, attempt_id, secret, states=NOT_ENDED)
            reports.start_attempt(connection, attempt_id, now=now)
            drains = message is not None and _note_place(connection, attempt_id, message, now)
            if drains:
                control.ask_to_stop(connection, control.with_id(held.id), now=now)
            lanes = reports.running_lanes(connection, held.id)
            trials = resumption.lane_trials(connection, lanes, attempt_id=attempt_id)
        return StartReply(
            attempt_id=attempt_id,
            cohort_id=held.id,
            number=held.number,
            lease_seconds=self._rules.lease.total_seconds(),
            trials=trials,
            packages=packages_of(TrialSpec.from_json(trial.spec) for trial in trials),
            stop="asked" if drains else None,
        )

    def resume(self, attempt_id: int, secret: str, message: Resumption) -> None:
        """Note where trials go on that had checkpoints.

        Raises:
            InvalidReport: a trial that the attempt does not hold, or a checkpoint that it was not offered.
        """
        with self._transaction(attempt_id) as connection:
            held, _ = self._hold(connection, attempt_id, secret)
            resumption.go_on(connection, held.id, attempt_id, message)

    def heartbeat(self, attempt_id: int, secret: str, message: Heartbeat) -> HeartbeatReply:
        """Extend the lease, store progress, tell whether to stop."""
        with self._transaction(attempt_id) as connection:
            held, now = self._hold(connection, attempt_id, secret)
            reports.note_progress(connection, attempt_id, **_progress(message, now))
        return HeartbeatReply(stop="asked" if held.stop_since else None)

    def metrics(self, attempt_id: int, secret: str, message: MetricsBatch) -> None:
        """Store curve points and the ends of trials; a batch that was stored before changes nothing.

        Raises:
            InvalidReport: a batch is missing before this one, or a trial is not the attempt's to report on.
        """
        with self._transaction(attempt_id) as connection:
            repeated = _stored(message.seq)
            report = self._hold_once(connection, attempt_id, secret, repeated)
            if report is None:
                return
            held, now = report
            if not reports.count_batch(
                connection, attempt_id, message.seq, **_progress(message.progress, now)
            ):
                if repeated(_known(connection, attempt_id, secret)):
                    return
                raise InvalidReport(f"batch {message.seq} of metrics came before the one that precedes it")
            outcomes.store_curves(connection, held.id, attempt_id, message.segments)
            if message.outcomes:
                outcomes.store_ends(connection, held.id, attempt_id, message.outcomes, now=now)

    def checkpoint(self, attempt_id: int, secret: str, message: CheckpointReport) -> None:
        """Note checkpoints; those that were noted before, or are of trials that have ended, change nothing.

        Raises:
            InvalidReport: a checkpoint of a trial that is not in the cohort.
        """
        with self._transaction(attempt_id) as connection:
            held, now = self._hold(connection, attempt_id, secret)
            resumption.store(connection, held.id, attempt_id, message, now=now)

    def finish(self, attempt_id: int, secret: str, message: Outcome) -> None:
        """Store results, end the trials left, the cohort and the attempt; a second time nothing changes.

        Trials that are ``stopped`` go back to planning, in narrower cohorts where memory was the reason.

        Raises:
            InvalidReport: not exactly one outcome per trial.
        """
        with self._transaction(attempt_id) as connection:
            report = self._hold_once(connection, attempt_id, secret, _finished)
            if report is None:
                return
            held, now = report
            outcomes.require_all(connection, held.id, message.outcomes)
            ended, stopped = outcomes.settled(message)
            outcomes.store_ends(connection, held.id, attempt_id, ended, now=now)
            if stopped:
                if message.reason == "memory":
                    control.narrow(connection, held.id, lanes_at_most=-(-len(stopped) // 2))
                release(connection, held.id, now)
            else:
                reports.finish_cohort(connection, held)
            provenance = storable_json(message.provenance.model_dump())
            log = message.log and storable(message.log[-LOG_CHARACTERS:])
            whole = not stopped
            reports.finish_attempt(
                connection, attempt_id, provenance=provenance, log=log, whole=whole, now=now
            )
            if fallback := provenance["fallback"]:
                totals.note_fallback(connection, held.id, attempt_id, json.dumps(fallback))
            nodes.forgive(connection, attempt_id)

    @contextmanager
    def _transaction(self, attempt_id: int) -> Iterator[Connection]:
        """A write transaction of a report; a refused one leaves an event and nothing else."""
        try:
            with write(self._engine) as connection:
                yield connection
        except StaleAttempt as refusal:
            with write(self._engine) as connection:
                now = self._clock(connection)
                events.record(connection, "stale_report", str(refusal), at=now, attempt_id=attempt_id)
            raise

    def _hold(
        self,
        connection: Connection,
        attempt_id: int,
        secret: str,
        *,
        states: tuple[AttemptState, ...] = COMPUTING,
    ) -> Report:
        now = self._clock(connection)
        held = reports.hold(
            connection,
            attempt_id,
            secret_hash=hash_secret(secret),
            states=states,
            lease_until=now + self._rules.lease,
        )
        if held is None:
            raise _stale(_known(connection, attempt_id, secret))
        return Report(held, now)

    def _hold_once(
        self, connection: Connection, attempt_id: int, secret: str, repeated: Repeated
    ) -> Report | None:
        """As :meth:`_hold`, or ``None`` when the attempt has ended and this very report was stored before."""
        try:
            return self._hold(connection, attempt_id, secret)
        except StaleAttempt:
            if repeated(_known(connection, attempt_id, secret)):
                return None
            raise


def hash_secret(secret: str) -> str:
    """What is stored of an attempt's secret. It has 256 random bits: a plain hash cannot be searched."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _known(connection: Connection, attempt_id: int, secret: str) -> AttemptRecord:
    record = reports.attempt_record(connection, attempt_id)
    if record is None:
        raise NotFound(f"there is no attempt {attempt_id}")
    if not hmac.compare_digest(record.secret_hash, hash_secret(secret)):
        raise WrongSecret
    return record


def _stale(record: AttemptRecord) -> StaleAttempt:
    return StaleAttempt(
        f"attempt {record.number} of cohort {record.cohort_id} is {record.state} and does not hold it; "
        "nothing was stored, stop computing it"
    )


def _stored(seq: int) -> Repeated:
    return lambda record: record.state is not AttemptState.LOST and seq <= record.last_seq


def _finished(record: AttemptRecord) -> bool:
    return record.state is AttemptState.FINISHED


def _note_place(connection: Connection, attempt_id: int, message: Start, now: datetime) -> bool:
    """Keep where the attempt runs; returns whether its node drains."""
    said = storable_json(message.model_dump())
    node_id, draining = nodes.note_worker(
        connection, said["node"] or said["host"][:200], said["device"], now=now
    )
    worker = {name: said[name] for name in ("device", "pid", "heunboard", "python")}
    nodes.place(connection, attempt_id, node_id=node_id, host=said["host"], worker=worker)
    return draining


def _progress(said: Heartbeat, now: datetime) -> reports.Progress:
    return {"steps_done": said.steps_done, "steps_total": said.steps_total, "now": now}
