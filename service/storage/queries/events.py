"""What happened, for people."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from service.storage.models import Event


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
