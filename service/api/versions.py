"""Every answer says the server's version; a client of quite another one is warned."""

from __future__ import annotations

import re

from packaging.version import InvalidVersion, Version
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workers.version import VERSION_HEADER, package_version

_CLIENT = re.compile(r"heunboard/([0-9A-Za-z.+!-]{1,50})", re.ASCII)
"""How clients of this project begin their User-Agent."""


class VersionHeaders:
    """Adds ``Heunboard-Version``, and ``Warning`` where the client's is of another series."""

    def __init__(self, app: ASGIApp) -> None:
        self._app, self._mine = app, package_version()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with the start of the answer amended."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        client = _CLIENT.match(Headers(scope=scope).get("user-agent", ""))
        warning = skew(client[1], self._mine) if client else ""

        async def amended(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers[VERSION_HEADER] = self._mine
                if warning:
                    headers["Warning"] = f'299 heunboard "{warning}"'
            await send(message)

        await self._app(scope, receive, amended)


def skew(client: str, server: str) -> str:
    """What a client should know; empty where its version and the server's are of one series.

    A series is the first two numbers of a version.
    """
    try:
        theirs, ours = Version(client), Version(server)
    except InvalidVersion:
        return ""
    if theirs.release[:2] == ours.release[:2]:
        return ""
    return (
        f"this client is Heunboard {theirs}, the server {ours}: some of what the one sends the other may not "
        f"understand; pip install heunboard=={ours}"
    )
