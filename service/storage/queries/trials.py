"""Reading single trials and lists of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from benchmarks.spec import CellSpec, TrialSpec
from service.states import TrialState
from service.storage.models import Attempt, Cell, SweepTrial, Trial, TrialMetric
from service.storage.queries.moves import chunks


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


def sweep_trials(
    connection: Connection,
    sweep_id: int,
    *,
    limit: int,
    after: int | None = None,
    state: TrialState | None = None,
) -> list[TrialRow]:
    """Trials that the sweep wants, by rising id."""
    query = (
        _trials()
        .join(SweepTrial, SweepTrial.trial_id == Trial.id)
        .where(SweepTrial.sweep_id == sweep_id)
        .order_by(SweepTrial.trial_id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(SweepTrial.trial_id > after)
    if state is not None:
        query = query.where(Trial.state == state)
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
