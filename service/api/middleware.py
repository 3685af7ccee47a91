"""What every request and answer passes through: Host check, HEAD, body limit, security headers."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

import anyio
from fastapi import HTTPException, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks.sweep_file.limits import MAX_BODY_BYTES
from service.api import problem_details

MAX_REPORT_BYTES = 64 * 1024 * 1024
"""Body of one report of a worker: a batch of curve points of a whole cohort."""

MAX_DISCARDED_BYTES = 64 * 1024 * 1024
DISCARD_SECONDS = 10.0
"""How much of a body that is too large is read all the same, and for how long. A connection that is closed
with something unread is reset, and who was still sending never sees the answer."""

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
        given = Headers(scope=scope).get("host", "")
        if host_name(given) in self._allowed:
            await self._app(scope, receive, send)
            return
        detail = (
            f"this server does not answer to the host {given[:200]!r}; it is known as "
            f"{', '.join(sorted(self._allowed))}. Set HEUNBOARD_ALLOWED_HOSTS to add names."
        )
        request = Request(scope)
        answer = problem_details.document(request, HTTPStatus.MISDIRECTED_REQUEST, "unknown-host", detail)
        body = answer.model_dump(mode="json", exclude_none=True)
        await JSONResponse(body, answer.status, media_type=problem_details.MEDIA_TYPE)(scope, receive, send)


class BodyLimit:
    """Refuses bodies above the limit with 413, without keeping more than the limit of them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on with a counting ``receive``."""
        limit = MAX_REPORT_BYTES if scope.get("path", "").startswith("/internal/") else MAX_BODY_BYTES
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                await _discard(message, receive)
                raise HTTPException(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"the body is larger than the limit of {limit:,} bytes",
                    {"Connection": "close"},
                )
            return message

        await self._app(scope, counted, send)


async def _discard(message: Message, receive: Receive) -> None:
    """Read what follows ``message``, so that whoever sends it gets to the answer."""
    seen = 0
    with anyio.move_on_after(DISCARD_SECONDS):
        while message.get("more_body") and seen <= MAX_DISCARDED_BYTES:
            message = await receive()
            seen += len(message.get("body", b""))


def host_name(header: str) -> str:
    """The name in a Host header, without port and brackets, in lower case."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()
