"""A large sweep is stored piece by piece: others get between, and nothing is seen of it before the last."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from service.errors import NotFound, SubmissionGivenUp
from service.queue import submission
from service.queue.cohorts import Queue
from service.queue.control import Controls
from service.queue.storing import Storing
from service.queue.submission import clear_up, submit
from service.resources import sweeps
from service.storage.engine import is_sqlite, read
from service.storage.models import Board, Cell, Event, Sweep, SweepCell, SweepTrial, Trial
from tests.support.sweeps import SteppedClock, outcome, small_sweep

TABLES = (Board, Cell, Event, Sweep, SweepCell, SweepTrial, Trial)
LARGE = small_sweep(name="large", estimators=["st", "reinmax", "gumbel_rao"], seeds=2)
"""Three cells of two trials, each of them a piece."""


class Killed(BaseException):
    """The process ends here."""


class Between:
    """Does something after each piece, counted from 1."""

    def __init__(self) -> None:
        self.then: Callable[[int], None] = lambda piece: None
        self.pieces = 0

    @contextmanager
    def __call__(self, engine: Engine, *, pause: float = 1.0) -> Iterator[None]:
        yield
        self.pieces += 1
        self.then(self.pieces)


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Between:
    """Pieces are of two trials."""
    made = Between()
    monkeypatch.setattr(submission, "PIECE", 2)
    monkeypatch.setattr(submission, "others_first", made)
    return made


def rows(engine: Engine) -> dict[str, int]:
    with read(engine) as connection:
        count = sa.select(sa.func.count())
        return {table.__tablename__: connection.scalar(count.select_from(table)) or 0 for table in TABLES}


def die_after(between: Between, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a process that is killed: nothing of it clears up."""

    def die(now: int) -> None:
        if now == piece:
            raise Killed

    between.then = die
    monkeypatch.setattr(submission, "_forget", lambda *_: None)


def test_only_the_last_piece_waits_for_the_disk(engine: Engine, between: Between) -> None:
    """It is behind the others in PostgreSQL's log. SQLite's log waits when it is copied into the file."""
    waits = []

    def note(connection: sa.Connection) -> None:
        if not is_sqlite(connection) and connection.scalar(sa.text("SHOW transaction_read_only")) == "off":
            waits.append(connection.scalar(sa.text("SHOW synchronous_commit")))

    sa.event.listen(engine, "commit", note)
    submit(engine, LARGE)
    sa.event.remove(engine, "commit", note)
    assert waits == ([] if is_sqlite(engine) else ["off", "off", "on"])


def test_in_the_end_it_is_as_if_stored_at_once(engine: Engine, between: Between) -> None:
    result = submit(engine, LARGE)
    assert (between.pieces, result.trials, result.new, result.known) == (3, 6, 6, 0)
    left = {id: work.to_compute for id, work in result.work.estimators.items()}
    assert left == {"st": 2, "reinmax": 2, "gumbel_rao": 2}
    shown = sweeps.show_sweep(engine, "1")
    assert (shown.state, shown.trials, shown.boards_total, shown.cells_total) == ("queued", 6, 1, 3)
    assert shown.progress.steps_total == 6 * 10
    again = submit(engine, LARGE)
    assert (again.trials, again.new, again.known) == (6, 0, 6)
    assert sweeps.show_sweep(engine, "2").progress == shown.progress
    assert rows(engine)["trial"] == 6


