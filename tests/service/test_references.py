"""What sweeps refer to is there, though the database does not look: who adds and who removes take turns."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from service.errors import NotFound, NothingToDo
from service.queue import submission
from service.queue.bin import delete_for_good
from service.queue.control import Controls
from service.queue.storing import Addition, Storing
from service.queue.submission import submit
from service.storage import engine as storage
from service.storage.engine import is_sqlite, read, write
from service.storage.models import Sweep, SweepCell, SweepTrial, Trial
from service.storage.queries import submission as queries
from tests.service.test_concurrency import at_once
from tests.support.processes import until
from tests.support.references import dangling
from tests.support.sweeps import small_sweep

LIMIT_S = 30.0
SHARED = small_sweep(estimators=["st"], seeds=4)


@pytest.fixture
def deleted(engine: Engine) -> Iterator[Engine]:
    """A sweep in the bin, cancelled: its trials go when it is taken out for good."""
    submit(engine, SHARED)
    Controls(engine).delete(1)
    yield engine
    assert dangling(engine) == []


def waits_for_its_turn(engine: Engine) -> bool:
    """Whether somebody waits until nobody else submits."""
    if is_sqlite(engine):
        return bool(storage._turns(str(engine.url.database))._waiting)
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with read(engine) as connection:
        return bool(connection.scalar(sa.text(waiting)))


def test_trials_that_a_piece_has_found_stay_until_it_is_stored(
    deleted: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking for them and wanting them they belong to a sweep that is deleted just then."""
    found, stored = Event(), Event()
    add = Storing.add

    def slowly(storing: Storing, connection: Connection, new: Addition) -> None:
        assert len(new.known) == 4
        found.set()
        assert stored.wait(LIMIT_S)
        add(storing, connection, new)

    monkeypatch.setattr(Storing, "add", slowly)
    with ThreadPoolExecutor(2) as people:
        submitting = people.submit(submit, deleted, SHARED)
        assert found.wait(LIMIT_S)
        deleting = people.submit(delete_for_good, deleted, 1)
        until(lambda: deleting.done() or waits_for_its_turn(deleted), "the other one has come")
        stored.set()
        assert submitting.result(LIMIT_S).known == 4
        assert deleting.result(LIMIT_S)
    with read(deleted) as connection:
        assert connection.scalars(sa.select(SweepTrial.sweep_id).distinct()).all() == [2]
        assert connection.scalar(sa.select(sa.func.count()).select_from(Trial)) == 4


def test_trials_that_are_being_removed_are_not_found(
    deleted: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other way round: who submits looks after they are gone, and makes new ones."""
    holding, released = Event(), Event()

    def hold() -> None:
        with write(deleted) as connection:
            storage.serialise(connection, "submit")
            holding.set()
            assert released.wait(LIMIT_S)

    looked = Event()
    known_trials = queries.known_trials

    def seen(connection: Connection, keys: list[str]) -> dict[str, queries.KnownTrial]:
        looked.set()
        return known_trials(connection, keys)

    monkeypatch.setattr(queries, "known_trials", seen)
    with ThreadPoolExecutor(2) as people:
        removing = people.submit(hold)
        assert holding.wait(LIMIT_S)
        submitting = people.submit(submit, deleted, SHARED)
        until(lambda: submitting.done() or waits_for_its_turn(deleted), "the other one has come")
        assert not looked.is_set()
        released.set()
        removing.result(LIMIT_S)
        assert submitting.result(LIMIT_S).known == 4


def test_many_who_submit_and_delete_leave_nothing_dangling(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sweeps of shared trials, stored in pieces of two, while others are deleted for good."""
    monkeypatch.setattr(submission, "PIECE", 2)
    at_once(
        lambda: _submit(engine, random.Random(1)),
        lambda: _submit(engine, random.Random(2)),
        lambda: _delete(engine, random.Random(3)),
        lambda: _delete(engine, random.Random(4)),
    )
    assert dangling(engine) == []
    with read(engine) as connection:
        ids = connection.scalars(sa.select(Sweep.id)).all()
    for id in ids:
        _delete_one(engine, id)
    assert dangling(engine) == []
    with read(engine) as connection:
        for table in (Sweep, SweepTrial, SweepCell, Trial):
            assert connection.scalar(sa.select(sa.func.count()).select_from(table)) == 0


def _submit(engine: Engine, chance: random.Random) -> None:
    for _ in range(12):
        chosen = chance.sample(["st", "stgs", "reinmax"], 2)
        submit(engine, small_sweep(estimators=chosen, seeds=chance.randint(1, 4)))


def _delete(engine: Engine, chance: random.Random) -> None:
    for _ in range(24):
        _delete_one(engine, chance.randint(1, 24))


def _delete_one(engine: Engine, id: int) -> None:
    with suppress(NotFound, NothingToDo):
        delete_for_good(engine, id)
