"""Reading boards from cells and their summaries; trials only of the cells that are shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.orm import aliased

from benchmarks.spec import CellSpec, Component
from service.states import AttemptState, CohortState, TrialState
from service.storage.models import (
    Attempt,
    Board,
    Cell,
    CellSummary,
    Cohort,
    CurveSegment,
    Event,
    Sweep,
    SweepCell,
    Trial,
    TrialMetric,
)
from service.storage.queries.bulk import among
from service.storage.queries.moves import chunks

LONGEST_ERROR = 300
"""Characters of an error that a board shows."""


class BoardRow(NamedTuple):
    """A board with its numbers of trials and cells; ``last_cell`` is the largest id of a cell, 0 for none."""

    id: int
    task_key: str
    task: Component
    trials: int
    succeeded: int
    failed: int
    cancelled: int
    cells: int
    last_cell: int


class CellRow(NamedTuple):
    """A cell, and the selecting metric over its seeds (``None`` before the first result).

    ``m2`` is the sum of squared deviations from the mean.
    """

    id: int
    cell_key: str
    estimator: str
    version: int
    trials: int
    succeeded: int
    failed: int
    cancelled: int
    n: int | None
    mean: float | None
    m2: float | None


class SummaryRow(NamedTuple):
    """Moments of one metric of one cell."""

    cell_id: int
    metric: str
    n: int
    mean: float
    m2: float


class SeedRow(NamedTuple):
    """What became of one seed of a cell; ``error`` is how its error begins."""

    cell_id: int
    seed: int
    key: str
    state: TrialState
    seconds: float | None
    attempt_id: int | None
    diverged_at: int | None
    error: str | None


class AskingRow(NamedTuple):
    """A sweep that asked for cells of a board."""

    id: int
    name: str
    owner: str | None


class ValueRow(NamedTuple):
    """Final value of one metric of one seed."""

    cell_id: int
    seed: int
    metric: str
    value: float


def boards_by_id(connection: Connection, ids: Sequence[int]) -> list[BoardRow]:
    """The boards with these ids, by rising id."""
    found: list[BoardRow] = []
    for some in chunks(sorted(ids)):
        rows = connection.execute(_boards().where(Board.id.in_(some)).order_by(Board.id))
        found += [BoardRow(*row) for row in rows]
    return found


def tasks_by_id(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[str, Component]]:
    """Board id -> its key and its task, without counting its trials."""
    found: dict[int, tuple[str, Component]] = {}
    for some in chunks(ids):
        rows = connection.execute(sa.select(Board.id, Board.task_key, Board.task).where(Board.id.in_(some)))
        found |= {id: (key, task) for id, key, task in rows}
    return found


def board_by_key(connection: Connection, task_key: str) -> BoardRow | None:
    """The board of this task configuration."""
    row = connection.execute(_boards().where(Board.task_key == task_key)).one_or_none()
    return None if row is None else BoardRow(*row)


def running_trials(connection: Connection, board_id: int) -> int:
    """How many of the board's trials are being computed."""
    running = list(connection.scalars(sa.select(Cohort.id).where(Cohort.state == CohortState.RUNNING)))
    if not running:
        return 0
    return connection.execute(
        sa.select(sa.func.count())
        .select_from(Trial)
        .join(Cell, Cell.id == Trial.cell_id)
        .where(
            among(connection, Trial.cohort_id, running),
            Trial.state == TrialState.RUNNING,
            Cell.board_id == board_id,
        )
    ).scalar_one()


def board_task(connection: Connection, task_key: str) -> tuple[int, Component] | None:
    """Id and task of a board, without counting its trials."""
    row = connection.execute(sa.select(Board.id, Board.task).where(Board.task_key == task_key)).one_or_none()
    return None if row is None else (row[0], row[1])


def last_event(connection: Connection) -> int:
    """Number of the last thing that happened to anything: sweeps submitted, controlled and removed."""
    return connection.execute(sa.select(sa.func.coalesce(sa.func.max(Event.id), 0))).scalar_one()


