"""Storing a sweep.

Callers hold ``serialise(connection, "submit")``; nothing else adds boards, cells or trials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from service.states import PENDING, Event, Hold, TrialState
from service.storage.models import Board, Cell, Sweep, SweepTrial, Trial
from service.storage.queries.control import remember_cohorts
from service.storage.queries.moves import chunks, move


class KnownTrial(NamedTuple):
    """A trial that is in the database already."""

    id: int
    key: str
    state: TrialState


class StoredSweep(NamedTuple):
    """A sweep that was submitted before."""

    id: int
    document: dict[str, Any]
    trials: int
    new_trials: int


def insert_sweep(
    connection: Connection,
    *,
    name: str,
    owner: str | None,
    priority: int,
    document: dict[str, Any],
    idempotency_key: str | None,
    now: datetime,
) -> int:
    """Store a sweep without its trials; returns its id."""
    values = {
        "name": name,
        "owner": owner,
        "priority": priority,
        "document": document,
        "new_trials": 0,
        "idempotency_key": idempotency_key,
        "created_at": now,
    }
    return connection.execute(sa.insert(Sweep).values(values).returning(Sweep.id)).scalar_one()


def sweep_with_key(connection: Connection, idempotency_key: str) -> StoredSweep | None:
    """The sweep that was submitted with this key."""
    wanted = sa.select(sa.func.count()).where(SweepTrial.sweep_id == Sweep.id).scalar_subquery()
    row = connection.execute(
        sa.select(Sweep.id, Sweep.document, wanted, Sweep.new_trials).where(
            Sweep.idempotency_key == idempotency_key
        )
    ).one_or_none()
    return None if row is None else StoredSweep(*row)


def note_new_trials(connection: Connection, sweep_id: int, number: int) -> None:
    """How many trials the sweep was the first to want."""
    connection.execute(sa.update(Sweep).where(Sweep.id == sweep_id).values(new_trials=number))


def board_ids(connection: Connection, task_keys: Sequence[str]) -> dict[str, int]:
    """Ids of the boards that exist."""
    found: dict[str, int] = {}
    for some in chunks(task_keys):
        rows = connection.execute(sa.select(Board.task_key, Board.id).where(Board.task_key.in_(some)))
        found.update({key: id for key, id in rows})
    return found


def insert_boards(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add boards: ``task_key, task``."""
    connection.execute(sa.insert(Board), rows)


def cell_ids(connection: Connection, cell_keys: Sequence[str]) -> dict[str, int]:
    """Ids of the cells that exist."""
    found: dict[str, int] = {}
    for some in chunks(cell_keys):
        rows = connection.execute(sa.select(Cell.cell_key, Cell.id).where(Cell.cell_key.in_(some)))
        found.update({key: id for key, id in rows})
    return found


def insert_cells(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add cells: ``cell_key, board_id, estimator, spec``."""
    connection.execute(sa.insert(Cell), rows)


def known_trials(connection: Connection, keys: Sequence[str]) -> dict[str, KnownTrial]:
    """The trials that exist, by key."""
    found: dict[str, KnownTrial] = {}
    for some in chunks(keys):
        rows = connection.execute(sa.select(Trial.id, Trial.key, Trial.state).where(Trial.key.in_(some)))
        found.update({key: KnownTrial(id, key, state) for id, key, state in rows})
    return found


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


def insert_trials(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add trials, all queued: ``key, cell_id, seed, signature, steps, priority, sweep_order``."""
    connection.execute(sa.insert(Trial).values(state=TrialState.QUEUED), rows)


def want(connection: Connection, sweep_id: int, trial_ids: Sequence[int]) -> None:
    """Note that the sweep wants these trials."""
    connection.execute(sa.insert(SweepTrial), [{"sweep_id": sweep_id, "trial_id": id} for id in trial_ids])


def requeue(
    connection: Connection, old: TrialState, trial_ids: Sequence[int], *, priority: int, sweep_order: int
) -> list[int]:
    """Ended trials that somebody wants again return to the queue; returns the cells, one per moved trial."""
    cells: list[int] = []
    fresh: dict[str, object] = {"cohort_id": None, "attempt_id": None, "error": None, "traceback": None}
    fresh |= {"seconds": None, "ended_at": None, "wanted": True, "losses": 0, "lanes_at_most": None}
    fresh |= {"diverged_at": None}
    for some in chunks(trial_ids):
        remember_cohorts(connection, Trial.id.in_(some))
        statement = move(old, Event.RETRY).where(Trial.id.in_(some))
        statement = statement.values(priority=priority, sweep_order=sweep_order, **fresh)
        cells.extend(connection.execute(statement.returning(Trial.cell_id)).scalars())
    return cells
