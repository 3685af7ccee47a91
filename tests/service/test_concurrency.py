"""Real threads and real processes on one database; exact counts, no sleeping."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import TypeVar

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from service.errors import StaleAttempt
from service.queue.cohorts import Queue
from service.queue.submission import submit
from service.states import AttemptState, CohortState, TrialState
from service.storage.engine import read
from service.storage.models import Attempt, Cell, CellSummary, Cohort, SweepTrial, Trial, TrialMetric
from tests.support.sweeps import outcome, small_sweep
from workers.ports import Claim

ROOT = Path(__file__).resolve().parents[2]
Result = TypeVar("Result")


def at_once(*calls: Callable[[], Result]) -> list[Result]:
    """Run calls in threads that begin together; errors are raised here."""
    barrier = Barrier(len(calls))

    def begin(call: Callable[[], Result]) -> Result:
        barrier.wait(timeout=30)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(begin, calls))


def test_claimers_never_get_the_same_cohort(engine: Engine) -> None:
    submit(engine, small_sweep(estimators=["st"], seeds=60))
    queue = Queue(engine)
    assert queue.plan(max_lanes=1, slots=1) == 60

    def claim_all() -> list[Claim]:
        mine: list[Claim] = []
        while claims := queue.claim(owner="d", limit=2):
            mine += claims
        return mine

    claims = [claim for mine in at_once(*[claim_all] * 4) for claim in mine]
    assert sorted(claim.cohort_id for claim in claims) == list(range(1, 61))
    assert {claim.number for claim in claims} == {1}


def test_planners_make_every_cohort_once(engine: Engine) -> None:
    submit(engine, small_sweep(estimators=["st"], seeds=60))
    made = at_once(*[lambda: Queue(engine).plan(max_lanes=4, slots=1)] * 4)
    assert sorted(made) == [0, 0, 0, 15]


def test_submitters_share_their_trials(engine: Engine) -> None:
    calls = [lambda seeds=seeds: submit(engine, small_sweep(seeds=seeds)) for seeds in (20, 30, 40, 50)]
    results = at_once(*calls)
    assert sum(result.new for result in results) == 100
    with read(engine) as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(Trial)) == 100
        assert connection.scalar(sa.select(sa.func.count()).select_from(SweepTrial)) == 280
        assert connection.scalar(sa.select(sa.func.sum(Cell.trials))) == 100


def test_finishing_together_loses_nothing(engine: Engine) -> None:
    """Eight cohorts of the same two cells finish at once, each twice; sums are exact."""
    submit(engine, small_sweep(seeds=32))
    queue = Queue(engine)
    queue.plan(max_lanes=8, slots=1)
    replies = [(c, queue.start(c.attempt_id, c.secret)) for c in queue.claim(owner="d", limit=99)]
    calls = [
        lambda claim=claim, reply=reply: queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))
        for claim, reply in replies * 2
    ]
    at_once(*calls)
    with read(engine) as connection:
        summary = connection.execute(
            sa.select(CellSummary.count, CellSummary.mean).where(CellSummary.metric == "expected_loss")
        ).all()
        assert [n for n, _ in summary] == [32, 32]
        assert [mean for _, mean in summary] == pytest.approx([15.5, 15.5])
        assert connection.scalars(sa.select(Cell.succeeded)).all() == [32, 32]
        assert connection.scalar(sa.select(sa.func.count()).select_from(TrialMetric)) == 128


@pytest.mark.parametrize("round_", range(5))
def test_finish_against_lost_has_one_winner(engine: Engine, round_: int) -> None:
    submit(engine, small_sweep(estimators=["st"]))
    queue = Queue(engine)
    queue.plan(max_lanes=8, slots=1)
    (claim,) = queue.claim(owner="d", limit=1)
    reply = queue.start(claim.attempt_id, claim.secret)

    def finish() -> bool:
        try:
            queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))
        except StaleAttempt:
            return False
        return True

    def lose() -> bool:
        queue.lost(attempt_id=claim.attempt_id, reason="gone")
        return True

    finished, _ = at_once(finish, lose)
    with read(engine) as connection:
        trials = set(connection.scalars(sa.select(Trial.state)))
        attempt = connection.scalar(sa.select(Attempt.state))
        stored = connection.scalar(sa.select(sa.func.count()).select_from(TrialMetric))
    expected = (
        ({TrialState.SUCCEEDED}, AttemptState.FINISHED, 6)
        if finished
        else ({TrialState.QUEUED}, AttemptState.LOST, 0)
    )
    assert (trials, attempt, stored) == expected


def test_killed_claimer_leaves_a_consistent_queue(engine: Engine, database_url: str) -> None:
    """Two processes claim, one is killed in the middle; every cohort has one attempt or none."""
    submit(engine, small_sweep(estimators=["st"], seeds=400))
    queue = Queue(engine)
    queue.plan(max_lanes=1, slots=1)
    with claimer(database_url, "victim") as victim, claimer(database_url, "survivor") as survivor:
        for process in (victim, survivor):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        assert victim.stdout is not None
        for _ in range(20):
            victim.stdout.readline()
        victim.send_signal(signal.SIGKILL)
        told, _ = survivor.communicate(timeout=60)
        seen = [line.split() for line in told.splitlines()]
    with read(engine) as connection:
        attempts = connection.execute(sa.select(Attempt.cohort_id, Attempt.number, Attempt.owner)).all()
        running = connection.scalars(sa.select(Cohort.id).where(Cohort.state == CohortState.RUNNING)).all()
        lanes = connection.scalars(sa.select(Trial.cohort_id).where(Trial.state == TrialState.RUNNING)).all()
    assert len(attempts) == 400
    assert (
        sorted(cohort for cohort, _, _ in attempts)
        == sorted(running)
        == sorted(cohort for cohort in lanes if cohort is not None)
    )
    assert {number for _, number, _ in attempts} == {1}
    assert sum(owner == "survivor" for _, _, owner in attempts) == len(seen)
    assert queue.release_owner(owner="victim") == 400 - len(seen)
    assert len(queue.claim(owner="next", limit=500)) == 400 - len(seen)


@contextmanager
def claimer(url: str, owner: str) -> Iterator[subprocess.Popen[str]]:
    """A claiming process that waits for its starting line."""
    command = [sys.executable, "-m", "tests.support.claimer", url, owner]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()
