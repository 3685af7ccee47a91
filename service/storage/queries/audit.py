"""The audit: who did what, when and from where."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from service.states import AuditOutcome
from service.storage.models import Audit


class AuditRow(NamedTuple):
    """One recorded request."""

    id: int
    at: datetime
    who: str
    token: str | None
    action: str
    subject: str
    address: str
    outcome: AuditOutcome
    detail: str


_ROWS = sa.select(
    Audit.id,
    Audit.at,
    Audit.who,
    Audit.token,
    Audit.action,
    Audit.subject,
    Audit.address,
    Audit.outcome,
    Audit.detail,
)


def record(
    connection: Connection,
    *,
    at: datetime,
    who: str,
    token: str | None,
    action: str,
    subject: str,
    address: str,
    outcome: AuditOutcome,
    detail: str,
) -> int:
    """Append a request; returns its id."""
    texts = {"who": who, "token": token, "action": action, "subject": subject, "address": address}
    values = sa.insert(Audit).values(at=at, outcome=outcome, detail=detail, **texts)
    return int(connection.execute(values.returning(Audit.id)).scalar_one())


def rows(
    connection: Connection, *, limit: int, before: int | None = None, outcome: AuditOutcome | None = None
) -> list[AuditRow]:
    """Recorded requests, newest first."""
    query = _ROWS.order_by(Audit.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Audit.id < before)
    if outcome is not None:
        query = query.where(Audit.outcome == outcome)
    return [AuditRow._make(row) for row in connection.execute(query)]


def keep_newest(connection: Connection, outcome: AuditOutcome, most: int) -> None:
    """Forget the oldest requests of one outcome, but for ``most``."""
    newest = sa.select(Audit.id).where(Audit.outcome == outcome).order_by(Audit.id.desc())
    last_kept = newest.offset(most - 1).limit(1).scalar_subquery()
    connection.execute(sa.delete(Audit).where(Audit.outcome == outcome, Audit.id < last_kept))
