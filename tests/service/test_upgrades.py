"""From every revision with data: after an upgrade everything answers as if it had been stored today."""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from service.queue.cohorts import Queue
from service.queue.submission import submit
from service.storage import migrations
from tests.support.databases import Databases, engine_of
from tests.support.history import Life, as_of, empty_tables
from tests.support.sweeps import small_sweep
from tests.support.web import application, browser_of

PASSING = {"last_used_at"}
"""Fields that change while one looks."""
NOT_KEPT = {"0001": {"cause"}}
"""Fields that nobody can know of what a revision has kept."""


@pytest.fixture
def old(backend: Databases) -> Iterator[Engine]:
    """A database without tables."""
    url = backend.empty()
    with engine_of(url) as engine:
        yield engine
    backend.drop(url)


@pytest.mark.parametrize("revision", migrations.revisions())
def test_everything_answers_as_if_it_had_been_stored_today(
    revision: str, engine: Engine, old: Engine
) -> None:
    life = Life(engine)
    life.until(revision)
    as_of(revision, engine, old)
    assert migrations.current(old) == revision
    migrations.upgrade(old)
    migrations.check(old)
    unknown = PASSING | NOT_KEPT.get(revision, set())
    assert answers(old, unknown, life.token) == answers(engine, unknown, life.token)


@pytest.mark.parametrize("revision", migrations.revisions())
def test_work_goes_on_after_an_upgrade(revision: str, engine: Engine, old: Engine) -> None:
    Life(engine).until(revision)
    as_of(revision, engine, old)
    migrations.upgrade(old)
    assert submit(old, small_sweep(name="done", estimators=["st", "reinmax"], seeds=2)).new == 0
    queue = Queue(old)
    assert queue.release_owner(owner="d") == 1, "the attempt that ran"
    queue.plan(max_lanes=2, slots=1)
    claims = queue.claim(owner="another", limit=20)
    assert [claim.label for claim in claims][:2] == ["polynomial st x2", "polynomial gumbel_rao x2"]
    for claim in claims:
        queue.start(claim.attempt_id, claim.secret)


def test_nothing_is_left_out(engine: Engine) -> None:
    """A revision that adds a table adds to :class:`tests.support.history.Life` what fills it."""
    newest = migrations.revisions()[-1]
    Life(engine).until(newest)
    assert not empty_tables(engine), f"let Life do, since {newest}, what puts rows into these tables"


def answers(engine: Engine, unknown: Set[str], token: str) -> dict[str, Any]:
    """What the service says of everything in a database, by address, but for some fields."""
    found: dict[str, Any] = {}
    with browser_of(application(engine)) as browser:
        browser.headers["Authorization"] = f"Bearer {token}" if token else ""
        for path in (
            "/tokens",
            "/audit",
            "/sweeps",
            "/sweeps?deleted=true",
            "/boards",
            "/attempts",
            "/nodes",
        ):
            found[path] = _told(browser, path)
        for sweep in found["/sweeps"]["sweeps"]:
            found |= _of_sweep(browser, sweep["id"])
        for board in found["/boards"]["boards"]:
            for form in ("json", "csv"):
                path = f"/boards/{board['id']}?format={form}"
                found[path] = _told(browser, path)
    return {path: _known(told, unknown) for path, told in found.items()}


def _of_sweep(browser: httpx.Client, id: int) -> dict[str, Any]:
    found = {path: _told(browser, path) for path in (f"/sweeps/{id}", f"/sweeps/{id}/trials")}
    for trial in found[f"/sweeps/{id}/trials"]["trials"]:
        for part in ("", "/curves", "/attempts"):
            path = f"/trials/{trial['key']}{part}"
            found[path] = _told(browser, path)
    return found


def _told(browser: httpx.Client, path: str) -> Any:
    answer = browser.get(f"/api/v1{path}")
    assert answer.is_success, (path, answer.text)
    return answer.json() if "json" in answer.headers["content-type"] else answer.text


def _known(told: Any, unknown: Set[str]) -> Any:
    """An answer without some fields."""
    if isinstance(told, dict):
        if told.get("host", "") is None and told["provenance"]:
            # 0002 takes it from there, where workers of before have not said it otherwise.
            told = told | {"host": told["provenance"]["host"]}
        return {name: _known(value, unknown) for name, value in told.items() if name not in unknown}
    return [_known(one, unknown) for one in told] if isinstance(told, list) else told
