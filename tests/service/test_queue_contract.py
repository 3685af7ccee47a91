"""What the queue promises, on both databases."""

from __future__ import annotations

import json
import math

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine, event

from benchmarks.scoring.seeds import Moments
from benchmarks.sweep import Sweep
from service.errors import InvalidReport, NotFound, StaleAttempt, WrongSecret
from service.queue.cohorts import Queue
from service.queue.reports import QueueRules
from service.queue.submission import submit
from service.resources import sweeps, trials
from service.states import CohortState, TrialState
from service.storage.engine import database_clock, read, write
from service.storage.models import Attempt, Cell, CellSummary, Cohort, CurveSegment, Event, Trial
from service.storage.queries import claims
from service.storage.queries import reports as queries
from tests.support.sweeps import PROVENANCE, SteppedClock, outcome, small_sweep
from workers.messages import CurveSegment as CurveMessage
from workers.messages import Heartbeat, LaneTrial, MetricsBatch, Outcome, StartReply, TrialOutcome
from workers.ports import AttemptReports, Backlog, Claim, CohortQueue, QueueUnavailable


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def queue(engine: Engine, clock: SteppedClock) -> Queue:
    return Queue(engine, clock=clock)


class TestQueueContract:
    """One class, run on SQLite and on PostgreSQL."""

    def test_implements_the_ports(self, queue: Queue) -> None:
        dispatcher: CohortQueue = queue
        reports: AttemptReports = queue  # both assignments are checked by mypy
        assert dispatcher.claim(owner="d", limit=1) == []
        with pytest.raises(NotFound):
            reports.start(1, "secret")

    def test_life_of_a_cohort(self, engine: Engine, queue: Queue) -> None:
        claim, reply = started(engine, queue)
        assert (claim.number, claim.lanes, claim.label) == (1, 3, "polynomial st x3")
        assert [trial.spec["seed"] for trial in reply.trials] == [0, 1, 2]
        assert states(engine) == {TrialState.RUNNING: 3, TrialState.QUEUED: 3}
        queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))
        assert states(engine) == {TrialState.SUCCEEDED: 3, TrialState.QUEUED: 3}
        stored = trials.show_trial(engine, reply.trials[2].key)
        assert stored.metrics == {"expected_loss": 2.0, "train_loss": 1.0}
        assert stored.seconds == 0.5
        (attempt,) = trials.trial_attempts(engine, reply.trials[2].key).attempts
        assert (attempt.state, attempt.provenance) == ("finished", PROVENANCE.model_dump(mode="json"))

    def test_specification_travels_unchanged(self, engine: Engine, queue: Queue) -> None:
        sweep = small_sweep(estimators=[{"id": "reinmax", "temperature": 1.1}], grid={"lr": 3e-5})
        specs = {spec.key: spec.to_json() for spec in sweep.expand()}
        _, reply = started(engine, queue, sweep=sweep)
        assert {trial.key: trial.spec for trial in reply.trials} == specs

    def test_nothing_to_do(self, queue: Queue) -> None:
        assert queue.plan(max_lanes=8, slots=2) == 0
        assert queue.claim(owner="d", limit=5) == []
        assert queue.expire_leases() == 0

    def test_order_of_claims(self, engine: Engine, queue: Queue) -> None:
        submit(engine, small_sweep(name="first", estimators=["st"], seeds=1))
        submit(engine, small_sweep(name="second", estimators=["reinmax"], seeds=1))
        submit(engine, small_sweep(name="urgent", estimators=["stgs"], seeds=1, priority=5))
        assert queue.plan(max_lanes=8, slots=1) == 3
        labels = [claim.label for claim in queue.claim(owner="d", limit=2) + queue.claim(owner="d", limit=2)]
        assert labels == ["polynomial stgs x1", "polynomial st x1", "polynomial reinmax x1"]

    def test_wanted_more_urgently_moves_up(self, engine: Engine, queue: Queue) -> None:
        submit(engine, small_sweep(estimators=["st"], seeds=1))
        submit(engine, small_sweep(estimators=["reinmax"], seeds=1))
        queue.plan(max_lanes=8, slots=1)
        submit(engine, small_sweep(estimators=["reinmax"], seeds=1, priority=1))
        queue.plan(max_lanes=8, slots=1)
        (claim,) = queue.claim(owner="d", limit=1)
        assert claim.label == "polynomial reinmax x1"

    def test_it_tells_which_attempts_have_ended_and_which_of_them_were_lost(
        self, engine: Engine, queue: Queue
    ) -> None:
        first, reply = started(engine, queue)
        (second,) = queue.claim(owner="d", limit=1)
        ids = [first.attempt_id, second.attempt_id, 99]
        assert queue.ended(ids) == {}
        queue.finish(first.attempt_id, first.secret, outcome(reply.trials))
        queue.lost(attempt_id=second.attempt_id, reason="killed")
        assert queue.ended(ids) == {first.attempt_id: False, second.attempt_id: True}
        assert queue.ended(ids[:1]) == {first.attempt_id: False}

    def test_attempts_of_a_dispatcher_that_ends_stop_although_they_are_wanted(
        self, engine: Engine, queue: Queue
    ) -> None:
        claim, reply = started(engine, queue)
        (other,) = queue.claim(owner="another", limit=1)
        queue.start(other.attempt_id, other.secret)
        assert queue.ask_to_stop(owner="d") == 1
        beat = Heartbeat(steps_done=0, steps_total=0)
        assert queue.heartbeat(claim.attempt_id, claim.secret, beat).stop == "asked"
        assert queue.heartbeat(other.attempt_id, other.secret, beat).stop is None
        stopped = tuple(TrialOutcome(trial=trial.key, status="stopped") for trial in reply.trials)
        queue.finish(claim.attempt_id, claim.secret, Outcome(outcomes=stopped, provenance=PROVENANCE))
        assert states(engine) == {TrialState.QUEUED: 3, TrialState.RUNNING: 3}
        assert queue.backlog().unplanned
        assert queue.release_owner(owner="d") == 0

    def test_texts_of_workers_are_kept_whatever_they_hold(self, engine: Engine, queue: Queue) -> None:
        """NUL, half a surrogate pair, five megabytes, numbers without a JSON word: stored, and shown."""
        claim, reply = started(engine, queue)
        odd = PROVENANCE.model_copy(update={"driver": "a\0b\ud800", "seconds": math.nan})
        trial, *others = reply.trials
        failed = TrialOutcome(
            trial=trial.key, status="failed", error="bad\0byte", traceback="x" * 5_000_000, seconds=math.inf
        )
        rest = [one for one in outcome(reply.trials).outcomes if one.trial != trial.key]
        assert len(rest) == len(others)
        queue.finish(claim.attempt_id, claim.secret, Outcome(outcomes=(failed, *rest), provenance=odd))
        shown = trials.show_trial(engine, trial.key)
        assert (shown.error, shown.seconds) == ("bad\ufffdbyte", None)
        assert "4,950,000 characters left out" in str(shown.traceback)
        assert len(str(shown.traceback)) < 51_000
        (attempt,) = trials.trial_attempts(engine, trial.key).attempts
        assert attempt.provenance is not None
        assert (attempt.provenance["driver"], attempt.provenance["seconds"]) == ("a\ufffdb?", None)

    def test_a_loss_with_a_nul_is_recorded(self, engine: Engine, queue: Queue) -> None:
        claim, _ = started(engine, queue)
        queue.lost(attempt_id=claim.attempt_id, reason="died\0here")
        with read(engine) as connection:
            (error,) = connection.scalars(sa.select(Attempt.error).where(Attempt.id == claim.attempt_id))
        assert error == "died\ufffdhere"

    def test_what_passes_by_itself_is_an_outage_and_what_does_not_is_not(
        self, engine: Engine, queue: Queue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(error: Exception) -> None:
            def raises(*_: object, **__: object) -> None:
                raise error

            monkeypatch.setattr(claims, "backlog", raises)

        locked = sa.exc.OperationalError("BEGIN", {}, Exception("database is locked"))
        fails(locked)
        with pytest.raises(QueueUnavailable, match="database is locked"):
            queue.backlog()
        fails(sa.exc.OperationalError("SELECT", {}, Exception("no such table: cohort")))
        with pytest.raises(sa.exc.OperationalError):
            queue.backlog()
        fails(sa.exc.IntegrityError("INSERT", {}, Exception("duplicate key")))
        with pytest.raises(sa.exc.IntegrityError):
            queue.backlog()

    def test_new_attempt_fences_off_the_old_one(
        self, engine: Engine, queue: Queue, clock: SteppedClock
    ) -> None:
        old, reply = started(engine, queue)
        clock.pass_seconds(31)
        assert queue.expire_leases() == 1
        clock.pass_seconds(5)
        (new,) = [claim for claim in queue.claim(owner="d", limit=9) if claim.cohort_id == old.cohort_id]
        assert new.number == 2
        for call in (
            lambda: queue.start(old.attempt_id, old.secret),
            lambda: queue.heartbeat(old.attempt_id, old.secret, Heartbeat(steps_done=1, steps_total=30)),
            lambda: queue.metrics(old.attempt_id, old.secret, batch(1, reply)),
            lambda: queue.finish(old.attempt_id, old.secret, outcome(reply.trials)),
        ):
            with pytest.raises(StaleAttempt, match="attempt 1 of cohort"):
                call()
        again = queue.start(new.attempt_id, new.secret)
        assert again.trials == reply.trials
        queue.finish(new.attempt_id, new.secret, outcome(again.trials, {0: 7.0, 1: 7.0, 2: 7.0}))
        assert trials.show_trial(engine, reply.trials[0].key).metrics["expected_loss"] == 7.0
        with pytest.raises(StaleAttempt):
            queue.finish(old.attempt_id, old.secret, outcome(reply.trials))
        assert count(engine, Event.kind == "stale_report") == 5

    def test_lease_is_renewed_by_every_report(
        self, engine: Engine, queue: Queue, clock: SteppedClock
    ) -> None:
        claim, reply = started(engine, queue)
        for seq in range(1, 4):
            clock.pass_seconds(29)
            queue.heartbeat(claim.attempt_id, claim.secret, Heartbeat(steps_done=seq, steps_total=30))
            clock.pass_seconds(29)
            queue.metrics(claim.attempt_id, claim.secret, batch(seq, reply))
        assert queue.expire_leases() == 0

    def test_waiting_for_a_launcher_has_its_own_lease(
        self, engine: Engine, queue: Queue, clock: SteppedClock
    ) -> None:
        submit(engine, small_sweep())
        queue.plan(max_lanes=3, slots=1)
        queue.claim(owner="d", limit=1)
        clock.pass_seconds(119)
        assert queue.expire_leases() == 0
        clock.pass_seconds(2)
        assert queue.expire_leases() == 1

    def test_lost_cohort_waits_longer_each_time_and_then_fails(
        self, engine: Engine, queue: Queue, clock: SteppedClock
    ) -> None:
        submit(engine, small_sweep(estimators=["st"], seeds=1))
        queue.plan(max_lanes=3, slots=1)
        for pause in (5, 10):
            (claim,) = queue.claim(owner="d", limit=1)
            queue.start(claim.attempt_id, claim.secret)
            assert not queue.lost(attempt_id=claim.attempt_id, reason="killed by signal 9")
            clock.pass_seconds(pause - 1)
            assert queue.claim(owner="d", limit=1) == []
            clock.pass_seconds(1)
        (claim,) = queue.claim(owner="d", limit=1)
        queue.start(claim.attempt_id, claim.secret)
        queue.lost(attempt_id=claim.attempt_id, reason="killed by signal 9")
        assert states(engine) == {TrialState.FAILED: 1}
        (failure, *_) = sweeps.show_sweep(engine, "1").failures
        assert failure.error == "lost 3 times, the last time: killed by signal 9"
        assert cell_counts(engine) == [(1, 0, 1, 0)]

    def test_the_trial_that_kills_its_worker_stands_alone_in_the_end_and_fails(
        self, engine: Engine, queue: Queue, clock: SteppedClock
    ) -> None:
        """Of five lanes the fourth does: after three losses of all of them 2 + 3, then 1 + 2, then 1 + 1."""
        submit(engine, small_sweep(estimators=["st"], seeds=5))
        widths = []
        while claims := claim_all(queue, clock):
            for claim in claims:
                reply = queue.start(claim.attempt_id, claim.secret)
                seeds = [trial.spec["seed"] for trial in reply.trials]
                widths.append(seeds)
                if 3 in seeds:
                    queue.lost(attempt_id=claim.attempt_id, reason="killed by signal 11")
                else:
                    queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))
        assert widths == [[0, 1, 2, 3, 4]] * 3 + [[0, 1], [2, 3, 4], [2], [3, 4], [3], [4]]
        assert states(engine) == {TrialState.SUCCEEDED: 4, TrialState.FAILED: 1}
        (failure,) = sweeps.show_sweep(engine, "1").failures
        assert failure.error == "lost 3 times, the last time: killed by signal 11"
        attempts = trials.trial_attempts(engine, failure.key).attempts
        assert [one.state for one in attempts] == ["lost"] * 6

    def test_what_does_not_fit_into_memory_is_tried_in_halves(
        self, engine: Engine, queue: Queue, clock: SteppedClock
    ) -> None:
        submit(engine, small_sweep(estimators=["st"], seeds=4))
        lanes = []
        while claims := claim_all(queue, clock):
            for claim in claims:
                reply = queue.start(claim.attempt_id, claim.secret)
                lanes.append(len(reply.trials))
                if lanes[-1] > 1:
                    queue.finish(claim.attempt_id, claim.secret, out_of_memory(reply.trials))
                else:
                    queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))
        assert lanes == [4, 2, 2, 1, 1, 1, 1]
        assert states(engine) == {TrialState.SUCCEEDED: 4}

    def test_a_single_trial_that_does_not_fit_into_memory_fails(self, engine: Engine, queue: Queue) -> None:
        submit(engine, small_sweep(estimators=["st"], seeds=1))
        queue.plan(max_lanes=3, slots=1)
        (claim,) = queue.claim(owner="d", limit=1)
        reply = queue.start(claim.attempt_id, claim.secret)
        queue.finish(claim.attempt_id, claim.secret, out_of_memory(reply.trials))
        assert states(engine) == {TrialState.FAILED: 1}
        (failure,) = sweeps.show_sweep(engine, "1").failures
        assert failure.error == "MemoryError: too wide"

    def test_losses_with_a_machine_cost_nothing_up_to_ten(
        self, engine: Engine, queue: Queue, clock: SteppedClock
    ) -> None:
        submit(engine, small_sweep(estimators=["st"], seeds=1))
        for number in range(1, 14):
            assert states(engine) == {TrialState.QUEUED: 1}, number
            (claim,) = claim_all(queue, clock)
            queue.start(claim.attempt_id, claim.secret)
            assert queue.lost(attempt_id=claim.attempt_id, reason="NodeDiedError", blameless=True)
        assert states(engine) == {TrialState.FAILED: 1}

    @pytest.mark.parametrize("how", ["launcher", "lease"])
    def test_attempts_lost_before_they_began_cost_nothing_up_to_ten(
        self, engine: Engine, queue: Queue, clock: SteppedClock, how: str
    ) -> None:
        """After ten of them three more are lost as any others are."""
        submit(engine, small_sweep(estimators=["st"], seeds=1))
        queue.plan(max_lanes=3, slots=1)
        for number in range(1, 14):
            assert states(engine) == {TrialState.QUEUED: 1}, number
            (claim,) = queue.claim(owner="d", limit=1)
            if how == "launcher":
                assert queue.lost(attempt_id=claim.attempt_id, reason="NodeDiedError")
            else:
                clock.pass_seconds(121)
                assert queue.expire_leases() == 1
            clock.pass_seconds(min(300, 5 * 2 ** (number - 1)))
        assert states(engine) == {TrialState.FAILED: 1}

    def test_attempts_lost_before_they_began_do_not_add_to_those_lost_after(
        self, engine: Engine, queue: Queue, clock: SteppedClock
    ) -> None:
        submit(engine, small_sweep(estimators=["st"]))
        queue.plan(max_lanes=3, slots=1)
        for begins in (True, False, False, True, False):
            (claim,) = queue.claim(owner="d", limit=1)
            if begins:
                queue.start(claim.attempt_id, claim.secret)
            assert queue.lost(attempt_id=claim.attempt_id, reason="gone") is not begins
            clock.pass_seconds(60)
        (claim,) = queue.claim(owner="d", limit=1)
        assert claim.number == 6

    def test_lost_after_the_end_changes_nothing(self, engine: Engine, queue: Queue) -> None:
        claim, reply = started(engine, queue)
        queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))
        queue.lost(attempt_id=claim.attempt_id, reason="exit 1")
        assert states(engine) == {TrialState.SUCCEEDED: 3, TrialState.QUEUED: 3}

    def test_gone_dispatcher_costs_no_attempt(self, engine: Engine, queue: Queue) -> None:
        submit(engine, small_sweep(estimators=["st"]))
        queue.plan(max_lanes=3, slots=1)
        for number in range(1, 6):
            (claim,) = queue.claim(owner="d", limit=1)
            assert claim.number == number
            assert queue.release_owner(owner="another") == 0
            assert queue.release_owner(owner="d") == 1

    def test_start_and_finish_may_be_repeated(self, engine: Engine, queue: Queue) -> None:
        claim, reply = started(engine, queue)
        assert queue.start(claim.attempt_id, claim.secret) == reply
        queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))
        before = dump(engine)
        queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials, {0: 99.0}))
        assert dump(engine) == before
        with pytest.raises(StaleAttempt, match="finished"):
            queue.start(claim.attempt_id, claim.secret)

    def test_repeated_metrics_count_once(self, engine: Engine, queue: Queue) -> None:
        claim, reply = started(engine, queue)
        for seq in (1, 1, 2, 1, 2):
            queue.metrics(claim.attempt_id, claim.secret, batch(seq, reply))
        (curve,) = trials.trial_curves(engine, reply.trials[0].key).curves
        assert curve.epochs == [1, 2]
        assert curve.values[0] == 0.5
        assert curve.values[1] is not None
        assert math.isnan(curve.values[1])
        queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))
        queue.metrics(claim.attempt_id, claim.secret, batch(2, reply))
        with pytest.raises(StaleAttempt):
            queue.metrics(claim.attempt_id, claim.secret, batch(3, reply))

    def test_a_batch_of_metrics_costs_few_statements_and_no_row_for_each_trial(
        self, engine: Engine, queue: Queue
    ) -> None:
        """The cohort, the attempt, its trials, the points; on PostgreSQL no event tells of COPY."""
        claim, reply = started(engine, queue)
        queue.metrics(claim.attempt_id, claim.secret, batch(1, reply))
        asked: list[str] = []
        event.listen(engine, "before_cursor_execute", lambda *told: asked.append(told[2]))
        queue.metrics(claim.attempt_id, claim.secret, batch(2, reply))
        mine = [statement for statement in asked if not statement.startswith("BEGIN")]
        assert len(mine) <= 4, mine
        with read(engine) as connection:
            found = queries.running_ids(connection, claim.cohort_id)
            lanes = queries.running_lanes(connection, claim.cohort_id)
        assert found == {lane.key: lane.id for lane in lanes}

    def test_infinities_read_back_as_what_they_are(self, engine: Engine, queue: Queue) -> None:
        """JSON has no number for them; NaN is null."""
        claim, reply = started(engine, queue)
        values = (math.inf, -math.inf, math.nan, 0.5)
        segment = CurveMessage(trial=reply.trials[0].key, metric="train_loss", first=1, values=values)
        queue.metrics(
            claim.attempt_id, claim.secret, batch(1, reply).model_copy(update={"segments": (segment,)})
        )
        found = trials.trial_curves(engine, reply.trials[0].key)
        assert found.curves[0].values == pytest.approx(values, nan_ok=True)
        shown = json.loads(found.model_dump_json())["curves"][0]["values"]
        assert shown == ["Infinity", "-Infinity", None, 0.5]

    def test_missing_batch_is_refused(self, engine: Engine, queue: Queue) -> None:
        claim, reply = started(engine, queue)
        with pytest.raises(InvalidReport, match="batch 2"):
            queue.metrics(claim.attempt_id, claim.secret, batch(2, reply))
        assert trials.trial_curves(engine, reply.trials[0].key).curves == []

    def test_curves_of_a_lost_attempt_go_when_the_next_one_starts(
        self, engine: Engine, queue: Queue, clock: SteppedClock
    ) -> None:
        claim, reply = started(engine, queue)
        queue.metrics(claim.attempt_id, claim.secret, batch(1, reply))
        queue.lost(attempt_id=claim.attempt_id, reason="gone")
        clock.pass_seconds(5)
        (new,) = [c for c in queue.claim(owner="d", limit=9) if c.cohort_id == claim.cohort_id]
        assert count(engine, CurveSegment.trial_id > 0) == 1
        queue.start(new.attempt_id, new.secret)
        assert count(engine, CurveSegment.trial_id > 0) == 0

    def test_results_are_stored_before_the_attempt_ends(self, engine: Engine, queue: Queue) -> None:
        claim, reply = started(engine, queue)
        first, *rest = outcome(reply.trials).outcomes
        told = batch(1, reply).model_copy(update={"outcomes": (first,)})
        for _ in range(2):  # a repeated number changes nothing
            queue.metrics(claim.attempt_id, claim.secret, told)
        assert states(engine) == {TrialState.SUCCEEDED: 1, TrialState.RUNNING: 2, TrialState.QUEUED: 3}
        assert cell_counts(engine) == [(3, 1, 0, 0), (3, 0, 0, 0)]
        stored = trials.show_trial(engine, reply.trials[0].key)
        assert stored.metrics == {"expected_loss": 0.0, "train_loss": 1.0}
        assert queue.start(claim.attempt_id, claim.secret).trials == reply.trials[1:]
        with pytest.raises(InvalidReport, match="is not one"):
            queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))
        queue.finish(claim.attempt_id, claim.secret, Outcome(outcomes=tuple(rest), provenance=PROVENANCE))
        assert cell_counts(engine) == [(3, 3, 0, 0), (3, 0, 0, 0)]

    def test_results_on_the_way_that_do_not_fit(self, engine: Engine, queue: Queue) -> None:
        claim, reply = started(engine, queue)
        before = dump(engine)
        (one,) = outcome(reply.trials[:1]).outcomes
        for outcomes in ((one, one), (one.model_copy(update={"trial": "0" * 32}),)):
            message = batch(1, reply).model_copy(update={"outcomes": outcomes})
            with pytest.raises(InvalidReport):
                queue.metrics(claim.attempt_id, claim.secret, message)
        assert dump(engine) == before

    def test_a_lost_attempt_keeps_the_results_it_has_told(
        self, engine: Engine, queue: Queue, clock: SteppedClock
    ) -> None:
        """The next attempt gets the others; when there are none, it has only to finish."""
        claim, reply = started(engine, queue)
        told = outcome(reply.trials).outcomes
        for number, outcomes in enumerate((told[:1], told[1:])):
            message = batch(1, reply).model_copy(update={"outcomes": outcomes, "segments": ()})
            queue.metrics(claim.attempt_id, claim.secret, message)
            queue.lost(attempt_id=claim.attempt_id, reason="gone")
            clock.pass_seconds(10)
            (claim,) = [c for c in queue.claim(owner="d", limit=9) if c.cohort_id == claim.cohort_id]
            left = queue.start(claim.attempt_id, claim.secret).trials
            assert left == (reply.trials[1:], ())[number]
        queue.finish(claim.attempt_id, claim.secret, Outcome(outcomes=(), provenance=PROVENANCE))
        assert cell_counts(engine) == [(3, 3, 0, 0), (3, 0, 0, 0)]

    @pytest.mark.parametrize(
        ("metrics", "error"),
        [
            ({}, "without expected_loss, train_loss"),
            ({"expected_loss": 1.0}, "without train_loss"),
            ({"expected_loss": 1.0, "train_loss": 1.0, "gradient.x.bias": 2.0}, None),
            (
                {"expected_loss": 1.0, "train_loss": 1.0, "speed": 2.0},
                "with speed, which it does not declare",
            ),
            (
                {"loss": 1.0, "train_loss": 1.0},
                "without expected_loss and with loss, which it does not declare",
            ),
        ],
    )
    @pytest.mark.parametrize("way", ["finish", "metrics"])
    def test_a_success_has_the_metrics_that_its_task_declares(
        self, engine: Engine, queue: Queue, metrics: dict[str, float], error: str | None, way: str
    ) -> None:
        """Besides them only diagnostics; anything else is a failure, and no cell counts it."""
        claim, reply = started(engine, queue)
        told = [TrialOutcome(trial=trial.key, status="succeeded", metrics=metrics) for trial in reply.trials]
        if way == "finish":
            message = Outcome(outcomes=tuple(told), provenance=PROVENANCE)
            queue.finish(claim.attempt_id, claim.secret, message)
        else:
            news = batch(1, reply).model_copy(update={"outcomes": tuple(told)})
            queue.metrics(claim.attempt_id, claim.secret, news)
        shown = trials.show_trial(engine, reply.trials[0].key)
        if error is None:
            assert (shown.state, shown.metrics) == ("succeeded", metrics)
            return
        assert (shown.state, shown.metrics) == ("failed", {})
        assert shown.error == f"the worker reported task 'polynomial' {error}"
        assert cell_counts(engine)[0] == (3, 0, 3, 0)
        assert count(engine, CellSummary.count > 0) == 0

    def test_user_error_fails_at_once_and_only_its_trial(self, engine: Engine, queue: Queue) -> None:
        claim, reply = started(engine, queue)
        good, bad, nan = reply.trials
        broken = TrialOutcome(trial=bad.key, status="failed", error="ValueError: no", traceback="File ...")
        diverged = TrialOutcome(trial=nan.key, status="succeeded", metrics={"expected_loss": math.nan})
        message = Outcome(outcomes=(*outcome((good,)).outcomes, broken, diverged), provenance=PROVENANCE)
        queue.finish(claim.attempt_id, claim.secret, message)
        assert states(engine) == {TrialState.SUCCEEDED: 1, TrialState.FAILED: 2, TrialState.QUEUED: 3}
        stored = trials.show_trial(engine, bad.key)
        assert (stored.error, stored.traceback) == ("ValueError: no", "File ...")
        assert "expected_loss is nan" in (trials.show_trial(engine, nan.key).error or "")
        assert cell_counts(engine) == [(3, 1, 2, 0), (3, 0, 0, 0)]

    def test_a_trial_that_diverged_says_when_until_it_is_wanted_again(
        self, engine: Engine, queue: Queue
    ) -> None:
        claim, reply = started(engine, queue)
        first = reply.trials[0].key
        diverged = TrialOutcome(trial=first, status="failed", error="diverged", diverged_at=17)
        message = Outcome(outcomes=(diverged, *outcome(reply.trials[1:]).outcomes), provenance=PROVENANCE)
        queue.finish(claim.attempt_id, claim.secret, message)
        assert trials.show_trial(engine, first).diverged_at == 17
        assert [one.diverged_at for one in sweeps.show_sweep(engine, "1").failures] == [17]
        submit(engine, small_sweep(name="again"))
        assert trials.show_trial(engine, first).diverged_at is None

    def test_wanted_again_returns_to_the_queue(self, engine: Engine, queue: Queue) -> None:
        claim, reply = started(engine, queue)
        failed = tuple(
            TrialOutcome(trial=trial.key, status="failed", error="no") for trial in reply.trials[:2]
        )
        message = Outcome(outcomes=failed + outcome(reply.trials[2:]).outcomes, provenance=PROVENANCE)
        queue.finish(claim.attempt_id, claim.secret, message)
        result = submit(engine, small_sweep(name="again"))
        assert (result.trials, result.new, result.known) == (6, 0, 6)
        assert states(engine) == {TrialState.SUCCEEDED: 1, TrialState.QUEUED: 5}
        assert cell_counts(engine) == [(3, 1, 0, 0), (3, 0, 0, 0)]
        queue.plan(max_lanes=8, slots=1)
        assert sum(one.lanes for one in queue.claim(owner="d", limit=9)) == 5

    def test_summary_equals_the_moments_of_all_values(self, engine: Engine, queue: Queue) -> None:
        values = {seed: 1e3 + (seed * 0.37) % 1 for seed in range(7)}
        submit(engine, small_sweep(estimators=["st"], seeds=7))
        queue.plan(max_lanes=3, slots=1)
        for claim in queue.claim(owner="d", limit=9):
            reply = queue.start(claim.attempt_id, claim.secret)
            queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials, values))
        expected = Moments.of(list(values.values()))
        with read(engine) as connection:
            row = connection.execute(
                sa.select(CellSummary.count, CellSummary.mean, CellSummary.m2).where(
                    CellSummary.metric == "expected_loss"
                )
            ).one()
        assert row[0] == expected.count
        assert row[1:] == pytest.approx((expected.mean, expected.m2), rel=1e-9)

    def test_reports_that_do_not_fit(self, engine: Engine, queue: Queue) -> None:
        claim, reply = started(engine, queue)
        before = dump(engine)
        with pytest.raises(InvalidReport, match="2 outcomes for 3 trials"):
            queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials[:2]))
        twice = (*reply.trials, reply.trials[0])
        with pytest.raises(InvalidReport, match="4 outcomes for 3 trials"):
            queue.finish(claim.attempt_id, claim.secret, outcome(twice))
        stranger = reply.trials[0].model_copy(update={"key": "0" * 32})
        with pytest.raises(InvalidReport, match="0000"):
            queue.finish(claim.attempt_id, claim.secret, outcome((stranger,)))
        with pytest.raises(WrongSecret):
            queue.finish(claim.attempt_id, "guessed", outcome(reply.trials))
        with pytest.raises(NotFound, match="999"):
            queue.start(999, claim.secret)
        assert dump(engine) == before

    def test_finish_before_start_is_stale(self, engine: Engine, queue: Queue) -> None:
        submit(engine, small_sweep())
        queue.plan(max_lanes=3, slots=1)
        (claim,) = queue.claim(owner="d", limit=1)
        with pytest.raises(StaleAttempt, match="claimed"):
            queue.heartbeat(claim.attempt_id, claim.secret, Heartbeat(steps_done=0, steps_total=1))

    def test_progress_and_time_left(self, engine: Engine, queue: Queue, clock: SteppedClock) -> None:
        claim, _ = started(engine, queue)
        clock.pass_seconds(10)
        queue.heartbeat(claim.attempt_id, claim.secret, Heartbeat(steps_done=10, steps_total=30))
        progress = sweeps.show_sweep(engine, "1").progress
        assert (progress.steps_done, progress.steps_total) == (10, 60)
        assert progress.seconds_left == pytest.approx(50.0)

    def test_progress_counts_what_has_ended_once(
        self, engine: Engine, queue: Queue, clock: SteppedClock
    ) -> None:
        """One of three trials of ten steps has ended, the second has done four of its ten: 14 of 60 in all.

        Fourteen steps took 28 seconds, so 46 take 92.
        """
        claim, reply = started(engine, queue)
        clock.pass_seconds(28)
        message = MetricsBatch(
            seq=1,
            progress=Heartbeat(steps_done=14, steps_total=30),
            segments=(),
            outcomes=outcome(reply.trials[:1]).outcomes,
        )
        queue.metrics(claim.attempt_id, claim.secret, message)
        progress = sweeps.show_sweep(engine, "1").progress
        assert (progress.steps_done, progress.steps_total) == (14, 60)
        assert progress.seconds_left == pytest.approx(92.0)

    def test_backlog_says_what_waits(self, engine: Engine, queue: Queue, clock: SteppedClock) -> None:
        assert queue.backlog() == Backlog(unplanned=False, claimable=False)
        submit(engine, small_sweep(estimators=["st"]))
        assert queue.backlog() == Backlog(unplanned=True, claimable=False)
        queue.plan(max_lanes=3, slots=1)
        assert queue.backlog() == Backlog(unplanned=False, claimable=True)
        (claim,) = queue.claim(owner="d", limit=1)
        assert queue.backlog() == Backlog(unplanned=False, claimable=False)
        queue.lost(attempt_id=claim.attempt_id, reason="killed")
        assert not queue.backlog().claimable, "not before a pause"
        clock.pass_seconds(5)
        assert queue.backlog().claimable

    def test_long_trials_are_compared_across_programs(self, engine: Engine, queue: Queue) -> None:
        """Ten steps are nothing, two million take longer than a cohort should."""
        submit(engine, small_sweep(estimators=["st", "reinmax", "stgs"]))
        submit(engine, small_sweep(name="long", task={"id": "polynomial", "epochs": 10_000}, seeds=4))
        queue.plan(max_lanes=64, slots=2)
        lanes = [claim.lanes for claim in queue.claim(owner="d", limit=99)]
        assert lanes == [3, 3, 3, *[1] * 8]
        assert queue.plan(max_lanes=64, slots=2, side_by_side=True) == 0

    def test_lanes_side_by_side_are_as_many_as_may_be(self, engine: Engine, queue: Queue) -> None:
        submit(engine, small_sweep(task={"id": "polynomial", "epochs": 10_000}, seeds=100))
        queue.plan(max_lanes=64, slots=2, side_by_side=True)
        assert [claim.lanes for claim in queue.claim(owner="d", limit=99)] == [50] * 4

    def test_rules_from_settings_are_obeyed(self, engine: Engine, clock: SteppedClock) -> None:
        queue = Queue(engine, rules=QueueRules(max_attempts=1), clock=clock)
        submit(engine, small_sweep(estimators=["st"], seeds=1))
        queue.plan(max_lanes=3, slots=1)
        (claim,) = queue.claim(owner="d", limit=1)
        queue.start(claim.attempt_id, claim.secret)
        queue.lost(attempt_id=claim.attempt_id, reason="gone")
        assert states(engine) == {TrialState.FAILED: 1}

    def test_database_refuses_a_running_cohort_without_attempt(self, engine: Engine, queue: Queue) -> None:
        submit(engine, small_sweep())
        queue.plan(max_lanes=3, slots=1)
        with pytest.raises(sa.exc.IntegrityError), write(engine) as connection:
            connection.execute(sa.update(Cohort).values(state=CohortState.RUNNING))
        with pytest.raises(sa.exc.IntegrityError), write(engine) as connection:
            connection.execute(sa.update(Trial).values(cell_id=12345))

    def test_a_clock_that_is_set_back_holds_up_nothing(
        self, engine: Engine, queue: Queue, clock: SteppedClock
    ) -> None:
        """Leases and pauses that were set before would last for an hour longer."""
        started(engine, queue)
        clock.pass_seconds(-3600)
        assert queue.backlog().claimable, "the second cohort was planned an hour ahead of now"
        assert queue.expire_leases() == 1, "whoever is there will be told so"
        clock.pass_seconds(5)
        assert len(queue.claim(owner="d", limit=9)) == 2

    def test_clock_of_the_database_is_utc(self, engine: Engine) -> None:
        with read(engine) as connection:
            now = database_clock(connection)
        offset = now.utcoffset()
        assert offset is not None
        assert not offset


