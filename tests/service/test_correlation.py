"""Request ids: taken or made, in answers and problems, and in the log lines of a real server."""

from __future__ import annotations

import json
import os
import select
import signal
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import Engine

from service.api.correlation import HEADER, subjects
from tests.support.plugins import FAILING, install_halved, path_with
from tests.support.processes import LIMIT_SECONDS, end, heunboard, until, up, working_on
from tests.support.web import application, browser_of


@pytest.fixture
def app(engine: Engine) -> FastAPI:
    return application(engine)


@pytest.mark.parametrize("given", ["abc-1", "a/b=c", "x" * 128])
def test_a_sane_id_is_taken(app: FastAPI, given: str) -> None:
    with browser_of(app) as browser:
        answer = browser.get("/api/v1/sweeps/99", headers={HEADER: given, "Accept": "application/json"})
    assert answer.headers[HEADER] == given
    assert answer.json()["request_id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", 'a"b', "<script>"])
def test_any_other_is_replaced(app: FastAPI, given: str) -> None:
    with browser_of(app) as browser:
        made = [browser.get("/healthz", headers={HEADER: given}).headers[HEADER] for _ in range(2)]
    assert [uuid.UUID(one).hex for one in made] == made
    assert made[0] != made[1]


def test_an_unforeseen_error_and_a_foreign_host_have_one_too(app: FastAPI) -> None:
    @app.get("/api/v1/broken")
    def broken() -> None:
        raise RuntimeError("a bug")

    with browser_of(app) as browser:
        browser._transport.raise_server_exceptions = False  # type: ignore[attr-defined] # as a server does
        failed = browser.get("/api/v1/broken", headers={HEADER: "r1"})
        foreign = browser.get("/healthz", headers={HEADER: "r2", "Host": "evil.com"})
    assert (failed.status_code, failed.headers[HEADER], failed.json()["request_id"]) == (500, "r1", "r1")
    assert (foreign.status_code, foreign.headers[HEADER], foreign.json()["request_id"]) == (421, "r2", "r2")


def test_what_a_path_is_about() -> None:
    assert subjects("/api/v1/sweeps/12/trials") == {"sweep": "12"}
    assert subjects("/internal/v1/attempts/7/heartbeat") == {"attempt": "7"}
    assert subjects("/trials/0a1b") == {"trial": "0a1b"}
    assert subjects("/api/v1/sweeps/%0a{}/") == {}
    assert subjects("/api/v1/sweeps") == {}


def test_a_real_server_logs_json_with_ids_and_without_what_nobody_should_see(tmp_path: Path) -> None:
    process = heunboard("serve", "--port=0", data=tmp_path)
    secret = "hb_0123456789abcdef_Zk3x9QmB7tUe1aPq"
    try:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], LIMIT_SECONDS)[0], "not ready"
        url = os.read(process.stdout.fileno(), select.PIPE_BUF).decode().split()[-1]
        until(lambda: httpx.get(f"{url}/readyz", timeout=LIMIT_SECONDS).is_success, "it is ready")
        headers = {HEADER: "mine", "Authorization": f"Bearer {secret}"}
        httpx.get(f"{url}/api/v1/sweeps/99?page_token={secret}", headers=headers, timeout=LIMIT_SECONDS)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=LIMIT_SECONDS)
    finally:
        end(working_on(tmp_path))
        process.communicate()
    found = [json.loads(line) for line in err.splitlines()]  # every line is JSON, uvicorn's, too
    assert {one["process"] for one in found} == {"web"}
    assert any(one["logger"].startswith("uvicorn") for one in found)
    (access,) = [one for one in found if one["logger"] == "heunboard.access"]
    told = {name: access[name] for name in ("request", "sweep", "method", "path", "status")}
    assert told == {
        "request": "mine",
        "sweep": "99",
        "method": "GET",
        "path": "/api/v1/sweeps/99",
        "status": 404,
    }
    assert 0 < access["seconds"] < LIMIT_SECONDS
    assert secret not in err


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_dispatcher_and_workers_log_json_with_ids(tmp_path: Path) -> None:
    """A trial that fails is told of in the log of its worker, with all that it belongs to."""
    install_halved(tmp_path / "site", function=FAILING)
    environment = {"HEUNBOARD_LOG_FORMAT": "json", "PYTHONPATH": path_with(tmp_path / "site")}
    sweep = {
        "name": "fails",
        "task": {"id": "polynomial", "latents": 4, "batch_size": 8, "epochs": 2, "steps_per_epoch": 20},
        "estimators": ["halved"],
        "seeds": 1,
    }
    data = tmp_path / "data"
    with up(data, "--launcher=local", "--slots=1", **environment) as running:
        httpx.post(f"{running.url}/api/v1/sweeps", json=sweep, timeout=LIMIT_SECONDS).raise_for_status()
        trial = until(lambda: _ended(running.url), "the trial has ended", limit=240)
        (attempt,) = httpx.get(
            f"{running.url}/api/v1/trials/{trial['key']}/attempts", timeout=LIMIT_SECONDS
        ).json()["attempts"]
    dispatched = _parsed(data / "logs" / "dispatch.log")
    (begun,) = [one for one in dispatched if one.get("attempt") == attempt["id"]]
    assert (begun["process"], begun["level"]) == ("dispatcher", "INFO")
    worked = _parsed(data / "attempts" / f"{attempt['id']}.log")
    assert {(one["process"], one["attempt"]) for one in worked} == {("worker", attempt["id"])}
    (failed,) = [one for one in worked if one.get("trial") == trial["key"]]
    assert failed["message"] == "the trial failed: RuntimeError: this estimator is not finished"
    assert failed["cohort"] == begun["cohort"]


def _ended(url: str) -> dict[str, Any] | None:
    (trial,) = httpx.get(f"{url}/api/v1/sweeps/1/trials", timeout=LIMIT_SECONDS).json()["trials"]
    return trial if trial["state"] in ("failed", "succeeded") else None


def _parsed(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]
