"""The REST API over HTTP, in process, on both databases."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from benchmarks.sweep_file.limits import MAX_BODY_BYTES
from estimators import registry as estimators
from tests.support.sweeps import PROVENANCE, small_sweep
from tests.support.web import application, browser_of, compute

YAML = {"Content-Type": "application/yaml"}
SWEEP = """
name: small
task: {id: polynomial, latents: 4, epochs: 2, steps_per_epoch: 5}
estimators: [st, reinmax]
seeds: 3
"""
AS_JSON = {
    "name": "small",
    "task": {"id": "polynomial", "latents": 4, "epochs": 2, "steps_per_epoch": 5},
    "estimators": ["st", "reinmax"],
    "seeds": 3,
}


@pytest.fixture
def http(engine: Engine) -> httpx.Client:
    return browser_of(application(engine))


def test_submit_answers_201_and_where_the_sweep_is(http: httpx.Client) -> None:
    answer = http.post("/api/v1/sweeps", content=SWEEP, headers=YAML)
    assert answer.status_code == 201
    submitted = answer.json()
    assert submitted.pop("plan")["to_compute"] == 6
    assert http.get(answer.headers["Location"]).json() == submitted
    assert (answer.json()["trials"], answer.json()["state"]) == (6, "queued")
    assert answer.json()["created_at"].endswith("Z")


def test_json_and_yaml_name_the_same_trials(http: httpx.Client) -> None:
    http.post("/api/v1/sweeps", content=SWEEP, headers=YAML)
    again = http.post("/api/v1/sweeps", json=AS_JSON).json()
    assert len(http.get("/api/v1/boards").json()["boards"]) == 1
    first, second = (http.get(f"/api/v1/sweeps/{i}/trials").json()["trials"] for i in ("1", again["id"]))
    assert {t["key"] for t in first} == {t["key"] for t in second}


def test_same_idempotency_key_stores_one_sweep(http: httpx.Client) -> None:
    headers = YAML | {"Idempotency-Key": "abc"}
    first = http.post("/api/v1/sweeps", content=SWEEP, headers=headers)
    assert http.post("/api/v1/sweeps", content=SWEEP, headers=headers).json() == first.json()
    other = http.post("/api/v1/sweeps", content=SWEEP.replace("small", "other"), headers=headers)
    assert (other.status_code, other.json()["type"]) == (422, "urn:heunboard:problem:idempotency-key-reused")
    assert len(http.get("/api/v1/sweeps").json()["sweeps"]) == 1


def test_plan_counts_what_is_known_and_stores_nothing(http: httpx.Client, engine: Engine) -> None:
    plan = http.post("/api/v1/sweeps/plan", content=SWEEP, headers=YAML).json()
    assert counts(plan) == (6, 0, 6)
    assert http.get("/api/v1/sweeps").json()["sweeps"] == []
    compute(engine, small_sweep())
    more = SWEEP.replace("seeds: 3", "seeds: 5")
    plan = http.post("/api/v1/sweeps/plan", content=more, headers=YAML).json()
    assert counts(plan) == (10, 6, 4)
    assert [(line["estimator"], *counts(line)) for line in plan["estimators"]] == [
        ("st", 5, 3, 2),
        ("reinmax", 5, 3, 2),
    ]


def counts(plan: dict[str, Any]) -> tuple[int, int, int]:
    return plan["trials"], plan["known"], plan["to_compute"]


def test_plan_tells_device_time_from_the_table_then_from_finished_attempts(
    http: httpx.Client, engine: Engine
) -> None:
    """Attempts of the small sweep report half a second a trial of ten steps, whatever the table says."""
    plan = http.post("/api/v1/sweeps/plan", content=SWEEP, headers=YAML).json()
    time = plan["device_seconds"]
    assert 0 < time["low"] < time["expected"] < time["high"]
    assert (time["attempts"], plan["warning"]) == (0, None)
    compute(engine, small_sweep())
    more = SWEEP.replace("seeds: 3", "seeds: 23")
    plan = http.post("/api/v1/sweeps/plan", content=more, headers=YAML).json()
    assert plan["device_seconds"]["expected"] == pytest.approx(2 * 20 * 0.5)
    assert plan["device_seconds"]["attempts"] == 1
    ends = [sum(line["device_seconds"][end] for line in plan["estimators"]) for end in ("low", "high")]
    assert ends == pytest.approx([plan["device_seconds"]["low"], plan["device_seconds"]["high"]])
    known = http.post("/api/v1/sweeps/plan", content=SWEEP, headers=YAML).json()
    assert known["device_seconds"] == {"low": 0, "expected": 0, "high": 0, "attempts": 0}


def test_more_than_a_day_is_warned_of_and_submitted_all_the_same(http: httpx.Client, engine: Engine) -> None:
    compute(engine, small_sweep())
    longer = SWEEP.replace("epochs: 2, steps_per_epoch: 5", "epochs: 100, steps_per_epoch: 3")
    longer = longer.replace("seeds: 3", "seeds: 10000")
    answer = http.post("/api/v1/sweeps", content=longer, headers=YAML)
    plan = answer.json()["plan"]
    assert answer.status_code == 201
    assert plan["device_seconds"]["expected"] == pytest.approx(2 * 10_000 * 300 * 0.05)  # 0.5 s for 10 steps
    assert plan["warning"].startswith("the sweep takes about 3.5 days of one device (")


def test_every_mistake_is_pointed_at_and_nothing_is_stored(http: httpx.Client) -> None:
    bad = SWEEP.replace("latents", "latent").replace("[st, reinmax]", "[st, {id: reinmax, temperature: 0}]")
    answer = http.post("/api/v1/sweeps", content=bad, headers=YAML)
    found = {e["pointer"]: e.get("suggestion") for e in answer.json()["errors"]}
    assert (answer.status_code, found) == (
        422,
        {"/task/latent": "latents", "/estimators/1/temperature": None},
    )
    assert http.get("/api/v1/sweeps").json()["sweeps"] == []
    assert http.get("/api/v1/boards").json()["boards"] == []


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_above_the_limit_is_refused(http: httpx.Client, declared: bool) -> None:
    body = b" " * (MAX_BODY_BYTES + 1)
    content = body if declared else iter([body])
    answer = http.post("/api/v1/sweeps", content=content, headers=YAML)
    assert (answer.status_code, answer.json()["status"]) == (413, 413)
    assert f"{MAX_BODY_BYTES:,}" in answer.json()["detail"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_what_a_foreign_form_can_send_is_refused(http: httpx.Client, kind: str) -> None:
    answer = http.post("/api/v1/sweeps", content=SWEEP, headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert http.get("/api/v1/sweeps").json()["sweeps"] == []


def test_lists_go_on_where_they_stopped(http: httpx.Client) -> None:
    names = [f"s{i}" for i in range(5)]
    for name in names:
        http.post("/api/v1/sweeps", json=AS_JSON | {"name": name})
    seen, token = [], None
    while True:
        page = http.get(
            "/api/v1/sweeps", params={"limit": 2} | ({"page_token": token} if token else {})
        ).json()
        seen += [sweep["name"] for sweep in page["sweeps"]]
        token = page["next_page_token"]
        if token is None:
            break
    assert seen == names[::-1]


def test_trials_by_state(http: httpx.Client, engine: Engine) -> None:
    id = compute(engine, small_sweep())
    url = f"/api/v1/sweeps/{id}/trials"
    assert len(http.get(url, params={"state": "succeeded"}).json()["trials"]) == 6
    assert http.get(url, params={"state": "failed"}).json()["trials"] == []
    assert http.get(url, params={"state": "lost"}).status_code == 422


def test_a_trial_with_curves_and_attempts(http: httpx.Client, engine: Engine) -> None:
    id = compute(engine, small_sweep())
    trial = http.get(f"/api/v1/sweeps/{id}/trials").json()["trials"][0]
    url = f"/api/v1/trials/{trial['key']}"
    shown = http.get(url).json()
    assert {name: shown[name] for name in trial} == trial
    (curve,) = http.get(f"{url}/curves").json()["curves"]
    seed = trial["spec"]["seed"]
    assert curve == {
        "metric": "expected_loss",
        "epochs": [1, 2],
        "values": [2.0, 1.0 + seed],
        "steps": [5, 10],
        "evaluations": [15, 30],
    }
    assert trial["cost"] == {
        "steps": 10,
        "steps_per_epoch": 5,
        "seconds_per_step": pytest.approx(trial["seconds"] / 10),
        "evaluations_per_step": 3,
        "peak_memory_bytes": PROVENANCE.peak_memory_bytes,
    }
    (attempt,) = http.get(f"{url}/attempts").json()["attempts"]
    assert (attempt["number"], attempt["state"], attempt["provenance"]["host"]) == (1, "finished", "test")
    assert attempt["provenance"]["phases"] == {"steps": 7.5, "evaluation": 0.5}
    times = [datetime.fromisoformat(attempt[name]) for name in ("claimed_at", "started_at", "finished_at")]
    assert times == sorted(times)


def test_board_as_json_and_csv_with_an_entity_tag(http: httpx.Client, engine: Engine) -> None:
    compute(engine, small_sweep(), {0: 1.0, 1: 2.0, 2: 6.0})
    (link,) = http.get("/api/v1/boards").json()["boards"]
    url = f"/api/v1/boards/{link['id']}"
    first = http.get(url)
    assert {row["estimator"]: row["metrics"]["expected_loss"]["mean"] for row in first.json()["rows"]} == {
        "st": 3.0,
        "reinmax": 3.0,
    }
    tag = first.headers["ETag"]
    same = http.get(url, headers={"If-None-Match": f'"other", {tag}'})
    assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", tag)
    answer = http.get(url, params={"format": "csv"})
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    assert answer.headers["content-type"].startswith("text/csv")
    measured = {(line["estimator"], line["metric"]): float(line["mean"]) for line in lines}
    assert measured[("st", "expected_loss")] == 3.0
    compute(engine, small_sweep(seeds=[7]))
    assert http.get(url, headers={"If-None-Match": tag}).status_code == 200


def test_board_selected_and_reported_by_other_metrics(http: httpx.Client, engine: Engine) -> None:
    compute(engine, small_sweep())
    id = http.get("/api/v1/boards").json()["boards"][0]["id"]
    chosen = {"select": "train_loss", "report": ["expected_loss"]}
    board = http.get(f"/api/v1/boards/{id}", params=chosen).json()
    assert (board["select"], board["report"]) == ("train_loss", ["expected_loss"])
    assert http.get(f"/api/v1/boards/{id}", params={"select": "speed"}).status_code == 422


def test_registries(http: httpx.Client) -> None:
    listed = http.get("/api/v1/estimators").json()["estimators"]
    assert [e["id"] for e in listed] == list(estimators.available())
    reinmax = http.get("/api/v1/estimators/reinmax").json()
    assert reinmax["parameters"][0]["allowed"] == "above 0"
    tasks = {t["id"]: t for t in http.get("/api/v1/tasks").json()["tasks"]}
    assert tasks["polynomial"]["select"] == "expected_loss"


def test_health(http: httpx.Client) -> None:
    assert http.get("/healthz").json()["status"] == "ok"
    assert http.get("/readyz").json()["status"] == "ready"


def test_the_schema_is_json_and_names_problem_bodies(http: httpx.Client) -> None:
    schema = json.loads(http.get("/openapi.json").text)
    assert "ProblemDocument" in schema["components"]["schemas"]
    assert not [path for path in schema["paths"] if path.startswith("/internal")]


@pytest.mark.parametrize("id", ["%00", "%F0%9F%98%80", "'", "9" * 30, "-1", "1e3"])
def test_odd_ids_are_not_found_whatever_the_database(http: httpx.Client, id: str) -> None:
    for path in ("/api/v1/sweeps/", "/api/v1/boards/", "/api/v1/trials/", "/boards/", "/sweeps/"):
        assert http.get(path + id).status_code == 404, path


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_text_that_a_database_cannot_hold_is_a_mistake_of_the_sweep(http: httpx.Client, name: str) -> None:
    body = json.dumps(AS_JSON | {"name": name})  # as escapes: all of it is ASCII
    answer = http.post("/api/v1/sweeps", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/name")
