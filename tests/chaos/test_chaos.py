"""A short chaos, and that its judgement can tell right from wrong."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from service.errors import StaleAttempt
from service.queue.cohorts import Queue
from service.queue.submission import submit
from service.storage import migrations
from service.storage.engine import database_clock, write
from service.storage.models import CellSummary, CurveSegment, SweepTrial, Trial
from tests.chaos import campaign, faults, results
from tests.chaos.arena import Arena, Rules
from tests.chaos.campaign import Plan
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.process import UnfencedReports
from tests.chaos.results import Doubled
from tests.chaos.sweeps import POLYNOMIAL
from tests.support.databases import engine_of
from tests.support.sweeps import outcome, small_sweep
from tests.support.web import compute, fail
from workers.messages import CurveSegment as CurveMessage
from workers.messages import Heartbeat, MetricsBatch
from workers.ports import Claim

SHORT = ("local worker killed", "web killed", "dispatcher (local) killed")
PROGRESS = Heartbeat(steps_done=1, steps_total=2)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_short_chaos(tmp_path: Path) -> None:
    """Three kills with the local launcher on SQLite; `make chaos` has a hundred of all kinds."""

    def kills(_arena: Arena, _chance: random.Random) -> Sequence[Fault]:
        return [fault for name in SHORT for fault in FAULTS if fault.name == name]

    task = POLYNOMIAL | {"epochs": 40}
    sweeps = [{"name": "c", "task": task, "estimators": ["st"], "seeds": list(range(100 * n, 100 * n + 20))}
              for n in range(20)]  # fmt: skip
    for name in ("chaos", "calm"):
        (tmp_path / name).mkdir()
    rules = Rules(launchers=("local",), lease_seconds=10)
    plan = Plan(backend="sqlite", rules=rules, faults=kills, sweeps=sweeps)
    found = campaign.run(plan, tmp_path / "chaos", lambda line: None)
    calm = campaign.undisturbed(sweeps[: found.sweeps], tmp_path / "calm")
    assert len(found.results) == 20 * found.sweeps
    assert (found.lost(), found.doubled, found.unlike(calm), found.unexpected()) == (
        0,
        Doubled(0, 0, 0),
        0,
        0,
    )
    assert found.stale_writes == 0
    assert all(struck.recovery < campaign.GIVEN_UP_SECONDS for struck in found.struck)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    with engine_of(f"sqlite:///{tmp_path / 'board.sqlite'}") as engine:
        migrations.upgrade(engine)
        yield engine


def given_up(engine: Engine) -> Claim:
    """An attempt that was given up after it had begun."""
    submit(engine, small_sweep(estimators=["st"], seeds=1))
    queue = Queue(engine)
    queue.plan(max_lanes=1, slots=1)
    (claim,) = queue.claim(owner="d", limit=1)
    queue.start(claim.attempt_id, claim.secret)
    queue.lost(attempt_id=claim.attempt_id, reason="test")
    return claim


def test_without_the_fence_a_stale_report_is_stored_and_seen(database: Engine) -> None:
    """What the control run must show; with the fence it is refused, and counted as that."""
    stale = given_up(database)
    with pytest.raises(StaleAttempt):
        Queue(database).heartbeat(stale.attempt_id, stale.secret, PROGRESS)
    assert (results.stale_writes(database), results.refused(database)) == (0, 1)
    UnfencedReports(database).heartbeat(stale.attempt_id, stale.secret, PROGRESS)
    assert results.stale_writes(database) == 1


def test_results_are_those_of_the_trials(database: Engine) -> None:
    compute(database, small_sweep(estimators=["st"], seeds=2))
    found = results.results(database)
    assert [one.state for one in found.values()] == ["succeeded"] * 2
    assert all(one.metrics["train_loss"] == 1.0 for one in found.values())
    assert [one.curves["expected_loss"] for one in found.values()] == [
        bytes.fromhex("00000040 0000803f"),  # 2 and 1 as float32
        bytes.fromhex("00000040 00000040"),
    ]
    assert results.doubled(database) == Doubled(0, 0, 0)


def test_trials_without_a_result_say_why(database: Engine) -> None:
    compute(database, small_sweep(estimators=["st"], seeds=2))
    assert results.errors(database) == []
    submit(database, small_sweep(estimators=["reinmax"], seeds=1))
    with write(database) as connection:
        of_it = sa.update(Trial).where(Trial.state == "queued")
        now = database_clock(connection)
        connection.execute(of_it.values(state="failed", error="no data", ended_at=now))
    assert results.errors(database) == ["no data"]
    fail(database, small_sweep(estimators=["exact"], seeds=1), error="bad", traceback="line 7")
    first, second = results.stories(database)
    assert "failed: no data" in first
    assert "failed: bad" in second
    assert "line 7" in second
    assert '"state":"finished"' in second, "its attempt is told of"


def test_points_that_are_there_twice_or_missing_are_seen(database: Engine) -> None:
    compute(database, small_sweep(estimators=["st"], seeds=2))
    with write(database) as connection:
        first = sa.select(sa.func.min(CurveSegment.trial_id)).scalar_subquery()
        gap = sa.update(CurveSegment).where(CurveSegment.trial_id == first).values(first=2)
        connection.execute(gap)
        connection.execute(sa.update(CellSummary).values(count=CellSummary.count + 1))
        connection.execute(sa.insert(SweepTrial).values(sweep_id=1, trial_id=99))
    assert results.doubled(database) == Doubled(1, 1, 1)


def test_steps_that_were_done_again_are_counted(database: Engine) -> None:
    lost = given_up(database)
    UnfencedReports(database).heartbeat(lost.attempt_id, lost.secret, PROGRESS)
    queue = Queue(database)
    assert results.steps(database) == (1, 0)
    with write(database) as connection:
        connection.execute(sa.text("UPDATE cohort SET not_before = created_at"))
    (claim,) = queue.claim(owner="d", limit=1)
    reply = queue.start(claim.attempt_id, claim.secret)
    curve = CurveMessage(trial=reply.trials[0].key, metric="expected_loss", first=1, values=(1.0,))
    done = Heartbeat(steps_done=10, steps_total=10)
    queue.metrics(claim.attempt_id, claim.secret, MetricsBatch(seq=1, progress=done, segments=(curve,)))
    queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))
    assert results.steps(database) == (11, 10)


def test_every_kind_of_fault_comes_as_often_as_any_other(tmp_path: Path) -> None:
    made = Arena(tmp_path, "sqlite://", Rules(), None)
    drawn = [fault.name for fault in faults.draw(made, 50, random.Random(0))]
    fitting = {fault.name for fault in FAULTS if fault.fits(made)}
    assert len(drawn) == 50
    assert set(drawn) == fitting
    assert max(map(drawn.count, fitting)) - min(map(drawn.count, fitting)) <= 1
    assert not any("PostgreSQL" in name for name in drawn)
