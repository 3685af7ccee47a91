"""The web server of this process: uvicorn, which answers that go on do not keep from ending."""

from __future__ import annotations

from collections.abc import Callable
from socket import socket

import uvicorn


class WebServer(uvicorn.Server):
    """A server that tells its application that it is about to end before it waits for answers under way.

    Args:
        config: of the server.
        ending: called in the event loop.
    """

    def __init__(self, config: uvicorn.Config, *, ending: Callable[[], None]) -> None:
        super().__init__(config)
        self._ending = ending

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """End open streams, then as usual."""
        self._ending()
        await super().shutdown(sockets)
