"""Taking deleted sweeps out of the bin for good, with the trials that no other sweep wants.

Callers hold ``serialise(connection, "submit")``: nobody comes to want a trial meanwhile. Attempts and cohorts
stay, as the record of what was computed where.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.orm import aliased

from benchmarks.scoring.seeds import Moments
from service.states import PENDING, TrialState
from service.storage.models import (
    Board,
    Cell,
    CellSummary,
    Checkpoint,
    CurveSegment,
    Event,
    FormerCohort,
    Sweep,
    SweepCell,
    SweepFallback,
    SweepTag,
    SweepTrial,
    Trial,
    TrialMetric,
)


def deleted_before(connection: Connection, moment: datetime) -> list[int]:
    """Sweeps that were put into the bin before this moment."""
    return list(connection.scalars(sa.select(Sweep.id).where(Sweep.deleted_at < moment).order_by(Sweep.id)))


def orphans(connection: Connection, sweep_id: int, *, limit: int) -> list[int]:
    """The first trials that this sweep alone wants, and that nobody computes.

    They are looked at one by one until there are enough: by joins PostgreSQL would read all trials with lower
    ids and what all other sweeps want.
    """
    other = aliased(SweepTrial)
    others = sa.select(sa.func.count()).where(
        other.trial_id == SweepTrial.trial_id, other.sweep_id != sweep_id
    )
    state = sa.select(Trial.state).where(Trial.id == SweepTrial.trial_id)
    alone = others.scalar_subquery() == 0
    return list(
        connection.scalars(
            sa.select(SweepTrial.trial_id)
            .where(SweepTrial.sweep_id == sweep_id, alone, state.scalar_subquery().not_in(PENDING))
            .order_by(SweepTrial.trial_id)
            .limit(limit)
        )
    )


def delete_trials(connection: Connection, trial_ids: Sequence[int]) -> set[int]:
    """Remove trials with everything that is known of them; returns their cells, which no longer add up."""
    for table in (TrialMetric, CurveSegment, Checkpoint, FormerCohort, SweepTrial):
        connection.execute(sa.delete(table).where(table.trial_id.in_(trial_ids)))
    gone = sa.delete(Trial).where(Trial.id.in_(trial_ids)).returning(Trial.cell_id)
    return set(connection.execute(gone).scalars())


def count_again(connection: Connection, cell_ids: Iterable[int]) -> None:
    """Set what is kept per cell from the trials that it has; a cell without any goes, and so does its board.

    Cells are locked before their trials are read: who ends a trial meanwhile adds to what is set here.
    """
    for cell_id in sorted(cell_ids):
        board_id = connection.execute(
            sa.select(Cell.board_id).where(Cell.id == cell_id).with_for_update()
        ).scalar_one()
        _summarise(connection, cell_id)
        states = sa.select(Trial.state, sa.func.count()).where(Trial.cell_id == cell_id)
        counts = {state: number for state, number in connection.execute(states.group_by(Trial.state))}
        if counts:
            kept = (TrialState.SUCCEEDED, TrialState.FAILED, TrialState.CANCELLED)
            values = {state.value: counts.get(state, 0) for state in kept} | {"trials": sum(counts.values())}
            connection.execute(sa.update(Cell).where(Cell.id == cell_id).values(values))
            continue
        connection.execute(sa.delete(Cell).where(Cell.id == cell_id))
        empty = sa.not_(sa.select(Cell.id).where(Cell.board_id == Board.id).exists())
        connection.execute(sa.delete(Board).where(Board.id == board_id, empty))


def delete_sweep(connection: Connection, sweep_id: int) -> bool:
    """Remove a sweep whose own trials are gone; false while one of them is still computed."""
    if orphans_running(connection, sweep_id):
        return False
    for table in (SweepTrial, SweepCell, SweepFallback, SweepTag):
        connection.execute(sa.delete(table).where(table.sweep_id == sweep_id))
    connection.execute(sa.update(Event).where(Event.sweep_id == sweep_id).values(sweep_id=None))
    connection.execute(sa.delete(Sweep).where(Sweep.id == sweep_id))
    return True


def orphans_running(connection: Connection, sweep_id: int) -> bool:
    """Whether the sweep has a trial that nobody wants any more and that has not stopped."""
    running = sa.select(Trial.id).join(SweepTrial, SweepTrial.trial_id == Trial.id)
    running = running.where(SweepTrial.sweep_id == sweep_id, Trial.state.in_(PENDING), sa.not_(Trial.wanted))
    return bool(connection.execute(sa.select(running.exists())).scalar_one())


def _summarise(connection: Connection, cell_id: int) -> None:
    """Replace the summaries of a cell."""
    connection.execute(sa.delete(CellSummary).where(CellSummary.cell_id == cell_id))
    values = sa.select(TrialMetric.metric, TrialMetric.value).join(Trial, Trial.id == TrialMetric.trial_id)
    found: dict[str, Moments] = {}
    for metric, value in connection.execute(values.where(Trial.cell_id == cell_id).order_by(Trial.seed)):
        found[metric] = found.get(metric, Moments()).add(value)
    rows = [
        {"cell_id": cell_id, "metric": metric, "count": m.count, "mean": m.mean, "m2": m.m2}
        for metric, m in found.items()
    ]
    if rows:
        connection.execute(sa.insert(CellSummary), rows)
