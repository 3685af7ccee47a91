"""Attacks on a server with tokens, by somebody who has one. `docs/security.md` has a test for each threat."""

from __future__ import annotations

import json
import logging
import re
import socket
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import Engine

from benchmarks.sweep_file.limits import MAX_BODY_BYTES
from tests.service.test_problem_details import require_problem
from tests.support.access import known, token
from tests.support.sweeps import small_sweep
from tests.support.web import application, browser_of

ROOT = Path(__file__).resolve().parents[2]
YAML = {"Content-Type": "application/yaml"}
JSON = {"Content-Type": "application/json"}
MARKUP = "<script>alert(1)</script>'\"&{{ 7 * 7 }}"
UP = (
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2fetc%2fpasswd",
    "%2e%2e",
    "%2e%2e%2f%2e%2e%2fapp.py",
    "..%5c..%5capp.py",
)


@pytest.fixture
def app(engine: Engine, tmp_path: Path) -> FastAPI:
    return application(engine, tmp_path)


@pytest.fixture
def http(app: FastAPI, engine: Engine) -> httpx.Client:
    return known(app, token(engine, "submit", "mallory"))


def sweep_file(**changes: object) -> str:
    return json.dumps({**small_sweep().to_json(), **changes})


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 8 * MAX_BODY_BYTES])
def test_an_oversized_file_is_refused(http: httpx.Client, size: int) -> None:
    answer = http.post("/api/v1/sweeps", content=b"#" * size, headers=YAML)
    assert "larger than the limit" in require_problem(answer, 413)["detail"]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "- " * 100_000, "? " * 100_000])
def test_a_deeply_nested_file_is_refused(http: httpx.Client, text: str) -> None:
    for path in ("/api/v1/sweeps", "/api/v1/sweeps/plan"):
        document = require_problem(http.post(path, content=text, headers=YAML), 422)
        assert "nested deeper than 8" in document["detail"]


def test_yaml_that_multiplies_itself_is_refused(http: httpx.Client) -> None:
    """Nine aliases of nine of nine ...: a kilobyte that would be 10^9 values."""
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    document = require_problem(http.post("/api/v1/sweeps", content="\n".join(lines), headers=YAML), 422)
    assert re.search(r"nested deeper than 8|more than 50,000", document["detail"])


def test_numbers_that_multiply_are_counted_and_not_expanded(http: httpx.Client) -> None:
    huge = sweep_file(seeds=list(range(10_000)), estimators=[{"id": "st", "temperature": [0.1] * 1_000}])
    require_problem(http.post("/api/v1/sweeps", content=huge, headers=JSON), 422)


@pytest.mark.parametrize("name", UP)
def test_no_path_leads_out_of_its_folder(http: httpx.Client, tmp_path: Path, name: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    for method, path in (
        ("GET", f"/static/{name}"),
        ("GET", f"/api/v1/estimators/{name}/certificate"),
        ("PUT", f"/api/v1/estimators/{name}/certificate"),
        ("GET", f"/api/v1/suites/{name}"),
        ("GET", f"/api/v1/suites/{name}/{name}/measurements?tier=smoke"),
        ("POST", f"/api/v1/suites/{name}/{name}/measurements?tier=smoke"),
        ("GET", f"/api/v1/trials/{name}"),
    ):
        answer = http.request(method, path, content="{}", headers=JSON)
        assert answer.status_code in (404, 405), (method, path)
        assert "root:" not in answer.text
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "name", ["../../../etc/passwd", "/etc/passwd", "mnist/../../x", "http://evil.example/x"]
)
def test_data_sets_are_names_of_a_catalogue(http: httpx.Client, name: str) -> None:
    task = {"id": "categorical_vae", "dataset": name}
    answer = http.post("/api/v1/sweeps", content=sweep_file(task=task), headers=JSON)
    assert require_problem(answer, 422)["errors"][0]["pointer"].startswith("/task")


def test_no_address_in_a_request_is_asked(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Request forgery by the server: whatever addresses are in texts, it opens no connection."""
    asked: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: asked.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *names, **_: asked.append(names))
    url = "http://169.254.169.254/latest"
    texts = {"name": url, "description": f"![x]({url})", "tags": [url[:40]]}
    made = http.post("/api/v1/sweeps", content=sweep_file(**texts), headers=JSON)
    assert made.status_code == 201
    for path in (f"/sweeps/{made.json()['id']}", "/", f"/api/v1/sweeps?q={url}", f"/sign-in?next={url}"):
        assert http.get(path).status_code == 200
    http.put("/api/v1/estimators/st/certificate", content=json.dumps({"id": url}), headers=JSON)
    assert asked == []


def test_hostile_names_are_text_on_every_page(app: FastAPI, engine: Engine) -> None:
    owner = "<img src=x onerror=alert(2)>"
    http = known(app, token(engine, "admin", owner))
    texts = {"name": MARKUP, "description": MARKUP, "tags": ["<b>x</b>"]}
    id = http.post("/api/v1/sweeps", content=sweep_file(**texts), headers=JSON).json()["id"]
    for path in (
        "/sweeps",
        f"/sweeps/{id}",
        f"/sweeps?q={MARKUP}&owner={owner}&tag=<b>x</b>",
        "/?q=" + MARKUP,
    ):
        page = http.get(path).text
        for raw in ("<script>alert", "<img src=x", "<b>x</b>", "49"):
            assert raw not in page or (raw == "49" and "7 * 7" in page), (path, raw)
    missing = http.get(f"/boards/{MARKUP}", headers={"Accept": "text/html"}).text
    assert "<script>alert" not in missing


def test_no_secret_reaches_logs_errors_or_addresses(
    engine: Engine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when something breaks: tracebacks hold lines of code and no values."""
    caplog.set_level(logging.DEBUG)
    secret = token(engine, "admin", "ada")
    app = application(engine)

    @app.get("/api/v1/bug")
    def bug() -> None:
        raise RuntimeError("broken")

    hidden = secret.split("_", 2)[2]
    http, form = known(app, secret), {"token": secret, "next": "/sweeps"}
    answers = [
        http.get("/api/v1/bug"),
        http.get("/api/v1/nothing"),
        http.post("/api/v1/sweeps", content="{", headers=JSON),
        browser_of(app).get("/api/v1/sweeps", headers={"Authorization": f"Token {secret}"}),
        browser_of(app).get("/api/v1/sweeps", headers={"Authorization": f"Bearer {secret}x"}),
        browser_of(app).post("/sign-in", data=form, headers={"Origin": "http://127.0.0.1"}),
    ]
    assert [one.status_code for one in answers] == [500, 404, 422, 401, 401, 303]
    for one in answers:
        assert hidden not in one.text
        assert hidden not in str(dict(one.headers))
    assert hidden not in caplog.text


def test_every_threat_has_a_test_that_exists() -> None:
    """The table of `docs/security.md`."""
    (page,) = (ROOT / "docs").rglob("security.md")
    rows = re.findall(
        r"^\| (?!threat|---)(.+?) \| (.+?) \| (.+?) \|$", page.read_text(encoding="utf-8"), re.M
    )
    threats = [row for row in rows if "::" in row[2]]
    assert len(threats) >= 20
    for threat, _, tests in threats:
        named = re.findall(r"`(tests/[\w/.]+\.py)::(\w+)`", tests)
        assert named, threat
        for file, test in named:
            assert re.search(rf"\bdef {test}\(", (ROOT / file).read_text(encoding="utf-8")), f"{file}::{test}"
