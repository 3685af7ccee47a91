"""Reading single trials and lists of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from benchmarks.spec import CellSpec, TrialSpec
from service.states import AttemptState, TrialState
from service.storage.models import Attempt, Cell, FormerCohort, SweepTrial, Trial, TrialMetric
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


class AttemptRow(NamedTuple):
    """One execution of a cohort."""

    id: int
    number: int
    state: AttemptState
    error: str | None
    claimed_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    provenance: dict[str, Any] | None
    resumed: dict[str, int] | None


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


def attempts_at(connection: Connection, trial: TrialRow) -> list[AttemptRow]:
    """All attempts of the cohorts that the trial stands or stood in, oldest first."""
    former = sa.select(FormerCohort.cohort_id).where(FormerCohort.trial_id == trial.id)
    rows = connection.execute(
        sa.select(
            Attempt.id,
            Attempt.number,
            Attempt.state,
            Attempt.error,
            Attempt.claimed_at,
            Attempt.started_at,
            Attempt.ended_at,
            Attempt.provenance,
            Attempt.resumed,
        )
        .where(sa.or_(Attempt.cohort_id == trial.cohort_id, Attempt.cohort_id.in_(former)))
        .order_by(Attempt.id)
    )
    return [AttemptRow(*row) for row in rows]


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
