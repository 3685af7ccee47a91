"""Every request has an id: in its answer, in the log lines it causes, and in the problem it may end with."""

from __future__ import annotations

import itertools
import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workers import logs

HEADER = "X-Request-ID"

_SANE = re.compile(r"[A-Za-z0-9._:+/=-]{1,128}", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_SUBJECTS = {"sweeps": "sweep", "trials": "trial", "attempts": "attempt"}
_UNREMARKABLE = ("/internal/", "/healthz", "/readyz", "/metrics", "/static/")
"""Asked for all the time: logged only when refused."""

_log = logging.getLogger("heunboard.access")


class RequestIds:
    """Takes a client's ``X-Request-ID`` if it is sane, else makes one, and logs what was answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, within a context that knows the request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        request = given if _SANE.fullmatch(given) else uuid.uuid4().hex
        # For the rest of the request's context: what handles an unforeseen error stands outside of this.
        logs.bind(request=request, **subjects(scope["path"]))
        began, status = time.perf_counter(), 500

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request
            await send(message)

        try:
            await self._app(scope, receive, named)
        finally:
            _note(scope, status, time.perf_counter() - began)


def subjects(path: str) -> dict[str, str]:
    """The sweep, trial or attempt that a path names."""
    parts = path.split("/")
    pairs = itertools.pairwise(parts)
    return {_SUBJECTS[kind]: id for kind, id in pairs if kind in _SUBJECTS and _ID.fullmatch(id)}


def current_request() -> str | None:
    """The id of the request that is being answered."""
    id = logs.bound_to().get("request")
    return None if id is None else str(id)


def _note(scope: Scope, status: int, seconds: float) -> None:
    """Never the query: it is the user's own, and nobody's business."""
    quiet = status < 400 and scope["path"].startswith(_UNREMARKABLE)
    _log.log(
        logging.DEBUG if quiet else logging.INFO,
        "%s %s %d",
        scope["method"],
        scope["path"],
        status,
        extra={
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "seconds": round(seconds, 6),
            "client": (scope.get("client") or ("",))[0],
        },
    )
