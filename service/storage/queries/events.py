"""What happened, for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from service.storage.models import Event
from service.storage.queries.bulk import among


class EventRow(NamedTuple):
    """Something that happened."""

    at: datetime
    kind: str
    attempt_id: int | None
    detail: str


def of_attempts(connection: Connection, attempt_ids: Sequence[int], *, limit: int) -> list[EventRow]:
    """What happened to some attempts, the first first."""
    columns = (Event.at, Event.kind, Event.attempt_id, Event.detail)
    mine = among(connection, Event.attempt_id, attempt_ids)
    rows = connection.execute(sa.select(*columns).where(mine).order_by(Event.id).limit(limit))
    return [EventRow(*row) for row in rows]


def record(
    connection: Connection,
    kind: str,
    detail: str,
    *,
    at: datetime,
    sweep_id: int | None = None,
    attempt_id: int | None = None,
) -> None:
    """Append one event."""
    connection.execute(
        sa.insert(Event).values(at=at, kind=kind, detail=detail, sweep_id=sweep_id, attempt_id=attempt_id)
    )
