"""What every request passes before anything of it is read: who asks, how often, from which page.

Nothing is reachable by being forgotten. Without a word said about a route, reading it needs scope ``read``,
and every other method scope ``submit``; what is open to all stands in a list here, and routes that need more
say so (``service.dependencies.ADMIN``). Reports of workers bring secrets of their own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from http import HTTPStatus

import anyio
from fastapi import Request
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import states
from service.access import audit, callers
from service.access.authentication import Authentication
from service.access.callers import Caller
from service.access.credentials import Credential
from service.access.rates import Rates
from service.api import presented
from service.api.problem_details import Explain
from service.errors import HeunboardError, NotAuthenticated, TooManyRequests
from service.states import AuditOutcome

logger = logging.getLogger(__name__)

PROBES = ("/healthz", "/readyz")
OPEN = (*PROBES, "/openapi.json", "/sign-in", "/sign-out")
"""What nobody has to be known for."""
UNGUARDED = ("/internal/", "/static/")
"""Beginnings of paths: reports of workers, with the secret of an attempt each, and files of the pages."""
HARMLESS = ("/api/v1/sweeps/plan",)
"""What changes nothing, whatever its method."""

_REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS)
_RECORDED_REFUSALS_PER_S = 0.2
_WRITING = anyio.CapacityLimiter(2)
"""Few threads write the audit: while a database is locked they must not take those that answer."""


def needed(method: str, path: str) -> states.Scope | None:
    """The least scope that a request needs, whatever its route asks besides; ``None``: none."""
    if path in OPEN or path.startswith(UNGUARDED):
        return None
    return states.Scope.READ if method in presented.SAFE or path in HARMLESS else states.Scope.SUBMIT


class Gate:
    """Lets through whoever may pass, and records what they changed.

    Args:
        app: what is protected.
        engine: the database, for the audit.
        authentication: who is who.
        rates: how often they may ask.
        explain: makes the answer of an error.
    """

    def __init__(
        self, app: ASGIApp, *, engine: Engine, authentication: Authentication, rates: Rates, explain: Explain
    ) -> None:
        self._app, self._engine = app, engine
        self._authentication, self._rates, self._explain = authentication, rates, explain
        self._recorded = Rates(_RECORDED_REFUSALS_PER_S, burst=50)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer 401, 403 or 429 without reading the body."""
        path = scope.get("path", "")
        if scope["type"] != "http" or path in PROBES or path.startswith(UNGUARDED):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        visit = Visit(request, send)
        try:
            visit.caller = await self._caller(request)
            self._admit(request, visit.caller)
        except (HeunboardError, SQLAlchemyError) as error:
            visit.reason = str(error)
            callers.set_current(visit.caller or callers.NOBODY)  # for the page that says so
            answer = self._explain(request, error)
            await answer(scope, receive, visit.send)
        else:
            callers.set_current(visit.caller)
            await self._app(scope, receive, visit.send)
        finally:
            await self._afterwards(visit)

    async def _caller(self, request: Request) -> Caller:
        """Who asks.

        Raises:
            NotAuthenticated: a token that is not valid; a cookie that is not is nothing.
        """
        authentication = self._authentication
        settled = authentication.is_settled()
        if not (authentication.is_on() if settled else await anyio.to_thread.run_sync(authentication.is_on)):
            return callers.EVERYBODY
        token = presented.token(request)
        if token is not None:
            return await self._of(request, token)
        try:
            return await self._of(request, presented.cookie(request))
        except NotAuthenticated:
            return authentication.anonymous()

    async def _of(self, request: Request, credential: Credential | None) -> Caller:
        if self._authentication.is_kept(credential):
            return self._authentication.caller(credential)
        self._count(presented.address(request))  # looking up costs more than being refused
        return await anyio.to_thread.run_sync(self._authentication.caller, credential)

    def _admit(self, request: Request, caller: Caller) -> None:
        presented.require_own_page(request, by_cookie=caller.by_cookie)
        self._count(caller.token or presented.address(request))
        scope = needed(request.method, request.scope["path"])
        if scope is not None:
            caller.require(scope)

    def _count(self, who: str) -> None:
        if wait := self._rates.wait(who):
            raise TooManyRequests(wait)

    async def _afterwards(self, visit: Visit) -> None:
        """Write the audit and the use of the token, when the answer is on its way."""
        caller = visit.caller
        if caller is not None and self._authentication.use_is_due(caller):
            await self._write(partial(self._authentication.note_use, caller))
        if self._is_recorded(visit):
            await self._write(partial(audit.write_entry, self._engine, visit.entry()))

    def _is_recorded(self, visit: Visit) -> bool:
        if visit.caller is not None and not visit.caller.told_apart:
            return False
        if visit.outcome is AuditOutcome.REFUSED:
            wanted = visit.changes or "authorization" in visit.request.headers
            return wanted and not self._recorded.wait(presented.address(visit.request))
        return visit.changes

    async def _write(self, act: Callable[[], None]) -> None:
        try:
            await anyio.to_thread.run_sync(act, limiter=_WRITING)
        except SQLAlchemyError as error:
            logger.warning("the audit could not be written: %s", error)


class Visit:
    """A request and what becomes of it.

    Args:
        request: the request.
        send: where its answer goes.

    Attributes:
        caller: who asks, once that is known.
        reason: why it was refused.
    """

    def __init__(self, request: Request, send: Send) -> None:
        self.request = request
        self.caller: Caller | None = None
        self.reason = ""
        self._send = send
        self._state = request.state  # shared with the route from here on
        self._status, self._location = int(HTTPStatus.INTERNAL_SERVER_ERROR), ""

    async def send(self, message: Message) -> None:
        """Pass on, noting how it ended; what is for one caller is kept by no cache in between."""
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            self._status, self._location = message["status"], headers.get("location", "")
            if self.caller is None or self.caller.told_apart:
                headers.add_vary_header("Authorization, Cookie")
                kept = headers.get("cache-control", "no-cache")
                if not {"private", "no-store"} & set(kept.replace(" ", "").split(",")):
                    headers["cache-control"] = f"private, {kept}"
        await self._send(message)

    @property
    def changes(self) -> bool:
        """Whether it asks to change something."""
        request = self.request
        return request.method not in presented.SAFE and request.scope["path"] not in HARMLESS

    @property
    def outcome(self) -> AuditOutcome:
        """How it ended."""
        if self._status in _REFUSALS:
            return AuditOutcome.REFUSED
        return AuditOutcome.DONE if self._status < HTTPStatus.BAD_REQUEST else AuditOutcome.FAILED

    def entry(self) -> audit.Entry:
        """What the audit says of it. Whoever signs in is known from then on."""
        caller: Caller | None = getattr(self._state, "signed_in", self.caller)
        return audit.Entry(
            who=(caller.owner or "") if caller else "",
            token=caller.token if caller else None,
            action=self.request.method,
            subject=self.request.scope["path"],
            address=self.request.client.host if self.request.client else "",
            outcome=self.outcome,
            detail=f"{self._status} {self.reason or self._location}".strip(),
        )
