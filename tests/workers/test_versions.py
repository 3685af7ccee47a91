"""Parts of different versions: refused before they do harm, with both versions and what to do."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import httpx
import pytest

from service.api.routes import internal
from service.api.versions import skew
from service.errors import InvalidSettings
from service.processes.agreement import require_server
from tests.support.fakes import make_claim
from tests.support.plugins import distribution, path_with
from tests.support.processes import until
from tests.support.stack import Stack, stack
from tests.support.web import application, browser_of
from workers.dispatcher import Dispatcher, DispatcherSettings
from workers.local_launcher import LocalLauncher
from workers.orders import Order, WorkerConfig
from workers.ports import ReportError
from workers.reporter import HttpReporter
from workers.version import PROTOCOL, VERSION_HEADER, VersionMismatch, package_version

MINE = package_version()
LIMIT_SECONDS = 150.0


def test_an_order_of_another_version_is_not_carried_out() -> None:
    order = WorkerConfig(url="http://x").order(make_claim(1), "cpu")
    assert Order.from_json(order.to_json()) == order
    newer = json.dumps(json.loads(order.to_json()) | {"heunboard": "9.9.9", "something": "new"})
    why = rf"on {socket.gethostname()} has Heunboard {MINE}, its dispatcher 9.9.9: .*Install heunboard==9.9.9"
    with pytest.raises(VersionMismatch, match=why):
        Order.from_json(newer)
    older = json.loads(order.to_json())
    del older["heunboard"]
    with pytest.raises(VersionMismatch, match="its dispatcher an unknown version"):
        Order.from_json(json.dumps(older))


@pytest.mark.slow
def test_a_worker_of_another_version_computes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a package is replaced under a dispatcher that runs: its next workers are of the new one."""
    distribution(tmp_path / "site", "heunboard", version="9.9.9")
    monkeypatch.setenv("PYTHONPATH", path_with(tmp_path / "site"))
    with stack(tmp_path) as made:
        made.submit(seeds=1, estimators=["st"])
        launcher = LocalLauncher(WorkerConfig(url=made.url), slots=1, log_dir=tmp_path / "logs")
        dispatcher = Dispatcher(made.queue, launcher, DispatcherSettings(owner="d"))
        try:
            until(lambda: _lost(dispatcher, made), "the attempt is lost", limit=LIMIT_SECONDS)
        finally:
            launcher.close()
        attempt = made.attempts()[0]
    assert f"has Heunboard 9.9.9, its dispatcher {MINE}" in attempt.error
    assert f"Install heunboard=={MINE} on {socket.gethostname()}" in attempt.error
    assert (attempt.started_at, attempt.blameless) == (None, True)


def _lost(dispatcher: Dispatcher, made: Stack) -> bool:
    dispatcher.tick(0.1)
    return any(attempt.state == "lost" for attempt in made.attempts())


def test_reports_by_another_protocol_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(internal, "PROTOCOL", 99)
    with stack(tmp_path) as made:
        made.submit(seeds=1, estimators=["st"])
        (claim,) = made.queue.claim(owner="d", limit=1)
        reporter = HttpReporter(made.url, claim.attempt_id, claim.secret)
        both = (
            rf"426 .*worker is Heunboard {MINE} and reports by protocol {PROTOCOL}; .*understands protocol 99"
        )
        try:
            with pytest.raises(ReportError, match=both):
                reporter.start()
        finally:
            reporter.close()
        assert made.attempts()[0].state == "claimed"
        answer = httpx.post(
            f"{made.url}/internal/v1/attempts/{claim.attempt_id}/start", timeout=LIMIT_SECONDS
        )
    assert answer.status_code == 426, "before a number was sent, it was protocol 1"
    assert answer.headers["Upgrade"].startswith("heunboard-reports/")
    assert "Install the same version of heunboard on both" in answer.json()["detail"]


def answering(status: int, body: object) -> httpx.MockTransport:
    return httpx.MockTransport(lambda _request: httpx.Response(status, json=body))


def test_a_dispatcher_refuses_a_server_of_another_protocol() -> None:
    newer = answering(200, {"status": "ok", "version": "9.9.9", "protocol": PROTOCOL + 1})
    theirs, mine = rf"is Heunboard 9.9.9, .*protocol {PROTOCOL + 1}", rf"is {MINE} .*protocol {PROTOCOL}"
    both = f"{theirs}; this dispatcher {mine}: install"
    with pytest.raises(InvalidSettings, match=both):
        require_server("http://server", transport=newer)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"status": "ok", "version": MINE, "protocol": PROTOCOL}),
        (200, {"status": "ok", "version": "0.0.1"}),  # of before there were numbers
        (503, {}),
        (200, ["something else"]),
    ],
)
def test_a_dispatcher_takes_any_other_server(status: int, body: object) -> None:
    require_server("http://server", transport=answering(status, body))


def test_a_dispatcher_does_not_wait_for_a_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    require_server(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("client", "server", "warned"),
    [
        ("1.2.0", "1.2.9", False),
        ("1.2.0", "1.3.0", True),
        ("1.2.0", "2.2.0", True),
        ("2.0", "1.9.1", True),
        ("", "1.0.0", False),
        ("unknown", "1.0.0", False),
        ('1.0"\r\nX: y', "1.0.0", False),
    ],
)
def test_a_client_of_another_series_is_warned(client: str, server: str, warned: bool) -> None:
    said = skew(client, server)
    assert bool(said) is warned
    if warned:
        assert f"this client is Heunboard {client}, the server {server}" in said


def test_answers_say_the_version(tmp_path: Path) -> None:
    with stack(tmp_path) as made, browser_of(application(made.engine)) as browser:
        same = browser.get("/healthz", headers={"User-Agent": f"heunboard/{MINE}"})
        older = browser.get("/api/v1/sweeps", headers={"User-Agent": "heunboard/0.0.1 python"})
        foreign = browser.get("/healthz", headers={"User-Agent": "curl/8.1"})
    assert (same.json()["version"], same.json()["protocol"]) == (MINE, PROTOCOL)
    assert (same.headers[VERSION_HEADER], older.headers[VERSION_HEADER]) == (MINE, MINE)
    assert "Warning" not in same.headers
    assert "Warning" not in foreign.headers
    assert older.headers["Warning"].startswith('299 heunboard "this client is Heunboard 0.0.1, the server')
