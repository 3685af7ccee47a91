"""The HTTP reporter against a scripted server, on a clock that only its own pauses move."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest

from benchmarks.engine.cohort import Segment
from tests.support.fakes import WAIT_SECONDS, ManualClock, ScriptedCohort, make_segment, make_start_reply
from workers import outbox
from workers.messages import (
    Checkpoint,
    CheckpointReport,
    CurveSegment,
    Heartbeat,
    MetricsBatch,
    News,
    Outcome,
    Provenance,
    ResumedTrial,
    Resumption,
    TrialOutcome,
)
from workers.ports import Superseded
from workers.reporter import HttpReporter, OutageTooLong, Patience, Refused, Unauthorized
from workers.runner import run_attempt

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


def news(epoch: int, *values: float, trial: str = "t0", ends: bool = False) -> News:
    """Values from this epoch on, 0.5 unless told otherwise."""
    segment = CurveSegment(trial=trial, metric="loss", first=epoch, values=values or (0.5,))
    outcomes = (TrialOutcome(trial=trial, status="succeeded"),) if ends else ()
    return News(progress=PROGRESS, segments=(segment,), outcomes=outcomes)


def told(server: ScriptedServer) -> list[MetricsBatch]:
    bodies = [body for name, body in server.accepted if name == "metrics"]
    return [MetricsBatch.model_validate_json(body) for body in bodies]


def epochs(server: ScriptedServer) -> list[int]:
    """Of all values in the order in which they came."""
    return [s.first + n for b in told(server) for s in b.segments for n in range(len(s.values))]


def test_address_and_secret() -> None:
    server = ScriptedServer()
    assert connect(server, ManualClock()).start() == make_start_reply()
    (request,) = server.requests
    assert str(request.url) == "http://server/internal/v1/attempts/7/start"
    assert request.headers["Authorization"] == "Bearer s3cret"


def test_values_that_are_not_finite_survive_the_journey() -> None:
    server = ScriptedServer()
    reporter = connect(server, ManualClock())
    reporter.metrics(news(1, float("nan"), float("inf"), 0.1))
    reporter.finish(OUTCOME)
    received = told(server)[0].segments[0].values
    assert received == pytest.approx((float("nan"), float("inf"), 0.1), nan_ok=True, rel=0)


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


class Gate:
    """A server that answers nothing but the start before it is opened."""

    def __init__(self, *answers: Answer) -> None:
        self.server, self.opened, self.asked = ScriptedServer(*answers), threading.Event(), threading.Event()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("start"):
            self.asked.set()
            assert self.opened.wait(WAIT_SECONDS)
        return self.server(request)


def test_what_waits_for_a_server_that_does_not_answer_is_merged() -> None:
    """The first batch is on its way; what comes meanwhile goes as one, in as few segments as can be."""
    gate = Gate(503, 503)
    reporter = connect(gate, ManualClock())
    reporter.metrics(news(1))
    assert gate.asked.wait(WAIT_SECONDS)
    for epoch in (2, 3, 4, 7):
        reporter.metrics(news(epoch, ends=epoch == 7))
    gate.opened.set()
    reporter.finish(OUTCOME)
    assert [batch.seq for batch in told(gate.server)] == [1, 2]
    second = told(gate.server)[1]
    assert [(s.first, len(s.values)) for s in second.segments] == [(2, 3), (7, 1)]
    assert [outcome.trial for outcome in second.outcomes] == ["t0"]


def test_a_long_outage_is_made_up_for_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """No message is longer than the server takes, and an outcome comes with the last of the points."""
    monkeypatch.setattr(outbox, "VALUES_A_BATCH", 10)
    gate = Gate()
    reporter = connect(gate, ManualClock())
    reporter.metrics(news(1))
    assert gate.asked.wait(WAIT_SECONDS)
    reporter.metrics(news(2, *[0.5] * 24, ends=True))
    reporter.metrics(news(1, *[0.5] * 3, trial="t1"))
    gate.opened.set()
    reporter.finish(OUTCOME)
    assert [sum(len(s.values) for s in batch.segments) for batch in told(gate.server)] == [1, 10, 10, 7]
    assert [len(batch.outcomes) for batch in told(gate.server)] == [0, 0, 0, 1]
    assert epochs(gate.server) == [*range(1, 26), 1, 2, 3]


def test_steps_go_on_while_the_server_accepts_and_never_answers() -> None:
    """A thousand segments, each with points to send, are computed before the first answer comes."""
    gate, clock = Gate(), ManualClock()
    computed: list[int] = []

    def thousand() -> Iterator[Segment]:
        for epoch in range(1, 1001):
            clock.now += 1
            computed.append(epoch)
            yield make_segment(epoch, epochs=1000, lanes=[0, 1], ends=epoch == 1000)
        assert not gate.server.accepted[1:], "only the start was answered"
        gate.opened.set()

    reporter = connect(gate, ManualClock())
    assert run_attempt(reporter, build=ScriptedCohort(thousand), clock=clock) == "finished"
    assert computed == list(range(1, 1001))
    assert sorted(epochs(gate.server)) == sorted(2 * computed)


def test_a_full_buffer_makes_the_training_wait() -> None:
    """It holds two values and takes more while it is not full: the fourth message waits for room."""
    gate = Gate()
    reporter = connect(gate, ManualClock(), buffer_bytes=16)
    reporter.metrics(news(1))
    assert gate.asked.wait(WAIT_SECONDS)
    reporter.metrics(news(2))
    reporter.metrics(news(3))
    fourth = threading.Thread(target=reporter.metrics, args=(news(4),))
    fourth.start()
    fourth.join(0.05)
    assert fourth.is_alive()
    gate.opened.set()
    fourth.join(WAIT_SECONDS)
    reporter.finish(OUTCOME)
    assert epochs(gate.server) == [1, 2, 3, 4]


def test_what_ends_the_sending_is_raised_where_training_reports() -> None:
    reporter = connect(ScriptedServer(422), ManualClock())
    reporter.metrics(news(1))
    with pytest.raises(Refused, match="422"):
        reporter.finish(OUTCOME)
    with pytest.raises(Refused, match="422"):
        reporter.metrics(news(2))


def test_finish_comes_after_all_metrics() -> None:
    server = ScriptedServer(503, 503)
    reporter = connect(server, ManualClock())
    reporter.metrics(news(1))
    reporter.finish(OUTCOME)
    assert [name for name, _ in server.accepted] == ["metrics", "finish"]


def test_superseded_is_final() -> None:
    clock = ManualClock()
    assert connect(ScriptedServer(409), clock).start() is None
    calls: list[Callable[[HttpReporter], object]] = [
        lambda reporter: reporter.heartbeat(PROGRESS),
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


def checkpoint(step: int) -> CheckpointReport:
    one = Checkpoint(trial="t0", step=step, epochs=1, digest="0" * 64, bytes=1, seconds=1.0)
    return CheckpointReport(checkpoints=(one,), provenance=PROVENANCE)


def test_checkpoints_are_told_after_the_curves_up_to_them() -> None:
    """While the server hangs in the first batch, two more epochs and two checkpoints come together."""
    gate, known = Gate(), list[int]()
    reporter = connect(gate, ManualClock())
    reporter.metrics(news(1))
    assert gate.asked.wait(WAIT_SECONDS)
    for epoch in (2, 3):
        reporter.metrics(news(epoch))
        reporter.checkpoint(checkpoint(10 * epoch), functools.partial(known.append, epoch))
    assert known == []
    gate.opened.set()
    reporter.finish(OUTCOME)
    names = [name for name, _ in gate.server.accepted]
    assert names == ["metrics", "metrics", "checkpoint", "checkpoint", "finish"]
    assert epochs(gate.server) == [1, 2, 3]
    assert known == [2, 3]


def test_a_checkpoint_is_repeated_until_the_server_knows() -> None:
    server, known = ScriptedServer(503, httpx.ReadTimeout("late")), list[bool]()
    reporter = connect(server, ManualClock())
    reporter.checkpoint(checkpoint(10), lambda: known.append(True))
    reporter.finish(OUTCOME)
    assert [name for name, _ in server.accepted] == ["checkpoint", "finish"]
    assert CheckpointReport.model_validate_json(server.accepted[0][1]) == checkpoint(10)
    assert known == [True]


def test_a_superseded_attempt_learns_it_from_its_checkpoint() -> None:
    server, known = ScriptedServer(409), list[bool]()
    reporter = connect(server, ManualClock())
    reporter.checkpoint(checkpoint(10), lambda: known.append(True))
    with pytest.raises(Superseded):
        reporter.finish(OUTCOME)
    assert known == []


def test_where_trials_go_on_is_told_at_once() -> None:
    server, message = ScriptedServer(503), Resumption(trials=(ResumedTrial(trial="t0", attempt=3, step=40),))
    connect(server, ManualClock()).resume(message)
    ((name, body),) = server.accepted
    assert (name, Resumption.model_validate_json(body)) == ("resume", message)
