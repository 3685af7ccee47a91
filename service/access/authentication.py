"""From what a request presents to who it comes from: one indexed look-up, kept for a few seconds.

A token that was revoked is refused at once by the process that revoked it, and by every other one within
:data:`KEPT_S`. A token that expires is refused from that moment on.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from service.access.callers import EVERYBODY, Caller
from service.access.credentials import TOKEN, Credential
from service.errors import NotAuthenticated
from service.states import Scope
from service.storage.engine import Clock, database_clock, is_outage, read, write
from service.storage.queries import access
from service.storage.queries.access import TokenRow

KEPT_S = 5.0
"""For which an answer of the database is believed."""
MOST_KEPT = 4096
USE_NOTED = timedelta(minutes=1)
"""How often the last use of a token is written, so that reading stays reading."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """A credential as the database had it.

    Attributes:
        digest: of its secret.
        token: whose use it is.
        refusal: why it is refused; empty if it is not.
        until: on the process's clock, how long this may be believed.
    """

    digest: str
    token: TokenRow
    refusal: str
    until: float


class Authentication:
    """Tells who a request comes from.

    Args:
        engine: the database.
        required: nobody is let in without a token even while there is none.
        anonymous_read: whoever presents nothing may read.
        clock: what time it is for expiry and last use.
        monotonic: seconds, for what is kept.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        required: bool = False,
        anonymous_read: bool = False,
        clock: Clock = database_clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._anonymous = Caller(scope=Scope.READ if anonymous_read else None)
        self._clock, self._monotonic = clock, monotonic
        self._on: bool | None = True if required else None
        self._asked_at = 0.0
        self._kept: OrderedDict[tuple[str, str], Known] = OrderedDict()
        self._changes = 0
        self._due: set[str] = set()
        self._lock = threading.Lock()

    def is_settled(self) -> bool:
        """Whether :meth:`is_on` can answer without the database."""
        fresh = self._on is not None and self._monotonic() < self._asked_at + KEPT_S
        return self._on is True or fresh

    def is_on(self) -> bool:
        """Whether anybody is told apart: from the first token that is made on, for good."""
        if not self.is_settled():
            try:
                with read(self._engine) as connection:
                    self._on = access.any_tokens(connection)
            except SQLAlchemyError as error:
                if self._on is None or not is_outage(error):
                    raise  # else: it was off a moment ago, and what needs the database says that it is away
            self._asked_at = self._monotonic()
        return bool(self._on)

    def is_kept(self, credential: Credential | None) -> bool:
        """Whether :meth:`caller` can answer without the database."""
        if credential is None:
            return True
        known = self._kept.get(credential[:2])
        return known is not None and self._monotonic() < known.until

    def caller(self, credential: Credential | None) -> Caller:
        """Who presents this; ``None`` is nothing.

        Raises:
            NotAuthenticated: the credential is not valid, or no longer.
        """
        if not self.is_on():
            return EVERYBODY
        if credential is None:
            return self._anonymous
        known = self._known(credential)
        if known is None or not credential.proves(known.digest):
            raise NotAuthenticated(f"{_named(credential)} is not known here: {_ADVICE}")
        if known.refusal:
            raise NotAuthenticated(f"{_named(credential)} {known.refusal}: {_ADVICE}")
        token = known.token
        return Caller(
            scope=token.scope,
            owner=token.owner,
            token=token.public_id,
            by_cookie=credential.kind != TOKEN,
        )

    def anonymous(self) -> Caller:
        """Who presents nothing."""
        return self._anonymous if self.is_on() else EVERYBODY

    def forget(self) -> None:
        """Look everything up again: tokens have changed."""
        with self._lock:
            self._changes += 1
            self._kept.clear()
            self._asked_at = -KEPT_S

    def use_is_due(self, caller: Caller) -> bool:
        """Whether the last use of the caller's token was not written for a while."""
        return caller.token in self._due

    def note_use(self, caller: Caller) -> None:
        """Write that the caller's token was used."""
        if caller.token is None:
            return
        self._due.discard(caller.token)
        with write(self._engine) as connection:
            access.note_use(connection, caller.token, now=self._clock(connection))

    def _known(self, credential: Credential) -> Known | None:
        with self._lock:
            known, changes = self._kept.get(credential[:2]), self._changes
        if known is None or self._monotonic() >= known.until:
            known = self._look_up(credential)
            if known is not None:
                self._keep(credential, known, changes)
        return known

    def _look_up(self, credential: Credential) -> Known | None:
        with read(self._engine) as connection:
            now = self._clock(connection)
            if credential.kind == TOKEN:
                token = access.token_with(connection, credential.public_id)
                return None if token is None else self._of(token, token.secret_hash, None, now)
            found = access.sign_in_with(connection, credential.public_id)
        return None if found is None else self._of(found.token, found.secret_hash, found.expires_at, now)

    def _of(self, token: TokenRow, digest: str, ends: datetime | None, now: datetime) -> Known:
        if token.last_used_at is None or now - token.last_used_at >= USE_NOTED:
            self._due.add(token.public_id)
        refusal = ""
        moments = [at for at in (token.expires_at, ends) if at is not None]
        if token.revoked_at is not None:
            refusal = f"was revoked on {token.revoked_at:%Y-%m-%d}"
        elif moments and min(moments) <= now:
            refusal = f"expired on {min(moments):%Y-%m-%d}"
        left = min(((at - now).total_seconds() for at in moments if at > now), default=KEPT_S)
        until = self._monotonic() + min(KEPT_S, left)
        return Known(digest=digest, token=token, refusal=refusal, until=until)

    def _keep(self, credential: Credential, known: Known, changes: int) -> None:
        """Unless tokens have changed since it was asked for."""
        with self._lock:
            if changes != self._changes:
                return
            self._kept[credential[:2]] = known
            self._kept.move_to_end(credential[:2])
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)


_ADVICE = "ask an administrator for a new one (`heunboard token create`), or sign in again at /sign-in"


def _named(credential: Credential) -> str:
    return f"{'token' if credential.kind == TOKEN else 'sign-in'} {credential.public_id}"
