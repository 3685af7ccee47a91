"""Every type of a problem that the API has is provoked once: status, title, words, places."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from sqlalchemy import Engine

from benchmarks.sweep_file.limits import MAX_BODY_BYTES
from service.api import problem_details
from service.app import create_app
from service.errors import SubmissionGivenUp
from service.queue.cohorts import Queue
from service.queue.submission import submit
from service.resources import certificates
from service.resources.schemas import PREFIX
from service.settings import Settings
from service.storage import migrations
from tests.support.access import bearer, token
from tests.support.databases import engine_of
from tests.support.seeded import SWEEP, Seeded, seed
from tests.support.suites import tiny_suite
from tests.support.sweeps import PROVENANCE, outcome, small_sweep
from tests.support.web import browser_of
from workers.messages import Heartbeat, Message, Outcome
from workers.version import PROTOCOL_HEADER

JSON = {"Content-Type": "application/json"}
SWEEPS = f"{PREFIX}/sweeps"
CERTIFICATE = f"{PREFIX}/estimators/st/certificate"


@dataclass(frozen=True)
class Server:
    """A server whose owners may have no trial waiting, nobody may listen, and which keeps no documents."""

    app: FastAPI
    engine: Engine
    world: Seeded
    folder: Path
    http: httpx.Client

    def reported(self, lr: float, *, ended: bool, what: str, report: Message) -> httpx.Response:
        """An attempt that runs, or has ended, tells ``what``."""
        submit(self.engine, small_sweep(estimators=["st"], grid={"lr": lr}))
        queue = Queue(self.engine)
        queue.plan(max_lanes=64, slots=1)
        (claim,) = queue.claim(owner="test", limit=1)
        reply = queue.start(claim.attempt_id, claim.secret)
        if ended:
            queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))
        headers = JSON | {"Authorization": f"Bearer {claim.secret}"}
        path = f"/internal/v1/attempts/{claim.attempt_id}/{what}"
        return self.http.post(path, content=report.model_dump_json(), headers=headers)


Patch = pytest.MonkeyPatch
Act = Callable[[Server, Patch], httpx.Response]


@dataclass(frozen=True)
class Case:
    """How a problem comes about.

    Attributes:
        act: provokes it.
        says: part of its ``detail``.
        places: JSON pointers of its ``errors``.
        headers: of the answer, besides its type.
    """

    act: Act
    says: str
    places: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)


def asks(method: str, path: str, **how: Any) -> Act:
    """One request; ``{sweep}`` and the like in the path are filled in."""

    def act(server: Server, _: Patch) -> httpx.Response:
        names = {name: getattr(server.world, name) for name in ("sweep", "failed", "board", "trial")}
        return server.http.request(method, path.format(**names), **how)

    return act


def raises(target: str, error: Exception, method: str, path: str, **how: Any) -> Act:
    """One request to a server of which one function fails."""

    def act(server: Server, patch: Patch) -> httpx.Response:
        def fails(*_: object, **__: object) -> None:
            raise error

        patch.setattr(target, fails)
        return server.http.request(method, path, **how)

    return act


def used_key_again(server: Server, _: Patch) -> httpx.Response:
    headers = {"Idempotency-Key": "one"}
    first = server.http.post(SWEEPS, json=SWEEP | {"name": "one"}, headers=headers)
    assert first.status_code == 201
    return server.http.post(SWEEPS, json=SWEEP | {"name": "two"}, headers=headers)


def without_pyarrow(server: Server, patch: Patch) -> httpx.Response:
    patch.setitem(sys.modules, "pyarrow", None)
    return server.http.get(f"{PREFIX}/boards/{server.world.board}/trials", params={"format": "parquet"})


def broken_suite(server: Server, patch: Patch) -> httpx.Response:
    (tiny_suite(server.folder / "broken") / "suite.yaml").write_text("title: [", "utf-8")
    patch.setenv("HEUNBOARD_SUITES", str(server.folder / "broken"))
    return server.http.get(f"{PREFIX}/suites/tiny")


def wrong_measurements(server: Server, patch: Patch) -> httpx.Response:
    tiny_suite(server.folder / "whole")
    patch.setenv("HEUNBOARD_SUITES", str(server.folder / "whole"))
    path = f"{PREFIX}/suites/tiny/table3/measurements"
    return server.http.post(path, params={"tier": "smoke"}, json={"format": 1})


def end_of_nothing(server: Server, _: Patch) -> httpx.Response:
    report = Outcome(outcomes=(), provenance=PROVENANCE)
    return server.reported(0.5, ended=False, what="finish", report=report)


def heartbeat_after_the_end(server: Server, _: Patch) -> httpx.Response:
    return server.reported(0.25, ended=True, what="heartbeat", report=Heartbeat(steps_done=1, steps_total=10))


def a_certificate(server: Server, _: Patch) -> httpx.Response:
    return server.http.put(CERTIFICATE, json=certificates.shipped(certificates.entry("st")).to_json())


def stale_database(server: Server, _: Patch) -> httpx.Response:
    with engine_of(f"sqlite:///{server.folder / 'empty.sqlite'}") as engine:
        return browser_of(create_app(Settings(data_home=server.folder), engine)).get("/readyz")


def guarded(server: Server, what: str, **settings: Any) -> httpx.Client:
    """A client of a server of its own, with a token that may read."""
    with engine_of(f"sqlite:///{server.folder / what}.sqlite") as engine:
        migrations.upgrade(engine)
        headers = bearer(token(engine, "read"))
        app = create_app(Settings(data_home=server.folder, **settings), engine)
    http = browser_of(app)
    http.headers.update(headers)
    return http


def without_a_token(server: Server, _: Patch) -> httpx.Response:
    http = guarded(server, "without", anonymous_read=False)
    del http.headers["Authorization"]
    return http.get(SWEEPS)


def with_a_small_token(server: Server, _: Patch) -> httpx.Response:
    return guarded(server, "small").post(SWEEPS, json=SWEEP)


def too_often(server: Server, _: Patch) -> httpx.Response:
    http = guarded(server, "often", requests_per_second=0.5)
    answers = (http.get(SWEEPS) for _ in range(50))
    return next(answer for answer in answers if answer.status_code != 200)


def leaving(server: Server, _: Patch) -> httpx.Response:
    server.app.state.leaving.set()
    try:
        return server.http.get("/readyz")
    finally:
        server.app.state.leaving.clear()


OURS = "service.api.routes.sweeps.submission.submit"

CASES: dict[str, Case] = {
    "bad-request": Case(
        asks("PATCH", f"{SWEEPS}/{{sweep}}", content=b"[" * 200_000, headers=JSON), "parsing the body"
    ),
    "not-found": Case(asks("GET", f"{SWEEPS}/999"), "there is no sweep '999'"),
    "method-not-allowed": Case(
        asks("PUT", SWEEPS),
        "does not take PUT; it takes GET, HEAD, POST.",
        headers={"allow": "GET, HEAD, POST"},
    ),
    "content-too-large": Case(
        asks("POST", SWEEPS, content=bytes(MAX_BODY_BYTES + 1), headers=JSON), "the limit of 1,048,576 bytes"
    ),
    "unsupported-media-type": Case(
        asks("POST", SWEEPS, content=b"name: a", headers={"Content-Type": "text/plain"}),
        "application/json or application/yaml, not 'text/plain'",
    ),
    "service-unavailable": Case(asks("GET", f"{PREFIX}/events"), "0 pages listen already"),
    "invalid-sweep": Case(
        asks("POST", SWEEPS, json=SWEEP | {"estimators": ["reinmx", {"id": "st", "temperature": -1}]}),
        "no estimator 'reinmx'",
        places=("/estimators/0", "/estimators/1/temperature"),
    ),
    "invalid-request": Case(
        asks("GET", SWEEPS, params={"limit": 0, "state": "x"}),
        "/query/limit",
        places=("/query/limit", "/query/state"),
    ),
    "unknown-host": Case(
        asks("GET", "/healthz", headers={"Host": "evil.example"}),
        "does not answer to the host 'evil.example'",
    ),
    "database-away": Case(
        raises(
            "sqlalchemy.Engine.connect",
            sa.exc.OperationalError("SELECT", {}, Exception("closed")),
            "GET",
            SWEEPS,
        ),
        "Ask again in a few seconds",
        headers={"retry-after": "5"},
    ),
    "internal": Case(
        raises("service.resources.sweeps.list_sweeps", RuntimeError("secret"), "GET", SWEEPS),
        "not in the request",
    ),
    "invalid-page-token": Case(asks("GET", SWEEPS, params={"page_token": "!"}), "leave page_token away"),
    "invalid-certificate": Case(
        asks("PUT", CERTIFICATE, json={"id": "st"}), "heunboard certify", places=("/format",)
    ),
    "invalid-measurements": Case(wrong_measurements, "benchmarks.commands.efficiency", places=("/machine",)),
    "broken-suite": Case(broken_suite, "suite.yaml"),
    "submission-given-up": Case(
        raises(OURS, SubmissionGivenUp(), "POST", SWEEPS, json=SWEEP), "submit it again"
    ),
    "cannot-store": Case(a_certificate, "cannot"),
    "not-installed": Case(without_pyarrow, "pyarrow"),
    "invalid-report": Case(end_of_nothing, "trial"),
    "idempotency-key-reused": Case(used_key_again, "use a fresh key"),
    "wrong-secret": Case(
        asks("POST", "/internal/v1/attempts/1/start"),
        "Authorization: Bearer",
        headers={"www-authenticate": "Bearer"},
    ),
    "other-protocol": Case(
        asks(
            "POST",
            "/internal/v1/attempts/1/start",
            headers={PROTOCOL_HEADER: "99", "Authorization": "Bearer guess"},
        ),
        "reports by protocol 99",
    ),
    "shutting-down": Case(leaving, "about to end"),
    "stale-attempt": Case(heartbeat_after_the_end, "attempt"),
    "not-authenticated": Case(
        without_a_token, "this needs a token with scope read", headers={"www-authenticate": "Bearer"}
    ),
    "not-permitted": Case(with_a_small_token, "this needs scope submit"),
    "foreign-origin": Case(
        asks("POST", SWEEPS, json=SWEEP, headers={"Origin": "https://evil.example"}),
        "from a page of 'https://evil.example'",
    ),
    "too-many-requests": Case(too_often, "HEUNBOARD_REQUESTS_PER_SECOND"),
    "too-many-trials": Case(
        asks("POST", SWEEPS, json=SWEEP | {"seeds": 9}), "at most 1 (HEUNBOARD_OWNER_TRIALS"
    ),
    "nothing-to-do": Case(asks("POST", f"{SWEEPS}/{{sweep}}/pause", json={}), "all trials of sweep"),
    "database-out-of-date": Case(stale_database, "heunboard db upgrade"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("problems")
    with engine_of(f"sqlite:///{folder / 'board.sqlite'}") as engine:
        migrations.upgrade(engine)
        world = seed(engine)
        (folder / "file").touch()
        settings = Settings(data_home=folder / "file", owner_trials=1, max_listeners=0)
        app = create_app(settings, engine)
        yield Server(app, engine, world, folder, browser_of(app))


def test_the_table_has_every_type() -> None:
    assert set(CASES) == set(problem_details.kinds())


@pytest.mark.parametrize("kind", CASES)
def test_a_problem(server: Server, monkeypatch: Patch, kind: str) -> None:
    case = CASES[kind]
    answer = case.act(server, monkeypatch)
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = json.loads(answer.text)
    assert problem["type"] == f"urn:heunboard:problem:{kind}", problem
    assert (answer.status_code, problem["status"]) == (problem_details.kinds()[kind],) * 2
    assert problem["title"] == kind.replace("-", " ").capitalize()
    assert case.says in problem["detail"]
    assert problem["instance"].startswith("/")
    pointers = [place["pointer"] for place in problem["errors"]]
    assert set(case.places) <= set(pointers), pointers
    assert bool(pointers) == bool(case.places)
    assert {name: answer.headers[name] for name in case.headers} == case.headers
    assert "secret" not in problem["detail"].replace("attempt's secret", "").replace("Bearer SECRET", "")
