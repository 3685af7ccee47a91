"""What open pages cost: processor seconds of the web process, and how long other requests take meanwhile.

``python -m service.benchmark.listeners`` starts a web server on an empty database and lets attempts report
twice a second past it, directly to the database. It measures first without and then with listeners, all of
whom are told of every change.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
from sqlalchemy import Engine

from benchmarks.commands.arguments import whole_number
from benchmarks.commands.speed.report import aligned
from service.benchmark.queue.stage import KINDS, Stage, stage
from service.queue.cohorts import Queue
from workers.messages import Heartbeat

REPORTS_EVERY_S = 0.5
REQUESTS_EVERY_S = 0.2
SWEEPS = 3
STEPS = 100_000  # of a trial; the reports never come to its end
HEADINGS = ("listeners", "processor, s a minute", "other requests, p50", "p95", "events a second each")


class Measured(NamedTuple):
    """With so many listeners: of the web process, and of requests beside them."""

    listeners: int
    processor: float
    p50: float
    p95: float
    events: float

    def row(self) -> tuple[str, ...]:
        """As it is printed."""
        times = (f"{1000 * self.p50:.1f} ms", f"{1000 * self.p95:.1f} ms")
        return (f"{self.listeners:,}", f"{self.processor:.2f}", *times, f"{self.events:.2f}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = _options(arguments)
    rows = []
    with stage(options.database) as made:
        reports = _begin(made)
        for listeners in options.listeners:
            found = asyncio.run(_measure(made, reports, listeners, options.seconds))
            sys.stderr.write(f"{found.listeners} listeners: {found.processor:.2f} s a minute\n")
            rows.append(found.row())
    sys.stdout.write("\n".join(aligned([HEADINGS, *rows])) + "\n")
    return 0


class _Reports:
    """Attempts that go on and on."""

    def __init__(self, engine: Engine) -> None:
        self._queue = Queue(engine)
        self._claims = self._queue.claim(owner="bench", limit=SWEEPS)
        self._done = 0
        for claim in self._claims:
            self._queue.start(claim.attempt_id, claim.secret)

    def report(self) -> None:
        """Every attempt is ten steps further."""
        self._done += 10
        for claim in self._claims:
            message = Heartbeat(steps_done=self._done, steps_total=STEPS)
            self._queue.heartbeat(claim.attempt_id, claim.secret, message)


def _begin(made: Stage) -> _Reports:
    task: dict[str, Any] = {"id": "polynomial", "latents": 4, "epochs": 1, "steps_per_epoch": STEPS}
    for seed in range(SWEEPS):
        made.client.submit({"name": f"sweep {seed}", "task": task, "estimators": ["st"], "seeds": [seed]})
    Queue(made.engine).plan(max_lanes=1, slots=SWEEPS)
    return _Reports(made.engine)


async def _measure(made: Stage, reports: _Reports, listeners: int, seconds: float) -> Measured:
    async with AsyncExitStack() as stack:
        heard = [await stack.enter_async_context(_listening(made.url)) for _ in range(listeners)]
        writing = asyncio.create_task(_write(reports))
        await asyncio.sleep(2.0)  # the first events are behind it
        events, before, began = sum(map(len, heard)), made.processor_seconds(), time.monotonic()
        waits = await _other_requests(made.url, seconds)
        took = time.monotonic() - began
        processor = made.processor_seconds() - before
        writing.cancel()
        each = (sum(map(len, heard)) - events) / took / max(listeners, 1)
    ordered = sorted(waits)
    p50, p95 = (ordered[int(share * len(ordered))] for share in (0.5, 0.95))
    return Measured(listeners, 60 * processor / took, p50, p95, each)


async def _write(reports: _Reports) -> None:
    while True:
        await asyncio.to_thread(reports.report)
        await asyncio.sleep(REPORTS_EVERY_S)


@asynccontextmanager
async def _listening(url: str) -> AsyncIterator[list[str]]:
    """An open page; the list grows with the kinds of the events that it gets."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(f"GET /api/v1/events HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode())
    heard: list[str] = []

    async def listen() -> None:
        while line := await reader.readline():
            if line.startswith(b"event: "):
                heard.append(line.decode())

    listening = asyncio.create_task(listen())
    try:
        yield heard
    finally:
        listening.cancel()
        writer.close()


async def _other_requests(url: str, seconds: float) -> list[float]:
    """Seconds that each request took, sent at even times for so long."""
    waits = []
    async with httpx.AsyncClient(base_url=url, timeout=60.0) as http:
        first = time.monotonic()
        for number in range(round(seconds / REQUESTS_EVERY_S)):
            await asyncio.sleep(first + number * REQUESTS_EVERY_S - time.monotonic())
            began = time.monotonic()
            (await http.get("/api/v1/boards")).raise_for_status()
            waits.append(time.monotonic() - began)
    return waits


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m service.benchmark.listeners", description=__doc__)
    add = parser.add_argument
    add("--listeners", nargs="+", type=int, default=[0, 100], help="how many (default 0 and 100)")
    add("--seconds", type=whole_number, default=30, help="of each measurement (default %(default)s)")
    add("--database", choices=KINDS, default="sqlite", help="kind of database (default %(default)s)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
