"""Who listens, and the one reader of the database for all of them.

The reader works while somebody listens: it reads, tells, and rests a second, or twenty times as long as
reading took, so that it takes at most a twentieth of a processor from the rest. Who begins to listen to some
sweep or board wakes it sooner: a page must not be told what is older than itself. Everything but the reading
itself happens in the event loop: a listener is a waiting task, no thread, and all get the same bytes.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus

from fastapi import HTTPException
from fastapi.sse import format_sse_event

from service.api.live.bulletin import Bulletin, Event, Topics
from service.resources.live import News
from service.storage.engine import is_outage

logger = logging.getLogger(__name__)

REST_S = 1.0
RESTS = 20
"""Times as long as it read."""
SHORTEST_REST_S, SHORTEST_RESTS = 0.1, 5
"""The same, however many new listeners wait for the next reading."""
AWAY_S = 5.0
"""Rest after a reading that failed."""
HEARTBEAT_S = 15.0
LONGEST_S = 600.0
"""After which a listener has to come again, and to be let in again: its token may be revoked by then."""
RECONNECT_MS = (1_000, 4_000)
"""After how long a listener is to come back, drawn so that not all come at once."""
FULL_S = 30
"""When to try again where too many listen."""

HEARTBEAT = format_sse_event(comment="still here")

Read = Callable[[frozenset[int], frozenset[str]], Sequence[News]]
"""How the sweeps and boards that are named stand, and everything that goes on."""


class Hub:
    """Listeners and their reader.

    Args:
        read: reads the database; called in a thread, one call at a time.
        most: listeners at the same time.
        rest: seconds between two readings.
    """

    def __init__(self, read: Read, *, most: int, rest: float = REST_S) -> None:
        self._read = read
        self._most = most
        self._rest_s = rest
        self._bulletin = Bulletin()
        self._listeners: set[Listener] = set()
        self._reader: asyncio.Task[None] | None = None
        self._begun = 0
        self._done = 0
        self._told = asyncio.Event()
        self._wanted = asyncio.Event()
        self._closed = False

    @contextmanager
    def listener(
        self, topics: Topics, *, last_event_id: str | None = None, stays: bool = True
    ) -> Iterator[Listener]:
        """Somebody who listens for the length of the block.

        Args:
            topics: what to.
            last_event_id: of the last event that it has.
            stays: whether it listens on, and so takes one of the places.

        Raises:
            HTTPException: 503, too many listen already, or the server is about to end.
        """
        if stays and (self._closed or self._staying() >= self._most):
            raise HTTPException(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{self._most:,} pages listen already; ask /api/v1/events/latest from time to time",
                {"Retry-After": str(FULL_S)},
            )
        seen = self._bulletin.number_of(last_event_id)
        first = self._begun + 1 if topics.named or self._bulletin.empty else 0
        listener = Listener(self, topics, seen=seen, first_reading=first, stays=stays)
        self._listeners.add(listener)
        self._wake_reader(new=first > 0)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                self._stop_reader()

    def close(self) -> None:
        """Let every stream end; nobody is taken in any more."""
        self._closed = True
        self._stop_reader()
        self._told.set()

    @property
    def closed(self) -> bool:
        """Whether the server is about to end."""
        return self._closed

    def has_read(self, reading: int) -> bool:
        """Whether that reading is done."""
        return self._done >= reading

    def news(self, topics: Topics, *, seen: int) -> list[Event]:
        """Events that these topics want and that are newer than ``seen``."""
        return self._bulletin.since(seen, topics)

    async def wait(self, seconds: float) -> bool:
        """Whether something is told within this time."""
        return await _set_within(self._told, seconds)

    def _staying(self) -> int:
        return sum(listener.stays for listener in self._listeners)

    def _wake_reader(self, *, new: bool) -> None:
        if self._reader is None or self._reader.done():
            self._told, self._wanted = asyncio.Event(), asyncio.Event()  # of this loop
            self._reader = asyncio.get_running_loop().create_task(self._read_on())
        elif new:
            self._wanted.set()

    def _stop_reader(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None
        self._bulletin.clear()

    async def _read_on(self) -> None:
        fails = False
        while True:
            began = time.monotonic()
            self._begun += 1
            try:
                found = await asyncio.to_thread(self._read, *self._subjects())
            except Exception as error:
                if not fails:
                    logger.warning("live events: cannot read: %s", error, exc_info=not is_outage(error))
                fails = True
                await asyncio.sleep(AWAY_S)
                continue
            fails = False
            self._tell(found)
            took = time.monotonic() - began
            shortest = max(SHORTEST_REST_S, SHORTEST_RESTS * took)
            await asyncio.sleep(shortest)
            await _set_within(self._wanted, max(self._rest_s, RESTS * took) - shortest)

    def _subjects(self) -> tuple[frozenset[int], frozenset[str]]:
        self._wanted.clear()
        topics = [listener.topics for listener in self._listeners]
        sweeps = frozenset[int](self._bulletin.going_on()).union(*(one.sweeps for one in topics))
        return sweeps, frozenset[str]().union(*(one.boards for one in topics))

    def _tell(self, found: Sequence[News]) -> None:
        news = self._bulletin.update(found)
        before, self._done = self._done, self._begun
        if news or any(listener.first_reading > before for listener in self._listeners):
            self._told.set()
            self._told = asyncio.Event()


class Listener:
    """One who listens, and what it was sent last.

    Args:
        hub: where it listens.
        topics: what to.
        seen: number of the last event that it has.
        first_reading: before which it is told nothing: all that was read was read earlier than its page.
        stays: whether it takes one of the places.
    """

    def __init__(self, hub: Hub, topics: Topics, *, seen: int, first_reading: int, stays: bool) -> None:
        self.topics = topics
        self.first_reading = first_reading
        self.stays = stays
        self._hub = hub
        self._seen = seen

    async def stream(self) -> AsyncIterator[bytes]:
        """What it gets, as it travels, until the server ends or :data:`LONGEST_S` are over; a comment when
        nothing happens for a while."""
        yield format_sse_event(comment="welcome", retry=random.randint(*RECONNECT_MS))
        ends = time.monotonic() + LONGEST_S
        beat = time.monotonic() + HEARTBEAT_S
        while not self._hub.closed and time.monotonic() < ends:
            if events := self.take():
                yield b"".join(event.wire for event in events)
            elif time.monotonic() >= beat:
                yield HEARTBEAT
            else:
                await self._hub.wait(min(beat, ends) - time.monotonic())
                continue
            beat = time.monotonic() + HEARTBEAT_S

    async def first(self, seconds: float) -> list[Event]:
        """How things stand, once that was read.

        Raises:
            TimeoutError: it was not within this time.
        """
        async with asyncio.timeout(seconds):
            while not (self._hub.closed or self._hub.has_read(self.first_reading)):
                await self._hub.wait(seconds)
        return self.take()

    def take(self) -> list[Event]:
        """What is newer than what it took last."""
        ready = self._hub.has_read(self.first_reading)
        events = self._hub.news(self.topics, seen=self._seen) if ready else []
        if events:
            self._seen = events[-1].number
        return events


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(max(seconds, 0)):
            await event.wait()
    except TimeoutError:
        return False
    return True
