"""An answer that goes on: server-sent events, given up when the listener no longer reads."""

from __future__ import annotations

import anyio
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from service.api.live.hub import Listener

SLOW_S = 30.0
"""For how long a listener may leave unread what it was sent; then its place is given to another."""

HEADERS = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}  # the second: nginx passes events on at once


class EventStream(StreamingResponse):
    """The stream of one listener. FastAPI's own would put every event into words for every listener."""

    media_type = "text/event-stream"

    def __init__(self, listener: Listener) -> None:
        super().__init__(listener.stream(), headers=HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the listener goes, does not read on, or the server ends."""
        with anyio.CancelScope() as serving:

            async def timely(message: Message) -> None:
                with anyio.move_on_after(SLOW_S) as sending:
                    await send(message)
                if sending.cancelled_caught:
                    serving.cancel()

            await super().__call__(scope, receive, timely)
