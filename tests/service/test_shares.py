"""Fair shares and limits of the owners of sweeps, on both databases."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from service.app import create_app
from service.errors import TooManyTrials
from service.queue.cohorts import Queue
from service.queue.limits import require_room
from service.queue.reports import QueueRules
from service.queue.submission import submit
from service.settings import Settings
from service.storage.engine import read
from service.storage.models import Cohort
from tests.support.sweeps import outcome, small_sweep
from tests.support.web import browser_of
from workers.ports import Claim


@pytest.fixture
def queue(engine: Engine) -> Queue:
    return Queue(engine)


def put(engine: Engine, owner: str | None, estimator: str, seeds: int, **changes: object) -> None:
    submit(engine, small_sweep(name=str(owner), owner=owner, estimators=[estimator], seeds=seeds, **changes))


def owners(engine: Engine, claims: list[Claim]) -> list[str]:
    with read(engine) as connection:
        found = {id: who for id, who in connection.execute(sa.select(Cohort.id, Cohort.submitter))}
    return [found[claim.cohort_id] for claim in claims]


def test_slots_are_shared_between_owners_and_nobody_is_one_of_them(engine: Engine, queue: Queue) -> None:
    put(engine, "many", "st", 30)
    put(engine, None, "reinmax", 2)
    put(engine, "late", "stgs", 2)
    queue.plan(max_lanes=1, slots=1)
    first = queue.claim(owner="d", limit=1)
    assert owners(engine, first) == ["many"], "the earliest sweep, when nobody has anything running"
    assert owners(engine, queue.claim(owner="d", limit=4)) == ["", "late", "many", ""]
    for claim in first:
        reply = queue.start(claim.attempt_id, claim.secret)
        queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))
    assert owners(engine, queue.claim(owner="d", limit=3)) == ["many", "late", "many"]


def test_priority_goes_before_shares(engine: Engine, queue: Queue) -> None:
    put(engine, "urgent", "st", 3, priority=1)
    put(engine, "other", "reinmax", 3)
    queue.plan(max_lanes=1, slots=1)
    assert owners(engine, queue.claim(owner="d", limit=5)) == ["urgent"] * 3 + ["other"] * 2


def test_owners_whose_sweeps_are_alike_share_no_cohort(engine: Engine, queue: Queue) -> None:
    put(engine, "a", "st", 3)
    put(engine, "b", "st", 6)
    queue.plan(max_lanes=64, slots=1)
    claims = queue.claim(owner="d", limit=9)
    assert dict(zip(owners(engine, claims), (claim.lanes for claim in claims), strict=True)) == {
        "a": 3,
        "b": 3,
    }


def test_planning_thinks_of_every_owner(
    engine: Engine, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.queue.cohorts.PLANNED_AT_ONCE", 8)
    put(engine, "many", "st", 30)
    put(engine, "few", "reinmax", 3)
    queue.plan(max_lanes=1, slots=1)
    assert sorted(owners(engine, queue.claim(owner="d", limit=9))) == ["few"] * 3 + ["many"] * 5


def test_no_owner_has_more_attempts_than_the_limit(engine: Engine) -> None:
    queue = Queue(engine, rules=QueueRules(owner_slots=2))
    put(engine, "a", "st", 5)
    put(engine, "b", "reinmax", 1)
    queue.plan(max_lanes=1, slots=1)
    assert sorted(owners(engine, queue.claim(owner="d", limit=9))) == ["a", "a", "b"]
    assert queue.claim(owner="d", limit=9) == []


class TestPendingTrials:
    def test_a_sweep_above_the_limit_is_refused(self, engine: Engine) -> None:
        put(engine, "a", "st", 4)
        fits = small_sweep(owner="a", estimators=["reinmax"], seeds=2)
        require_room(engine, fits, 6)
        with pytest.raises(TooManyTrials, match=r"a has 4 trials .* 2 more; .* at most 5 .*OWNER_TRIALS"):
            require_room(engine, fits, 5)
        require_room(engine, small_sweep(estimators=["reinmax"], seeds=2), 5)

    def test_what_is_queued_or_computed_already_takes_no_room(self, engine: Engine, queue: Queue) -> None:
        put(engine, "a", "st", 4)
        require_room(engine, small_sweep(owner="a", estimators=["st"], seeds=4), 4)
        queue.plan(max_lanes=64, slots=1)
        (claim,) = queue.claim(owner="d", limit=1)
        reply = queue.start(claim.attempt_id, claim.secret)
        queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))
        require_room(engine, small_sweep(owner="a", estimators=["st", "reinmax"], seeds=4), 4)

    def test_over_http_it_is_a_429_for_sweeps_and_for_suites(self, engine: Engine) -> None:
        settings = Settings(data_home=Path(os.devnull), owner_trials=5)
        web = browser_of(create_app(settings, engine))
        refused = web.post("/api/v1/sweeps", json=small_sweep().to_json())
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:heunboard:problem:too-many-trials")
        assert web.post("/api/v1/sweeps", json=small_sweep(seeds=2).to_json()).status_code == 201
        suite = web.post("/api/v1/suites/reinmax-2023/table1", json={"tier": "smoke"})
        assert (suite.status_code, "OWNER_TRIALS" in suite.json()["detail"]) == (429, True)