def news(connection: Connection) -> tuple[int, ...]:
    """What is different after every change of any board, told by a few looks into indexes.

    Trials end in reports of attempts, which count them, and with attempts that are lost; all else that
    changes boards is a sweep that comes or goes, or an event. What is stored or removed in pieces tells with
    its last one.
    """
    open_states = (AttemptState.CLAIMED, AttemptState.RUNNING)
    reports = sa.cast(sa.func.coalesce(sa.func.sum(Attempt.last_seq), 0), sa.BigInteger)
    begun = sa.func.coalesce(sa.func.max(Attempt.id), 0)
    still = sa.select(sa.func.count(), reports).where(Attempt.state.in_(open_states))
    sweeps = sa.select(sa.func.count()).select_from(Sweep)
    return (
        last_event(connection),
        connection.execute(sa.select(begun)).scalar_one(),
        *connection.execute(still).one(),
        connection.execute(sweeps).scalar_one(),
    )


def cell_rows(connection: Connection, board_id: int, *, metric: str) -> list[CellRow]:
    """All cells of a board with the summary of one metric."""
    mine = _cells(metric).where(Cell.board_id == board_id).order_by(Cell.id)
    return [CellRow(*row) for row in connection.execute(mine).all()]


def cell_page(
    connection: Connection,
    board_id: int,
    *,
    metric: str,
    limit: int,
    after: int | None,
    estimator: str | None,
) -> list[CellRow]:
    """Some cells of a board, all or those of one estimator, estimator by estimator as they were submitted,
    from the one after ``after`` on."""
    query = _cells(metric).where(Cell.board_id == board_id).order_by(Cell.estimator, Cell.id).limit(limit)
    if after is not None:
        other = aliased(Cell)
        place = sa.select(other.estimator).where(other.id == after).scalar_subquery()
        query = query.where(sa.tuple_(Cell.estimator, Cell.id) > sa.tuple_(place, sa.literal(after)))
    if estimator is not None:
        query = query.where(Cell.estimator == estimator)
    return [CellRow(*row) for row in connection.execute(query)]


def cell_count(connection: Connection, board_id: int, *, estimator: str | None) -> int:
    """How many cells of a board there are, of all estimators or of one."""
    query = sa.select(sa.func.count()).where(Cell.board_id == board_id)
    if estimator is not None:
        query = query.where(Cell.estimator == estimator)
    return connection.execute(query).scalar_one()


def summary_rows(connection: Connection, cell_ids: Sequence[int], metrics: Sequence[str]) -> list[SummaryRow]:
    """Moments of some metrics of some cells."""
    moments = (CellSummary.count, CellSummary.mean, CellSummary.m2)
    columns = (CellSummary.cell_id, CellSummary.metric, *moments)
    mine = (among(connection, CellSummary.cell_id, cell_ids), CellSummary.metric.in_(metrics))
    return [SummaryRow(*row) for row in connection.execute(sa.select(*columns).where(*mine))]


def means(connection: Connection, board_id: int, *, metric: str) -> dict[int, float]:
    """Cell id -> mean of one metric, of the cells of a board that have it."""
    rows = connection.execute(
        sa.select(CellSummary.cell_id, CellSummary.mean)
        .join(Cell, Cell.id == CellSummary.cell_id)
        .where(Cell.board_id == board_id, CellSummary.metric == metric)
    )
    return {id: mean for id, mean in rows.all()}


