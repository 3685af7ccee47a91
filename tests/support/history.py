"""Databases as older versions left them: the rows of today in the tables of a revision.

What a revision could not say is not done before it is filled (:class:`Life` knows since when what can be), so
that the answers after an upgrade must be those of a database that was of today from the beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from service.access import tokens
from service.queue.cohorts import Queue
from service.queue.control import Controls
from service.queue.submission import submit
from service.states import Scope
from service.storage import migrations
from service.storage.engine import is_sqlite
from tests.support.sweeps import FELL_BACK, PROVENANCE, SteppedClock, outcome, small_sweep
from workers.messages import (
    Checkpoint,
    CheckpointReport,
    CurveSegment,
    Heartbeat,
    MetricsBatch,
    Outcome,
    Start,
    StartReply,
    TrialOutcome,
)
from workers.ports import Claim, NodeReport

Row = Mapping[str, Any] | sa.RowMapping

KEPT_ELSEWHERE = frozenset({"alembic_version"})
START = Start(host="machine", node="node", device="cpu", pid=7, heunboard="0.1.0", python="3.11")

FORMER: Mapping[tuple[str, str], Callable[[Connection, Row], Any]] = {
    # 0002 counts losses by trial.
    ("cohort", "losses"): lambda connection, row: connection.execute(
        sa.text("SELECT coalesce(max(losses), 0) FROM trial WHERE cohort_id = :id"), {"id": row["id"]}
    ).scalar_one(),
}
"""What columns held that are no more: from the connection to today's database, and today's row."""


class Life:
    """What happens in a database before it is upgraded, up to what a revision can keep.

    Args:
        engine: a database of today.

    Attributes:
        token: with which all of it may be read; empty where none is needed.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine, self._clock = engine, SteppedClock()
        self._queue = Queue(engine, clock=self._clock)
        self._controls = Controls(engine, clock=self._clock)
        self.token = ""

    def until(self, revision: str) -> None:
        """Do what a revision can keep, and what those before it could."""
        acts = {
            "0001": self._first,
            "0002": self._controlled,
            "0003": self._described,
            "0004": self._guarded,
        }
        for since, act in acts.items():
            if since <= revision:
                act()

    def _first(self) -> None:
        """Successes with curves, a failure, an attempt that fell back, one that was lost, one that runs, and
        trials that wait."""
        self._submit(name="done", estimators=["st", "reinmax"], seeds=2)
        for provenance in (PROVENANCE, FELL_BACK):
            claim, reply = self._begin()
            self._tell(claim, reply)
            ends = outcome(reply.trials).outcomes
            self._finish(claim, Outcome(outcomes=ends, provenance=provenance))
        self._submit(name="failed", estimators=["stgs"], seeds=1)
        claim, reply = self._begin()
        failed = TrialOutcome(trial=reply.trials[0].key, status="failed", error="bad", traceback="Traceback")
        self._finish(claim, Outcome(outcomes=(failed,), provenance=PROVENANCE))
        self._submit(name="running", owner="somebody", priority=3, estimators=["st"], seeds=[5, 6])
        claim, _ = self._begin()
        self._queue.lost(attempt_id=claim.attempt_id, reason="the worker process was ended by SIGKILL")
        self._clock.pass_seconds(60)
        claim, reply = self._begin()
        self._tell(claim, reply)
        self._submit(name="waiting", estimators=["gumbel_rao"], seeds=2)

    def _controlled(self) -> None:
        """A node, a checkpoint, an attempt that was asked to stop, a paused sweep, one in the bin, one that
        diverged."""
        self._queue.see_nodes([NodeReport(name="node", device="cpu", slots=2, free=1)])
        self._submit(name="paused", priority=5, estimators=["reinmax"], seeds=[7, 8])
        claim, reply = self._begin(START)
        self._tell(claim, reply)
        kept = tuple(
            Checkpoint(trial=one.key, step=5, epochs=1, digest="0" * 64, bytes=1000, seconds=0.5)
            for one in reply.trials
        )
        report = CheckpointReport(checkpoints=kept, provenance=PROVENANCE)
        self._queue.checkpoint(claim.attempt_id, claim.secret, report)
        self._controls.pause(self._last)
        stopped = tuple(TrialOutcome(trial=one.key, status="stopped") for one in reply.trials)
        self._finish(claim, Outcome(outcomes=stopped, provenance=PROVENANCE, log="the end of a log"))
        self._submit(name="deleted", estimators=["zgr"], seeds=1)
        self._controls.delete(self._last)
        self._submit(name="diverged", priority=5, estimators=["gst"], seeds=1)
        claim, reply = self._begin(START)
        (one,) = reply.trials
        diverged = TrialOutcome(trial=one.key, status="failed", error="diverged", diverged_at=3)
        self._finish(claim, Outcome(outcomes=(diverged,), provenance=PROVENANCE))

    def _described(self) -> None:
        """A sweep with a description and tags."""
        self._submit(name="described", description="why", tags=["paper", "v2"], estimators=["rloo"], seeds=1)

    def _guarded(self) -> None:
        """Two tokens, one of them revoked, and a browser that is signed in; all of it is in the audit."""
        made = tokens.create(self._engine, name="mine", scope=Scope.ADMIN, clock=self._clock)
        self.token = str(made.secret)
        other = tokens.create(self._engine, name="lost", scope=Scope.READ, days=30, clock=self._clock)
        tokens.revoke(self._engine, other.token.public_id, clock=self._clock)
        tokens.sign_in(self._engine, made.token.public_id, lasts=timedelta(hours=24), clock=self._clock)

    def _submit(self, **changes: Any) -> None:
        self._clock.pass_seconds(10)
        self._last = submit(self._engine, small_sweep(**changes), clock=self._clock).sweep_id
        self._queue.plan(max_lanes=2, slots=1)

    def _begin(self, start: Start | None = None) -> tuple[Claim, StartReply]:
        self._clock.pass_seconds(1)
        (claim,) = self._queue.claim(owner="d", limit=1)
        return claim, self._queue.start(claim.attempt_id, claim.secret, start)

    def _tell(self, claim: Claim, reply: StartReply) -> None:
        segments = tuple(
            CurveSegment(trial=one.key, metric="expected_loss", first=1, values=(2.0, 1.0))
            for one in reply.trials
        )
        progress = Heartbeat(steps_done=5 * len(segments), steps_total=10 * len(segments))
        batch = MetricsBatch(seq=1, progress=progress, segments=segments)
        self._clock.pass_seconds(1)
        self._queue.metrics(claim.attempt_id, claim.secret, batch)

    def _finish(self, claim: Claim, message: Outcome) -> None:
        self._clock.pass_seconds(1)
        self._queue.finish(claim.attempt_id, claim.secret, message)


