"""Storing a sweep, piece by piece.

Callers hold ``serialise(connection, "submit")``; nothing else adds boards, cells or trials. A sweep that is
being stored (``storing_until``) is seen by nobody, and trials that it has put into the queue are not planned.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.orm import aliased

from service.states import PENDING, Event, Hold, TrialState
from service.storage.engine import is_sqlite, serialise
from service.storage.models import Base, Board, Cell, Cohort, Sweep, SweepCell, SweepTag, SweepTrial, Trial
from service.storage.queries import bulk, cells, totals
from service.storage.queries.bulk import among
from service.storage.queries.control import remember_cohorts
from service.storage.queries.moves import move


class KnownTrial(NamedTuple):
    """A trial that is in the database already."""

    id: int
    key: str
    state: TrialState


class StoredSweep(NamedTuple):
    """A sweep that was submitted before; ``storing_until`` while it is not stored completely."""

    id: int
    document: dict[str, Any]
    trials: int
    new_trials: int
    storing_until: datetime | None


class NewBoard(NamedTuple):
    """A board that nobody wanted before: ``task`` is the canonical text of its task."""

    task_key: str
    task: str
    task_id: str
    words: str


class NewCell(NamedTuple):
    """A cell that nobody wanted before: ``spec`` is its canonical text, ``version`` its estimator's."""

    task_key: str
    estimator: str
    version: int
    spec: str
    trials: int


class NewTrial(NamedTuple):
    """A trial that nobody wanted before."""

    cell_key: str
    seed: int
    signature: str
    steps: int


def begin_sweep(
    connection: Connection,
    *,
    name: str,
    owner: str | None,
    priority: int,
    document: dict[str, Any],
    description: str,
    tags: Sequence[str],
    idempotency_key: str | None,
    now: datetime,
    storing_until: datetime,
) -> int:
    """Store a sweep without its trials; returns its id."""
    values = {
        "name": name,
        "owner": owner,
        "priority": priority,
        "document": document,
        "description": description,
        "new_trials": 0,
        "idempotency_key": idempotency_key,
        "created_at": now,
        "storing_until": storing_until,
    }
    id = connection.execute(sa.insert(Sweep).values(values).returning(Sweep.id)).scalar_one()
    _insert_tags(connection, id, tags)
    return id


def set_tags(connection: Connection, sweep_id: int, tags: Sequence[str]) -> None:
    """Replace the tags of a sweep."""
    connection.execute(sa.delete(SweepTag).where(SweepTag.sweep_id == sweep_id))
    _insert_tags(connection, sweep_id, tags)


def _insert_tags(connection: Connection, sweep_id: int, tags: Sequence[str]) -> None:
    rows = [{"sweep_id": sweep_id, "place": place, "tag": tag} for place, tag in enumerate(tags)]
    if rows:
        connection.execute(sa.insert(SweepTag), rows)


def is_held(connection: Connection, sweep_id: int, until: datetime) -> bool:
    """Whether the sweep is being stored by whoever holds it until then, and by nobody else."""
    held = sa.select(Sweep.id).where(Sweep.id == sweep_id, Sweep.storing_until == until)
    return connection.execute(held).one_or_none() is not None


def hold(connection: Connection, sweep_id: int, until: datetime) -> None:
    """Store or forget more of the sweep by then."""
    connection.execute(sa.update(Sweep).where(Sweep.id == sweep_id).values(storing_until=until))


def sweep_with_key(connection: Connection, idempotency_key: str) -> StoredSweep | None:
    """The sweep that was submitted with this key."""
    columns = (Sweep.id, Sweep.document, Sweep.trials, Sweep.new_trials, Sweep.storing_until)
    row = connection.execute(
        sa.select(*columns).where(Sweep.idempotency_key == idempotency_key)
    ).one_or_none()
    return None if row is None else StoredSweep(*row)


def board_ids(connection: Connection, task_keys: Sequence[str]) -> dict[str, int]:
    """Ids of the boards that exist."""
    rows = connection.execute(
        sa.select(Board.task_key, Board.id).where(among(connection, Board.task_key, task_keys))
    )
    return {key: id for key, id in rows}


def number_boards(connection: Connection, keys: Collection[str]) -> dict[str, int]:
    """Ids of new boards by key; this transaction inserts them."""
    return _numbered(connection, Board, keys)


def number_cells(connection: Connection, keys: Collection[str]) -> dict[str, int]:
    """Ids of new cells by key; this transaction inserts them."""
    return _numbered(connection, Cell, keys)


def number_trials(connection: Connection, keys: Collection[str]) -> dict[str, int]:
    """Ids of new trials by key; this transaction inserts them."""
    return _numbered(connection, Trial, keys)


def _numbered(connection: Connection, table: type[Base], keys: Collection[str]) -> dict[str, int]:
    return dict(zip(keys, bulk.take_ids(connection, table, len(keys)), strict=True))


