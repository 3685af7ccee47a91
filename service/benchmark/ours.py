"""Our side: a server in a directory of its own, and the time from submission to the last result."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.process import compile_cache
from service.benchmark.cases import Cache, Mode
from service.benchmark.phases import spent
from service.client import Client
from service.processes.children import tail
from service.processes.server import server
from service.resources.schemas import Attempt, SweepDetail
from service.states import FINAL

SHARE_OF_ELAPSED = 0.02
SHORTEST_WAIT, LONGEST_WAIT = 0.02, 0.5


class SweepFailed(Exception):
    """Trials of a sweep did not succeed; the message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One sweep.

    Attributes:
        seconds: from submission to the look at the API that showed its end.
        phases: where they went, see :func:`service.benchmark.phases.spent`.
        executors: how steps were done, as provenance says.
    """

    seconds: float
    phases: Mapping[str, float]
    executors: tuple[str, ...]


class Server(NamedTuple):
    """A running ``heunboard up``: a client of it, and its process id."""

    client: Client
    process: int


@contextmanager
def new_server(mode: Mode, *, slots: int) -> Iterator[Server]:
    """A server with nothing in its database, that starts or has started, as the mode says.

    Raises:
        HeunboardError: it did not start.
    """
    with tempfile.TemporaryDirectory(prefix="heunboard-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        arguments = [f"--launcher={mode.launcher}", f"--slots={slots}"]
        environment, warm = _environment(mode.cache, home), mode.workers != "starting"
        with (
            server(home / "data", arguments, warm=warm, environment=environment) as up,
            Client(up["url"]) as client,
        ):
            try:
                yield Server(client, up["pid"])
            except SweepFailed as error:
                raise SweepFailed(f"{error}; {tail(home / 'data' / 'logs' / 'dispatch.log')}") from error


def compute(client: Client, document: Mapping[str, Any], *, slots: int) -> Turn:
    """Submit a sweep and wait until its last result can be seen.

    Raises:
        SweepFailed: not all of its trials succeeded.
    """
    submitted, began = time.time(), time.monotonic()
    id = client.submit(document).id
    sweep = awaited(lambda: client.sweep(id).answer)
    seconds = time.monotonic() - began
    if sweep.state != "succeeded":
        failures = "; ".join(failure.error for failure in sweep.failures)
        raise SweepFailed(f"the sweep {sweep.name} {sweep.state}: {failures}")
    attempts = _attempts(client, id)
    return Turn(
        seconds=seconds,
        phases=spent(attempts, submitted=submitted, seen=submitted + seconds, slots=slots),
        executors=tuple(sorted({str((one.provenance or {})["executor"]) for one in attempts})),
    )


def awaited(
    look: Callable[[], SweepDetail],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> SweepDetail:
    """Look at a sweep until it is done; between two looks lies a fiftieth of the time that has passed.

    So waiting adds at most a fiftieth to what is measured, and looking costs the server little.
    """
    began = clock()
    while (sweep := look()).state not in FINAL:
        passed = clock() - began
        sleep(min(LONGEST_WAIT, max(SHORTEST_WAIT, SHARE_OF_ELAPSED * passed)))
    return sweep


def _environment(cache: Cache, home: Path) -> dict[str, str]:
    """Its own database whatever this process would use, the CPU alone, and the directory of programs."""
    own = {"HEUNBOARD_DATABASE_URL": "", "CUDA_VISIBLE_DEVICES": ""}
    if cache == "warm":
        return own | compile_cache.environment(os.environ)
    return own | compile_cache.environment({compile_cache.VARIABLE: str(home / "compiled")})


def _attempts(client: Client, sweep: str) -> list[Attempt]:
    """The finished attempts of all its trials, each once."""
    found: dict[int, Attempt] = {}
    for trial in client.trials(sweep):
        found |= {one.id: one for one in client.attempts(trial.key) if one.state == "finished"}
    return list(found.values())
