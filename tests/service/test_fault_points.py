"""Whoever dies at whichever named point: every trial ends once, as if nobody had died."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from service.queue.cohorts import Queue
from service.queue.reports import QueueRules
from service.queue.submission import submit
from tests.chaos import results
from tests.chaos.results import Doubled, Result
from tests.support.fault_points import (
    POINTS,
    FaultPoints,
    InlineLauncher,
    Killed,
    ProbedQueue,
    ProbedStore,
    ProbedTransport,
)
from tests.support.stack import make_app
from tests.support.sweeps import small_sweep
from tests.support.web import InProcess
from workers.checkpoint_store import FsspecStore
from workers.dispatcher import Dispatcher, DispatcherSettings
from workers.ports import Claim
from workers.reporter import HttpReporter
from workers.runner import run_attempt

RULES = QueueRules(backoff=timedelta(0))
DISPATCHERS = 10
TWO_DEATHS = [
    ("after start", "before lost"),  # the worker dies, then the dispatcher that was to say so
    ("after start", "after lost"),
    ("after metrics", "after metrics"),
    ("after finish", "before lost"),
    ("before finish", "after claim"),
    ("after submit", "before release_owner"),
    ("after checkpoint", "before resume"),
    ("after checkpoint", "after resume"),
    ("amid write", "amid write"),
]


def computed(engine: Engine, points: FaultPoints, folder: Path) -> dict[str, Result]:
    """A small sweep, run by dispatchers that follow each other; after every segment comes a checkpoint."""
    submit(engine, small_sweep())
    queue = Queue(engine, rules=RULES)
    line = ProbedTransport(InProcess(make_app(queue)), points)
    store = ProbedStore(FsspecStore(str(folder)), points)

    def execute(claim: Claim) -> None:
        reporter = HttpReporter("http://127.0.0.1", claim.attempt_id, claim.secret, transport=line)
        with contextlib.closing(reporter):
            run_attempt(reporter, store=store, checkpoint_seconds=0, clock=lambda: 0.0)

    def begin() -> Dispatcher:
        settings = DispatcherSettings(owner="d", max_lanes=2)
        probed = ProbedQueue(queue, points)
        return Dispatcher(probed, InlineLauncher(execute, points), settings)

    for _ in range(DISPATCHERS):
        with contextlib.suppress(Killed):
            dispatcher = begin()
            dispatcher.take_over()
            while any(one.state in ("queued", "running") for one in results.results(engine).values()):
                dispatcher.tick()
            return results.results(engine)
    raise AssertionError("dispatchers die without end")


UNDISTURBED: dict[str, Result] = {}
"""Filled by whichever test comes first: who dies must not matter."""


def require_whole(engine: Engine, found: Mapping[str, Result], points: FaultPoints) -> None:
    """Everybody died who was to, and nobody sees it."""
    assert points.left == frozenset()
    assert {result.state for result in found.values()} == {"succeeded"}
    assert all(result.metrics and result.curves for result in found.values())
    assert results.doubled(engine) == Doubled(0, 0, 0)


@pytest.mark.parametrize("deaths", [*((point,) for point in POINTS), *TWO_DEATHS], ids=" then ".join)
def test_a_death_at_a_named_point_changes_no_result(
    engine: Engine, deaths: tuple[str, ...], tmp_path: Path
) -> None:
    points = FaultPoints(*deaths)
    found = computed(engine, points, tmp_path)
    require_whole(engine, found, points)
    UNDISTURBED.update({} if UNDISTURBED else found)
    assert found == UNDISTURBED


def test_a_submission_whose_answer_is_lost_is_repeated_without_effect(engine: Engine) -> None:
    points = FaultPoints("after submit")
    with pytest.raises(Killed):
        points.around("submit", lambda: submit(engine, small_sweep(), idempotency_key="k"))
    assert submit(engine, small_sweep(), idempotency_key="k").sweep_id == 1
