"""Wide sweeps: how long storing one takes, and how long others wait meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Engine, event

from service.benchmark.queue.figures import GROWTH, HOLD, STORED, WAIT, Figure
from service.benchmark.queue.stage import Stage
from service.client import Client
from service.queue.cohorts import Queue

SHAPES = ("seeds", "cells", "boards")
"""Ten seeds a cell; a cell a trial; a board a trial."""
PAUSE_S = 0.05
TASK: dict[str, Any] = {"id": "polynomial", "latents": 4, "batch_size": 4, "epochs": 2, "steps_per_epoch": 5}


def wide(shape: str, trials: int) -> dict[str, Any]:
    """A sweep of a hundred times so many hundredth trials."""
    document: dict[str, Any] = {
        "name": f"{trials} by {shape}",
        "task": TASK,
        "estimators": ["st"],
        "seeds": 1,
    }
    hundred = {"id": "reinmax", "temperature": [0.5 + i / 100 for i in range(100)]}
    if shape == "boards":
        axes = {"batch_size": list(range(1, 101)), "latents": list(range(1, trials // 100 + 1))}
        return document | {"task": TASK | axes}
    seeds = 10 if shape == "seeds" else 1
    rates = [1e-3 + i * 1e-5 for i in range(trials // 100 // seeds)]
    return document | {"estimators": [hundred], "grid": {"lr": rates}, "seeds": seeds}


def small(number: int) -> dict[str, Any]:
    """A sweep of one trial that nobody else wants."""
    return {"name": f"small {number}", "task": TASK, "estimators": ["stgs"], "seeds": [number]}


def submitting(stage: Stage, shape: str, trials: int) -> Iterator[Figure]:
    """Store one wide sweep while small ones are submitted one after the other."""
    before = stage.megabytes()
    others = _Others(stage)
    others.start()
    began = time.perf_counter()
    stored = stage.client.submit(wide(shape, trials))
    seconds = time.perf_counter() - began
    others.end()
    assert stored.answer.trials == trials, stored
    what = f"{trials:,} {shape}"
    yield Figure(what=f"submit {what}", where=stage.kind, value=seconds, target=STORED)
    yield Figure(what="  others wait", where=stage.kind, value=max(others.waits), target=WAIT)
    yield Figure(what="  memory of web", where=stage.kind, value=stage.megabytes() - before, target=GROWTH)


def planning(stage: Stage) -> Iterator[Figure]:
    """Plan what is queued; the longest transaction is what others wait for."""
    with _Transactions(stage.engine) as transactions:
        began = time.perf_counter()
        Queue(stage.engine).plan(max_lanes=64, slots=2)
        seconds = time.perf_counter() - began
    longest = max(transactions.seconds)
    yield Figure(what=f"plan ({seconds:.1f} s), writer held", where=stage.kind, value=longest, target=HOLD)


class _Others(threading.Thread):
    """Submits one small sweep after the other."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._url = stage.url
        self._over = threading.Event()
        self.waits: list[float] = [0.0]

    def run(self) -> None:
        with Client(self._url, timeout=600.0) as client:
            while not self._over.wait(PAUSE_S):
                began = time.perf_counter()
                client.submit(small(int(time.time() * 1000) % 2**31))
                self.waits.append(time.perf_counter() - began)

    def end(self) -> None:
        """Wait for the last one."""
        self._over.set()
        self.join()


class _Transactions:
    """How long transactions that write last, from BEGIN to COMMIT."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._began = 0.0
        self.seconds: list[float] = []

    def __enter__(self) -> _Transactions:
        event.listen(self._engine, "begin", self._begin)
        event.listen(self._engine, "commit", self._commit)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self._engine, "begin", self._begin)
        event.remove(self._engine, "commit", self._commit)

    def _begin(self, _: object) -> None:
        self._began = time.perf_counter()

    def _commit(self, connection: Any) -> None:
        options = connection.get_execution_options()
        if not options.get("postgresql_readonly") and options.get("heunboard_writes"):
            self.seconds.append(time.perf_counter() - self._began)
