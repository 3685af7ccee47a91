"""A web application on a test's database, and sweeps that were computed without computing."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy import Engine

from benchmarks.sweep import Sweep
from service.app import create_app
from service.processes.web import WebServer, server_config
from service.queue.cohorts import Queue
from service.queue.submission import submit
from service.settings import Settings
from tests.support.sweeps import PROVENANCE, outcome
from workers.messages import (
    CurveSegment,
    Heartbeat,
    MetricsBatch,
    Outcome,
    Provenance,
    StartReply,
    TrialOutcome,
)

HOST = "127.0.0.1"
STARTED_SECONDS = 20


def application(engine: Engine, data_home: Path = Path(os.devnull), **settings: Any) -> FastAPI:
    """The application with default settings but for some; its data directory cannot be written to unless one
    is given."""
    return create_app(Settings(data_home=data_home, **settings), engine)


class InProcess(httpx.BaseTransport):
    """Calls an application without a port. A bug is answered as a stranger sees it: a 500, no exception."""

    def __init__(self, app: FastAPI) -> None:
        self._transport = httpx.ASGITransport(app, raise_app_exceptions=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One request in an event loop of its own."""
        return asyncio.run(self._answer(request))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        sent = httpx.Request(request.method, request.url, headers=request.headers, content=request.read())
        answer = await self._transport.handle_async_request(sent)
        content = b"".join([part async for part in answer.aiter_raw()])
        return httpx.Response(answer.status_code, headers=answer.headers, content=content)


def browser_of(app: FastAPI) -> httpx.Client:
    """An in-process HTTP client."""
    return httpx.Client(transport=InProcess(app), base_url=f"http://{HOST}")


def compute(
    engine: Engine,
    sweep: Sweep,
    values: Mapping[int, float] | None = None,
    *,
    provenance: Provenance = PROVENANCE,
) -> str:
    """Submit a sweep and report ``expected_loss`` by seed for every trial; returns the sweep's id."""
    stored = submit(engine, sweep)
    queue = Queue(engine)
    queue.plan(max_lanes=64, slots=1)
    for claim in queue.claim(owner="test", limit=100):
        reply = queue.start(claim.attempt_id, claim.secret)
        queue.metrics(claim.attempt_id, claim.secret, _curves(reply))
        ends = outcome(reply.trials, values).outcomes
        queue.finish(claim.attempt_id, claim.secret, Outcome(outcomes=ends, provenance=provenance))
    return str(stored.sweep_id)


def fail(engine: Engine, sweep: Sweep, *, error: str, traceback: str) -> str:
    """Submit a sweep of which every trial fails; returns its id."""
    stored = submit(engine, sweep)
    queue = Queue(engine)
    queue.plan(max_lanes=64, slots=1)
    for claim in queue.claim(owner="test", limit=100):
        reply = queue.start(claim.attempt_id, claim.secret)
        failed = tuple(
            TrialOutcome(trial=t.key, status="failed", error=error, traceback=traceback) for t in reply.trials
        )
        provenance = outcome(reply.trials).provenance
        queue.finish(claim.attempt_id, claim.secret, Outcome(outcomes=failed, provenance=provenance))
    return str(stored.sweep_id)


def _curves(reply: StartReply) -> MetricsBatch:
    segments = tuple(
        CurveSegment(trial=trial.key, metric="expected_loss", first=1, values=(2.0, 1.0 + trial.spec["seed"]))
        for trial in reply.trials
    )
    return MetricsBatch(seq=1, progress=Heartbeat(steps_done=10, steps_total=10), segments=segments)


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The application on a free loopback port, in a thread; yields its address."""
    with socket.create_server((HOST, 0)) as listener:
        server = WebServer(
            server_config(app, lifespan="off"),
            draining=app.state.leaving.set,
            drain_seconds=0.0,
            ending=app.state.hub.close,
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{listener.getsockname()[1]}"  # the socket listens already: requests wait
        finally:
            server.should_exit = True
            thread.join(STARTED_SECONDS)
