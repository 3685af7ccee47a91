"""Making, listing and revoking tokens; signing browsers in and out."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from service.access import audit, credentials
from service.access.credentials import SIGN_IN, TOKEN, Credential
from service.errors import InvalidRequest, NotFound
from service.states import Scope
from service.storage.engine import Clock, database_clock, read, write
from service.storage.queries import access
from service.storage.queries.access import TokenRow

MAX_TEXT = 100
MAX_DAYS = 3650


class Made(NamedTuple):
    """A new token, and what is shown of it this once."""

    token: TokenRow
    secret: Credential


class Source(NamedTuple):
    """Who changes tokens, for the audit: owner and token of the caller, and where the request comes from."""

    who: str
    token: str | None
    address: str


COMMAND_LINE = Source("command line", None, "")


def create(
    engine: Engine,
    *,
    name: str,
    scope: Scope,
    owner: str | None = None,
    days: float | None = None,
    source: Source = COMMAND_LINE,
    clock: Clock = database_clock,
) -> Made:
    """Make a token. Its secret is in the answer and nowhere else.

    Args:
        engine: the database.
        name: what it is for, to tell it from others.
        scope: what it allows.
        owner: whose sweeps it submits and controls; by default called as the token.
        days: until it expires; ``None``: it does not.
        source: who makes it.
        clock: what time it is.

    Raises:
        InvalidRequest: a text or the number of days cannot be used.
    """
    owner = name if owner is None else owner
    _check(name, "name")
    _check(owner, "owner")
    if days is not None and not 0 < days <= MAX_DAYS:
        raise InvalidRequest(f"days is {days:g}; a token is valid for more than 0 and at most {MAX_DAYS}")
    made = credentials.new(TOKEN)
    with write(engine) as connection:
        now = clock(connection)
        row = access.insert_token(
            connection,
            public_id=made.public_id,
            secret_hash=made.digest,
            name=name,
            owner=owner,
            scope=scope,
            now=now,
            expires_at=None if days is None else now + timedelta(days=days),
        )
        _tell(connection, "token created", row, source, now)
    return Made(row, made)


def listed(engine: Engine, *, limit: int, before: int | None = None) -> list[TokenRow]:
    """Tokens, newest first."""
    with read(engine) as connection:
        return access.token_rows(connection, limit=limit, before=before)


def revoke(
    engine: Engine, public_id: str, *, source: Source = COMMAND_LINE, clock: Clock = database_clock
) -> TokenRow:
    """Refuse a token from now on, and whoever signed in with it.

    Raises:
        NotFound: there is no such token.
    """
    with write(engine) as connection:
        now = clock(connection)
        access.revoke(connection, public_id, now=now)
        row = access.token_with(connection, public_id)
        if row is None:
            raise NotFound(f"there is no token {credentials.without_secrets(public_id)[:50]!r}")
        _tell(connection, "token revoked", row, source, now)
    return row


def any_made(engine: Engine) -> bool:
    """Whether a token was ever made; in a database before the first version with tokens, none was."""
    with read(engine) as connection:
        return access.is_there(connection) and access.any_tokens(connection)


def sign_in(
    engine: Engine, public_id: str, *, lasts: timedelta, clock: Clock = database_clock
) -> tuple[Credential, datetime]:
    """A secret for a browser in place of the token, which it need not keep, and until when it is valid.

    Raises:
        NotFound: there is no such token.
    """
    made = credentials.new(SIGN_IN)
    with write(engine) as connection:
        now = clock(connection)
        token = access.token_with(connection, public_id)
        if token is None:
            raise NotFound(f"there is no token {public_id!r}")
        ends = min(now + lasts, token.expires_at or now + lasts)
        access.insert_sign_in(
            connection,
            public_id=made.public_id,
            secret_hash=made.digest,
            token_id=token.id,
            now=now,
            expires_at=ends,
        )
    return made, ends


def sign_out(engine: Engine, public_id: str) -> None:
    """Refuse the secret of a browser from now on."""
    with write(engine) as connection:
        access.delete_sign_in(connection, public_id)


def _check(text: str, what: str) -> None:
    if not text.strip() or len(text) > MAX_TEXT or not text.isprintable():
        raise InvalidRequest(f"{what} is {text[:200]!r}; it is 1 to {MAX_TEXT} printable characters")


def _tell(connection: Connection, action: str, row: TokenRow, source: Source, now: datetime) -> None:
    subject = f"{row.public_id} {row.name!r} of {row.owner!r}, scope {row.scope}"
    audit.record(
        connection,
        audit.Entry(
            who=source.who, token=source.token, action=action, subject=subject, address=source.address
        ),
        now=now,
    )
