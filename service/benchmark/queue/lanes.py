"""Trials of one step as lanes of few cohorts: how many a second, and what many of them leave in memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from benchmarks.commands.arguments import cores
from service.benchmark.cases import Launcher, Mode
from service.benchmark.ours import Server, awaited, new_server
from service.benchmark.queue.figures import FLAT, NO_OPS, Figure
from service.benchmark.queue.stage import child, memory
from service.errors import HeunboardError

FEW = 2_000
TASK: dict[str, Any] = {"id": "polynomial", "latents": 1, "batch_size": 1, "epochs": 1, "steps_per_epoch": 1}


def lanes(launcher: Launcher, trials: int) -> Iterator[Figure]:
    """From submission to the last result: of a few, and then of many in the same processes."""
    mode = Mode(launcher=launcher, workers="fresh", cache="warm")
    with new_server(mode, slots=cores()) as made:
        _compute(made, 1, rate=0.5)
        seconds = _compute(made, FEW, rate=0.25)
        yield Figure(what="no-op trials as lanes", where=launcher, value=FEW / seconds, target=NO_OPS)
        watched = {"web": child(made.process, "serve"), "dispatcher": child(made.process, "dispatch")}
        before = {name: memory(process) for name, process in watched.items()}
        seconds = _compute(made, trials, rate=0.125)
        yield Figure(what=f"  {trials:,} of them", where=launcher, value=trials / seconds, target=NO_OPS)
        for name, process in watched.items():
            growth = memory(process) - before[name]
            yield Figure(what=f"  memory of {name}", where=launcher, value=growth, target=FLAT)


def _compute(made: Server, trials: int, *, rate: float) -> float:
    """Seconds of a sweep of so many trials, a thousand seeds a learning rate, that nobody else wants."""
    rates = [rate * (1 + i / 1_000) for i in range(-(-trials // 1_000))]
    document = {"name": "no-ops", "task": TASK, "estimators": ["st"]}
    began = time.monotonic()
    id = made.client.submit(document | {"grid": {"lr": rates}, "seeds": min(trials, 1_000)}).id
    sweep = awaited(lambda: made.client.sweep(id).answer)
    if (sweep.state, sweep.trials) != ("succeeded", trials):
        raise HeunboardError(f"of {trials} trials {sweep.trials} were stored, and the sweep {sweep.state}")
    return time.monotonic() - began