def started(engine: Engine, queue: Queue, sweep: Sweep | None = None) -> tuple[Claim, StartReply]:
    """Submit the small sweep, plan cohorts of three, claim and start the first."""
    submit(engine, sweep or small_sweep())
    queue.plan(max_lanes=3, slots=1)
    (claim,) = queue.claim(owner="d", limit=1)
    return claim, queue.start(claim.attempt_id, claim.secret)


def claim_all(queue: Queue, clock: SteppedClock) -> list[Claim]:
    """Wait until everything may be claimed, plan and claim it."""
    clock.pass_seconds(300)
    queue.plan(max_lanes=64, slots=1, side_by_side=True)
    return queue.claim(owner="d", limit=99)


def out_of_memory(trials: tuple[LaneTrial, ...]) -> Outcome:
    stopped = tuple(
        TrialOutcome(trial=trial.key, status="stopped", error="MemoryError: too wide") for trial in trials
    )
    return Outcome(outcomes=stopped, provenance=PROVENANCE, reason="memory")


def batch(seq: int, reply: StartReply) -> MetricsBatch:
    """One value of one metric of the first trial: 0.5 in the first epoch, then NaN."""
    value = 0.5 if seq == 1 else math.nan
    segment = CurveMessage(trial=reply.trials[0].key, metric="train_loss", first=seq, values=(value,))
    return MetricsBatch(seq=seq, progress=Heartbeat(steps_done=seq, steps_total=30), segments=(segment,))


def states(engine: Engine) -> dict[TrialState, int]:
    with read(engine) as connection:
        rows = connection.execute(sa.select(Trial.state, sa.func.count()).group_by(Trial.state))
        return {state: number for state, number in rows}


def cell_counts(engine: Engine) -> list[tuple[int, int, int, int]]:
    with read(engine) as connection:
        counts = (Cell.trials, Cell.succeeded, Cell.failed, Cell.cancelled)
        return [(a, b, c, d) for a, b, c, d in connection.execute(sa.select(*counts).order_by(Cell.id))]


def count(engine: Engine, condition: sa.ColumnElement[bool]) -> int:
    with read(engine) as connection:
        return connection.execute(sa.select(sa.func.count()).where(condition)).scalar_one()


def dump(engine: Engine) -> list[object]:
    """Everything that a report could have changed."""
    with read(engine) as connection:
        return [
            connection.execute(sa.select(*table.__table__.columns).order_by(sa.text("1"))).all()
            for table in (Trial, Cohort, Attempt, Cell, CellSummary, CurveSegment)
        ]
