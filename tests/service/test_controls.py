"""Pausing, cancelling, retrying and deleting over HTTP and by the client."""

from __future__ import annotations

import httpx
import pytest
from sqlalchemy import Engine

from service.client import ApiError, Client
from service.queue.submission import submit
from tests.support.sweeps import small_sweep
from tests.support.web import InProcess, application, browser_of


@pytest.fixture
def http(engine: Engine) -> httpx.Client:
    return browser_of(application(engine))


def test_every_control_answers_the_sweep_as_it_then_stands(engine: Engine, http: httpx.Client) -> None:
    submit(engine, small_sweep())
    seen = []
    for path in ("pause", "resume", "cancel", "retry"):
        answer = http.post(f"/api/v1/sweeps/1/{path}", json={})
        assert answer.status_code == 200, answer.text
        seen.append((answer.json()["state"], answer.json()["held"]))
    assert seen == [
        ("paused", "paused"),
        ("queued", "active"),
        ("cancelled", "cancelled"),
        ("queued", "active"),
    ]
    answer = http.patch("/api/v1/sweeps/1", json={"priority": 7})
    assert answer.json()["priority"] == http.get("/api/v1/sweeps/1").json()["priority"] == 7


def test_a_deleted_sweep_is_in_the_bin_until_it_is_restored(engine: Engine, http: httpx.Client) -> None:
    submit(engine, small_sweep())
    assert http.delete("/api/v1/sweeps/1").status_code == 204
    assert http.get("/api/v1/sweeps/1").status_code == 404
    assert http.get("/api/v1/sweeps").json()["sweeps"] == []
    (binned,) = http.get("/api/v1/sweeps?deleted=true").json()["sweeps"]
    assert (binned["id"], binned["deleted_at"] is None) == ("1", False)
    assert http.post("/api/v1/sweeps/1/restore", json={}).json()["deleted_at"] is None
    assert http.get("/api/v1/sweeps/1").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "told"),
    [
        ("POST", "/sweeps/1/resume", {}, 409, "sweep 1 is active; there is nothing to resume"),
        ("POST", "/sweeps/1/retry", {}, 409, "no trial of sweep 1 has failed or was cancelled"),
        ("POST", "/sweeps/9/pause", {}, 404, "there is no sweep 9"),
        ("POST", "/sweeps/x/pause", {}, 404, "there is no sweep 'x'"),
        ("DELETE", "/sweeps/9", None, 404, "there is no sweep 9"),
        ("POST", "/sweeps/1/pause", {"why": 1}, 422, "not permitted"),
        ("PATCH", "/sweeps/1", {"priority": 101}, 422, "less than or equal to 100"),
        ("PATCH", "/sweeps/1", {}, 422, "nothing to change"),
    ],
)
def test_what_cannot_be_done_is_refused_and_says_why(
    engine: Engine,
    http: httpx.Client,
    method: str,
    path: str,
    body: dict[str, int] | None,
    status: int,
    told: str,
) -> None:
    submit(engine, small_sweep())
    answer = http.request(method, f"/api/v1{path}", json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert told in answer.text


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_a_form_of_a_foreign_page_controls_nothing(
    engine: Engine, http: httpx.Client, kind: str | None
) -> None:
    submit(engine, small_sweep())
    headers = {"Content-Type": kind} if kind else {}
    for path in ("pause", "cancel"):
        assert http.post(f"/api/v1/sweeps/1/{path}", content="{}", headers=headers).status_code == 415
    assert http.get("/api/v1/sweeps/1").json()["state"] == "queued"


def test_the_client_does_the_same(engine: Engine) -> None:
    submit(engine, small_sweep())
    with Client("http://127.0.0.1", transport=InProcess(application(engine))) as client:
        assert client.pause(1).state == "paused"
        assert client.resume("1").state == "queued"
        assert client.set_priority(1, -3).priority == -3
        assert client.cancel(1).progress.counts["cancelled"] == 6
        assert client.retry(1).progress.counts["queued"] == 6
        client.delete(1)
        assert [sweep.id for sweep in client.deleted_sweeps()] == ["1"]
        assert client.restore(1).state == "cancelled"
        with pytest.raises(ApiError, match="not in the bin") as refused:
            client.restore(1)
        assert refused.value.status == 409
