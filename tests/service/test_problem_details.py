"""Every error of every route has one shape: problem details (RFC 9457)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI

from service.api.middleware import SECURITY_HEADERS, host_name
from service.resources import paging
from service.storage import migrations
from service.storage.engine import open_engine
from tests.support.web import application, browser_of

MEMBERS = {"request_id", "type", "title", "status", "detail", "instance", "errors"}
NEEDED = {"tier": "smoke", "kind": "curves", "a": "st", "b": "reinmax", "estimator": "st"}
"""Parameters without a default, of any route."""


@pytest.fixture
def app(tmp_path: Any) -> Iterator[FastAPI]:
    engine = open_engine(f"sqlite:///{tmp_path / 'board.sqlite'}")
    migrations.upgrade(engine)
    yield application(engine)
    engine.dispose()


def require_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The problem document of an answer that must be one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert set(document) == MEMBERS
    assert document["status"] == status
    assert document["type"].startswith("urn:heunboard:problem:")
    assert document["detail"]
    return document


def routes(app: FastAPI) -> list[tuple[str, str]]:
    """(method, path) of every route in the schema."""
    return [(method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods]


def test_a_wrong_method_on_every_route(app: FastAPI) -> None:
    http = browser_of(app)
    found = routes(app)
    assert len(found) >= 15
    for _, path in found:
        document = require_problem(http.request("TRACE", path.replace("{", "").replace("}", "")), 405)
        assert "it takes" in document["detail"]


def test_nothing_with_this_id_on_every_route_that_takes_one(app: FastAPI) -> None:
    http = browser_of(app)
    paths = [path for method, path in routes(app) if method == "GET" and "{" in path]
    assert len(paths) >= 6
    for path in paths:
        for id in ("999999", "no-such-thing", "%00", "9" * 400):
            require_problem(http.get(re.sub(r"{\w+}", id, path), params=NEEDED), 404)


def test_wrong_parameters_on_every_list(app: FastAPI) -> None:
    http = browser_of(app)
    for path in ("/api/v1/sweeps", "/api/v1/boards"):
        for bad in ({"limit": "0"}, {"limit": "501"}, {"limit": "x"}):
            (place,) = require_problem(http.get(path, params=bad), 422)["errors"]
            assert place["pointer"] == "/query/limit"
        require_problem(http.get(path, params={"page_token": "!"}), 400)


@pytest.mark.parametrize("path", ["/api/v1/sweeps", "/api/v1/sweeps/plan"])
@pytest.mark.parametrize("body", [b"", b"\xff", b"{", b"[1", b"- 1", b"a: &a [*a]", b"name: 1", b"\x00"])
def test_a_broken_body(app: FastAPI, path: str, body: bytes) -> None:
    answer = browser_of(app).post(path, content=body, headers={"Content-Type": "application/yaml"})
    assert require_problem(answer, 422)["errors"]


def test_an_internal_route_without_a_secret(app: FastAPI) -> None:
    require_problem(browser_of(app).post("/internal/v1/attempts/1/start"), 401)


def test_unknown_paths(app: FastAPI) -> None:
    http = browser_of(app)
    for path in ("/api/v1", "/api/v1/nope", "/api/v1/sweeps/", "/static/../app.py", "/static/none.js", "/x"):
        require_problem(http.get(path), 404)


def test_a_bug_is_a_500_without_its_details(app: FastAPI) -> None:
    @app.get("/api/v1/bug")
    def bug() -> None:
        raise RuntimeError("secret detail")

    answer = browser_of(app).get("/api/v1/bug")
    assert "secret" not in str(require_problem(answer, 500))


@pytest.mark.parametrize("path", ["/api/v1/sweeps", "/api/v1/boards", "/readyz"])
@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [
        (sa.exc.OperationalError("SELECT", {}, Exception("the connection is closed")), 503, "5"),
        (sa.exc.OperationalError("BEGIN", {}, Exception("database is locked")), 503, "5"),
        (sa.exc.TimeoutError("QueuePool limit"), 503, "5"),
        (sa.exc.DataError("SELECT", {}, Exception("integer out of range")), 422, None),
        (sa.exc.ProgrammingError("SELECT", {}, Exception("relation does not exist")), 500, None),
    ],
)
def test_a_database_that_is_away_is_a_503_and_says_when_to_ask_again(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch, path: str, error: Exception, status: int, retry: str | None
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(sa.Engine, "connect", fails)
    answer = browser_of(app).get(path, headers={"Accept": "application/json"})
    require_problem(answer, status)
    assert answer.headers.get("retry-after") == retry


@pytest.mark.parametrize("id", [2**31, 2**63, 10**50])
def test_a_page_token_beyond_what_a_database_counts(app: FastAPI, id: int) -> None:
    for kind, path in (("sweeps", "/api/v1/sweeps"), ("boards", "/api/v1/boards")):
        answer = browser_of(app).get(path, params={"page_token": paging.token(kind, id)})
        require_problem(answer, 400)


def test_a_database_of_another_version_is_not_ready(tmp_path: Any) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'empty.sqlite'}")
    document = require_problem(browser_of(application(engine)).get("/readyz"), 503)
    assert "heunboard db upgrade" in document["detail"]
    engine.dispose()


FOREIGN = [
    "evil.example",
    "127.0.0.1.evil.example",
    "",
    ":80",
    "localhost.evil.example:80",
    "127.0.0.1:80@evil.example",
    "user@127.0.0.1",
    "[::1",
    "[::1]x",
    "[::1]:80:80",
    "::1",
    "localhost:evil",
    "localhost:80 ",
    "localhost:-1",
    "127.0.0.1:99999",
    "127.0.0.1:800000",
    "127.0.0.1/",
    "localhost, evil.example",
    "localh\u00f6st",
]


def test_foreign_hosts_are_refused(app: FastAPI) -> None:
    http = browser_of(app)
    for host in FOREIGN:
        answer = http.get("/api/v1/sweeps", headers=[(b"Host", host.encode())])
        assert "HEUNBOARD_ALLOWED_HOSTS" in require_problem(answer, 421)["detail"], host


def test_of_two_hosts_none_is_believed(app: FastAPI) -> None:
    answer = browser_of(app).get("/healthz", headers=[("Host", "localhost"), ("Host", "localhost")])
    assert "'localhost, localhost'" in require_problem(answer, 421)["detail"]


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost:80", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]:8000", "::1"),
        ("localhost:", "localhost"),
        ("localhost:65535", "localhost"),
        ("LOCALHOST", "localhost"),
    ],
)
def test_host_names(header: str, name: str) -> None:
    assert host_name(header) == name


def test_people_get_a_page(app: FastAPI) -> None:
    answer = browser_of(app).get("/boards/none", headers={"Accept": "text/html,*/*"})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "there is no board" in answer.text


@pytest.mark.parametrize("path", ["/", "/api/v1/nope", "/api/v1/sweeps", "/static/style.css"])
def test_security_headers(app: FastAPI, path: str) -> None:
    answer = browser_of(app).get(path)
    assert {name: answer.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert "//" not in answer.headers["Content-Security-Policy"]


def test_large_answers_travel_compressed(app: FastAPI) -> None:
    http: httpx.Client = browser_of(app)
    assert http.get("/openapi.json").headers["content-encoding"] == "gzip"
