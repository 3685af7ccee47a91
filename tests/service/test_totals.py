"""What is kept of a sweep's trials is what they are, and stays once the sweep has finished."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from service.queue.cohorts import Queue
from service.queue.control import Controls
from service.queue.reports import QueueRules
from service.queue.submission import submit
from service.resources import schemas, sweeps
from service.storage.engine import read, write
from service.storage.models import Sweep, Trial
from service.storage.queries import totals
from tests.support.sweeps import FELL_BACK, PROVENANCE, outcome, small_sweep
from workers.messages import Heartbeat, Outcome, StartReply, TrialOutcome
from workers.ports import Claim

ONE_CELL = {"estimators": ["st"], "seeds": 2}


@pytest.fixture
def queue(engine: Engine) -> Queue:
    return Queue(engine, rules=QueueRules(max_attempts=1))


def begun(queue: Queue) -> tuple[Claim, StartReply]:
    """The next cohort."""
    queue.plan(max_lanes=8, slots=1)
    (claim,) = queue.claim(owner="d", limit=1)
    return claim, queue.start(claim.attempt_id, claim.secret)


def failing(reply: StartReply, **told: object) -> Outcome:
    ends = [
        TrialOutcome.model_validate({"trial": one.key, "status": "failed", "error": "no"} | told)
        for one in reply.trials
    ]
    return Outcome(outcomes=tuple(ends), provenance=PROVENANCE)


def fail(queue: Queue, *, done: int = 0, **told: object) -> None:
    """Compute so many steps of the next cohort, then let all its trials fail."""
    claim, reply = begun(queue)
    total = 10 * len(reply.trials)
    queue.heartbeat(claim.attempt_id, claim.secret, Heartbeat(steps_done=done, steps_total=total))
    queue.finish(claim.attempt_id, claim.secret, failing(reply, **told))


def succeed(queue: Queue) -> None:
    claim, reply = begun(queue)
    queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))


def shown(engine: Engine, id: int) -> schemas.SweepDetail:
    """The sweep; what is kept of one that goes on is what counting gives."""
    with read(engine) as connection:
        kept = connection.execute(sa.select(Sweep.__table__).where(Sweep.id == id)).one()
    with write(engine) as connection:
        if kept.finished_at is None:
            totals.recount(connection, id, now=kept.created_at)
            assert connection.execute(sa.select(Sweep.__table__).where(Sweep.id == id)).one() == kept
    return sweeps.show_sweep(engine, str(id))


class TestOutcome:
    def test_a_finished_sweep_keeps_it(self, engine: Engine, queue: Queue) -> None:
        submit(engine, small_sweep(**ONE_CELL))
        fail(queue)
        before = shown(engine, 1)
        assert (before.state, before.recomputed_by, before.failures_left_out) == ("failed", None, 0)
        submit(engine, small_sweep(name="again", **ONE_CELL))
        while_it_runs = shown(engine, 1)
        assert (while_it_runs.state, while_it_runs.recomputed_by) == ("failed", "2")
        assert (while_it_runs.progress, while_it_runs.finished_at) == (before.progress, before.finished_at)
        assert (while_it_runs.failures, while_it_runs.failures_left_out) == ([], 0)
        succeed(queue)
        assert shown(engine, 1).progress == before.progress
        assert (shown(engine, 2).state, shown(engine, 2).progress.steps_done) == ("succeeded", 20)

    def test_one_that_goes_on_counts_what_is_computed_again(self, engine: Engine, queue: Queue) -> None:
        submit(engine, small_sweep(seeds=2))
        fail(queue, done=6)
        assert shown(engine, 1).progress.counts["failed"] == 2
        assert shown(engine, 1).progress.steps_done == 6
        submit(engine, small_sweep(name="again", priority=1, **ONE_CELL))
        progress = shown(engine, 1).progress
        assert (progress.counts["failed"], progress.counts["queued"], progress.steps_done) == (0, 4, 0)
        assert shown(engine, 1).recomputed_by is None
        succeed(queue)
        assert shown(engine, 2).finished_at is not None
        assert shown(engine, 1).progress.counts["succeeded"] == 2

    def test_retrying_begins_anew(self, engine: Engine, queue: Queue) -> None:
        submit(engine, small_sweep(**ONE_CELL))
        fail(queue)
        Controls(engine).retry(1)
        again = shown(engine, 1)
        assert (again.state, again.finished_at, again.recomputed_by) == ("queued", None, None)
        succeed(queue)
        assert shown(engine, 1).state == "succeeded"

    def test_cancelled_trials_are_counted(self, engine: Engine, queue: Queue) -> None:
        submit(engine, small_sweep(seeds=2))
        succeed(queue)
        Controls(engine).cancel(1)
        ended = shown(engine, 1)
        assert (ended.state, ended.progress.counts["cancelled"]) == ("cancelled", 2)
        assert ended.finished_at is not None
        Controls(engine).resume(1)
        assert shown(engine, 1).progress.counts["cancelled"] == 0
        succeed(queue)
        assert shown(engine, 1).state == "succeeded"

    def test_a_sweep_of_known_trials_is_finished_at_once(self, engine: Engine, queue: Queue) -> None:
        submit(engine, small_sweep(**ONE_CELL))
        succeed(queue)
        submit(engine, small_sweep(name="again", **ONE_CELL))
        first, second = shown(engine, 1), shown(engine, 2)
        assert (second.state, second.progress) == ("succeeded", first.progress)
        assert second.finished_at == second.created_at
        assert first.finished_at is not None
        assert second.created_at > first.finished_at


class TestSteps:
    @pytest.mark.parametrize(
        ("done", "told", "computed"),
        [(0, {}, 0), (6, {}, 6), (20, {}, 20), (20, {"diverged_at": 3}, 6), (0, {"diverged_at": 11}, 20)],
    )
    def test_of_failed_trials_those_that_were_computed(
        self, engine: Engine, queue: Queue, done: int, told: dict[str, object], computed: int
    ) -> None:
        submit(engine, small_sweep(**ONE_CELL))
        fail(queue, done=done, **told)
        progress = shown(engine, 1).progress
        assert (progress.steps_done, progress.steps_total, progress.seconds_left) == (computed, 20, None)

    def test_of_lost_trials_too(self, engine: Engine, queue: Queue) -> None:
        submit(engine, small_sweep(estimators=["st"], seeds=1))
        claim, _ = begun(queue)
        queue.heartbeat(claim.attempt_id, claim.secret, Heartbeat(steps_done=4, steps_total=10))
        queue.lost(attempt_id=claim.attempt_id, reason="killed")
        lost = shown(engine, 1)
        assert (lost.state, lost.progress.steps_done) == ("failed", 4)


def test_fallbacks_are_counted_for_every_sweep_of_the_trials(engine: Engine, queue: Queue) -> None:
    submit(engine, small_sweep(**ONE_CELL))
    claim, reply = begun(queue)
    told = outcome(reply.trials).model_copy(update={"provenance": FELL_BACK})
    queue.finish(claim.attempt_id, claim.secret, told)
    submit(engine, small_sweep(name="later", **ONE_CELL))
    for id in (1, 2):
        (fallback,) = shown(engine, id).fallbacks
        assert (tuple(fallback.failures), fallback.attempts) == (FELL_BACK.fallback, 1)


def test_lists_of_cells_and_boards_miss_nothing(engine: Engine) -> None:
    task = {"id": "polynomial", "latents": [3, 4, 5], "epochs": 2, "steps_per_epoch": 5}
    submit(engine, small_sweep(task=task | {"latents": 4}, estimators=["st"], seeds=1))
    submit(engine, small_sweep(task=task))
    cells: list[schemas.CellProgress] = []
    boards: list[schemas.SweepBoard] = []
    token: str | None = None
    for expected in (4, 2):
        page = sweeps.list_cells(engine, "2", limit=4, page_token=token)
        assert len(page.cells) == expected
        cells, token = cells + page.cells, page.next_page_token
    assert token is None
    assert len({cell.cell for cell in cells}) == 6
    assert [cell.estimator for cell in cells] == ["st", "reinmax"] * 3
    assert {cell.seeds for cell in cells} == {3}
    for expected in (2, 1):
        found = sweeps.list_boards(engine, "2", limit=2, page_token=token)
        assert len(found.boards) == expected
        boards, token = boards + found.boards, found.next_page_token
    assert list(dict.fromkeys(cell.board for cell in cells)) == [board.id for board in boards]
    assert (sweeps.show_sweep(engine, "2").boards_total, sweeps.show_sweep(engine, "2").cells_total) == (3, 6)


def test_a_sweep_with_many_boards_shows_the_first(engine: Engine) -> None:
    task = {"id": "polynomial", "latents": list(range(1, 31)), "epochs": 2, "steps_per_epoch": 5}
    submit(engine, small_sweep(task=task, **ONE_CELL))
    shown = sweeps.show_sweep(engine, "1")
    assert (len(shown.boards), shown.boards_total) == (sweeps.SHOWN_BOARDS, 30)
    with read(engine) as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(Trial)) == 60