def insert_boards(
    connection: Connection, ids: Mapping[str, int], boards: Mapping[str, NewBoard], *, now: datetime
) -> None:
    """Add those of the boards that have ids."""
    at = bulk.moment(connection, now)
    rows = [(id, *boards[key], at) for key, id in ids.items()]
    bulk.insert(connection, Board, ("id", *NewBoard._fields, "changed_at"), rows)


def cell_ids(connection: Connection, cell_keys: Sequence[str]) -> dict[str, int]:
    """Ids of the cells that exist."""
    if not cell_keys:
        return {}
    rows = connection.execute(
        sa.select(Cell.cell_key, Cell.id).where(among(connection, Cell.cell_key, cell_keys))
    )
    return {key: id for key, id in rows}


def insert_cells(
    connection: Connection, ids: Mapping[str, int], cells: Mapping[str, NewCell], boards: Mapping[str, int]
) -> None:
    """Add those of the cells that have ids; ``boards`` are the ids of theirs."""
    rows = [(id, key, boards[cells[key].task_key], *cells[key][1:], 0, 0, 0) for key, id in ids.items()]
    columns = ("id", "cell_key", "board_id", *NewCell._fields[1:], "succeeded", "failed", "cancelled")
    bulk.insert(connection, Cell, columns, rows)


def known_trials(connection: Connection, keys: Sequence[str]) -> dict[str, KnownTrial]:
    """The trials that exist, by key."""
    if not keys:
        return {}
    rows = connection.execute(
        sa.select(Trial.id, Trial.key, Trial.state).where(among(connection, Trial.key, keys))
    )
    return {key: KnownTrial(id, key, state) for id, key, state in rows}


def pending_of_owner(connection: Connection, owner: str | None) -> int:
    """How many trials without an outcome somebody's sweeps want that are not cancelled."""
    theirs = (
        sa.select(SweepTrial.trial_id)
        .join(Sweep, Sweep.id == SweepTrial.sweep_id)
        .where(Sweep.owner.is_not_distinct_from(owner), Sweep.held != Hold.CANCELLED)
    )
    return connection.execute(
        sa.select(sa.func.count()).where(Trial.id.in_(theirs), Trial.state.in_(PENDING))
    ).scalar_one()


def lock_pending(connection: Connection, trials: Iterable[KnownTrial]) -> None:
    """Let no attempt end these trials before the end of the transaction.

    Afterwards it finds the sweep among those that want them. Attempts lock their cohort first, so cohorts
    come first here; a trial that came into one only after they were locked would be waited for the other way
    round, so nobody plans meanwhile. SQLite has one writer.
    """
    ids = [trial.id for trial in trials if trial.state in PENDING]
    if not ids or is_sqlite(connection):
        return
    serialise(connection, "plan")
    mine = among(connection, Trial.id, ids)
    cohorts = sa.select(Trial.cohort_id).where(mine, Trial.cohort_id.is_not(None))
    connection.execute(
        sa.select(Cohort.id).where(Cohort.id.in_(cohorts)).order_by(Cohort.id).with_for_update(read=True)
    )
    connection.execute(sa.select(Trial.id).where(mine).order_by(Trial.id).with_for_update(read=True))


def insert_trials(
    connection: Connection,
    ids: Mapping[str, int],
    trials: Mapping[str, NewTrial],
    cells: Mapping[str, int],
    *,
    priority: int,
    sweep_id: int,
) -> None:
    """Add those of the trials that have ids to the queue; ``cells`` are the ids of theirs."""
    same = (TrialState.QUEUED.value, priority, sweep_id, True, 0, 0)
    rows = [(id, key, cells[trials[key].cell_key], *trials[key][1:], *same) for key, id in ids.items()]
    columns = ("id", "key", "cell_id", *NewTrial._fields[1:])
    given = ("state", "priority", "sweep_order", "wanted", "losses", "steps_done")
    bulk.insert(connection, Trial, (*columns, *given), rows)


def want(
    connection: Connection, sweep_id: int, trial_ids: Sequence[int], cells: Iterable[tuple[int, int]]
) -> None:
    """Note that the sweep wants these trials, of these cells (board id, cell id)."""
    rows = [(sweep_id, id) for id in sorted(trial_ids)]
    bulk.insert(connection, SweepTrial, ("sweep_id", "trial_id"), rows)
    places = [(sweep_id, *place) for place in sorted(cells)]
    bulk.insert(connection, SweepCell, ("sweep_id", "board_id", "cell_id"), places)


def publish(connection: Connection, sweep_id: int, **counts: int) -> None:
    """The sweep is stored: from now on it is seen, and its trials are planned. ``counts`` are columns of its
    row."""
    values = {"storing_until": None, **counts}
    connection.execute(sa.update(Sweep).where(Sweep.id == sweep_id).values(values))


def is_shared(connection: Connection, sweep_id: int) -> bool:
    """Whether another sweep wants a trial of this one."""
    return bool(connection.execute(_shared(), {"sweep": sweep_id}).scalar_one())


@functools.cache
def _shared() -> sa.Select[bool]:
    """Made once: with aliases that takes as long as a small sweep's rows."""
    mine, other = aliased(SweepTrial), aliased(SweepTrial)
    shared = sa.select(mine.trial_id).join(
        other, sa.and_(other.trial_id == mine.trial_id, other.sweep_id != mine.sweep_id)
    )
    return sa.select(shared.where(mine.sweep_id == sa.bindparam("sweep")).exists())


