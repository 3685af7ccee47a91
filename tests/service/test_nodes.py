"""Nodes: who tells of them, draining, quarantine, attempts by host; on both databases."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from service.errors import NotFound, NothingToDo
from service.queue.cohorts import Queue
from service.queue.control import Controls
from service.queue.nodes import Nodes
from service.queue.submission import submit
from service.resources.attempts import find_attempts
from service.resources.nodes import list_nodes
from service.resources.trials import trial_attempts
from service.states import AttemptState
from service.storage.engine import read
from service.storage.models import Event
from service.storage.queries.attempts import Search
from tests.support.sweeps import PROVENANCE, SteppedClock, outcome, small_sweep
from tests.support.web import application, browser_of
from workers.messages import Heartbeat, Outcome, Start, StartReply, TrialOutcome
from workers.ports import Claim, NodeReport

PROGRESS = Heartbeat(steps_done=0, steps_total=10)


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def queue(engine: Engine, clock: SteppedClock) -> Queue:
    return Queue(engine, clock=clock)


@pytest.fixture
def people(engine: Engine, clock: SteppedClock) -> Nodes:
    return Nodes(engine, clock=clock)


def report(name: str, *, slots: int = 2, free: int = 2) -> NodeReport:
    return NodeReport(name=name, device="cuda", slots=slots, free=free)


def at(host: str, node: str | None = None) -> Start:
    return Start(host=host, node=node, device="cpu", pid=7, heunboard="1.0", python="3.11")


def claimed(engine: Engine, queue: Queue, *, lanes: int = 1, seeds: int = 8, limit: int = 1) -> list[Claim]:
    submit(engine, small_sweep(estimators=["st"], seeds=seeds))
    queue.plan(max_lanes=lanes, slots=1)
    return queue.claim(owner="d", limit=limit)


def stopped(reply: StartReply) -> Outcome:
    ends = tuple(TrialOutcome(trial=trial.key, status="stopped") for trial in reply.trials)
    return Outcome(outcomes=ends, provenance=PROVENANCE)


def states(engine: Engine, clock: SteppedClock) -> dict[str, tuple[str, int, int]]:
    return {one.name: (one.state, one.busy, one.idle) for one in list_nodes(engine, clock=clock).nodes}


def events(engine: Engine, kind: str) -> list[str]:
    with read(engine) as connection:
        return list(connection.scalars(sa.select(Event.detail).where(Event.kind == kind).order_by(Event.id)))


class TestWhatIsKnown:
    def test_slots_come_from_the_launcher_and_what_is_busy_from_attempts(
        self, engine: Engine, queue: Queue, clock: SteppedClock
    ) -> None:
        assert queue.see_nodes([report("a"), report("b")]) == frozenset()
        first, second = claimed(engine, queue, limit=2)
        queue.start(first.attempt_id, first.secret, at("a"))
        queue.start(second.attempt_id, second.secret, at("host of b", node="b"))
        assert states(engine, clock) == {"a": ("ready", 1, 1), "b": ("ready", 1, 1)}
        queue.lost(attempt_id=first.attempt_id, reason="killed")
        assert states(engine, clock)["a"] == ("ready", 0, 2)
        clock.pass_seconds(31)
        queue.see_nodes([report("b", slots=4)])
        assert states(engine, clock) == {"a": ("away", 0, 2), "b": ("ready", 1, 3)}
        clock.pass_seconds(86_400)
        assert states(engine, clock) == {}

    def test_older_workers_do_not_say_where_they_are(
        self, engine: Engine, queue: Queue, clock: SteppedClock
    ) -> None:
        (claim,) = claimed(engine, queue)
        queue.start(claim.attempt_id, claim.secret)
        (shown,) = find_attempts(engine, Search(), limit=9).attempts
        assert (shown.state, shown.host, shown.node, shown.worker) == ("running", None, None, None)

    def test_a_lasting_difference_between_launcher_and_queue_is_told_once(
        self, engine: Engine, queue: Queue, clock: SteppedClock
    ) -> None:
        queue.see_nodes([report("a")])
        for _ in range(5):
            queue.see_nodes([report("a", free=0)])
            clock.pass_seconds(25)
        told = "a: the launcher has 0 of 2 slots free, by the queue 0 are busy"
        assert events(engine, "node_differs") == [told]
        queue.see_nodes([report("a", free=0)])
        (node,) = list_nodes(engine, clock=clock).nodes
        assert str(node.warning).startswith("the launcher has 0 of 2 slots free, by the queue 0 are busy")
        queue.see_nodes([report("a")])
        assert list_nodes(engine, clock=clock).nodes[0].warning is None


class TestDraining:
    def test_attempts_there_are_asked_to_stop_and_others_go_on(
        self, engine: Engine, queue: Queue, people: Nodes, clock: SteppedClock
    ) -> None:
        queue.see_nodes([report("a"), report("b")])
        there, elsewhere = claimed(engine, queue, limit=2)
        reply = queue.start(there.attempt_id, there.secret, at("a"))
        queue.start(elsewhere.attempt_id, elsewhere.secret, at("b"))
        people.drain("a")
        assert queue.see_nodes([report("a"), report("b")]) == {"a"}
        assert queue.heartbeat(there.attempt_id, there.secret, PROGRESS).stop == "asked"
        assert queue.heartbeat(elsewhere.attempt_id, elsewhere.secret, PROGRESS).stop is None
        assert states(engine, clock)["a"] == ("draining", 1, 1)
        queue.finish(there.attempt_id, there.secret, stopped(reply))
        assert states(engine, clock)["a"] == ("drained", 0, 2)
        assert queue.backlog().unplanned, "its trials go on elsewhere"
        assert events(engine, "node_controlled") == ["a: drains"]

    def test_what_begins_there_nevertheless_is_asked_to_stop(
        self, engine: Engine, queue: Queue, people: Nodes
    ) -> None:
        queue.see_nodes([report("a")])
        (claim,) = claimed(engine, queue)
        people.drain("a")
        assert queue.start(claim.attempt_id, claim.secret, at("a")).stop == "asked"
        assert queue.heartbeat(claim.attempt_id, claim.secret, PROGRESS).stop == "asked"

    def test_taking_it_back_lets_what_has_not_stopped_go_on(
        self, engine: Engine, queue: Queue, people: Nodes
    ) -> None:
        queue.see_nodes([report("a")])
        (claim,) = claimed(engine, queue)
        queue.start(claim.attempt_id, claim.secret, at("a"))
        people.drain("a")
        people.undrain("a")
        assert queue.heartbeat(claim.attempt_id, claim.secret, PROGRESS).stop is None
        assert queue.see_nodes([report("a")]) == frozenset()

    def test_what_cannot_be(self, queue: Queue, people: Nodes) -> None:
        queue.see_nodes([report("a")])
        with pytest.raises(NotFound, match="'b'"):
            people.drain("b")
        with pytest.raises(NothingToDo, match="in service"):
            people.undrain("a")
        people.drain("a")
        with pytest.raises(NothingToDo, match="draining already"):
            people.drain("a")


class TestQuarantine:
    def lose(self, queue: Queue, claims: list[Claim]) -> None:
        for claim in claims:
            queue.start(claim.attempt_id, claim.secret, at("a"))
            queue.lost(attempt_id=claim.attempt_id, reason="killed")

    def test_after_three_losses_in_a_row_then_longer_and_an_end_that_is_well_forgives(
        self, engine: Engine, queue: Queue, clock: SteppedClock
    ) -> None:
        both = [report("a"), report("b")]
        queue.see_nodes(both)
        claims = claimed(engine, queue, limit=6)
        self.lose(queue, claims[:2])
        assert queue.see_nodes(both) == frozenset()
        self.lose(queue, claims[2:3])
        assert queue.see_nodes(both) == {"a"}
        assert states(engine, clock)["a"][0] == "quarantined"
        assert events(engine, "node_quarantined") == [
            "a: 3 attempts in a row were lost there; nothing begins there for 0:01:00"
        ]
        clock.pass_seconds(61)
        assert queue.see_nodes(both) == frozenset()
        self.lose(queue, claims[3:4])
        clock.pass_seconds(119)
        assert queue.see_nodes(both) == {"a"}, "two minutes after the fourth"
        last = claims[4]
        reply = queue.start(last.attempt_id, last.secret, at("a"))
        queue.finish(last.attempt_id, last.secret, outcome(reply.trials))
        assert queue.see_nodes(both) == frozenset()
        self.lose(queue, claims[5:])
        assert queue.see_nodes(both) == frozenset(), "the first loss in a row again"

    def test_the_only_node_in_service_is_never_under_quarantine(
        self, engine: Engine, queue: Queue, clock: SteppedClock
    ) -> None:
        queue.see_nodes([report("a"), report("b")])
        clock.pass_seconds(31)
        queue.see_nodes([report("a")])
        self.lose(queue, claimed(engine, queue, limit=4))
        assert queue.see_nodes([report("a")]) == frozenset()
        assert list_nodes(engine, clock=clock).nodes[0].losses == 4

    def test_a_stop_by_force_is_nobodys_fault(self, engine: Engine, queue: Queue, people: Nodes) -> None:
        queue.see_nodes([report("a"), report("b")])
        claims = claimed(engine, queue, limit=3)
        for claim in claims:
            queue.start(claim.attempt_id, claim.secret, at("a"))
        people.drain("a")
        for claim in claims:
            queue.lost(attempt_id=claim.attempt_id, reason="ended by force")
        people.undrain("a")
        assert queue.see_nodes([report("a"), report("b")]) == frozenset()
        assert events(engine, "node_quarantined") == []


class TestAttempts:
    def test_they_are_searched_and_paged(self, engine: Engine, queue: Queue) -> None:
        first, second, third = claimed(engine, queue, limit=3)
        queue.start(first.attempt_id, first.secret, at("a.example", node="a"))
        reply = queue.start(second.attempt_id, second.secret, at("b.example"))
        queue.lost(attempt_id=first.attempt_id, reason="Segmentation fault: 100 %_sure")
        queue.finish(second.attempt_id, second.secret, outcome(reply.trials))

        def found(**search: Any) -> list[int]:
            return [one.id for one in find_attempts(engine, Search(**search), limit=9).attempts]

        ids = [first.attempt_id, second.attempt_id, third.attempt_id]
        assert found() == ids[::-1]
        assert found(state=AttemptState.LOST) == found(host="a") == found(host="a.example") == ids[:1]
        assert found(text="segmentation FAULT") == found(text="%_") == ids[:1]
        assert found(text="no such") == []
        assert found(sweep_id=1) == ids[::-1]
        assert found(sweep_id=2) == []
        page = find_attempts(engine, Search(), limit=2)
        assert [one.id for one in page.attempts] == ids[:0:-1]
        rest = find_attempts(engine, Search(), limit=2, page_token=page.next_page_token)
        assert ([one.id for one in rest.attempts], rest.next_page_token) == (ids[:1], None)
        (lost,) = rest.attempts
        assert (lost.cause, lost.host, lost.node) == ("process", "a.example", "a")
        assert lost.worker == {"device": "cpu", "pid": 7, "heunboard": "1.0", "python": "3.11"}
        assert [(one.id, one.name, one.page) for one in lost.sweeps] == [("1", "small", "/sweeps/1")]

    def test_those_before_a_retry_stay_to_be_seen(self, engine: Engine, queue: Queue) -> None:
        (claim,) = claimed(engine, queue, seeds=1)
        reply = queue.start(claim.attempt_id, claim.secret)
        key = reply.trials[0].key
        failed = TrialOutcome(trial=key, status="failed", error="broken data")
        queue.finish(claim.attempt_id, claim.secret, Outcome(outcomes=(failed,), provenance=PROVENANCE))
        Controls(engine).retry(1)
        queue.plan(max_lanes=1, slots=1)
        (again,) = queue.claim(owner="d", limit=1)
        ids = [one.id for one in trial_attempts(engine, key).attempts]
        assert ids == [claim.attempt_id, again.attempt_id]

    def test_causes(self, engine: Engine, queue: Queue, clock: SteppedClock) -> None:
        node, silence, dispatcher = claimed(engine, queue, limit=3)
        queue.lost(attempt_id=node.attempt_id, reason="its node died", blameless=True)
        queue.start(dispatcher.attempt_id, dispatcher.secret)
        clock.pass_seconds(121)
        queue.heartbeat(dispatcher.attempt_id, dispatcher.secret, PROGRESS)
        queue.expire_leases()
        queue.release_owner(owner="d")
        causes = {one.id: one.cause for one in find_attempts(engine, Search(), limit=9).attempts}
        assert causes == {
            node.attempt_id: "node",
            silence.attempt_id: "silence",
            dispatcher.attempt_id: "dispatcher",
        }


def test_over_http(engine: Engine) -> None:
    queue = Queue(engine)
    queue.see_nodes([report("rack 1/a")])
    web = browser_of(application(engine))
    page = web.get("/nodes", headers={"Accept": "text/html"}).text
    assert 'data-action="drain" data-node="rack 1/a"' in page
    (node,) = web.get("/api/v1/nodes").json()["nodes"]
    assert (node["name"], node["state"], node["free"]) == ("rack 1/a", "ready", 2)
    drained = web.post("/api/v1/nodes/rack%201%2Fa/drain", json={})
    assert (drained.status_code, drained.json()["state"]) == (200, "drained")
    assert web.post("/api/v1/nodes/rack%201%2Fa/drain", json={}).status_code == 409
    assert web.post("/api/v1/nodes/x/drain", json={}).status_code == 404
    assert web.post("/api/v1/nodes/x/drain").status_code == 415, "as a foreign page's form would"
    assert web.get("/api/v1/attempts").json() == {"attempts": [], "next_page_token": None}
    assert web.get("/api/v1/attempts?state=odd").status_code == 422
    assert web.get("/api/v1/attempts?text=%00").status_code == 404
