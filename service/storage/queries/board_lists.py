"""Lists of boards: found by words, the newest results first, with the best cell of every estimator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection

from benchmarks.spec import Component
from service.states import CohortState, TrialState
from service.storage.models import Board, Cell, CellSummary, Cohort, Trial
from service.storage.queries.bulk import among


class FoundBoard(NamedTuple):
    """A board as it is found; ``changed_at`` is when the last of its trials ended."""

    id: int
    task_key: str
    task: Component
    task_id: str
    changed_at: datetime


class BoardCounts(NamedTuple):
    """What the cells of a board add up to."""

    estimators: int
    trials: int
    succeeded: int
    failed: int
    cancelled: int


class BestCell(NamedTuple):
    """The best cell of one estimator on one board: the mean of the choosing metric over ``n`` seeds."""

    board_id: int
    estimator: str
    n: int
    mean: float


class Rule(NamedTuple):
    """The metric that chooses on the boards of a task."""

    metric: str
    maximize: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """Which boards; what is empty is not asked for.

    Attributes:
        task: id of their task.
        words: all of which they are found by, in small letters.
        estimator: one that has a cell there.
        newest: among so many that changed last.
    """

    task: str | None = None
    words: tuple[str, ...] = ()
    estimator: str | None = None
    newest: int | None = None


def found_boards(
    connection: Connection, search: Search, *, limit: int, before: tuple[datetime, int] | None = None
) -> list[FoundBoard]:
    """Those that changed last first, from the one before ``before`` on: when it had changed, and its id."""
    query = sa.select(*(getattr(Board, name) for name in FoundBoard._fields))
    # For words all rows are read: as they lie, not in the order of an index, which takes six times as long.
    changed = sa.case((sa.true(), Board.changed_at)) if search.words else Board.changed_at
    query = query.order_by(changed.desc(), Board.id.desc()).limit(limit)
    if before is not None:
        at, id = sa.literal(before[0], Board.changed_at.type), sa.literal(before[1])
        query = query.where(sa.tuple_(Board.changed_at, Board.id) < sa.tuple_(at, id))
    if search.task is not None:
        query = query.where(Board.task_id == search.task)
    for word in search.words:
        query = query.where(Board.words.contains(word, autoescape=True))
    if search.newest is not None:
        newest = sa.select(Board.id).order_by(Board.changed_at.desc(), Board.id.desc()).limit(search.newest)
        query = query.where(Board.id.in_(newest))
    if search.estimator is not None:
        mine = sa.select(Cell.id).where(Cell.board_id == Board.id, Cell.estimator == search.estimator)
        query = query.where(mine.exists())
    return [FoundBoard(*row) for row in connection.execute(query)]


def counts(connection: Connection, board_ids: Sequence[int]) -> dict[int, BoardCounts]:
    """Board id -> what its cells add up to."""
    sums = (Cell.trials, Cell.succeeded, Cell.failed, Cell.cancelled)
    rows = connection.execute(
        sa.select(
            Cell.board_id,
            sa.func.count(Cell.estimator.distinct()),
            *(sa.cast(sa.func.sum(column), sa.Integer) for column in sums),
        )
        .where(among(connection, Cell.board_id, board_ids))
        .group_by(Cell.board_id)
    )
    return {id: BoardCounts(*found) for id, *found in rows}


def running(connection: Connection, board_ids: Sequence[int]) -> dict[int, int]:
    """Board id -> how many of its trials are being computed; boards without any are left out."""
    rows = connection.execute(
        sa.select(Cell.board_id, sa.func.count())
        .select_from(Cohort)
        .join(Trial, Trial.cohort_id == Cohort.id)
        .join(Cell, Cell.id == Trial.cell_id)
        .where(
            Cohort.state == CohortState.RUNNING,
            Trial.state == TrialState.RUNNING,
            among(connection, Cell.board_id, board_ids),
        )
        .group_by(Cell.board_id)
    )
    return {id: trials for id, trials in rows}


def best_cells(connection: Connection, board_ids: Sequence[int], rules: Mapping[str, Rule]) -> list[BestCell]:
    """Of every board the best cell of each estimator, from summaries, best first.

    The rule is that of a board: the newest version of the estimator, at least half of the seeds that the
    fullest cell has, and of equal means the cell that was submitted first.

    Args:
        board_ids: which boards.
        rules: id of a task -> what chooses on its boards; those of other tasks have no best cell.
    """
    if not rules:
        return []
    cells = _measured(rules).where(among(connection, Cell.board_id, board_ids)).subquery()
    place = sa.func.row_number().over(
        partition_by=(cells.c.board_id, cells.c.estimator), order_by=(cells.c.cost, cells.c.id)
    )
    eligible = (
        sa.select(cells, place.label("place"))
        .where(cells.c.version == cells.c.newest, 2 * cells.c.count >= cells.c.fullest)
        .subquery()
    )
    rows = connection.execute(
        sa.select(eligible.c.board_id, eligible.c.estimator, eligible.c.count, eligible.c.mean)
        .where(eligible.c.place == 1)
        .order_by(eligible.c.board_id, eligible.c.cost, eligible.c.id)
    )
    return [BestCell(*row) for row in rows]


def note_ends(connection: Connection, trial_ids: Sequence[int], *, now: datetime) -> None:
    """These trials have just ended: their boards have changed. Rows are locked in order of their ids."""
    changed = connection.scalars(
        sa.select(Cell.board_id)
        .join(Trial, Trial.cell_id == Cell.id)
        .where(among(connection, Trial.id, trial_ids))
        .distinct()
        .order_by(Cell.board_id)
    ).all()
    if changed:
        connection.execute(_CHANGED, [{"of_board": id, "now": now} for id in changed])


_CHANGED = (
    sa.update(Board)
    .where(Board.id == sa.bindparam("of_board"))
    .values(changed_at=sa.bindparam("now", type_=Board.changed_at.type))
)


def _measured(rules: Mapping[str, Rule]) -> sa.Select[tuple[object, ...]]:
    """Cells with the moments of what chooses there, the newest version of their estimator, and how many
    seeds the fullest cell of their board has."""
    metric = sa.case({task: rule.metric for task, rule in rules.items()}, value=Board.task_id)
    sign = sa.case({task: -1 if rule.maximize else 1 for task, rule in rules.items()}, value=Board.task_id)
    summary = sa.and_(CellSummary.cell_id == Cell.id, CellSummary.metric == metric)
    newest = sa.func.max(Cell.version).over(partition_by=(Cell.board_id, Cell.estimator))
    fullest: ColumnElement[int] = sa.func.max(CellSummary.count).over(partition_by=Cell.board_id)
    return (
        sa.select(
            Cell.id,
            Cell.board_id,
            Cell.estimator,
            Cell.version,
            CellSummary.count,
            CellSummary.mean,
            (sign * CellSummary.mean).label("cost"),
            newest.label("newest"),
            fullest.label("fullest"),
        )
        .join(Board, Board.id == Cell.board_id)
        .outerjoin(CellSummary, summary)
    )
