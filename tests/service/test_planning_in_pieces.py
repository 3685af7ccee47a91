"""Planning a large queue keeps no writer waiting and writes nothing that is no longer so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from service.queue import cohorts
from service.queue.cohorts import Queue
from service.queue.submission import submit
from service.storage.engine import others_first, read, write
from service.storage.models import Cell, Cohort, Trial
from tests.support.sweeps import small_sweep
from workers.planning import plan_cohorts

CELLS = [1e-4 * n for n in range(1, 11)]


@pytest.fixture
def queue(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Queue:
    """Ten learning rates of one seed each, in cohorts of two lanes, of which two go into a transaction."""
    monkeypatch.setattr(cohorts, "PIECE", 4)
    submit(engine, small_sweep(estimators=["st"], grid={"lr": CELLS}, seeds=1))
    return Queue(engine)


def plan(queue: Queue) -> int:
    return queue.plan(max_lanes=2, slots=1, side_by_side=True)


def planned(engine: Engine) -> list[tuple[int, list[int]]]:
    """Cohorts by id: priority and trials."""
    with read(engine) as connection:
        rows = connection.execute(sa.select(Cohort.id, Cohort.priority).order_by(Cohort.id)).all()
        members = sa.select(Trial.id).order_by(Trial.id)
        return [(p, list(connection.scalars(members.where(Trial.cohort_id == id)))) for id, p in rows]


def between_pieces(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> list[int]:
    """Have something done once, after the first piece; returns a list of the pieces that were written."""
    pieces: list[int] = []

    @contextmanager
    def watched(_: Engine) -> Iterator[None]:
        yield
        pieces.append(len(pieces))
        if len(pieces) == 1:
            act()

    monkeypatch.setattr(cohorts, "others_first", watched)
    return pieces


def test_others_write_between_the_pieces(
    engine: Engine, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another connection, which does not wait for a lock at all, writes while planning is under way."""
    seen: list[int] = []

    def other() -> None:
        seen.append(len(planned(engine)))
        with write(engine) as connection:
            connection.execute(sa.update(Cell).values(trials=Cell.trials))

    pieces = between_pieces(monkeypatch, other)
    with no_patience(engine):
        assert plan(queue) == 5
    assert (seen, len(pieces)) == ([2], 3), "two cohorts, two, and one"
    trials = [trial for _, members in planned(engine) for trial in members]
    assert trials == sorted(trials)
    assert len(trials) == 10


def test_while_it_is_thought_about_nobody_waits(
    engine: Engine, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:

    def thinking(*arguments: object) -> list[list[int]]:
        with write(engine) as connection:
            connection.execute(sa.update(Cell).values(trials=Cell.trials))
        return plan_cohorts(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(cohorts, "plan_cohorts", thinking)
    with no_patience(engine):
        assert plan(queue) == 5


def test_trials_that_became_more_urgent_meanwhile_are_planned_anew(
    engine: Engine, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fifth trial is wanted more urgently once the first four are in cohorts: its cohort is not made."""
    urgent = small_sweep(estimators=["st"], grid={"lr": CELLS[4:5]}, seeds=1, priority=7)
    between_pieces(monkeypatch, lambda: submit(engine, urgent))
    assert plan(queue) == 4
    assert plan(queue) == 2
    ids = [trial for _, members in planned(engine) for trial in members]
    assert planned(engine)[4:] == [(7, [5]), (0, [6])]
    assert sorted(ids) == list(range(1, 11))


def test_two_that_plan_at_once_put_every_trial_into_one_cohort(
    engine: Engine, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    other: list[int] = []

    def plans_the_rest() -> None:
        monkeypatch.setattr(cohorts, "others_first", others_first)
        other.append(plan(Queue(engine)))

    between_pieces(monkeypatch, plans_the_rest)
    assert plan(queue) == 2
    assert other == [3]
    assert sorted(trial for _, members in planned(engine) for trial in members) == list(range(1, 11))


def test_of_a_very_long_queue_the_first_are_planned(
    engine: Engine, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cohorts, "PLANNED_AT_ONCE", 6)
    assert plan(queue) == 3
    assert [members for _, members in planned(engine)] == [[1, 2], [3, 4], [5, 6]]
    assert plan(queue) == 2
    assert plan(queue) == 0


@contextmanager
def no_patience(engine: Engine) -> Iterator[None]:
    """Connections of this engine fail at once where they would wait for a lock."""

    def impatient(connection: Connection) -> None:
        lock = "PRAGMA busy_timeout = 0" if engine.dialect.name == "sqlite" else "SET LOCAL lock_timeout = 1"
        connection.exec_driver_sql(lock)

    sa.event.listen(engine, "begin", impatient, insert=True)
    try:
        yield
    finally:
        sa.event.remove(engine, "begin", impatient)
