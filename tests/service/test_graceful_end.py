"""SIGTERM to real processes: requests under way end, attempts keep what they have, nothing is repeated."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.client import Client
from tests.support.processes import LIMIT_SECONDS, end, heunboard, until, up, working_on

ENDS_WITHIN = 40.0  # it takes 3 s; the machine may be busy
COMPILED_WITHIN = 240.0  # likewise; the programs of a step are compiled, if no process has done so before
ENDLESS = {
    "name": "endless",
    "task": {"id": "polynomial", "latents": 4, "batch_size": 8, "epochs": 1000, "steps_per_epoch": 1000},
    "estimators": ["st"],
    "seeds": 1,
}
SUBMISSION = json.dumps(ENDLESS).encode()


@contextmanager
def web(data: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``heunboard serve`` on a free port, ready, and its address."""
    process = heunboard("serve", "--port=0", data=data, **environment)
    try:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], LIMIT_SECONDS)[0], "not ready"
        url = os.read(process.stdout.fileno(), select.PIPE_BUF).decode().split()[-1]
        until(lambda: httpx.get(f"{url}/readyz", timeout=LIMIT_SECONDS).is_success, "it is ready")
        yield process, url
    finally:
        end(working_on(data))
        process.communicate()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_attempts_keep_a_last_checkpoint_from_which_the_next_ones_go_on(tmp_path: Path) -> None:
    """Checkpoints are written once an hour here, so that only the last one can be found."""
    arguments = ("--launcher=local", "--slots=1")
    with up(tmp_path, *arguments, HEUNBOARD_CHECKPOINT_SECONDS="3600") as running:
        with Client(running.url) as client:
            sweep = client.submit(ENDLESS).id
            seen = until(lambda: _steps(client, sweep), "something was computed", limit=COMPILED_WITHIN)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(ENDS_WITHIN) == 0
    with up(tmp_path, *arguments) as running:
        trial = httpx.get(f"{running.url}/api/v1/sweeps/{sweep}/trials", timeout=LIMIT_SECONDS).json()[
            "trials"
        ][0]["key"]
        first, second = until(
            lambda: _begun_twice(running.url, trial), "the next attempt has begun", limit=COMPILED_WITHIN
        )
    assert (first["state"], first["cause"], first["error"]) == ("finished", None, None)
    assert second["resumed_from_step"] == first["steps_done"] >= seen > 0


def _steps(client: Client, sweep: str) -> int:
    return int(client.sweep(sweep).progress.steps_done)


def _begun_twice(url: str, trial: str) -> list[dict[str, Any]] | None:
    """The attempts at a trial in their order, once the second one has said where it goes on."""
    attempts = httpx.get(f"{url}/api/v1/trials/{trial}/attempts", timeout=LIMIT_SECONDS).json()["attempts"]
    found = sorted(attempts, key=lambda one: one["id"])
    return found if len(found) == 2 and found[1]["resumed_from_step"] is not None else None


def test_a_request_under_way_is_answered_and_no_other_is_taken(tmp_path: Path) -> None:
    with web(tmp_path) as (process, url):
        address = httpx.URL(url)
        with socket.create_connection((address.host, address.port or 0), LIMIT_SECONDS) as line:
            head = f"POST /api/v1/sweeps HTTP/1.1\r\nHost: {address.host}\r\nContent-Type: application/json"
            line.sendall(f"{head}\r\nContent-Length: {len(SUBMISSION)}\r\n\r\n".encode() + SUBMISSION[:9])
            until(
                lambda: httpx.get(f"{url}/healthz", timeout=LIMIT_SECONDS).is_success,
                "the first part has come",
            )
            process.send_signal(signal.SIGTERM)
            until(lambda: _refused(url), "nothing new is taken")
            line.sendall(SUBMISSION[9:])
            assert line.recv(4096).startswith(b"HTTP/1.1 201 ")
        process.wait(ENDS_WITHIN)
        assert process.returncode in (0, -signal.SIGTERM)


def _refused(url: str) -> bool:
    try:
        httpx.get(f"{url}/healthz", timeout=LIMIT_SECONDS)
    except httpx.ConnectError:
        return True
    return False


def test_it_says_for_a_while_that_it_is_not_ready_any_more_and_still_answers(tmp_path: Path) -> None:
    with (
        web(tmp_path, HEUNBOARD_DRAIN_SECONDS="60") as (process, url),
        httpx.Client(base_url=url, timeout=LIMIT_SECONDS) as http,
    ):
        process.send_signal(signal.SIGTERM)
        answer = until(lambda: _unready(http), "it is not ready any more")
        assert answer.json()["type"] == "urn:heunboard:problem:shutting-down"
        assert http.get("/healthz").status_code == 200
        assert http.get("/api/v1/sweeps").status_code == 200
        process.send_signal(signal.SIGINT)  # who asks twice waits no longer
        process.wait(ENDS_WITHIN)


def _unready(http: httpx.Client) -> httpx.Response | None:
    answer = http.get("/readyz")
    return answer if answer.status_code == 503 else None