def waits_otherwise(connection: Connection, sweep_id: int, priority: int) -> bool:
    """Whether a trial of the sweep that has no outcome is not wanted yet, or not as urgently."""
    mine = sa.select(Trial.id).join(SweepTrial, SweepTrial.trial_id == Trial.id)
    otherwise = sa.or_(sa.not_(Trial.wanted), Trial.priority < priority)
    found = mine.where(SweepTrial.sweep_id == sweep_id, Trial.state.in_(PENDING), otherwise)
    return bool(connection.execute(sa.select(found.exists())).scalar_one())


def take_over(connection: Connection, sweep_id: int) -> None:
    """Trials of the sweep in the queue no longer wait for other sweeps that are still being stored."""
    storing = sa.select(Sweep.id).where(Sweep.storing_until.is_not(None), Sweep.id != sweep_id)
    waiting = sa.and_(Trial.state == TrialState.QUEUED, Trial.sweep_order.in_(storing))
    connection.execute(
        sa.update(Trial).where(Trial.id.in_(_of(sweep_id)), waiting).values(sweep_order=sweep_id)
    )


def requeue(connection: Connection, old: TrialState, sweep_id: int, *, priority: int) -> int:
    """Trials of the sweep that had ended in ``old`` return to the queue; returns how many.

    Cells and all other sweeps count it; recount this one.
    """
    mine = Trial.id.in_(_of(sweep_id))
    ended = totals.about_to_be_requeued(connection, sa.and_(mine, Trial.state == old))
    if not ended:
        return 0
    fresh: dict[str, object] = {"cohort_id": None, "attempt_id": None, "error": None, "traceback": None}
    fresh |= {"seconds": None, "ended_at": None, "diverged_at": None, "steps_done": 0}
    fresh |= {"wanted": True, "losses": 0, "lanes_at_most": None}
    remember_cohorts(connection, sa.and_(mine, Trial.state == old))
    statement = move(old, Event.RETRY).where(mine)
    statement = statement.values(priority=priority, sweep_order=sweep_id, **fresh)
    moved = connection.execute(statement.returning(Trial.cell_id)).scalars().all()
    cells.count_ends(connection, [(cell, old) for cell in moved], sign=-1)
    totals.note_requeued(connection, ended, by=sweep_id)
    return len(moved)


def silent(connection: Connection, now: datetime) -> list[tuple[int, datetime]]:
    """Sweeps whose storing nobody has gone on with for too long, and until when they were held."""
    found = sa.select(Sweep.id, Sweep.storing_until).where(Sweep.storing_until < now)
    return [(id, until) for id, until in connection.execute(found) if until is not None]


def forget_trials(connection: Connection, sweep_id: int, *, limit: int) -> int:
    """Take some trials from a sweep that was given up, and away where nobody else wants them; how many."""
    ids = list(
        connection.scalars(sa.select(SweepTrial.trial_id).where(SweepTrial.sweep_id == sweep_id).limit(limit))
    )
    connection.execute(
        sa.delete(SweepTrial).where(
            SweepTrial.sweep_id == sweep_id, among(connection, SweepTrial.trial_id, ids)
        )
    )
    others = sa.select(SweepTrial.sweep_id).where(SweepTrial.trial_id == Trial.id)
    first = others.with_only_columns(sa.func.min(SweepTrial.sweep_id)).scalar_subquery()
    mine = sa.and_(among(connection, Trial.id, ids), Trial.sweep_order == sweep_id)
    connection.execute(sa.update(Trial).where(mine, others.exists()).values(sweep_order=first))
    gone = sa.delete(Trial).where(mine).returning(Trial.cell_id)
    fewer = Counter(connection.execute(gone).scalars())
    cells.add_trials(connection, {cell: -count for cell, count in fewer.items()})
    return len(ids)


def forget_sweep(connection: Connection, sweep_id: int) -> None:
    """Take away a sweep that has no trials left, with cells and boards that nobody wants."""
    mine = sa.select(SweepCell.cell_id).where(SweepCell.sweep_id == sweep_id)
    empty = sa.select(Cell.id, Cell.board_id).where(Cell.id.in_(mine), Cell.trials == 0)
    rows = connection.execute(empty).all()
    for table in (SweepCell, SweepTag):
        connection.execute(sa.delete(table).where(table.sweep_id == sweep_id))
    connection.execute(sa.delete(Cell).where(among(connection, Cell.id, [row.id for row in rows])))
    boards = among(connection, Board.id, {row.board_id for row in rows})
    used = sa.select(Cell.id).where(Cell.board_id == Board.id)
    connection.execute(sa.delete(Board).where(boards, ~used.exists()))
    connection.execute(sa.delete(Sweep).where(Sweep.id == sweep_id))


def _of(sweep_id: int) -> sa.Select[int]:
    return sa.select(SweepTrial.trial_id).where(SweepTrial.sweep_id == sweep_id)
