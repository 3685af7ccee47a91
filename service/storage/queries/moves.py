"""The one way to change a state, and lists of ids in statements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.sql.dml import Update

from service.states import AttemptState, CohortState, Event, Hold, TrialState, after
from service.storage.models import Attempt, Cohort, Sweep, Trial

_COLUMNS: dict[type[StrEnum], tuple[type[DeclarativeBase], str]] = {
    TrialState: (Trial, "state"),
    CohortState: (Cohort, "state"),
    AttemptState: (Attempt, "state"),
    Hold: (Sweep, "held"),
}
_CHUNK = 10_000  # ids per statement; SQLite takes at most 32,766 parameters

Item = TypeVar("Item")


def move(old: StrEnum, event: Event) -> Update:
    """``UPDATE ... SET state = (what the event leads to) WHERE state = old``; the caller adds which rows.

    Raises:
        ValueError: the transition table has no such arrow.
    """
    table, column = _COLUMNS[type(old)]
    return sa.update(table).where(getattr(table, column) == old).values({column: after(old, event)})


def chunks(items: Sequence[Item], size: int = _CHUNK) -> Iterator[Sequence[Item]]:
    """``items`` in pieces that fit into one statement, an ``IN`` list if nothing else is said."""
    return (items[start : start + size] for start in range(0, len(items), size))
