"""What every request and answer passes through: Host check, HEAD, limits of bodies and of
requests at the same time, security headers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus

import anyio
from fastapi import HTTPException, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks.sweep_file.limits import MAX_BODY_BYTES
from service.access import callers
from service.api import problem_details

MAX_REPORT_BYTES = 64 * 1024 * 1024
"""Body of one report of a worker: a batch of curve points of a whole cohort."""

LAST_PORT = 65_535
_HOST = re.compile(
    r"(?:\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[0-9a-z_.-]+))(?::(?P<port>[0-9]{0,5}))?",
    re.ASCII | re.IGNORECASE,
)
"""Nothing besides: readers of other forms (``127.0.0.1:80@evil.example``) disagree on what they name."""

MAX_DISCARDED_BYTES = 64 * 1024 * 1024
DISCARD_SECONDS = 10.0
"""How much of a body that is too large is read all the same, and for how long. A connection that is closed
with something unread is reset, and who was still sending never sees the answer."""

FULL_S = 5
"""After how many seconds a server that was busy is asked again."""

# Plotly writes a <style> element; scripts come from this server only, and none is inline.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class SecurityHeaders:
    """Adds :data:`SECURITY_HEADERS` to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with the start of the answer amended."""

        async def amended(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        await self._app(scope, receive, amended)


class HeadAsGet:
    """Answers HEAD as GET, wherever GET is answered; the answer ends where its body would begin."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; of a HEAD request as a GET."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        ended = False

        async def without_body(message: Message) -> None:
            nonlocal ended
            if message["type"] != "http.response.body":
                await send(message)
            elif not ended:  # a stream of events has no end of its own
                ended = True
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self._app({**scope, "method": "GET"}, receive, without_body)


class HostCheck:
    """Answers only to known names, so that a foreign page cannot reach a local server through its own name.

    Args:
        app: what is protected.
        allowed: host names without ports.
    """

    def __init__(self, app: ASGIApp, allowed: Sequence[str]) -> None:
        self._app = app
        self._allowed = frozenset(name.lower() for name in allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer 421."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if not (detail := self._objection(scope)):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        answer = problem_details.document(request, HTTPStatus.MISDIRECTED_REQUEST, "unknown-host", detail)
        body = answer.model_dump(mode="json", exclude_none=True)
        await JSONResponse(body, answer.status, media_type=problem_details.MEDIA_TYPE)(scope, receive, send)

    def _objection(self, scope: Scope) -> str:
        """Why the request is not for this server; empty where it is."""
        if not scope["path"].startswith("/"):  # http://HOST/PATH, as proxies are asked, and CONNECT
            return "this server is no proxy; send the path alone, and the host as Host."
        given = Headers(scope=scope).getlist("host")
        if len(given) == 1 and host_name(given[0]) in self._allowed:
            return ""
        return (
            f"this server does not answer to the host {', '.join(given)[:200]!r}; it is known as "
            f"{', '.join(sorted(self._allowed))}. Set HEUNBOARD_ALLOWED_HOSTS to add names."
        )


class BodyLimit:
    """Refuses bodies above the limit with 413, without keeping more than the limit of them.

    What an error leaves unread of a body is read and thrown away before the error is sent.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on with a body that counts."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(scope, receive)

        async def after_the_body(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= HTTPStatus.BAD_REQUEST:
                await body.discard()
            await send(message)

        await self._app(scope, body.receive, after_the_body)


class RequestLimit:
    """Answers 503 while as many requests as allowed are under way; streams of events are under way for long.

    It stands within :class:`BodyLimit`, which reads what a refused request sends, and outside of all that
    asks the database.

    Args:
        app: what is protected.
        most: how many may be under way.
        explain: makes the answer of an error.
    """

    def __init__(self, app: ASGIApp, *, most: int, explain: problem_details.Explain) -> None:
        self._app, self._most, self._explain = app, most, explain
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on and count, or refuse."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._under_way >= self._most:
            callers.set_current(callers.NOBODY)  # for the page that says so: who asks was not looked up
            await self._explain(Request(scope), self._full())(scope, receive, send)
            return
        self._under_way += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way -= 1

    def _full(self) -> HTTPException:
        return HTTPException(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"{self._most:,} requests are under way here already, and more are not taken "
            f"(HEUNBOARD_MAX_CONNECTIONS); ask again in {FULL_S} seconds",
            {"Retry-After": str(FULL_S)},
        )


class _Body:
    """The body of one request."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        headers = Headers(scope=scope)
        self._receive = receive
        self._limit = MAX_REPORT_BYTES if scope["path"].startswith("/internal/") else MAX_BODY_BYTES
        declared = headers.get("content-length", "")
        self._declared = int(declared) if declared.isdigit() else 0
        waits = headers.get("expect", "").lower() == "100-continue"  # for us to ask for it: it sends nothing
        comes = (self._declared > 0 or "transfer-encoding" in headers) and not waits
        self._last: Message = {"type": "http.request", "more_body": comes}
        self._seen = 0

    async def receive(self) -> Message:
        """The next part.

        Raises:
            HTTPException: 413, as soon as it is known; the rest is not read yet.
        """
        self._require(self._declared)
        self._last = await self._receive()
        self._seen += len(self._last.get("body", b""))
        self._require(self._seen)
        return self._last

    async def discard(self) -> None:
        """Read what is left."""
        await discard(self._last, self._receive)

    def _require(self, size: int) -> None:
        if size > self._limit:
            raise HTTPException(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the body is larger than the limit of {self._limit:,} bytes",
                {"Connection": "close"},
            )


async def discard(message: Message, receive: Receive) -> None:
    """Read what follows ``message``, so that whoever sends it gets to the answer."""
    seen = 0
    with anyio.move_on_after(DISCARD_SECONDS):
        while message.get("more_body") and seen <= MAX_DISCARDED_BYTES:
            message = await receive()
            seen += len(message.get("body", b""))


def host_name(header: str) -> str:
    """The name in a Host header, without port and brackets, in lower case; empty where it is malformed."""
    found = _HOST.fullmatch(header)
    if found is None or int(found["port"] or 0) > LAST_PORT:
        return ""
    return (found["address"] or found["name"]).lower()
