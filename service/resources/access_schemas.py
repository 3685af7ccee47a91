"""What the REST API answers about tokens and the audit."""

from __future__ import annotations

from datetime import datetime

from service.resources.schemas import Answer
from service.states import AuditOutcome, Scope


class Token(Answer):
    """A token without its secret, which is not kept. ``last_used_at`` is exact to the minute."""

    id: str
    name: str
    owner: str
    scope: Scope
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class NewToken(Token):
    """A token that was made now: ``secret`` is all that is to be kept of it, and is shown this once."""

    secret: str


class TokenList(Answer):
    """Tokens, newest first."""

    tokens: list[Token]
    next_page_token: str | None = None


class AuditEntry(Answer):
    """A request that changed something, or was refused: who asked, what for, from where, how it ended."""

    id: int
    at: datetime
    who: str
    token: str | None
    action: str
    subject: str
    address: str
    outcome: AuditOutcome
    detail: str


class AuditPage(Answer):
    """The audit, newest first."""

    entries: list[AuditEntry]
    next_page_token: str | None = None