def spec_documents(connection: Connection, cell_ids: Sequence[int]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Key and specification, as stored, of some cells: cheaper than :func:`cell_specs` for many."""
    stored: sa.ColumnElement[dict[str, Any]] = sa.type_coerce(Cell.spec, sa.JSON())
    for some in chunks(cell_ids):
        rows = connection.execute(sa.select(Cell.cell_key, stored).where(among(connection, Cell.id, some)))
        yield from ((key, document) for key, document in rows)


def seed_rows(connection: Connection, cell_ids: Sequence[int]) -> list[SeedRow]:
    """Every seed of some cells, by cell and seed."""
    rows = connection.execute(
        sa.select(
            Trial.cell_id,
            Trial.seed,
            Trial.key,
            Trial.state,
            Trial.seconds,
            Trial.attempt_id,
            Trial.diverged_at,
            sa.func.substr(Trial.error, 1, LONGEST_ERROR),
        )
        .where(among(connection, Trial.cell_id, cell_ids))
        .order_by(Trial.cell_id, Trial.seed)
    )
    return [SeedRow(*row) for row in rows]


def diverged(connection: Connection, board_id: int, estimators: Sequence[str]) -> dict[tuple[str, int], int]:
    """(estimator, version) -> failed trials on a board whose numbers were no longer finite."""
    rows = connection.execute(
        sa.select(Cell.estimator, Cell.version, sa.func.count())
        .join(Trial, Trial.cell_id == Cell.id)
        .where(
            Cell.board_id == board_id,
            Cell.estimator.in_(estimators),
            Cell.failed > 0,
            Trial.state == TrialState.FAILED,
            Trial.diverged_at.is_not(None),
        )
        .group_by(Cell.estimator, Cell.version)
    )
    return {(estimator, version): count for estimator, version, count in rows}


def asking_sweeps(connection: Connection, board_id: int) -> list[AskingRow]:
    """Sweeps that asked for cells of a board and are not in the bin, newest first."""
    asked = sa.select(SweepCell.cell_id).where(SweepCell.sweep_id == Sweep.id, SweepCell.board_id == board_id)
    rows = connection.execute(
        sa.select(Sweep.id, Sweep.name, Sweep.owner)
        .where(Sweep.storing_until.is_(None), Sweep.deleted_at.is_(None), asked.exists())
        .order_by(Sweep.id.desc())
    )
    return [AskingRow(*row) for row in rows]


def cell_specs(connection: Connection, cell_ids: Sequence[int]) -> dict[int, CellSpec]:
    """Cell id -> its specification."""
    rows = connection.execute(sa.select(Cell.id, Cell.spec).where(Cell.id.in_(cell_ids)))
    return {id: spec for id, spec in rows}


def cell_ids(connection: Connection, cell_keys: Sequence[str]) -> dict[str, int]:
    """Key -> id of those cells that are stored."""
    found: dict[str, int] = {}
    for some in chunks(cell_keys):
        rows = connection.execute(sa.select(Cell.cell_key, Cell.id).where(Cell.cell_key.in_(some)))
        found.update({key: id for key, id in rows})
    return found


def final_values(connection: Connection, cell_ids: Sequence[int], metrics: Sequence[str]) -> list[ValueRow]:
    """Final values of every seed of some cells, by cell, metric and seed."""
    rows = connection.execute(
        sa.select(Trial.cell_id, Trial.seed, TrialMetric.metric, TrialMetric.value)
        .join(TrialMetric, TrialMetric.trial_id == Trial.id)
        .where(Trial.cell_id.in_(cell_ids), TrialMetric.metric.in_(metrics))
        .order_by(Trial.cell_id, TrialMetric.metric, Trial.seed)
    )
    return [ValueRow(*row) for row in rows]


def provenances(connection: Connection, cell_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Attempt id -> what results of some cells were computed with; earlier attempts that had a part in
    them, as their curves tell, included."""
    mine = (Trial.cell_id.in_(cell_ids), Trial.state == TrialState.SUCCEEDED)
    last = sa.select(Trial.attempt_id).where(*mine)
    earlier = sa.select(CurveSegment.attempt_id).join(Trial, Trial.id == CurveSegment.trial_id).where(*mine)
    query = sa.select(Attempt.id, Attempt.provenance).where(Attempt.id.in_(sa.union(last, earlier)))
    rows = connection.execute(query.order_by(Attempt.id))
    return {id: provenance for id, provenance in rows if provenance is not None}


def _cells(
    metric: str,
) -> sa.Select[int, str, str, int, int, int, int, int, int, float, *tuple[Any, ...]]:
    """Cells with the summary of one metric."""
    summary = sa.and_(CellSummary.cell_id == Cell.id, CellSummary.metric == metric)
    counts = (Cell.trials, Cell.succeeded, Cell.failed, Cell.cancelled)
    moments = (CellSummary.count, CellSummary.mean, CellSummary.m2)
    return sa.select(Cell.id, Cell.cell_key, Cell.estimator, Cell.version, *counts, *moments).outerjoin(
        CellSummary, summary
    )


def _boards() -> sa.Select[int, str, Component, int, int, int, int, int, int]:
    sums = (Cell.trials, Cell.succeeded, Cell.failed, Cell.cancelled)
    total = (sa.cast(sa.func.coalesce(sa.func.sum(column), 0), sa.Integer) for column in sums)
    trials, succeeded, failed, cancelled = total
    cells, last = sa.func.count(Cell.id), sa.func.coalesce(sa.func.max(Cell.id), 0)
    return (
        sa.select(Board.id, Board.task_key, Board.task, trials, succeeded, failed, cancelled, cells, last)
        .outerjoin(Cell, Cell.board_id == Board.id)
        .group_by(Board.id)
    )
