"""Lists of sweeps by owner, state, tag and words; and the states in SQL are those that pages show."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from service.client import Client
from service.queue.bin import delete_for_good
from service.queue.cohorts import Queue
from service.queue.control import Controls
from service.queue.submission import submit
from service.resources import sweep_parts, sweeps
from service.states import Hold, SweepState, TrialState, sweep_state
from service.storage.engine import read, write
from service.storage.models import Sweep
from service.storage.queries import sweeps as queries
from service.storage.queries.sweeps import Search, sweep_rows
from tests.support.sweeps import small_sweep
from tests.support.web import InProcess, application, browser_of, compute, fail


def names(engine: Engine, **asked: Any) -> list[str]:
    found = sweeps.list_sweeps(engine, limit=9, search=sweeps.asked_for(**asked))
    return [sweep.name for sweep in found.sweeps]


@pytest.fixture
def three(engine: Engine) -> Engine:
    submit(engine, small_sweep(name="Pilot", owner="ada", tags=["vae", "früh"], description="A first look"))
    submit(engine, small_sweep(name="100 % more", owner="bob", tags=["vae"]))
    submit(engine, small_sweep(name="last", description="Not the pilot: with\nmore seeds"))
    return engine


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ["last", "100 % more", "Pilot"]),
        ({"owner": "ada"}, ["Pilot"]),
        ({"owner": "Ada"}, []),
        ({"tag": "vae"}, ["100 % more", "Pilot"]),
        ({"tag": "va"}, []),
        ({"q": "pilot"}, ["last", "Pilot"]),
        ({"q": "MORE"}, ["last", "100 % more"]),
        ({"q": "more pilot"}, ["last"]),
        ({"q": "%"}, ["100 % more"]),
        ({"q": "früh"}, ["Pilot"]),
        ({"q": "vae", "owner": "bob"}, ["100 % more"]),
        ({"q": "\0"}, ["last", "100 % more", "Pilot"]),
        ({"state": SweepState.QUEUED, "tag": "vae"}, ["100 % more", "Pilot"]),
        ({"state": SweepState.RUNNING}, []),
    ],
    ids=str,
)
def test_what_is_found(three: Engine, asked: dict[str, Any], expected: list[str]) -> None:
    assert names(three, **asked) == expected


def test_pages_of_a_search(three: Engine) -> None:
    search = sweeps.asked_for(tag="vae")
    first = sweeps.list_sweeps(three, limit=1, search=search)
    rest = sweeps.list_sweeps(three, limit=1, search=search, page_token=first.next_page_token)
    assert [one.name for one in first.sweeps + rest.sweeps] == ["100 % more", "Pilot"]
    assert rest.next_page_token is None


def test_what_a_sweep_says_of_itself_is_shown(three: Engine) -> None:
    shown = sweeps.show_sweep(three, "1")
    assert (shown.description, shown.tags) == ("A first look", ["vae", "früh"])
    assert sweeps.choices(three) == (["ada", "bob"], ["früh", "vae"])


def test_what_a_sweep_says_of_itself_can_be_changed(three: Engine) -> None:
    with Client("http://127.0.0.1", transport=InProcess(application(three))) as client:
        changed = client.describe(1, name="Pilot, again", tags=["new", "vae"])
        assert (changed.name, changed.description, changed.tags) == (
            "Pilot, again",
            "A first look",
            ["new", "vae"],
        )
        assert client.describe(2, description="now\nit says").description == "now\nit says"
        assert client.set_priority(2, 7).name == "100 % more"
    assert names(three, tag="new") == ["Pilot, again"]
    assert names(three, tag="früh") == []
    assert sweep_parts.sweep_file(three, "1")["name"] == "Pilot"  # as it was submitted


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "nothing to change"),
        ({"name": ""}, "at least 1 character"),
        ({"name": "   "}, "blank"),
        ({"name": "a\nb"}, "unprintable"),
        ({"tags": ["a", "a"]}, "there twice"),
        ({"tags": ["t" * 41]}, "at most 40"),
        ({"owner": "eve"}, "not permitted"),
    ],
    ids=str,
)
def test_what_cannot_be_said_changes_nothing(three: Engine, body: dict[str, Any], said: str) -> None:
    answer = browser_of(application(three)).patch("/api/v1/sweeps/1", json=body)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    shown = sweeps.show_sweep(three, "1")
    assert (shown.name, shown.tags) == ("Pilot", ["vae", "früh"])


def test_tags_of_a_sweep_that_is_deleted_for_good_go_with_it(three: Engine) -> None:
    delete_for_good(three, 1)
    assert sweeps.choices(three) == (["bob"], ["vae"])


def test_states_of_real_sweeps(engine: Engine) -> None:
    compute(engine, small_sweep(name="done"))
    fail(engine, small_sweep(name="broken", seeds=[11]), error="no", traceback="")
    submit(engine, small_sweep(name="runs", seeds=[12]))
    queue = Queue(engine)
    queue.plan(max_lanes=8, slots=1)
    queue.claim(owner="d", limit=1)
    for number, (name, control) in enumerate(
        (("waits", None), ("held", Controls.pause), ("given up", Controls.cancel)), start=4
    ):
        submit(engine, small_sweep(name=name, seeds=[10 * number]))
        if control:
            control(Controls(engine), number)
    by_state = {state: names(engine, state=state) for state in SweepState}
    assert by_state == {
        SweepState.QUEUED: ["waits"],
        SweepState.RUNNING: ["runs"],
        SweepState.PAUSED: ["held"],
        SweepState.SUCCEEDED: ["done"],
        SweepState.FAILED: ["broken"],
        SweepState.CANCELLED: ["given up"],
    }


def test_the_states_are_those_of_the_rule(engine: Engine) -> None:
    """Every combination of hold and counts up to one of each, without running trials."""
    states = (TrialState.QUEUED, TrialState.SUCCEEDED, TrialState.FAILED, TrialState.CANCELLED)
    some = [dict(zip(states, counts, strict=True)) for counts in itertools.product((0, 1), repeat=4)]
    combinations = list(enumerate(itertools.product(Hold, some[1:]), start=1))
    rows = [
        {
            "id": id,
            "name": "x",
            "priority": 0,
            "document": {},
            "new_trials": 0,
            "created_at": datetime(2030, 1, 1, tzinfo=UTC),
            "held": hold,
            "trials": sum(counts.values()),
            **{state.value: counts[state] for state in states[1:]},
        }
        for id, (hold, counts) in combinations
    ]
    with write(engine) as connection:
        connection.execute(sa.insert(Sweep), rows)
    with read(engine) as connection:
        found = {
            row.id: state
            for state in SweepState
            for row in sweep_rows(connection, limit=999, before=None, search=Search(state=state))
        }
    assert found == {id: sweep_state(counts, hold) for id, (hold, counts) in combinations}


def test_the_client_searches(three: Engine) -> None:
    with Client("http://127.0.0.1", transport=InProcess(application(three))) as client:
        assert [one.name for one in client.sweeps(tag="vae", state="queued")] == ["100 % more", "Pilot"]
        assert len(client.sweeps()) == 3
        assert len(client.boards(q="polynomial", task="polynomial")) == 1
        assert client.boards(q="nothing") == []
        assert client.standing("st").ranked == 0


def test_the_search_over_rest(three: Engine) -> None:
    http = browser_of(application(three))
    found = http.get("/api/v1/sweeps", params={"owner": "ada", "state": "queued", "q": "look"}).json()
    assert [(one["name"], one["tags"], one["description"]) for one in found["sweeps"]] == [
        ("Pilot", ["vae", "früh"], "A first look")
    ]
    assert http.get("/api/v1/sweeps", params={"state": "asleep"}).status_code == 422
    assert len(http.get("/api/v1/sweeps", params={"state": "", "owner": ""}).json()["sweeps"]) == 3
    assert http.get("/api/v1/sweeps", params={"owner": "\0"}).status_code == 200


def test_a_large_sweep_is_counted_once_while_nothing_happens(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = compute(engine, small_sweep())
    exact = sweep_parts.list_estimators(engine, id)
    assert [(one.estimator, one.trials, one.counts["succeeded"]) for one in exact.estimators] == [
        ("st", 3, 3),
        ("reinmax", 3, 3),
    ]
    monkeypatch.setattr(sweep_parts, "MANY_TRIALS", 5)
    counted: list[int] = []
    count = queries.estimator_states

    def noted(connection: sa.Connection, id: int) -> list[tuple[str, TrialState, int]]:
        counted.append(id)
        return count(connection, id)

    monkeypatch.setattr(queries, "estimator_states", noted)
    assert [sweep_parts.list_estimators(engine, id) for _ in range(3)] == [exact] * 3
    assert counted == [int(id)]
    monkeypatch.setattr(sweep_parts, "MANY_TRIALS", 6)
    assert sweep_parts.list_estimators(engine, id) == exact
    assert len(counted) == 2
