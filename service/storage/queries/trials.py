"""Reading single trials and lists of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from benchmarks.spec import CellSpec, TrialSpec
from service.states import TrialState
from service.storage.models import Attempt, Board, Cell, Sweep, SweepTrial, Trial, TrialMetric
from service.storage.queries.bulk import among
from service.storage.queries.moves import chunks


class PlaceRow(NamedTuple):
    """Where a trial belongs, and how far it was when it ended."""

    cell_id: int
    cell_key: str
    board: str
    steps: int
    steps_done: int
    ended_at: datetime | None


class TrialRow(NamedTuple):
    """A trial with its cell's specification."""

    id: int
    key: str
    seed: int
    cell: CellSpec
    state: TrialState
    cohort_id: int | None
    attempt_id: int | None
    error: str | None
    traceback: str | None
    seconds: float | None
    diverged_at: int | None

    @property
    def spec(self) -> TrialSpec:
        """The specification of the trial."""
        return self.cell.seeded(self.seed)


def trial_by_key(connection: Connection, key: str) -> TrialRow | None:
    """The trial with this key."""
    row = connection.execute(_trials().where(Trial.key == key)).one_or_none()
    return None if row is None else TrialRow(*row)


def place(connection: Connection, trial_id: int) -> PlaceRow:
    """The cell of a trial and its board."""
    columns = (Cell.id, Cell.cell_key, Board.task_key, Trial.steps, Trial.steps_done, Trial.ended_at)
    query = sa.select(*columns).join(Cell, Cell.id == Trial.cell_id).join(Board, Board.id == Cell.board_id)
    return PlaceRow(*connection.execute(query.where(Trial.id == trial_id)).one())


def seeds_of_cell(connection: Connection, cell_id: int, *, limit: int) -> list[tuple[str, int, TrialState]]:
    """Key, seed and state of the trials of a cell, by seed."""
    query = sa.select(Trial.key, Trial.seed, Trial.state).where(Trial.cell_id == cell_id)
    rows = connection.execute(query.order_by(Trial.seed).limit(limit))
    return [(key, seed, state) for key, seed, state in rows]


def sweeps_wanting(connection: Connection, trial_id: int, *, limit: int) -> list[tuple[int, str]]:
    """Id and name of the sweeps that want a trial, those in the bin left out, the first ones first."""
    there = (Sweep.storing_until.is_(None), Sweep.deleted_at.is_(None))
    query = sa.select(Sweep.id, Sweep.name).join(SweepTrial, SweepTrial.sweep_id == Sweep.id)
    rows = connection.execute(
        query.where(SweepTrial.trial_id == trial_id, *there).order_by(Sweep.id).limit(limit)
    )
    return [(id, name) for id, name in rows]


def trials_by_id(connection: Connection, ids: Sequence[int]) -> dict[int, TrialRow]:
    """Id -> trial."""
    rows = connection.execute(_trials().where(among(connection, Trial.id, ids)))
    return {row.id: row for row in (TrialRow(*row) for row in rows)}


def sweep_trials(
    connection: Connection,
    sweep_id: int,
    *,
    limit: int,
    after: int | None = None,
    state: TrialState | None = None,
) -> list[TrialRow]:
    """Trials that the sweep wants, by rising id.

    Which they are is found first, one after the other until there are enough: as one join PostgreSQL would
    read all trials with lower ids.
    """
    wanted = sa.select(SweepTrial.trial_id).where(SweepTrial.sweep_id == sweep_id)
    if after is not None:
        wanted = wanted.where(SweepTrial.trial_id > after)
    if state is not None:
        of_each = sa.select(Trial.state).where(Trial.id == SweepTrial.trial_id).scalar_subquery()
        wanted = wanted.where(of_each == state)
    some = wanted.order_by(SweepTrial.trial_id).limit(limit).subquery()
    query = _trials().join(some, some.c.trial_id == Trial.id).order_by(Trial.id)
    return [TrialRow(*row) for row in connection.execute(query)]


def final_metrics(connection: Connection, trial_ids: Sequence[int]) -> dict[int, dict[str, float]]:
    """Trial id -> metric -> final value."""
    found: dict[int, dict[str, float]] = {}
    columns = (TrialMetric.trial_id, TrialMetric.metric, TrialMetric.value)
    for some in chunks(trial_ids):
        for id, metric, value in connection.execute(
            sa.select(*columns).where(TrialMetric.trial_id.in_(some))
        ):
            found.setdefault(id, {})[metric] = value
    return found


def provenances(connection: Connection, attempt_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Attempt id -> what it was computed with; attempts that have not said so are left out."""
    found: dict[int, dict[str, Any]] = {}
    for some in chunks(attempt_ids):
        rows = connection.execute(sa.select(Attempt.id, Attempt.provenance).where(Attempt.id.in_(some)))
        found |= {id: provenance for id, provenance in rows if provenance is not None}
    return found


def _trials() -> sa.Select[
    int,
    str,
    int,
    CellSpec,
    TrialState,
    int | None,
    int | None,
    str | None,
    str | None,
    float | None,
    int | None,
]:
    return sa.select(
        Trial.id,
        Trial.key,
        Trial.seed,
        Cell.spec,
        Trial.state,
        Trial.cohort_id,
        Trial.attempt_id,
        Trial.error,
        Trial.traceback,
        Trial.seconds,
        Trial.diverged_at,
    ).join(Cell)
