"""Real threads and real processes on one database; exact counts, no sleeping."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Event
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from service.errors import NothingToDo, StaleAttempt
from service.queue.cohorts import Queue
from service.queue.control import Controls
from service.queue.reports import QueueRules
from service.queue.submission import submit
from service.states import AttemptState, CohortState, TrialState
from service.storage.engine import MOST_CONNECTIONS, is_sqlite, read
from service.storage.models import Attempt, Cell, CellSummary, Cohort, SweepTrial, Trial, TrialMetric
from tests.support.sweeps import PROVENANCE, outcome, small_sweep
from workers.messages import Heartbeat, Outcome, TrialOutcome
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


def test_the_connection_that_was_used_last_is_used_again(engine: Engine) -> None:
    """And none to PostgreSQL is closed after a rush; those to SQLite are, with the pages that they keep."""
    several = 5 if is_sqlite(engine) else MOST_CONNECTIONS
    rush = [engine.connect() for _ in range(several)]
    drivers = [connection.connection.driver_connection for connection in rush]
    for connection in rush:
        connection.close()
    for _ in range(2):
        with engine.connect() as again:
            assert again.connection.driver_connection is drivers[-1]
    rush = [engine.connect() for _ in range(several)]
    assert {id(one.connection.driver_connection) for one in rush} == set(map(id, drivers))
    for connection in rush:
        connection.close()


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


def test_people_and_workers_do_not_hurt_each_other(engine: Engine) -> None:
    """Two people pause, resume, cancel, retry and hurry three sweeps that share trials, while others submit,
    two dispatchers plan and claim, and their attempts stop when they are asked, die or finish.

    No transaction fails; when the people are done everything is computed, once, and every count adds up.
    """
    for number in range(3):
        submit(engine, small_sweep(name=f"sweep {number}", seeds=8 + 8 * number))
    done = Event()
    at_once(
        lambda: _fickle(engine, random.Random(1), rounds=40),
        lambda: _fickle(engine, random.Random(2), rounds=40),
        lambda: _submit_more(engine),
        lambda: _work(engine, random.Random(3), "d1", done, rounds=60),
        lambda: _work(engine, random.Random(4), "d2", done, rounds=60),
    )
    controls = Controls(engine)
    for sweep_id in range(1, 14):
        for act in (controls.resume, controls.retry):
            with suppress(NothingToDo):
                act(sweep_id)
    done.set()
    _work(engine, random.Random(5), "d1", done, rounds=400)
    with read(engine) as connection:
        states = connection.execute(sa.select(Trial.state, sa.func.count()).group_by(Trial.state)).all()
        assert states == [(TrialState.SUCCEEDED, 48)]
        assert connection.scalar(sa.select(sa.func.count()).select_from(TrialMetric)) == 96
        assert (
            connection.execute(sa.select(Cell.trials, Cell.succeeded, Cell.failed, Cell.cancelled)).all()
            == [(24, 24, 0, 0)] * 2
        )
        counts = connection.scalars(sa.select(CellSummary.count)).all()
        assert set(counts) == {24}
        left = sa.select(sa.func.count()).where(Cohort.state.in_((CohortState.QUEUED, CohortState.RUNNING)))
        assert connection.scalar(left) == 0


def test_nobody_plans_while_a_submission_holds_trials_that_others_want(engine: Engine) -> None:
    """It holds their cohorts first. A trial that came into one after that, and was claimed with it, would
    have the claim and the submission wait for each other. SQLite has one writer, and no such locks."""
    submit(engine, small_sweep(name="first", seeds=4))
    held: list[bool] = []

    def look(_connection: Any, _cursor: Any, statement: str, *_others: object) -> None:
        if "FOR SHARE" in statement:
            with engine.connect() as other, other.begin():
                plan = sa.text("SELECT pg_try_advisory_xact_lock(hashtext('plan'))")
                held.append(not other.execute(plan).scalar_one())

    with listening(engine, look):
        submit(engine, small_sweep(name="second", seeds=4))
    assert held == ([] if is_sqlite(engine) else [True, True]), "cohorts, then trials"


@contextmanager
def listening(engine: Engine, look: Callable[..., None]) -> Iterator[None]:
    """``look`` is called after every statement."""
    sa.event.listen(engine, "after_cursor_execute", look)
    try:
        yield
    finally:
        sa.event.remove(engine, "after_cursor_execute", look)


def _submit_more(engine: Engine) -> None:
    for n in range(10):
        submit(engine, small_sweep(name="more", seeds=4 + n))


def _fickle(engine: Engine, chance: random.Random, *, rounds: int) -> None:
    """Somebody who cannot decide."""
    controls = Controls(engine)
    acts = (controls.pause, controls.resume, controls.resume, controls.cancel, controls.retry)
    for _ in range(rounds):
        with suppress(NothingToDo):
            if chance.random() < 0.2:
                controls.set_priority(chance.randint(1, 3), chance.randint(-3, 3))
            else:
                chance.choice(acts)(chance.randint(1, 3))


def _work(engine: Engine, chance: random.Random, owner: str, done: Event, *, rounds: int) -> None:
    """A dispatcher with two slots and its attempts. They stop when asked; before the end some are lost."""
    queue = Queue(engine, rules=QueueRules(backoff=timedelta(0), max_attempts=100))
    for _ in range(rounds):
        queue.plan(max_lanes=8, slots=2, side_by_side=True)
        claims = queue.claim(owner=owner, limit=2)
        if not claims and done.is_set():
            return
        for claim in claims:
            reply = queue.start(claim.attempt_id, claim.secret)
            asked = queue.heartbeat(
                claim.attempt_id, claim.secret, Heartbeat(steps_done=1, steps_total=9)
            ).stop
            if not done.is_set() and chance.random() < 0.2:
                queue.lost(attempt_id=claim.attempt_id, reason="killed")
            elif asked:
                rest = tuple(TrialOutcome(trial=trial.key, status="stopped") for trial in reply.trials[1:])
                ended = outcome(reply.trials[:1]).outcomes
                queue.finish(
                    claim.attempt_id, claim.secret, Outcome(outcomes=ended + rest, provenance=PROVENANCE)
                )
            else:
                queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))


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
