"""The audit: what was changed, by whom, when and from where, and what was refused.

It holds no secret and no query of an address, and its size is bounded: of each outcome the newest stay, so
that a flood of refusals takes nothing else away.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine

from service.access.credentials import without_secrets
from service.states import AuditOutcome
from service.storage.engine import Clock, database_clock, read, write
from service.storage.queries import audit
from service.storage.queries.audit import AuditRow

KEPT = 100_000
"""Entries of one outcome."""
LOOKED_AFTER = 500
"""Entries after which those beyond are forgotten."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """What is recorded of a request.

    Attributes:
        who: owner of the token; empty where nobody is known.
        token: its public id.
        action: what was asked for.
        subject: of what.
        address: where the request came from.
        outcome: how it ended.
        detail: more about that.
    """

    who: str
    token: str | None
    action: str
    subject: str
    address: str
    outcome: AuditOutcome = AuditOutcome.DONE
    detail: str = ""


def record(connection: Connection, entry: Entry, *, now: datetime, kept: int = KEPT) -> None:
    """Append an entry; texts are cut to what the table holds."""
    id = audit.record(
        connection,
        at=now,
        who=_text(entry.who, 200),
        token=entry.token,
        action=_text(entry.action, 200),
        subject=_text(entry.subject, 200),
        address=_text(entry.address, 64),
        outcome=entry.outcome,
        detail=_text(entry.detail, 500),
    )
    if id % min(LOOKED_AFTER, kept) == 0:
        for outcome in AuditOutcome:
            audit.keep_newest(connection, outcome, kept)


def write_entry(engine: Engine, entry: Entry, *, clock: Clock = database_clock) -> None:
    """Append an entry in a transaction of its own."""
    with write(engine) as connection:
        record(connection, entry, now=clock(connection))


def entries(
    engine: Engine, *, limit: int, before: int | None = None, outcome: AuditOutcome | None = None
) -> list[AuditRow]:
    """Entries, newest first."""
    with read(engine) as connection:
        return audit.rows(connection, limit=limit, before=before, outcome=outcome)


def _text(text: str, most: int) -> str:
    """Printable, without secrets, and no longer than that."""
    seen = "".join(one if one.isprintable() else "?" for one in text[: 2 * most])
    return without_secrets(seen)[:most]
