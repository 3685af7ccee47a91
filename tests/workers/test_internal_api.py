"""Running attempts against the real routes, over a real port, on a real database."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import httpx
import pytest

from service.resources.nodes import list_nodes
from tests.support.processes import LIMIT_SECONDS
from tests.support.stack import Stack, stack
from tests.support.sweeps import PROVENANCE, outcome
from workers.messages import CurveSegment, Heartbeat, MetricsBatch, News, Outcome, StartReply, TrialOutcome
from workers.orders import WorkerConfig, execute
from workers.ports import Claim, Superseded
from workers.reporter import HttpReporter, Patience, Refused, Unauthorized
from workers.runner import Lanes, run_attempt
from workers.version import package_version

PROGRESS = Heartbeat(steps_done=1, steps_total=10)


Connect = Callable[..., HttpReporter]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Stack]:
    with stack(tmp_path) as made:
        yield made


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=LIMIT_SECONDS) as client:
        yield client


@pytest.fixture
def connect(served: Stack) -> Iterator[Connect]:
    """Makes reporters and closes them."""
    made: list[HttpReporter] = []

    def make(claim: Claim, *, secret: str | None = None) -> HttpReporter:
        patience = Patience(outage_budget=5)
        made.append(HttpReporter(served.url, claim.attempt_id, secret or claim.secret, patience=patience))
        return made[-1]

    yield make
    for reporter in made:
        reporter.close()


def claim(served: Stack) -> Claim:
    (made,) = served.queue.claim(owner="test", limit=1)
    return made


def started(reporter: HttpReporter) -> StartReply:
    reply = reporter.start()
    assert reply is not None
    return reply


def test_a_batch_of_metrics_changes_threads_once(
    served: Stack, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To one that may wait for the database; each change takes as long as reading the body."""
    served.submit(estimators=["exact"], seeds=1)
    claimed = claim(served)
    address = f"{served.url}/internal/v1/attempts/{claimed.attempt_id}"
    headers = {"Authorization": f"Bearer {claimed.secret}"}
    assert http.post(f"{address}/start", headers=headers).status_code == 200
    calls: list[object] = []
    run_sync = anyio.to_thread.run_sync

    async def counted(call: Callable[..., object], *arguments: Any, **options: Any) -> object:
        calls.append(call)
        return await run_sync(call, *arguments, **options)

    monkeypatch.setattr(anyio.to_thread, "run_sync", counted)
    batch = MetricsBatch(seq=1, progress=PROGRESS, segments=())
    answer = http.post(f"{address}/metrics", content=batch.model_dump_json(), headers=headers)
    assert (answer.status_code, len(calls)) == (204, 1)


def test_the_log_of_an_attempt_comes_with_its_end(served: Stack, connect: Connect) -> None:
    served.submit(estimators=["exact"], seeds=1)
    assert run_attempt(connect(claim(served)), log=lambda: "x" * 9_000 + "\0the end") == "finished"
    (attempt,) = served.attempts()
    assert len(attempt.log) == 8_000
    assert attempt.log.endswith("x\ufffdthe end")


