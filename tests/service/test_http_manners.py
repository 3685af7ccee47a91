"""What HTTP asks of every route: HEAD, Allow, challenges, errors as described, an answer to a large body."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from benchmarks.sweep import Sweep
from benchmarks.sweep_file.limits import MAX_BODY_BYTES
from service.api.middleware import DISCARD_SECONDS, FULL_S
from service.resources import keeping
from service.storage import migrations
from tests.support.databases import engine_of
from tests.support.processes import LIMIT_SECONDS, until
from tests.support.sweeps import small_sweep
from tests.support.web import application, browser_of, compute, served

YAML = {"Content-Type": "application/yaml"}
PROBLEM = "application/problem+json"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[FastAPI]:
    """With a sweep that was computed."""
    with engine_of(f"sqlite:///{tmp_path / 'board.sqlite'}") as engine:
        migrations.upgrade(engine)
        compute(engine, small_sweep(estimators=["st"], seeds=2))
        yield application(engine)


def operations(app: FastAPI) -> list[tuple[str, str, dict[str, Any]]]:
    """Path, method and description of everything in the schema."""
    document = browser_of(app).get("/openapi.json").json()
    return [(path, method, one) for path, all in document["paths"].items() for method, one in all.items()]


def test_every_error_is_described_as_the_problem_it_is(app: FastAPI) -> None:
    found = operations(app)
    assert len(found) >= 15
    for path, method, operation in found:
        errors = {s: a for s, a in operation["responses"].items() if s == "default" or s >= "400"}
        assert errors, (path, method)
        for status, answer in errors.items():
            assert list(answer["content"]) == [PROBLEM], (path, method, status)
            schema = answer["content"][PROBLEM]["schema"]
            assert schema == {"$ref": "#/components/schemas/ProblemDocument"}
    schemas = browser_of(app).get("/openapi.json").json()["components"]["schemas"]
    assert "ProblemDocument" in schemas
    assert "HTTPValidationError" not in schemas


def test_head_is_answered_wherever_get_is(app: FastAPI) -> None:
    """With the status and the headers of GET and without its body."""
    http = browser_of(app)
    http.headers["X-Request-ID"] = "one"  # else each has its own
    pages = ["/", "/sweeps", "/sweeps/1", "/estimators", "/estimators/st", "/static/style.css", "/nothing"]
    gets = [(path, one["responses"]["200"]) for path, method, one in operations(app) if method == "get"]
    paths = [path for path, answer in gets if "text/event-stream" not in answer.get("content", {})]
    assert len(paths) == len(gets) - 1, "one has no end"
    for path in [p.replace("{id}", "1").replace("{key}", "1") for p in paths] + pages:
        get, head = http.get(path), http.head(path)
        assert (head.status_code, head.content) == (get.status_code, b""), path
        changing = {"x-request-id"} | (
            {"content-length"} if path == "/metrics" else set()
        )  # it has counted GET
        same = [{k: v for k, v in one.headers.items() if k not in changing} for one in (head, get)]
        assert same[0] == same[1], path


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/v1/sweeps", "GET, HEAD, POST"),
        ("/api/v1/sweeps/plan", "POST"),  # not /sweeps/{id}
        ("/api/v1/suites/tiny/plan", "GET, HEAD"),
        ("/api/v1/estimators/st/certificate", "GET, HEAD, PUT"),
        ("/api/v1/boards", "GET, HEAD"),
        ("/internal/v1/attempts/1/start", "POST"),
        ("/sweeps", "GET, HEAD"),
        ("/static/style.css", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_told_all_right_ones(app: FastAPI, path: str, allowed: str) -> None:
    answer = browser_of(app).request("TRACE", path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert f"it takes {allowed}." in answer.json()["detail"]


def test_a_missing_and_a_wrong_secret_are_challenged(app: FastAPI) -> None:
    for headers in ({}, {"Authorization": "Bearer guess"}):
        answer = browser_of(app).post("/internal/v1/attempts/1/start", headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 10_000_000, 60_000_000])
@pytest.mark.parametrize("pieces", [False, True], ids=["whole", "chunked"])
def test_whoever_sends_too_much_sees_the_answer(app: FastAPI, size: int, pieces: bool) -> None:
    """Over a real connection, from a client that sends everything before it reads: what is closed with
    something unread is reset, and such a client sees nothing but that."""
    body = bytes(size)
    content = iter([body[:1000], body[1000:]]) if pieces else body
    with served(app) as url:
        address = httpx.URL(url)
        with contextlib.closing(HTTPConnection(address.host, address.port, timeout=30)) as connection:
            connection.request("POST", "/api/v1/sweeps", content, YAML)
            answer = connection.getresponse()
            assert (answer.status, answer.getheader("content-type")) == (413, PROBLEM)
            assert b"larger than the limit" in answer.read()


HEADS = {
    "a host with a user": (b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:80@evil.example\r\n\r\n", 421),
    "half an address": (b"GET /healthz HTTP/1.1\r\nHost: [::1\r\n\r\n", 421),
    "a port that is none": (b"GET /healthz HTTP/1.1\r\nHost: localhost:evil\r\n\r\n", 421),
    "an empty host": (b"GET /healthz HTTP/1.1\r\nHost:\r\n\r\n", 421),
    "no host in HTTP 1.0": (b"GET /healthz HTTP/1.0\r\n\r\n", 421),
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
    "an absolute target": (b"GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 421),
    "our absolute target": (b"GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 421),
    "a target that is an authority": (b"CONNECT evil.example:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 421),
    "the right host": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
}


def test_odd_heads_are_refused(app: FastAPI) -> None:
    """As bytes on a connection: libraries for clients do not send all of them."""
    with served(app) as url:
        for what, (head, status) in HEADS.items():
            with socket.create_connection(("127.0.0.1", httpx.URL(url).port or 0), timeout=30) as connection:
                connection.sendall(head)
                assert connection.recv(64).split()[1] == b"%d" % status, what


@pytest.mark.parametrize("pieces", [False, True], ids=["whole", "chunked"])
def test_a_stranger_to_an_attempt_is_refused_before_the_report_is_read(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch, pieces: bool
) -> None:
    """And sees the answer, though all of the report was sent."""

    def read(*_: object, **__: object) -> None:
        raise AssertionError("the report was read")

    monkeypatch.setattr("workers.messages.Outcome.model_validate_json", read)
    body = b"[]" * 30_000_000
    content = iter([body[:1000], body[1000:]]) if pieces else body
    with served(app) as url:
        address = httpx.URL(url)
        with contextlib.closing(HTTPConnection(address.host, address.port, timeout=60)) as connection:
            headers = {"Content-Type": "application/json", "Authorization": "Bearer guess"}
            connection.request("POST", "/internal/v1/attempts/1/finish", content, headers)
            assert connection.getresponse().status == 401


def test_who_asks_before_sending_too_much_is_told_at_once(app: FastAPI) -> None:
    """``Expect: 100-continue``: nothing of the body is sent, and nothing of it waited for."""
    head = b"POST /api/v1/sweeps HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/yaml\r\n"
    head += b"Content-Length: 10000000\r\nExpect: 100-continue\r\n\r\n"
    with served(app) as url, socket.create_connection(("127.0.0.1", httpx.URL(url).port or 0)) as connection:
        connection.settimeout(DISCARD_SECONDS / 2)
        connection.sendall(head)
        assert connection.recv(64).split()[1] == b"413"


def test_sweeps_that_are_read_keep_nobody_else_waiting(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six are read, and read, until the test has had its other answers: reading is beside the event loop, and
    beside the threads that answer everything else."""
    answered, begun = threading.Event(), threading.Semaphore(0)

    def reads(_: bytes) -> Sweep:
        begun.release()
        assert answered.wait(30)
        return small_sweep()

    monkeypatch.setattr("service.api.routes.sweeps.load_sweep", reads)
    with served(app) as url, httpx.Client(base_url=url, timeout=30) as http, ThreadPoolExecutor(6) as pool:
        six = [
            pool.submit(httpx.post, f"{url}/api/v1/sweeps/plan", headers=YAML, timeout=60) for _ in range(6)
        ]
        assert begun.acquire(timeout=30)
        assert [http.get(path).status_code for path in ("/healthz", "/api/v1/sweeps")] == [200, 200]
        answered.set()
        assert [one.result().status_code for one in six] == [200] * 6


