"""The HTTP reporter against a scripted server, on a clock that only its own pauses move."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.support.fakes import ManualClock, make_start_reply
from workers.messages import CurveSegment, Heartbeat, MetricsBatch, Outcome, Provenance
from workers.ports import Superseded
from workers.reporter import HttpReporter, OutageTooLong, Patience, Refused, Unauthorized

PROGRESS = Heartbeat(steps_done=1, steps_total=2)
PROVENANCE = Provenance(
    heunboard="0", git_revision=None, python="3", torch="2", device="cpu", driver=None, host="h",
    threads=1, deterministic=False, seconds=1.0, peak_memory_bytes=None,
)  # fmt: skip
OUTCOME = Outcome(outcomes=(), provenance=PROVENANCE)
Answer = int | Exception


class ScriptedServer:
    """Answers with the scripted statuses, then with 200; remembers what it accepted."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.accepted: list[tuple[str, bytes]] = []
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, Exception):
            raise answer
        if answer != 200:
            return httpx.Response(answer, text="because")
        name = request.url.path.rsplit("/", 1)[-1]
        self.accepted.append((name, request.content))
        bodies: dict[str, str] = {"start": make_start_reply().model_dump_json(), "heartbeat": "{}"}
        return httpx.Response(200, text=bodies.get(name, ""))


def connect(
    handler: Callable[[httpx.Request], httpx.Response], clock: ManualClock, **patience: float
) -> HttpReporter:
    transport = httpx.MockTransport(handler)
    rules = Patience(**patience)  # type: ignore[arg-type]  # one of its fields is a whole number
    return HttpReporter(
        "http://server/", 7, "s3cret", patience=rules, clock=clock, sleep=clock.sleep, transport=transport
    )


def batch(seq: int) -> MetricsBatch:
    segment = CurveSegment(trial="t0", metric="loss", first=seq, values=(float("nan"), float("inf"), 0.5))
    return MetricsBatch(seq=seq, progress=PROGRESS, segments=(segment,))


def sequence(server: ScriptedServer) -> list[int]:
    bodies = [body for name, body in server.accepted if name == "metrics"]
    return [MetricsBatch.model_validate_json(body).seq for body in bodies]


def test_address_and_secret() -> None:
    server = ScriptedServer()
    assert connect(server, ManualClock()).start() == make_start_reply()
    (request,) = server.requests
    assert str(request.url) == "http://server/internal/v1/attempts/7/start"
    assert request.headers["Authorization"] == "Bearer s3cret"


def test_values_that_are_not_finite_survive_the_journey() -> None:
    server = ScriptedServer()
    connect(server, ManualClock()).metrics(batch(1))
    received = MetricsBatch.model_validate_json(server.accepted[0][1]).segments[0].values
    assert received == pytest.approx((float("nan"), float("inf"), 0.5), nan_ok=True)


def test_outage_is_waited_out_with_growing_pauses() -> None:
    clock = ManualClock()
    server = ScriptedServer(*[httpx.ConnectError("down")] * 3, 503, 500)
    connect(server, clock).heartbeat(PROGRESS)
    assert len(clock.slept) == 5
    for n, pause in enumerate(clock.slept):
        assert 0.5 * 0.2 * 2**n <= pause <= 0.2 * 2**n


def test_outage_beyond_the_budget_ends_the_attempt() -> None:
    clock = ManualClock()
    server = ScriptedServer(*[httpx.ConnectError("down")] * 1000)
    with pytest.raises(OutageTooLong, match=r"no answer to 'start' of attempt 7 .* down"):
        connect(server, clock, outage_budget=60.0).start()
    assert 40 <= clock.now <= 60


def test_metrics_do_not_wait_and_arrive_in_order() -> None:
    clock = ManualClock()
    server = ScriptedServer(503)
    reporter = connect(server, clock)
    reporter.metrics(batch(1))
    reporter.metrics(batch(2))
    assert clock.slept == []
    assert len(server.requests) == 1, "a server that just failed is left alone for a pause"
    clock.now += 1
    reporter.metrics(batch(3))
    assert sequence(server) == [1, 2, 3]


def test_full_buffer_makes_the_training_wait() -> None:
    clock = ManualClock()
    server = ScriptedServer(503, 503, 503)
    reporter = connect(server, clock, buffer_bytes=200)
    for seq in (1, 2, 3):
        reporter.metrics(batch(seq))
    assert clock.slept != []
    assert sequence(server) == [1, 2, 3]


def test_finish_comes_after_all_metrics() -> None:
    server = ScriptedServer(503, 503)
    reporter = connect(server, ManualClock())
    reporter.metrics(batch(1))
    reporter.finish(OUTCOME)
    assert [name for name, _ in server.accepted] == ["metrics", "finish"]


def test_superseded_is_final() -> None:
    clock = ManualClock()
    assert connect(ScriptedServer(409), clock).start() is None
    calls: list[Callable[[HttpReporter], object]] = [
        lambda reporter: reporter.heartbeat(PROGRESS),
        lambda reporter: reporter.metrics(batch(1)),
        lambda reporter: reporter.finish(OUTCOME),
    ]
    for call in calls:
        with pytest.raises(Superseded):
            call(connect(ScriptedServer(409), clock))
    assert clock.slept == []


@pytest.mark.parametrize(("status", "kind"), [(401, Unauthorized), (404, Refused), (422, Refused)])
def test_refusals_are_not_repeated(status: int, kind: type[Exception]) -> None:
    server = ScriptedServer(status)
    with pytest.raises(kind, match=str(status)):
        connect(server, ManualClock()).start()
    assert len(server.requests) == 1


def test_close_cuts_a_wait_short() -> None:
    server = ScriptedServer(*[503] * 10)
    reporter = HttpReporter("http://server", 7, "s", transport=httpx.MockTransport(server))
    reporter.close()
    with pytest.raises((OutageTooLong, RuntimeError)):
        reporter.heartbeat(PROGRESS)
    assert len(server.requests) <= 1
