"""The web server of this process: uvicorn that ends in order (not ready, then without streams, then gone) and
does not wait for ever for those who send slowly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from socket import socket
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 20.0
"""For how long the head of a request may take to come."""
BODY_S = 300.0
"""For how long its body may take after that: the largest report of a worker at 2 Mbit/s."""

LOOK_SECONDS = 0.1


class WebServer(uvicorn.Server):
    """A server that tells its application that it is about to end before it waits for answers under way.

    Args:
        config: of the server.
        draining: called in the event loop when the process is asked to end; requests are still answered.
        drain_seconds: how long they are.
        ending: called in the event loop after that, when answers that go on have to end.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        draining: Callable[[], None],
        drain_seconds: float,
        ending: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._draining, self._drain_seconds, self._ending = draining, drain_seconds, ending

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Go on for a while, end open streams, then as usual; who asks twice waits no longer."""
        self._draining()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._drain_seconds
        while not self.force_exit and (left := deadline - loop.time()) > 0:
            await asyncio.sleep(min(left, LOOK_SECONDS))
        self._ending()
        await super().shutdown(sockets)


class TimelyProtocol(H11Protocol):
    """A connection that is closed when a request does not come in time. uvicorn itself ends idle ones alone,
    5 seconds after their last answer."""

    _due: asyncio.TimerHandle | None = None
    _awaited: type[h11.IDLE] | type[h11.SEND_BODY] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        """Expect the head of a request."""
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        """Take more of a request, and see what of it is still to come."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Expect the next request, or go on with one that has begun to come already."""
        super().on_response_complete()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        self._expect(None)
        super().connection_lost(exc)

    def _look(self) -> None:
        awaited = self.conn.their_state
        self._expect(awaited if awaited in (h11.IDLE, h11.SEND_BODY) else None)

    def _expect(self, awaited: Any) -> None:
        if awaited is self._awaited:
            return  # a little more of the same: it gains no time
        if self._due is not None:
            self._due.cancel()
        self._awaited, self._due = awaited, None
        if awaited is not None:
            seconds = HEAD_S if awaited is h11.IDLE else BODY_S
            self._due = self.loop.call_later(seconds, self.transport.abort)


def server_config(app: Any, **options: Any) -> uvicorn.Config:
    """How the application is served, here and in tests."""
    quiet: dict[str, Any] = {"log_level": "warning", "access_log": False}  # see service.api.correlation
    return uvicorn.Config(app, http=TimelyProtocol, **(quiet | options))