def test_an_attempt_says_where_it_runs(
    served: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    served.submit(estimators=["exact"], seeds=1)
    order = WorkerConfig(url=served.url).order(claim(served), "cpu")
    assert execute(order, node="rack 7") == "finished"
    (attempt,) = served.attempts()
    assert attempt.host == socket.gethostname()
    assert attempt.worker == {
        "device": "cpu",
        "pid": os.getpid(),
        "heunboard": package_version(),
        "python": platform.python_version(),
    }
    (node,) = list_nodes(served.engine).nodes
    assert (node.name, node.device, node.slots, node.busy) == ("rack 7", "cpu", 0, 0)


def test_attempt_runs_to_success(served: Stack, connect: Connect) -> None:
    served.submit(estimators=["exact"], seeds=2)
    reporter = connect(claim(served))
    assert run_attempt(reporter) == "finished"
    assert run_attempt(reporter) == "superseded", "an attempt that ended does not start again"
    assert [trial.state for trial in served.trials()] == ["succeeded"] * 2
    (attempt,) = served.attempts()
    assert attempt.provenance["device"].startswith("cpu")
    assert (attempt.host, attempt.worker) == (None, None), "as an older worker, it did not say"
    assert (attempt.steps_done, attempt.steps_total) == (20, 20)


def test_failing_task_leaves_error_and_traceback(served: Stack, connect: Connect) -> None:
    vae = {"id": "categorical_vae", "dataset": "mnist", "categories": 8, "latents": 4, "epochs": 1}
    served.submit(task=vae, estimators=["st"], seeds=1)
    reporter = connect(claim(served))
    assert run_attempt(reporter, build=_no_data) == "failed"
    (trial,) = served.trials()
    assert trial.state == "failed"
    assert "mnist is nowhere" in trial.error
    assert "_no_data" in trial.traceback


def _no_data(trials: object, *, device: str, data_dir: object, states: object) -> Lanes:
    raise FileNotFoundError("mnist is nowhere")


def test_wrong_and_missing_secret(served: Stack, http: httpx.Client, connect: Connect) -> None:
    served.submit(estimators=["exact"], seeds=1)
    claimed = claim(served)
    with pytest.raises(Unauthorized, match="401"):
        connect(claimed, secret="guess").start()
    address = f"{served.url}/internal/v1/attempts/{claimed.attempt_id}/start"
    answer = http.post(address)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert served.attempts()[0].started_at is None


def test_unknown_attempt_and_unknown_field(served: Stack) -> None:
    with httpx.Client(base_url=f"{served.url}/internal/v1/attempts", timeout=LIMIT_SECONDS) as client:
        headers = {"Authorization": "Bearer x"}
        assert client.post("/99/start", headers=headers).status_code == 404
        body = PROGRESS.model_dump() | {"surprise": 1}
        assert client.post("/99/heartbeat", headers=headers, json=body).status_code == 422


def test_a_large_body_is_read_only_for_the_right_secret(served: Stack, http: httpx.Client) -> None:
    """What is no report at all gets 401 before anybody tries to read it, and 422 after."""
    served.submit(estimators=["exact"], seeds=1)
    claimed = claim(served)
    address = f"{served.url}/internal/v1/attempts/{claimed.attempt_id}/finish"
    body = b"[" * 200_000
    kind = {"Content-Type": "application/json"}
    wrong = http.post(address, content=body, headers=kind | {"Authorization": "Bearer guess"})
    assert wrong.status_code == 401
    right = http.post(address, content=body, headers=kind | {"Authorization": f"Bearer {claimed.secret}"})
    assert right.status_code == 422
    pieces = http.post(address, content=iter([body]), headers=kind | {"Authorization": "Bearer guess"})
    assert pieces.status_code == 401, "a body that does not say how long it is counts as large"


@pytest.mark.parametrize("id", ["99", str(2**31), str(2**63), "9" * 40, "9" * 5000, "-1", "x"])
def test_there_are_no_attempts_beyond_what_a_database_counts(
    served: Stack, http: httpx.Client, id: str
) -> None:
    answer = http.post(f"{served.url}/internal/v1/attempts/{id}/start", headers={"Authorization": "Bearer x"})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("steps", [2**63, 2**70])
def test_progress_beyond_what_a_database_counts_is_refused(
    served: Stack, http: httpx.Client, steps: int
) -> None:
    served.submit(estimators=["exact"], seeds=1)
    claimed = claim(served)
    address = f"{served.url}/internal/v1/attempts/{claimed.attempt_id}"
    headers = {"Authorization": f"Bearer {claimed.secret}"}
    assert http.post(f"{address}/start", headers=headers).status_code == 200
    body = {"steps_done": 1, "steps_total": steps}
    assert http.post(f"{address}/heartbeat", headers=headers, json=body).status_code == 422


def test_superseded_attempt_gets_409_for_everything(served: Stack, connect: Connect) -> None:
    served.submit(estimators=["exact"], seeds=1)
    first = claim(served)
    reporter = connect(first)
    trials = started(reporter).trials
    served.queue.lost(attempt_id=first.attempt_id, reason="test")
    second = connect(claim_again(served))
    started(second)

    def tell() -> None:
        other = connect(first)
        other.metrics(News(progress=PROGRESS, segments=(), outcomes=outcome(trials).outcomes))
        other.finish(outcome(trials))

    for call in (
        lambda: reporter.heartbeat(PROGRESS),
        tell,
        lambda: reporter.finish(outcome(trials)),
    ):
        with pytest.raises(Superseded):
            call()
    assert reporter.start() is None
    assert served.trials()[0].state == "running"
    second.finish(outcome(trials))
    assert served.trials()[0].state == "succeeded"
    assert [attempt.number for attempt in served.attempts()] == [1, 2]


def claim_again(served: Stack) -> Claim:
    """Claim when the pause after the loss, a millisecond, is over."""
    for _ in range(1000):
        if claims := served.queue.claim(owner="test", limit=1):
            return claims[0]
    raise AssertionError("the lost cohort did not return to the queue")


def test_repeated_reports_change_nothing(served: Stack, http: httpx.Client, connect: Connect) -> None:
    served.submit(estimators=["exact"], seeds=1)
    claimed = claim(served)
    reporter = connect(claimed)
    trials = started(reporter).trials
    assert started(reporter).trials == trials
    segment = CurveSegment(trial=trials[0].key, metric="train_loss", first=1, values=(float("nan"), 1.0))
    batch = MetricsBatch(seq=1, progress=PROGRESS, segments=(segment,))
    address = f"{served.url}/internal/v1/attempts/{claimed.attempt_id}/metrics"
    headers = {"Authorization": f"Bearer {claimed.secret}", "Content-Type": "application/json"}
    for _ in range(2):
        assert http.post(address, content=batch.model_dump_json(), headers=headers).status_code == 204
    for _ in range(2):
        reporter.finish(outcome(trials))
    assert served.attempts()[0].last_seq == 1
    assert served.trials()[0].state == "succeeded"


def test_report_on_a_stranger_is_refused(served: Stack, connect: Connect) -> None:
    served.submit(estimators=["exact"], seeds=1)
    reporter = connect(claim(served))
    started(reporter)
    strange = TrialOutcome(trial="0" * 32, status="succeeded")
    with pytest.raises(Refused, match="422"):
        reporter.finish(Outcome(outcomes=(strange,), provenance=PROVENANCE))
    assert served.trials()[0].state == "running"