def as_of(revision: str, today: Engine, old: Engine) -> None:
    """Fill an empty database with what another one holds, in the tables of a revision.

    Raises:
        AssertionError: a column of the revision is no more, and nobody says what it held.
    """
    migrations.upgrade(old, revision)
    theirs, ours = _tables(old), _tables(today)
    with today.connect() as source, old.begin() as target:
        for table in theirs.sorted_tables:
            if table.name in KEPT_ELSEWHERE:
                continue
            rows = source.execute(sa.select(ours.tables[table.name])).mappings().all()
            if rows:
                target.execute(sa.insert(table), [_as_of(table, row, source) for row in rows])
            _count_on(target, table)


def empty_tables(engine: Engine) -> Sequence[str]:
    """Tables that hold nothing."""
    with engine.connect() as connection:
        tables = [one for one in _tables(engine).sorted_tables if one.name not in KEPT_ELSEWHERE]
        return [
            one.name
            for one in tables
            if not connection.execute(sa.select(sa.func.count()).select_from(one)).scalar_one()
        ]


def _as_of(table: sa.Table, row: Row, source: Connection) -> dict[str, Any]:
    values = {}
    for column in table.columns:
        if column.name in row:
            values[column.name] = row[column.name]
        else:
            key = (table.name, column.name)
            assert key in FORMER, f"{table.name}.{column.name} is no more; say in FORMER what it held"
            values[column.name] = FORMER[key](source, row)
    return values


def _tables(engine: Engine) -> sa.MetaData:
    """All tables as they are. SQLite's values are taken as they are stored."""
    metadata = sa.MetaData()

    def untyped(_inspector: object, _table: object, column: dict[str, Any]) -> None:
        column["type"] = sa.types.NullType()

    with engine.connect() as connection:
        for name in sa.inspect(connection).get_table_names():
            listeners = [("column_reflect", untyped)] if is_sqlite(engine) else []
            sa.Table(name, metadata, autoload_with=connection, listeners=listeners)
    return metadata


def _count_on(target: Connection, table: sa.Table) -> None:
    """Let a server's sequence go on after the ids that were given."""
    if target.dialect.name == "postgresql" and "id" in table.columns:
        named = f"pg_get_serial_sequence('{table.name}', 'id')"
        last = f"(SELECT max(id) FROM {table.name})"
        target.execute(sa.text(f"SELECT setval({named}, {last}) WHERE {last} IS NOT NULL"))
