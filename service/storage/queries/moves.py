"""The one way to change a state, and lists of ids in statements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.sql.dml import Update

from service.states import AttemptState, CohortState, TrialState, require_arrow
from service.storage.models import Attempt, Cohort, Trial

_TABLES: dict[type[StrEnum], type[Trial] | type[Cohort] | type[Attempt]] = {
    TrialState: Trial,
    CohortState: Cohort,
    AttemptState: Attempt,
}
_CHUNK = 10_000  # ids per statement; SQLite takes at most 32,766 parameters

Item = TypeVar("Item")


def move(old: StrEnum, new: StrEnum) -> Update:
    """``UPDATE ... SET state = new WHERE state = old``; the caller adds which rows.

    Raises:
        ValueError: the transition table has no such arrow.
    """
    require_arrow(old, new)
    table = _TABLES[type(old)]
    return sa.update(table).where(table.state == old).values(state=new)


def chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """``items`` in pieces that fit into one ``IN`` list."""
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))
