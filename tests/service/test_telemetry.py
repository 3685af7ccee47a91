"""What Prometheus reads: the queue, the nodes and the requests, on both databases."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine
from starlette.types import Message, Receive, Scope, Send

from service.api.telemetry import Telemetry, TimedRequests
from service.queue.cohorts import Queue
from service.queue.submission import submit
from service.storage.engine import read
from tests.support.sweeps import SteppedClock, outcome, small_sweep
from tests.support.web import application, browser_of
from workers.messages import Heartbeat, Start
from workers.ports import NodeReport

Numbers = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def numbers(text: str) -> Numbers:
    """(name, labels) -> value of every sample."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


def of(engine: Engine, clock: SteppedClock) -> Numbers:
    return numbers(Telemetry(engine, clock=clock).text().decode())


def test_the_queue_by_state(engine: Engine, clock: SteppedClock) -> None:
    queue = Queue(engine, clock=clock)
    submit(engine, small_sweep(estimators=["st"], seeds=5))
    queue.plan(max_lanes=2, slots=1)
    first, second, _ = (queue.claim(owner="d", limit=1)[0] for _ in range(3))
    reply = queue.start(
        first.attempt_id, first.secret, Start(host="h", device="cpu", pid=1, heunboard="1", python="3")
    )
    queue.finish(first.attempt_id, first.secret, outcome(reply.trials))
    queue.start(
        second.attempt_id, second.secret, Start(host="h", device="cpu", pid=1, heunboard="1", python="3")
    )
    clock.pass_seconds(4)
    queue.heartbeat(second.attempt_id, second.secret, Heartbeat(steps_done=20, steps_total=40))
    found = of(engine, clock)
    assert found["heunboard_trials", (("state", "succeeded"),)] == 2
    assert found["heunboard_trials", (("state", "waiting"),)] == 3
    assert found["heunboard_cohorts", (("state", "running"),)] == 2
    assert found["heunboard_lane_steps_per_second", ()] == 5.0  # 20 steps in 4 s


def test_expired_leases_are_counted_by_cause(engine: Engine, clock: SteppedClock) -> None:
    queue = Queue(engine, clock=clock)
    submit(engine, small_sweep(estimators=["st"], seeds=1))
    queue.plan(max_lanes=1, slots=1)
    (claim,) = queue.claim(owner="d", limit=1)
    queue.start(
        claim.attempt_id, claim.secret, Start(host="h", device="cpu", pid=1, heunboard="1", python="3")
    )
    # From the first reading on, so that the first loss is an increase.
    assert of(engine, clock)["heunboard_attempts_lost_total", (("cause", "silence"),)] == 0
    clock.pass_seconds(1000)
    assert queue.expire_leases() == 1
    assert of(engine, clock)["heunboard_attempts_lost_total", (("cause", "silence"),)] == 1


def test_launcher_and_queue_disagree(engine: Engine, clock: SteppedClock) -> None:
    queue = Queue(engine, clock=clock)
    for _ in range(5):
        queue.see_nodes([NodeReport(name="a", device="cuda", slots=2, free=0)])
        clock.pass_seconds(25)
    queue.see_nodes([NodeReport(name="a", device="cuda", slots=2, free=0)])
    found = of(engine, clock)
    node = (("node", "a"),)
    names = ("slots", "busy", "free", "slot_difference", "differs")
    shown = {name: found[f"heunboard_node_{name}", node] for name in names}
    assert shown == {"slots": 2, "busy": 0, "free": 0, "slot_difference": 2, "differs": 1}
    clock.pass_seconds(7)
    assert of(engine, clock)["heunboard_launcher_silence_seconds", ()] == 7


def test_the_database(engine: Engine, clock: SteppedClock) -> None:
    small = of(engine, clock)["heunboard_database_bytes", ()]
    assert small > 50_000  # the schema alone
    submit(engine, small_sweep(estimators=["st"], seeds=2000))
    with read(engine):
        found = of(engine, clock)
    assert found["heunboard_database_bytes", ()] > small + 100_000
    assert found["heunboard_database_connections", ()] == 1  # the one above: the numbers were read before
    assert 0 < found["heunboard_database_read_seconds", ()] < 10


def test_requests_are_counted_by_route_and_never_by_what_strangers_ask_for(engine: Engine) -> None:
    with browser_of(application(engine)) as http:
        http.get("/api/v1/sweeps/17")
        http.get("/api/v1/sweeps/18")
        http.get("/sweeps/17")
        http.get("/wp-admin/setup.php")
        answer = http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    counts = {
        labels: value
        for (name, labels), value in numbers(answer.text).items()
        if name == "heunboard_http_request_seconds_count"
    }
    asked = {(dict(labels)["route"], dict(labels)["status"]): value for labels, value in counts.items()}
    assert asked["/api/v1/sweeps/{id}", "404"] == 2
    assert asked["/sweeps/{id}", "404"] == 1
    assert asked["unknown", "404"] == 1
    assert not [route for route, _ in asked if "wp-admin" in route]


@pytest.mark.parametrize(("media_type", "seconds"), [(b"text/event-stream", 2.0), (b"text/html", 60.0)])
def test_a_stream_of_events_is_timed_to_its_beginning(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, media_type: bytes, seconds: float
) -> None:
    """It begins after two seconds and ends after a minute."""
    now = [0.0]
    monkeypatch.setattr("service.api.telemetry.time.perf_counter", lambda: now[0])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        now[0] = 2.0
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", media_type)]})
        now[0] = 60.0

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        pass

    telemetry = Telemetry(engine)
    scope = {"type": "http", "method": "GET", "path": "/x"}
    asyncio.run(TimedRequests(app, telemetry)(scope, receive, send))
    found = numbers(telemetry.text().decode())
    labels = (("method", "GET"), ("route", "unknown"), ("status", "200"))
    assert found["heunboard_http_request_seconds_sum", labels] == seconds
