"""What is kept per cell, so that no page has to count trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from service.states import TrialState
from service.storage.engine import is_sqlite
from service.storage.models import Cell, CellSummary

COUNTED = (TrialState.SUCCEEDED, TrialState.FAILED, TrialState.CANCELLED)


def add_trials(connection: Connection, new: Mapping[int, int]) -> None:
    """Cell id -> trials that were added to it, or taken away if negative."""
    _execute_many(
        connection,
        sa.update(Cell)
        .where(Cell.id == sa.bindparam("cell"))
        .values(trials=Cell.trials + sa.bindparam("added")),
        [{"cell": cell, "added": added} for cell, added in sorted(new.items())],
    )


def count_ends(connection: Connection, ends: Iterable[tuple[int, TrialState]], *, sign: int = 1) -> None:
    """Add (``sign`` 1) or take away (-1) ended trials, given as (cell id, state)."""
    for state, counts in _by_state(ends).items():
        column = getattr(Cell, state.value)
        _execute_many(
            connection,
            sa.update(Cell)
            .where(Cell.id == sa.bindparam("cell"))
            .values({column: column + sa.bindparam("added")}),
            [{"cell": cell, "added": sign * added} for cell, added in sorted(counts.items())],
        )


def add_values(connection: Connection, values: Iterable[tuple[int, str, float]]) -> None:
    """Add final values, given as (cell id, metric, value), to the summaries.

    One more value x of n gives count n + 1, mean m + (x - m) / (n + 1), M2 + (x - m)^2 n / (n + 1)
    (Welford 1962).
    """
    insert = (sqlite if is_sqlite(connection) else postgresql).insert(CellSummary)
    count, delta = CellSummary.count, insert.excluded.mean - CellSummary.mean
    total: sa.ColumnElement[float] = sa.cast(count + 1, sa.Double())
    statement = insert.on_conflict_do_update(
        index_elements=[CellSummary.cell_id, CellSummary.metric],
        set_={
            "count": count + 1,
            "mean": CellSummary.mean + delta / total,
            "m2": CellSummary.m2 + delta * delta * count / total,
        },
    )
    rows = [
        {"cell_id": cell, "metric": metric, "count": 1, "mean": value, "m2": 0.0}
        for cell, metric, value in sorted(values)
    ]
    _execute_many(connection, statement, rows)


def _by_state(ends: Iterable[tuple[int, TrialState]]) -> dict[TrialState, Counter[int]]:
    counts: dict[TrialState, Counter[int]] = {state: Counter() for state in COUNTED}
    for cell, state in ends:
        counts[state][cell] += 1
    return counts


def _execute_many(
    connection: Connection, statement: sa.Executable, rows: Sequence[Mapping[str, Any]]
) -> None:
    if rows:
        connection.execute(statement, rows)
