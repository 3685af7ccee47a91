"""Attempts that could not compile their steps are seen wherever people look."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from service.resources.fallbacks import ADVICE, fallbacks, sentence, warning
from service.storage.engine import write
from service.storage.models import Attempt
from tests.support.sweeps import COMPILED, FELL_BACK, PROVENANCE, small_sweep
from tests.support.web import application, browser_of, compute

(FAILURE,) = FELL_BACK.fallback or ()
NEW_FIELDS = {"executor", "compile_seconds", "first_step_seconds", "fallback", "matmul", "phases"}


@pytest.fixture
def http(engine: Engine) -> httpx.Client:
    return browser_of(application(engine))


def answers(http: httpx.Client, sweep: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The sweep and its only board."""
    found = http.get(f"/api/v1/sweeps/{sweep}").json()
    return found, http.get(f"/api/v1/boards/{found['boards'][0]['id']}").json()


def attempt_of(http: httpx.Client, sweep: str) -> dict[str, Any]:
    """The only attempt of the sweep's first trial."""
    trial = http.get(f"/api/v1/sweeps/{sweep}/trials").json()["trials"][0]
    (attempt,) = http.get(f"/api/v1/trials/{trial['key']}/attempts").json()["attempts"]
    found: dict[str, Any] = attempt
    return found


def pages(http: httpx.Client, sweep: str) -> list[str]:
    """The pages of the sweep, of its cells alone (what its script fetches), and of its board."""
    board = answers(http, sweep)[1]["id"]
    paths = (f"/sweeps/{sweep}", f"/sweeps/{sweep}/cells", f"/boards/{board}")
    return [http.get(path, headers={"Accept": "text/html"}).text for path in paths]


def test_counted_by_attempt_in_the_api_and_said_on_every_page(engine: Engine, http: httpx.Client) -> None:
    id = compute(engine, small_sweep(), provenance=FELL_BACK)
    for found in answers(http, id):
        assert found["fallbacks"] == [{"failures": [FAILURE], "attempts": 2}], "one cohort per estimator"
    for page in pages(http, id):
        assert sentence(2) in page
        assert FAILURE in page


def test_nothing_is_said_when_everything_was_compiled(engine: Engine, http: httpx.Client) -> None:
    id = compute(engine, small_sweep(), provenance=COMPILED)
    sweep, board = answers(http, id)
    assert sweep["fallbacks"] == board["fallbacks"] == []
    assert board["versions"]["executor"] == ["loop"]
    assert not any(ADVICE in page for page in pages(http, id))
    assert "<dt>Steps done as</dt><dd>loop</dd>" in pages(http, id)[-1]


def test_a_sweep_speaks_of_its_own_attempts_only(engine: Engine, http: httpx.Client) -> None:
    slow = compute(engine, small_sweep(estimators=["st"]), provenance=FELL_BACK)
    fast = compute(engine, small_sweep(estimators=["reinmax"]), provenance=COMPILED)
    shared = compute(engine, small_sweep())
    counts = [[one["attempts"] for one in answers(http, id)[0]["fallbacks"]] for id in (slow, fast, shared)]
    assert counts == [[1], [], [1]]


def test_provenance_of_older_versions_is_read(engine: Engine, http: httpx.Client) -> None:
    id = compute(engine, small_sweep())
    old = PROVENANCE.model_dump(mode="json", exclude=NEW_FIELDS)
    with write(engine) as connection:
        connection.execute(sa.update(Attempt).values(provenance=old))
    sweep, board = answers(http, id)
    assert sweep["fallbacks"] == board["fallbacks"] == board["versions"]["executor"] == []
    assert "Steps done as" not in pages(http, id)[-1]
    assert attempt_of(http, id)["provenance"] == old


def test_provenance_has_the_names_of_today(engine: Engine, http: httpx.Client) -> None:
    id = compute(engine, small_sweep())
    now = PROVENANCE.model_dump(mode="json") | {"matmul": "native"}
    old = {"products" if name == "matmul" else name: value for name, value in now.items()}
    with write(engine) as connection:
        connection.execute(sa.update(Attempt).values(provenance=old))
    assert attempt_of(http, id)["provenance"] == now


def test_attempts_that_failed_alike_are_counted_together() -> None:
    one, two = {"fallback": ["loop: x"]}, {"fallback": ["loop: x", "steps: y"]}
    found = fallbacks([one, two, None, {"fallback": None}, {}, two])
    assert [(f.attempts, f.failures) for f in found] == [(2, ["loop: x", "steps: y"]), (1, ["loop: x"])]
    assert warning(found) == (sentence(3), ["loop: x", "steps: y"])


def test_sentence_says_what_it_means_and_what_to_do() -> None:
    assert sentence(1).startswith("One attempt could not compile")
    assert "1,200 attempts" in sentence(1200)
    assert "results are right" in sentence(1)
    assert "g++" in sentence(1)