def test_beyond_the_most_requests_under_way_the_answer_is_a_problem(tmp_path: Path) -> None:
    """Streams of events count; whoever sends a body sees the answer; as some end, others are taken."""
    with engine_of(f"sqlite:///{tmp_path / 'board.sqlite'}") as engine, contextlib.ExitStack() as stack:
        migrations.upgrade(engine)
        url = stack.enter_context(served(application(engine, max_connections=10)))
        http = stack.enter_context(httpx.Client(base_url=url, timeout=30))
        with contextlib.ExitStack() as listening:
            streams = [listening.enter_context(http.stream("GET", "/api/v1/events")) for _ in range(10)]
            assert {one.status_code for one in streams} == {200}
            sent = httpx.post(
                f"{url}/api/v1/sweeps", content=bytes(5_000_000), headers=YAML, timeout=LIMIT_SECONDS
            )
            page = httpx.get(f"{url}/sweeps", headers={"Accept": "text/html"}, timeout=LIMIT_SECONDS)
            for one in (httpx.get(f"{url}/api/v1/sweeps", timeout=LIMIT_SECONDS), sent):
                assert (one.status_code, one.headers["content-type"]) == (503, PROBLEM)
                assert (one.headers["retry-after"], one.json()["type"]) == (
                    str(FULL_S),
                    "urn:heunboard:problem:service-unavailable",
                )
                assert one.json()["request_id"] == one.headers["x-request-id"]
            assert (page.status_code, page.headers["retry-after"]) == (503, str(FULL_S))
            assert "10 requests are under way here already" in page.text
        until(
            lambda: httpx.get(f"{url}/api/v1/sweeps", timeout=LIMIT_SECONDS).status_code == 200,
            "those that listened are gone",
        )


def test_what_a_killed_process_left_of_a_document_goes(tmp_path: Path) -> None:
    """Not what somebody may be writing right now."""
    old, fresh, kept = tmp_path / ".new-a", tmp_path / ".new-b", tmp_path / "st.json"
    for folder in (old, fresh):
        folder.mkdir()
        (folder / "st.json").write_text("{")
    kept.write_text("{}")
    os.utime(old, (time.time() - 7200,) * 2)
    keeping.remove_leftovers(tmp_path)
    keeping.remove_leftovers(tmp_path / "none")
    assert sorted(tmp_path.iterdir()) == [fresh, kept]