def test_boards_of_earlier_pieces_are_counted_and_not_kept(
    engine: Engine, between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be a hundred thousand; the second board here stands in two pieces."""
    made: list[Storing] = []
    publish = Storing.publish

    def seen(storing: Storing, connection: sa.Connection, *, now: datetime) -> None:
        made.append(storing)
        publish(storing, connection, now=now)

    monkeypatch.setattr(Storing, "publish", seen)
    task = {"id": "polynomial", "latents": [1, 2, 3], "epochs": 2, "steps_per_epoch": 5}
    stored = submit(engine, small_sweep(task=task, estimators=["st", "reinmax", "gumbel_rao"], seeds=1))
    assert between.pieces == 5
    assert sweeps.show_sweep(engine, str(stored.sweep_id)).boards_total == 3
    assert len(made[0]._boards) == 1


def test_nobody_sees_it_before(engine: Engine, between: Between) -> None:
    seen: list[int] = []

    def look(piece: int) -> None:
        if piece < 3:
            with pytest.raises(NotFound):
                sweeps.show_sweep(engine, "1")
            with pytest.raises(NotFound):
                Controls(engine).pause(1)
            assert sweeps.list_sweeps(engine, limit=9).sweeps == []
            assert not Queue(engine).backlog().unplanned
            assert Queue(engine).plan(max_lanes=8, slots=1) == 0
        seen.append(rows(engine)["trial"])

    between.then = look
    submit(engine, LARGE)
    assert seen == [2, 4, 6]
    assert Queue(engine).plan(max_lanes=2, slots=1) == 3


def test_another_sweep_gets_what_is_there_at_once(engine: Engine, between: Between) -> None:
    """Its trials do not wait for the end of the other submission, and both count their ends."""
    queue = Queue(engine)

    def other(piece: int) -> None:
        if piece != 1:
            return
        between.then = lambda _: None
        assert submit(engine, small_sweep(estimators=["st"], seeds=2)).known == 2
        queue.plan(max_lanes=2, slots=1)
        (claim,) = queue.claim(owner="d", limit=1)
        reply = queue.start(claim.attempt_id, claim.secret)
        queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))
        assert sweeps.show_sweep(engine, "2").state == "succeeded"

    between.then = other
    submit(engine, LARGE)
    progress = sweeps.show_sweep(engine, "1").progress
    assert (progress.counts["succeeded"], progress.counts["queued"], progress.steps_done) == (2, 4, 20)


@pytest.mark.parametrize("control", [Controls.pause, Controls.cancel])
def test_what_another_sweep_no_longer_wants_is_wanted_all_the_same(
    engine: Engine, between: Between, control: Callable[[Controls, int], None]
) -> None:
    def other(piece: int) -> None:
        if piece == 1:
            between.then = lambda _: None
            submit(engine, small_sweep(estimators=["st"], seeds=2))
            control(Controls(engine), 2)

    between.then = other
    submit(engine, LARGE)
    assert sweeps.show_sweep(engine, "1").progress.counts["queued"] == 6
    assert Queue(engine).plan(max_lanes=2, slots=1) == 3


@pytest.mark.parametrize("piece", [1, 2])
def test_an_error_in_the_middle_leaves_nothing(engine: Engine, between: Between, piece: int) -> None:
    def fail(now: int) -> None:
        if now == piece:
            between.then = lambda _: None
            raise OSError("no space left")

    between.then = fail
    with pytest.raises(OSError, match="no space left"):
        submit(engine, LARGE)
    assert set(rows(engine).values()) == {0}


def test_what_a_killed_process_left_is_taken_away(
    engine: Engine, between: Between, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        die_after(between, 2, patch)
        with pytest.raises(Killed):
            submit(engine, LARGE, clock=clock)
    between.then = lambda _: None
    assert rows(engine)["trial"] == 4
    clock.pass_seconds(59)
    assert clear_up(engine, clock=clock) == 0
    submit(engine, small_sweep(estimators=["st", "reinforce"], seeds=1), clock=clock)
    clock.pass_seconds(2)
    Queue(engine, clock=clock).tidy()
    assert rows(engine) == {
        "board": 1,
        "cell": 2,
        "event": 1,
        "sweep": 1,
        "sweep_cell": 2,
        "sweep_trial": 2,
        "trial": 2,
    }
    assert Queue(engine, clock=clock).plan(max_lanes=8, slots=1) == 2
    with read(engine) as connection:
        assert list(connection.scalars(sa.select(Cell.trials))) == [1, 1]


def test_the_same_submission_after_a_death_stores_it(
    engine: Engine, between: Between, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        die_after(between, 1, patch)
        with pytest.raises(Killed):
            submit(engine, LARGE, idempotency_key="k", clock=clock)
    between.then = lambda _: None
    looks: list[float] = []

    def wait(seconds: float) -> None:
        looks.append(seconds)
        clock.pass_seconds(40)

    monkeypatch.setattr(time, "sleep", wait)
    result = submit(engine, LARGE, idempotency_key="k", clock=clock)
    assert (len(looks), result.new) == (3, 6)
    again = submit(engine, LARGE, idempotency_key="k", clock=clock)
    assert (again.sweep_id, again.new) == (result.sweep_id, 6)
    assert rows(engine)["sweep"] == 1


def test_whoever_was_silent_for_too_long_starts_again(
    engine: Engine, between: Between, clock: SteppedClock
) -> None:
    def sleep(piece: int) -> None:
        if piece == 1:
            between.then = lambda _: None
            clock.pass_seconds(61)
            assert clear_up(engine, clock=clock) == 1

    between.then = sleep
    with pytest.raises(SubmissionGivenUp):
        submit(engine, LARGE, clock=clock)
    assert set(rows(engine).values()) == {0}
