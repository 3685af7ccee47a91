"""Tokens and the audit as API and command line show them."""

from __future__ import annotations

from sqlalchemy import Engine

from service.access import audit, tokens
from service.access.tokens import Made
from service.resources import paging
from service.resources.access_schemas import AuditEntry, AuditPage, NewToken, Token, TokenList
from service.states import AuditOutcome
from service.storage.queries.access import TokenRow


def shown(row: TokenRow) -> Token:
    """A stored token as it is shown."""
    return Token(
        id=row.public_id, **{name: getattr(row, name) for name in Token.model_fields if name != "id"}
    )


def new(made: Made) -> NewToken:
    """A token that was made now, with its secret."""
    return NewToken(**dict(shown(made.token)), secret=str(made.secret))


def list_tokens(engine: Engine, *, limit: int, page_token: str | None = None) -> TokenList:
    """Newest first.

    Raises:
        InvalidPageToken: the page token is not one of this list's.
    """
    rows = tokens.listed(engine, limit=limit + 1, before=paging.last_id("tokens", page_token))
    more = paging.token("tokens", rows[limit - 1].id) if len(rows) > limit else None
    return TokenList(tokens=[shown(row) for row in rows[:limit]], next_page_token=more)


def list_audit(
    engine: Engine, *, limit: int, page_token: str | None = None, outcome: AuditOutcome | None = None
) -> AuditPage:
    """Newest first; all, or those that ended so.

    Raises:
        InvalidPageToken: the page token is not one of this list's.
    """
    kind = f"audit-{outcome or 'all'}"
    before = paging.last_id(kind, page_token)
    rows = audit.entries(engine, limit=limit + 1, before=before, outcome=outcome)
    more = paging.token(kind, rows[limit - 1].id) if len(rows) > limit else None
    return AuditPage(entries=[AuditEntry.model_validate(row) for row in rows[:limit]], next_page_token=more)
