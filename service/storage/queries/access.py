"""Tokens and sign-ins: who may do what."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from service.states import Scope
from service.storage.models import ApiToken, SignIn, Sweep


class TokenRow(NamedTuple):
    """A token, without its secret, which is not kept."""

    id: int
    public_id: str
    secret_hash: str
    name: str
    owner: str
    scope: Scope
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class SignInRow(NamedTuple):
    """A browser that was given a token."""

    secret_hash: str
    expires_at: datetime
    token: TokenRow


_TOKENS = sa.select(
    ApiToken.id,
    ApiToken.public_id,
    ApiToken.secret_hash,
    ApiToken.name,
    ApiToken.owner,
    ApiToken.scope,
    ApiToken.created_at,
    ApiToken.expires_at,
    ApiToken.revoked_at,
    ApiToken.last_used_at,
)


def is_there(connection: Connection) -> bool:
    """Whether the database can hold tokens."""
    return bool(sa.inspect(connection).has_table(ApiToken.__tablename__))


def any_tokens(connection: Connection) -> bool:
    """Whether a token was ever made."""
    return bool(connection.scalar(sa.select(sa.select(ApiToken.id).exists())))


def insert_token(
    connection: Connection,
    *,
    public_id: str,
    secret_hash: str,
    name: str,
    owner: str,
    scope: Scope,
    now: datetime,
    expires_at: datetime | None,
) -> TokenRow:
    """Store a token."""
    values = {"name": name, "owner": owner, "scope": scope, "created_at": now, "expires_at": expires_at}
    connection.execute(sa.insert(ApiToken).values(public_id=public_id, secret_hash=secret_hash, **values))
    row = token_with(connection, public_id)
    assert row is not None  # it was stored just now
    return row


def token_with(connection: Connection, public_id: str) -> TokenRow | None:
    """The token of this public id."""
    row = connection.execute(_TOKENS.where(ApiToken.public_id == public_id)).one_or_none()
    return None if row is None else TokenRow._make(row)


def token_rows(connection: Connection, *, limit: int, before: int | None = None) -> list[TokenRow]:
    """Tokens, newest first."""
    query = _TOKENS.order_by(ApiToken.id.desc()).limit(limit)
    if before is not None:
        query = query.where(ApiToken.id < before)
    return [TokenRow._make(row) for row in connection.execute(query)]


def revoke(connection: Connection, public_id: str, *, now: datetime) -> None:
    """From now on the token is refused; one that was revoked before keeps the moment of that."""
    mine = sa.update(ApiToken).where(ApiToken.public_id == public_id, ApiToken.revoked_at.is_(None))
    connection.execute(mine.values(revoked_at=now))


def note_use(connection: Connection, public_id: str, *, now: datetime) -> None:
    """The token was used."""
    connection.execute(sa.update(ApiToken).where(ApiToken.public_id == public_id).values(last_used_at=now))


def insert_sign_in(
    connection: Connection,
    *,
    public_id: str,
    secret_hash: str,
    token_id: int,
    now: datetime,
    expires_at: datetime,
) -> None:
    """Store a sign-in, and forget those that have expired."""
    connection.execute(sa.delete(SignIn).where(SignIn.expires_at <= now))
    values = {"token_id": token_id, "created_at": now, "expires_at": expires_at}
    connection.execute(sa.insert(SignIn).values(public_id=public_id, secret_hash=secret_hash, **values))


def sign_in_with(connection: Connection, public_id: str) -> SignInRow | None:
    """The sign-in of this public id, with its token."""
    query = _TOKENS.add_columns(SignIn.secret_hash, SignIn.expires_at)
    query = query.join(SignIn, SignIn.token_id == ApiToken.id).where(SignIn.public_id == public_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else SignInRow(row[-2], row[-1], TokenRow._make(row[:-2]))


def delete_sign_in(connection: Connection, public_id: str) -> None:
    """Forget a sign-in."""
    connection.execute(sa.delete(SignIn).where(SignIn.public_id == public_id))


def owner_of_sweep(connection: Connection, sweep_id: int) -> tuple[str | None] | None:
    """Whose a sweep is, in the bin or not; ``None`` where there is no such sweep."""
    row = connection.execute(sa.select(Sweep.owner).where(Sweep.id == sweep_id)).one_or_none()
    return None if row is None else (row.owner,)
