"""Pause, resume, cancel, retry, delete, priority: what becomes of trials, on both databases."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from service.errors import InvalidRequest, NotFound, NothingToDo
from service.queue.bin import delete_for_good
from service.queue.cohorts import Queue
from service.queue.control import Controls
from service.queue.submission import submit
from service.resources import sweeps, trials
from service.states import SweepState
from service.storage.engine import read
from service.storage.models import Board, Cell, CellSummary, Event, Trial, TrialMetric
from tests.support.sweeps import PROVENANCE, SteppedClock, outcome, small_sweep
from workers.messages import Heartbeat, Outcome, StartReply, TrialOutcome
from workers.ports import Claim

NOTHING = Heartbeat(steps_done=0, steps_total=0)


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def queue(engine: Engine, clock: SteppedClock) -> Queue:
    return Queue(engine, clock=clock)


@pytest.fixture
def controls(engine: Engine, clock: SteppedClock) -> Controls:
    return Controls(engine, clock=clock)


class TestPause:
    def test_nothing_of_a_paused_sweep_is_planned_or_claimed(
        self, engine: Engine, queue: Queue, controls: Controls
    ) -> None:
        submit(engine, small_sweep())
        queue.plan(max_lanes=3, slots=1)
        controls.pause(1)
        assert not queue.backlog().unplanned
        assert not queue.backlog().claimable
        assert queue.plan(max_lanes=3, slots=1) == 0
        assert queue.claim(owner="d", limit=9) == []
        assert shown(engine) == (SweepState.PAUSED, {"queued": 6})

    def test_resuming_goes_on_with_what_is_left(
        self, engine: Engine, queue: Queue, controls: Controls
    ) -> None:
        claim, reply = started(engine, queue)
        queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))
        controls.pause(1)
        controls.resume(1)
        assert shown(engine) == (SweepState.RUNNING, {"succeeded": 3, "queued": 3})
        queue.plan(max_lanes=3, slots=1)
        assert [one.lanes for one in queue.claim(owner="d", limit=9)] == [3]

    def test_a_running_attempt_is_asked_to_stop_and_its_trials_wait(
        self, engine: Engine, queue: Queue, controls: Controls
    ) -> None:
        claim, reply = started(engine, queue)
        assert queue.heartbeat(claim.attempt_id, claim.secret, NOTHING).stop is None
        controls.pause(1)
        assert queue.heartbeat(claim.attempt_id, claim.secret, NOTHING).stop == "asked"
        queue.finish(claim.attempt_id, claim.secret, stopped(reply, ended=1))
        assert shown(engine) == (SweepState.PAUSED, {"succeeded": 1, "queued": 5})
        controls.resume(1)
        queue.plan(max_lanes=3, slots=1)
        again = queue.claim(owner="d", limit=1)[0]
        assert [one.spec["seed"] for one in queue.start(again.attempt_id, again.secret).trials] == [1, 2]

    def test_a_resume_in_time_lets_the_attempt_go_on(
        self, engine: Engine, queue: Queue, controls: Controls
    ) -> None:
        claim, _ = started(engine, queue)
        controls.pause(1)
        controls.resume(1)
        assert queue.heartbeat(claim.attempt_id, claim.secret, NOTHING).stop is None

    def test_earlier_attempts_stay_to_be_seen(self, engine: Engine, queue: Queue, controls: Controls) -> None:
        claim, reply = started(engine, queue)
        controls.pause(1)
        queue.finish(claim.attempt_id, claim.secret, stopped(reply))
        controls.resume(1)
        queue.plan(max_lanes=3, slots=1)
        second, *_ = queue.claim(owner="d", limit=1)
        queue.start(second.attempt_id, second.secret)
        attempts = trials.trial_attempts(engine, reply.trials[0].key).attempts
        assert [(one.id, one.state) for one in attempts] == [
            (claim.attempt_id, "finished"),
            (second.attempt_id, "running"),
        ]

    def test_a_worker_that_dies_while_it_is_asked_to_stop_costs_nothing(
        self, engine: Engine, queue: Queue, controls: Controls
    ) -> None:
        claim, _ = started(engine, queue)
        controls.pause(1)
        queue.lost(attempt_id=claim.attempt_id, reason="killed")
        assert queue.claim(owner="d", limit=9) == []
        controls.resume(1)
        assert queue.plan(max_lanes=3, slots=1) == 2
        assert len(queue.claim(owner="d", limit=9)) == 2, "at once: no pause as after a loss"

    def test_who_does_not_stop_is_ended_by_force(
        self, engine: Engine, queue: Queue, controls: Controls, clock: SteppedClock
    ) -> None:
        claim, _ = started(engine, queue)
        assert queue.overdue([claim.attempt_id]) == []
        controls.pause(1)
        clock.pass_seconds(19)
        assert queue.overdue([claim.attempt_id]) == []
        clock.pass_seconds(2)
        assert queue.overdue([claim.attempt_id]) == [claim.attempt_id]
        assert queue.overdue([claim.attempt_id + 1]) == []

    def test_pausing_twice_or_what_has_ended_is_refused(
        self, engine: Engine, queue: Queue, controls: Controls
    ) -> None:
        submit(engine, small_sweep())
        controls.pause(1)
        with pytest.raises(NothingToDo, match="sweep 1 is paused; only an active one"):
            controls.pause(1)
        controls.resume(1)
        with pytest.raises(NothingToDo, match="active; there is nothing to resume"):
            controls.resume(1)
        finish_all(queue)
        with pytest.raises(NothingToDo, match="all trials of sweep 1 have ended"):
            controls.pause(1)
        with pytest.raises(NotFound, match="there is no sweep 7"):
            controls.pause(7)


class TestCancel:
    def test_what_has_no_outcome_is_cancelled_and_the_rest_stays(
        self, engine: Engine, queue: Queue, controls: Controls
    ) -> None:
        claim, reply = started(engine, queue)
        queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))
        controls.cancel(1)
        assert shown(engine) == (SweepState.CANCELLED, {"succeeded": 3, "cancelled": 3})
        assert cell_counts(engine) == [(3, 3, 0, 0), (3, 0, 0, 3)]
        with pytest.raises(NothingToDo):
            controls.cancel(1)

    def test_a_running_trial_ends_when_its_attempt_has_stopped(
        self, engine: Engine, queue: Queue, controls: Controls
    ) -> None:
        claim, reply = started(engine, queue)
        controls.cancel(1)
        assert shown(engine) == (SweepState.CANCELLED, {"running": 3, "cancelled": 3})
        assert queue.heartbeat(claim.attempt_id, claim.secret, NOTHING).stop == "asked"
        queue.finish(claim.attempt_id, claim.secret, stopped(reply, ended=2))
        assert shown(engine) == (SweepState.CANCELLED, {"succeeded": 2, "cancelled": 4})
        assert cell_counts(engine) == [(3, 2, 0, 1), (3, 0, 0, 3)]

    def test_what_another_sweep_wants_goes_on(self, engine: Engine, queue: Queue, controls: Controls) -> None:
        """The first wants two estimators, the second one of them and a seed more."""
        claim, reply = started(engine, queue)
        submit(engine, small_sweep(name="second", estimators=["st"], seeds=4))
        controls.cancel(1)
        assert queue.heartbeat(claim.attempt_id, claim.secret, NOTHING).stop is None
        assert shown(engine) == (SweepState.CANCELLED, {"running": 3, "cancelled": 3})
        queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))
        finish_all(queue)
        assert shown(engine, 2) == (SweepState.SUCCEEDED, {"succeeded": 4})

    def test_a_cohort_with_wanted_and_unwanted_lanes_stops_and_the_wanted_are_planned_again(
        self, engine: Engine, queue: Queue, controls: Controls
    ) -> None:
        claim, reply = started(engine, queue)
        submit(engine, small_sweep(name="second", estimators=["st"], seeds=[1]))
        controls.cancel(1)
        assert queue.heartbeat(claim.attempt_id, claim.secret, NOTHING).stop == "asked"
        queue.finish(claim.attempt_id, claim.secret, stopped(reply))
        assert shown(engine, 2) == (SweepState.QUEUED, {"queued": 1})
        assert shown(engine) == (SweepState.CANCELLED, {"queued": 1, "cancelled": 5})
        assert queue.plan(max_lanes=3, slots=1) == 1

    def test_what_a_paused_sweep_waits_for_stays_in_the_queue(
        self, engine: Engine, queue: Queue, controls: Controls
    ) -> None:
        submit(engine, small_sweep())
        submit(engine, small_sweep(name="second", estimators=["st"]))
        controls.pause(2)
        controls.cancel(1)
        assert shown(engine, 2) == (SweepState.PAUSED, {"queued": 3})
        assert queue.plan(max_lanes=3, slots=1) == 0
        controls.resume(2)
        assert queue.plan(max_lanes=3, slots=1) == 1

    def test_resuming_a_cancelled_sweep_begins_again(
        self, engine: Engine, queue: Queue, controls: Controls
    ) -> None:
        submit(engine, small_sweep())
        controls.cancel(1)
        controls.resume(1)
        assert shown(engine) == (SweepState.QUEUED, {"queued": 6})
        assert cell_counts(engine) == [(3, 0, 0, 0)] * 2

    def test_a_new_sweep_wants_what_a_cancelled_or_paused_one_left(
        self, engine: Engine, queue: Queue, controls: Controls
    ) -> None:
        submit(engine, small_sweep(estimators=["st"]))
        submit(engine, small_sweep(name="other", estimators=["reinmax"]))
        controls.cancel(1)
        controls.pause(2)
        submit(engine, small_sweep(name="third"))
        assert queue.plan(max_lanes=3, slots=1) == 2
        assert shown(engine, 3) == (SweepState.QUEUED, {"queued": 6})

    def test_a_new_sweep_saves_an_attempt_that_was_asked_to_stop(
        self, engine: Engine, queue: Queue, controls: Controls
    ) -> None:
        claim, _ = started(engine, queue)
        controls.cancel(1)
        submit(engine, small_sweep(name="second"))
        assert queue.heartbeat(claim.attempt_id, claim.secret, NOTHING).stop is None


class TestRetry:
    def test_failed_and_cancelled_trials_are_queued_again(
        self, engine: Engine, queue: Queue, controls: Controls
    ) -> None:
        claim, reply = started(engine, queue)
        failed = TrialOutcome(trial=reply.trials[0].key, status="failed", error="boom")
        rest = outcome(reply.trials[1:]).outcomes
        queue.finish(claim.attempt_id, claim.secret, Outcome(outcomes=(failed, *rest), provenance=PROVENANCE))
        controls.cancel(1)
        assert controls.retry(1) == 4
        assert shown(engine) == (SweepState.RUNNING, {"succeeded": 2, "queued": 4})
        assert cell_counts(engine) == [(3, 2, 0, 0), (3, 0, 0, 0)]
        finish_all(queue)
        assert shown(engine) == (SweepState.SUCCEEDED, {"succeeded": 6})
        with pytest.raises(NothingToDo, match="no trial of sweep 1"):
            controls.retry(1)


class TestPriority:
    def test_what_is_more_urgent_goes_first_and_shares_no_cohort(
        self, engine: Engine, queue: Queue, controls: Controls
    ) -> None:
        submit(engine, small_sweep(name="first", estimators=["st"]))
        submit(engine, small_sweep(name="second", estimators=["reinmax"]))
        queue.plan(max_lanes=3, slots=1)
        controls.set_priority(2, 5)
        queue.plan(max_lanes=3, slots=1)
        labels = [claim.label for claim in queue.claim(owner="d", limit=9)]
        assert labels == ["polynomial reinmax x3", "polynomial st x3"]

    def test_what_two_sweeps_want_is_as_urgent_as_the_more_urgent_says(
        self, engine: Engine, queue: Queue, controls: Controls
    ) -> None:
        submit(engine, small_sweep(estimators=["st"]))
        submit(engine, small_sweep(name="urgent", estimators=["st"], seeds=1, priority=7))
        assert priorities(engine) == [7, 0, 0]
        controls.pause(2)
        assert priorities(engine) == [0, 0, 0]
        controls.set_priority(1, 3)
        controls.resume(2)
        assert priorities(engine) == [7, 3, 3]

    def test_out_of_range_is_refused(self, engine: Engine, controls: Controls) -> None:
        submit(engine, small_sweep())
        with pytest.raises(InvalidRequest, match="priority is 101; it goes from -100 to 100"):
            controls.set_priority(1, 101)


class TestBin:
    def test_a_deleted_sweep_is_cancelled_and_nowhere_to_be_seen_until_it_is_restored(
        self, engine: Engine, queue: Queue, controls: Controls
    ) -> None:
        submit(engine, small_sweep())
        controls.delete(1)
        assert sweeps.list_sweeps(engine, limit=9).sweeps == []
        with pytest.raises(NotFound):
            sweeps.show_sweep(engine, "1")
        with pytest.raises(NotFound):
            controls.pause(1)
        assert queue.plan(max_lanes=3, slots=1) == 0
        controls.restore(1)
        assert shown(engine) == (SweepState.CANCELLED, {"cancelled": 6})
        with pytest.raises(NothingToDo, match="not in the bin"):
            controls.restore(1)

    def test_its_key_is_free_again(self, engine: Engine, controls: Controls) -> None:
        first = submit(engine, small_sweep(), idempotency_key="k")
        controls.delete(first.sweep_id)
        again = submit(engine, small_sweep(), idempotency_key="k")
        assert again.sweep_id == 2
        assert shown(engine, 2) == (SweepState.QUEUED, {"queued": 6})


class TestTheEndOfTheBin:
    def test_after_a_week_a_sweep_goes_with_the_trials_that_nobody_else_wants(
        self, engine: Engine, queue: Queue, controls: Controls, clock: SteppedClock
    ) -> None:
        """Seeds 0 to 2 of two estimators; another sweep wants seed 0 of one of them."""
        submit(engine, small_sweep())
        submit(engine, small_sweep(name="other", estimators=["st"], seeds=[0]))
        finish_all(queue)
        controls.delete(1)
        clock.pass_seconds(7 * 86_400 - 1)
        queue.tidy()
        assert [one.id for one in sweeps.list_sweeps(engine, limit=9, deleted=True).sweeps] == ["1"]
        clock.pass_seconds(2)
        queue.tidy()
        assert sweeps.list_sweeps(engine, limit=9, deleted=True).sweeps == []
        assert cell_counts(engine) == [(1, 1, 0, 0)]
        with read(engine) as connection:
            kept = connection.execute(
                sa.select(CellSummary.metric, CellSummary.count, CellSummary.mean, CellSummary.m2)
            ).all()
            assert sorted(kept) == [("expected_loss", 1, 0.0, 0.0), ("train_loss", 1, 1.0, 0.0)]
            for table in (TrialMetric, Board):
                rows = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
                assert rows == (2 if table is TrialMetric else 1)

    def test_at_once_when_asked_and_submitted_again_it_begins_again(
        self, engine: Engine, queue: Queue
    ) -> None:
        submit(engine, small_sweep())
        finish_all(queue)
        assert delete_for_good(engine, 1)
        assert cell_counts(engine) == []
        with pytest.raises(NotFound, match="no sweep 1"):
            delete_for_good(engine, 1)
        again = submit(engine, small_sweep())
        assert (again.sweep_id, again.new) == (2, 6), "ids are never used twice"

    def test_a_trial_that_still_runs_keeps_its_sweep_in_the_bin(self, engine: Engine, queue: Queue) -> None:
        claim, reply = started(engine, queue)
        assert not delete_for_good(engine, 1)
        assert len(sweeps.list_sweeps(engine, limit=9, deleted=True).sweeps) == 1
        queue.finish(claim.attempt_id, claim.secret, stopped(reply, ended=1))
        assert delete_for_good(engine, 1)
        assert cell_counts(engine) == []


def test_what_was_done_is_on_record(engine: Engine, controls: Controls) -> None:
    submit(engine, small_sweep(name="mine"))
    controls.pause(1)
    controls.resume(1)
    controls.set_priority(1, 4)
    controls.cancel(1)
    controls.delete(1)
    controls.restore(1)
    with read(engine) as connection:
        query = sa.select(Event.detail).where(Event.kind == "sweep_controlled", Event.sweep_id == 1)
        told = list(connection.scalars(query.order_by(Event.id)))
    assert told == [
        "mine: paused",
        "mine: resumed",
        "mine: priority 0 became 4",
        "mine: cancelled",
        "mine: deleted",
        "mine: restored",
    ]


def started(engine: Engine, queue: Queue) -> tuple[Claim, StartReply]:
    """Submit the small sweep, plan cohorts of three, claim and start the first."""
    submit(engine, small_sweep())
    queue.plan(max_lanes=3, slots=1)
    (claim,) = queue.claim(owner="d", limit=1)
    return claim, queue.start(claim.attempt_id, claim.secret)


def stopped(reply: StartReply, *, ended: int = 0) -> Outcome:
    """The first trials succeeded, the others were stopped."""
    rest = [TrialOutcome(trial=trial.key, status="stopped") for trial in reply.trials[ended:]]
    return Outcome(outcomes=(*outcome(reply.trials[:ended]).outcomes, *rest), provenance=PROVENANCE)


def finish_all(queue: Queue) -> None:
    queue.plan(max_lanes=64, slots=1)
    for claim in queue.claim(owner="d", limit=99):
        reply = queue.start(claim.attempt_id, claim.secret)
        queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))


def shown(engine: Engine, sweep_id: int = 1) -> tuple[str, dict[str, int]]:
    sweep = sweeps.show_sweep(engine, str(sweep_id))
    return sweep.state, {state: number for state, number in sweep.progress.counts.items() if number}


def cell_counts(engine: Engine) -> list[tuple[int, int, int, int]]:
    with read(engine) as connection:
        counts = (Cell.trials, Cell.succeeded, Cell.failed, Cell.cancelled)
        return [(a, b, c, d) for a, b, c, d in connection.execute(sa.select(*counts).order_by(Cell.id))]


def priorities(engine: Engine) -> list[int]:
    with read(engine) as connection:
        return list(connection.scalars(sa.select(Trial.priority).order_by(Trial.id)))
