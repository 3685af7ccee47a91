"""Which checkpoints of trials there are. The files themselves lie where the workers put them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection
from sqlalchemy.dialects import postgresql, sqlite

from service.states import PENDING, AttemptState
from service.storage.engine import is_sqlite
from service.storage.models import Attempt, Checkpoint, Trial
from service.storage.queries.moves import chunks
from workers.messages import CHECKPOINTS_KEPT
from workers.ports import CheckpointName

_NEWEST_FIRST = (Checkpoint.attempt_id.desc(), Checkpoint.step.desc())


class CheckpointRow(NamedTuple):
    """A checkpoint of a trial."""

    trial_id: int
    attempt_id: int
    step: int
    epochs: int
    digest: str
    bytes: int
    seconds: float


def of_trials(connection: Connection, trial_ids: Sequence[int]) -> dict[int, list[CheckpointRow]]:
    """Trial id -> its checkpoints, newest first; trials without one are left out."""
    found: dict[int, list[CheckpointRow]] = {}
    columns = [getattr(Checkpoint, name) for name in CheckpointRow._fields]
    for some in chunks(trial_ids):
        query = sa.select(*columns).where(Checkpoint.trial_id.in_(some)).order_by(*_NEWEST_FIRST)
        for row in connection.execute(query):
            found.setdefault(row.trial_id, []).append(CheckpointRow(*row))
    return found


def insert(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add checkpoints, the fields of :class:`CheckpointRow` and ``created_at``; those there are stay.

    Of every trial the last :data:`workers.messages.CHECKPOINTS_KEPT` are kept.
    """
    insert = (sqlite if is_sqlite(connection) else postgresql).insert(Checkpoint)
    connection.execute(insert.on_conflict_do_nothing(), rows)
    key = (Checkpoint.trial_id, Checkpoint.attempt_id, Checkpoint.step)
    rank = sa.func.row_number().over(partition_by=Checkpoint.trial_id, order_by=_NEWEST_FIRST)
    mine = Checkpoint.trial_id.in_({row["trial_id"] for row in rows})
    ranked = sa.select(*key, rank.label("rank")).where(mine).subquery()
    older = sa.select(ranked.c.trial_id, ranked.c.attempt_id, ranked.c.step).where(
        ranked.c.rank > CHECKPOINTS_KEPT
    )
    connection.execute(sa.delete(Checkpoint).where(sa.tuple_(*key).in_(older)))


def in_cohort(cohort_id: int) -> ColumnElement[bool]:
    """Trials of the cohort."""
    return Trial.cohort_id == cohort_id


def forget_ended(connection: Connection, among: ColumnElement[bool]) -> None:
    """Nobody will go on with those of these trials that have ended."""
    ended = sa.select(Trial.id).where(among, Trial.state.not_in(PENDING))
    connection.execute(sa.delete(Checkpoint).where(Checkpoint.trial_id.in_(ended)))


def delete_newer(connection: Connection, trial_id: int, *, attempt: int, step: int, by: int) -> None:
    """Those that attempt ``by`` passed over when it went on from this one are of no use."""
    newer = sa.or_(
        Checkpoint.attempt_id > attempt, sa.and_(Checkpoint.attempt_id == attempt, Checkpoint.step > step)
    )
    connection.execute(
        sa.delete(Checkpoint).where(Checkpoint.trial_id == trial_id, Checkpoint.attempt_id < by, newer)
    )


def note_resumption(connection: Connection, attempt_id: int, steps: Mapping[str, int]) -> None:
    """From which step the attempt went on, by key of trial."""
    connection.execute(sa.update(Attempt).where(Attempt.id == attempt_id).values(resumed=dict(steps)))


def unneeded(connection: Connection, names: Iterable[CheckpointName]) -> list[CheckpointName]:
    """Those of the checkpoints that no attempt will ever go on from.

    That is: this database knows the trial and the attempt, the attempt has ended, and the checkpoint is not
    one that is kept.
    """
    asked = set(names)
    known, kept, ended = set[str](), set[CheckpointName](), set[int]()
    recorded = sa.select(Trial.key, Checkpoint.attempt_id, Checkpoint.step).join(Checkpoint)
    for keys in chunks(sorted({name.trial for name in asked})):
        known.update(connection.scalars(sa.select(Trial.key).where(Trial.key.in_(keys))))
        rows = connection.execute(recorded.where(Trial.key.in_(keys)))
        kept.update(CheckpointName(*row) for row in rows)
    over = sa.select(Attempt.id).where(Attempt.state.in_((AttemptState.FINISHED, AttemptState.LOST)))
    for ids in chunks(sorted({name.attempt for name in asked})):
        ended.update(connection.scalars(over.where(Attempt.id.in_(ids))))
    return sorted(name for name in asked - kept if name.trial in known and name.attempt in ended)
