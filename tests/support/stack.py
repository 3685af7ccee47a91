"""A web server with the internal API on a real port, over a real database: what workers report to."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import uvicorn
from fastapi import FastAPI, Request, Response
from sqlalchemy import Engine

from service.api import problem_details
from service.api.routes.internal import internal_router
from service.queue.cohorts import Queue
from service.queue.reports import QueueRules
from service.queue.submission import submit
from service.resources.schemas import ProblemDocument
from service.storage import migrations
from service.storage.engine import read
from service.storage.models import Attempt, Trial
from tests.support.databases import engine_of
from tests.support.fakes import WAIT_SECONDS
from tests.support.sweeps import small_sweep
from workers.dispatcher import Dispatcher

LIMIT_SECONDS = 150.0
RULES = QueueRules(lease=timedelta(seconds=30), backoff=timedelta(milliseconds=1))


@dataclass(frozen=True)
class Stack:
    """The queue, its database, and the address that workers report to."""

    url: str
    engine: Engine
    queue: Queue

    def submit(self, **changes: Any) -> None:
        """Submit a small polynomial sweep and make it claimable."""
        submit(self.engine, small_sweep(**changes))
        self.queue.plan(max_lanes=64, slots=1)

    def trials(self) -> Sequence[sa.Row[Any]]:
        """All trials, by seed."""
        with read(self.engine) as connection:
            return connection.execute(sa.select(sa.inspect(Trial).local_table).order_by(Trial.seed)).all()

    def attempts(self) -> Sequence[sa.Row[Any]]:
        """All attempts, in the order of their claims."""
        with read(self.engine) as connection:
            return connection.execute(sa.select(sa.inspect(Attempt).local_table).order_by(Attempt.id)).all()


def make_app(queue: Queue) -> FastAPI:
    """Only the internal API, with the service's shape of errors."""

    def no_pages(_request: Request, _document: ProblemDocument) -> Response:
        raise AssertionError("a worker asked for a page")

    app = FastAPI()
    problem_details.install(app, no_pages)
    app.include_router(internal_router(queue))
    return app


@contextmanager
def serve(app: FastAPI) -> Iterator[str]:
    """Address of ``app`` on a free loopback port, in a thread of this process."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off"))
    ready = threading.Event()
    startup = server.startup

    async def announced(*arguments: Any, **options: Any) -> None:
        await startup(*arguments, **options)
        ready.set()

    server.startup = announced  # type: ignore[method-assign]  # uvicorn has no hook for "listening now"
    thread = threading.Thread(target=server.run, name="web")
    thread.start()
    assert ready.wait(WAIT_SECONDS)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(WAIT_SECONDS)


@contextmanager
def stack(folder: Path, database_url: str | None = None) -> Iterator[Stack]:
    """A database, by default an SQLite file in ``folder``, migrated, and a server over it."""
    with engine_of(database_url or f"sqlite:///{folder / 'stack.sqlite'}") as engine:
        migrations.upgrade(engine)
        queue = Queue(engine, rules=RULES)
        with serve(make_app(queue)) as url:
            yield Stack(url, engine, queue)


def run_until_idle(dispatcher: Dispatcher, made: Stack) -> None:
    """Tick until no trial is queued or running and every attempt's end is known; ``LIMIT_SECONDS`` at most.

    A worker reports its last trial before its process is free, so trials alone would leave the end of an
    attempt to the launcher's next user.
    """
    deadline = time.monotonic() + LIMIT_SECONDS
    while dispatcher.running or any(trial.state in ("queued", "running") for trial in made.trials()):
        assert time.monotonic() < deadline, made.attempts()
        dispatcher.tick(0.1)
