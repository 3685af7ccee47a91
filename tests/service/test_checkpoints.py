"""What the server keeps of checkpoints and of the curves behind them, on both databases."""

from __future__ import annotations

import math

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from service.errors import InvalidReport, StaleAttempt
from service.queue.cohorts import Queue
from service.queue.control import Controls
from service.queue.submission import submit
from service.resources import trials
from service.resources.board_lists import list_boards
from service.resources.boards import show_board
from service.storage.engine import read
from service.storage.models import Checkpoint, Trial
from service.storage.queries import boards
from tests.support.sweeps import PROVENANCE, SteppedClock, outcome, small_sweep
from workers.messages import Checkpoint as CheckpointMessage
from workers.messages import (
    CheckpointReport,
    CurveSegment,
    Heartbeat,
    MetricsBatch,
    Outcome,
    ResumedTrial,
    Resumption,
    StartReply,
    StoredCheckpoint,
    TrialOutcome,
)
from workers.ports import AttemptReports, CheckpointName, CheckpointRecords

DIGEST = "0123456789abcdef" * 4


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def queue(engine: Engine, clock: SteppedClock) -> Queue:
    return Queue(engine, clock=clock)


class Work:
    """Attempts at the two trials of a sweep, one after the other."""

    def __init__(self, engine: Engine, queue: Queue, clock: SteppedClock) -> None:
        self.engine, self.queue, self.clock = engine, queue, clock
        submit(engine, small_sweep(estimators=["st"], seeds=2))
        queue.plan(max_lanes=9, slots=1)
        self.start()

    def start(self) -> None:
        self.clock.pass_seconds(600)
        (self.claim,) = self.queue.claim(owner="d", limit=9)
        self.reply: StartReply = self.queue.start(self.claim.attempt_id, self.claim.secret)
        self.seq = 0

    def lose(self) -> None:
        self.queue.lost(attempt_id=self.claim.attempt_id, reason="killed by signal 9")

    def key(self, seed: int) -> str:
        with read(self.engine) as connection:
            return str(connection.scalar(sa.select(Trial.key).where(Trial.seed == seed)))

    def tell(self, first: int, *values: float, seed: int = 0, ends: bool = False) -> None:
        """Values of the training loss from this epoch on."""
        segment = CurveSegment(trial=self.key(seed), metric="train_loss", first=first, values=values)
        ended = [one for one in outcome(self.reply.trials).outcomes if one.trial == self.key(seed)]
        self.seq += 1
        message = MetricsBatch(
            seq=self.seq,
            progress=Heartbeat(steps_done=1, steps_total=9),
            segments=(segment,),
            outcomes=tuple(ended) if ends else (),
        )
        self.queue.metrics(self.claim.attempt_id, self.claim.secret, message)

    def keep(self, epochs: int, *, seed: int = 0) -> None:
        """A checkpoint at the end of an epoch of five steps, each of a second."""
        self.report(taken(self.key(seed), epochs))

    def report(self, *checkpoints: CheckpointMessage, host: str = PROVENANCE.host) -> None:
        provenance = PROVENANCE.model_copy(update={"host": host})
        message = CheckpointReport(checkpoints=checkpoints, provenance=provenance)
        self.queue.checkpoint(self.claim.attempt_id, self.claim.secret, message)

    def go_on(self, *, attempt: int | None, epochs: int = 0, seed: int = 0) -> None:
        one = ResumedTrial(trial=self.key(seed), attempt=attempt, step=5 * epochs)
        self.queue.resume(self.claim.attempt_id, self.claim.secret, Resumption(trials=(one,)))

    def finish(self) -> None:
        self.queue.finish(self.claim.attempt_id, self.claim.secret, outcome(self.reply.trials))

    def curve(self, seed: int = 0) -> dict[int, float | None]:
        shown = trials.trial_curves(self.engine, self.key(seed)).curves
        return {e: v for one in shown for e, v in zip(one.epochs, one.values, strict=True)}

    def offered(self, seed: int = 0) -> list[tuple[int, int]]:
        """Attempt and epochs of the checkpoints that the attempt was offered."""
        (found,) = [trial for trial in self.reply.trials if trial.key == self.key(seed)]
        return [(one.attempt, one.epochs) for one in found.checkpoints]

    def rows(self) -> list[tuple[int, int, int]]:
        """Trial, attempt and step of all that are kept."""
        columns = (Checkpoint.trial_id, Checkpoint.attempt_id, Checkpoint.step)
        with read(self.engine) as connection:
            return [(a, b, c) for a, b, c in connection.execute(sa.select(*columns).order_by(*columns))]


def taken(trial: str, epochs: int) -> CheckpointMessage:
    return CheckpointMessage(
        trial=trial, step=5 * epochs, epochs=epochs, digest=DIGEST, bytes=1234, seconds=5.0 * epochs
    )


@pytest.fixture
def work(engine: Engine, queue: Queue, clock: SteppedClock) -> Work:
    return Work(engine, queue, clock)


class TestOffers:
    def test_implements_the_ports(self, queue: Queue) -> None:
        records: CheckpointRecords = queue
        reports: AttemptReports = queue  # both assignments are checked by mypy
        assert records.unneeded([]) == []
        assert reports is queue

    def test_another_attempt_is_offered_the_last_two_newest_first(self, work: Work) -> None:
        for epochs in (1, 2, 3):
            work.tell(epochs, 0.5)
            work.keep(epochs)
        assert work.rows() == [(1, 1, 10), (1, 1, 15)]
        work.lose()
        work.start()
        (first, second) = work.reply.trials
        assert second.checkpoints == ()
        assert first.checkpoints == (
            StoredCheckpoint(attempt=1, **taken(first.key, 3).model_dump()),
            StoredCheckpoint(attempt=1, **taken(first.key, 2).model_dump()),
        )

    def test_those_of_a_later_attempt_are_newer(self, work: Work) -> None:
        work.keep(2)
        work.lose()
        work.start()
        work.go_on(attempt=1, epochs=2)
        work.keep(3)
        work.lose()
        work.start()
        assert work.offered() == [(2, 3), (1, 2)]

    def test_a_repeated_report_changes_nothing(self, work: Work) -> None:
        for _ in range(3):
            work.keep(1)
        work.keep(2)
        work.keep(1)
        assert work.rows() == [(1, 1, 5), (1, 1, 10)]

    def test_a_superseded_attempt_stores_nothing(self, work: Work, queue: Queue) -> None:
        old = work.claim
        work.lose()
        work.start()
        report = CheckpointReport(checkpoints=(taken(work.key(0), 1),), provenance=PROVENANCE)
        with pytest.raises(StaleAttempt):
            queue.checkpoint(old.attempt_id, old.secret, report)
        with pytest.raises(StaleAttempt):
            queue.resume(old.attempt_id, old.secret, Resumption(trials=()))
        assert work.rows() == []

    def test_a_checkpoint_of_a_stranger_is_refused(self, work: Work) -> None:
        with pytest.raises(InvalidReport, match="is not one of this attempt"):
            work.report(taken("0" * 32, 1))

    def test_one_that_comes_after_its_trial_has_ended_is_passed_over(self, work: Work) -> None:
        work.tell(1, 0.5, ends=True)
        work.report(taken(work.key(0), 1), taken(work.key(1), 1))
        assert work.rows() == [(2, 1, 5)]


class TestCurves:
    def test_they_are_joined_at_the_checkpoint(self, work: Work) -> None:
        """Epochs 4 and 5 of the lost attempt go, in one segment with epoch 3, which stays."""
        work.tell(1, 0.1, 0.2)
        work.keep(2)
        work.tell(3, 0.3, 0.4, 0.5)
        work.keep(3)
        work.lose()
        assert work.curve() == pytest.approx({1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4, 5: 0.5})
        work.start()
        assert work.curve() == pytest.approx({1: 0.1, 2: 0.2, 3: 0.3})
        work.go_on(attempt=1, epochs=3)
        work.tell(4, 4.0, 5.0, ends=True)
        whole = {1: 0.1, 2: 0.2, 3: 0.3, 4: 4.0, 5: 5.0}
        assert work.curve() == pytest.approx(whole)

    def test_boards_show_the_joined_curve(self, work: Work, engine: Engine) -> None:
        """Of two seeds: 1, 2, 3 by two attempts and 3, 4, 5 by the second alone. Mean 2, 3, 4, sd sqrt(2)."""
        work.tell(1, 1.0, 7.0, seed=0)
        work.report(taken(work.key(0), 1), host="an older machine")
        work.lose()
        work.start()
        work.go_on(attempt=1, epochs=1)
        work.tell(2, 2.0, 3.0, seed=0)
        work.tell(1, 3.0, 4.0, 5.0, seed=1)
        work.finish()
        (board,) = list_boards(engine, limit=9).boards
        curves = {one.metric: one for one in show_board(engine, board.id).curves}
        shown = curves["train_loss"]
        assert (shown.epochs, shown.mean, shown.n) == ([1, 2, 3], [2.0, 3.0, 4.0], [2, 2, 2])
        assert shown.sd == pytest.approx([math.sqrt(2)] * 3)
        with read(engine) as connection:
            hosts = [one["host"] for one in boards.provenances(connection, [1]).values()]
        assert hosts == ["an older machine", PROVENANCE.host]

    @pytest.mark.parametrize("epochs", [0, 1])
    def test_falling_back_cuts_them_again(self, work: Work, epochs: int) -> None:
        """The newest checkpoint, at epoch 3, is damaged: on from epoch 1, or from the beginning."""
        work.tell(1, 0.1, 0.2, 0.3, 0.4)
        work.keep(1)
        work.keep(3)
        work.lose()
        work.start()
        assert sorted(work.curve()) == [1, 2, 3]
        for _ in range(2):  # a repeated report changes nothing
            work.go_on(attempt=1 if epochs else None, epochs=epochs)
            assert sorted(work.curve()) == [1, 2, 3][:epochs]
            assert work.rows() == [(1, 1, 5)][:epochs]

    def test_of_a_trial_without_a_checkpoint_they_begin_anew(self, work: Work) -> None:
        work.tell(1, 0.1, seed=0)
        work.tell(1, 0.1, seed=1)
        work.keep(1, seed=0)
        work.lose()
        work.start()
        assert (sorted(work.curve(0)), sorted(work.curve(1))) == ([1], [])

    def test_starting_again_leaves_ones_own(self, work: Work, queue: Queue) -> None:
        work.tell(1, 0.1, 0.2)
        work.keep(1)
        work.queue.start(work.claim.attempt_id, work.claim.secret)
        assert sorted(work.curve()) == [1, 2]


class TestResumption:
    def test_attempts_say_from_where_they_went_on_and_with_what_they_computed(
        self, work: Work, engine: Engine
    ) -> None:
        work.keep(2)
        work.lose()
        work.start()
        work.go_on(attempt=1, epochs=2)
        first, second = trials.trial_attempts(engine, work.key(0)).attempts
        assert (first.resumed_from_step, second.resumed_from_step) == (None, 10)
        assert first.provenance == PROVENANCE.model_dump(mode="json")
        assert [one.resumed_from_step for one in trials.trial_attempts(engine, work.key(1)).attempts] == [
            None,
            None,
        ]

    @pytest.mark.parametrize(("attempt", "epochs"), [(1, 1), (2, 2), (7, 2)])
    def test_what_was_not_offered_is_refused(self, work: Work, attempt: int, epochs: int) -> None:
        work.keep(2)
        work.lose()
        work.start()
        with pytest.raises(InvalidReport, match="has no checkpoint"):
            work.go_on(attempt=attempt, epochs=epochs)
        assert work.rows() == [(1, 1, 10)]

    def test_losses_before_a_checkpoint_are_not_counted_any_more(self, work: Work) -> None:
        """Killed again and again, but not without having got on: after three losses it would be split."""
        for epochs in range(1, 6):
            work.keep(epochs)
            work.lose()
            work.start()
        work.lose()
        work.start()
        assert work.reply.number == 7
        work.lose()
        work.clock.pass_seconds(600)
        assert work.queue.claim(owner="d", limit=9) == []

    def test_they_go_with_their_trial_into_another_cohort(
        self, work: Work, queue: Queue, clock: SteppedClock
    ) -> None:
        """What did not fit into memory together goes on in cohorts of one."""
        work.keep(2, seed=1)
        stopped = tuple(TrialOutcome(trial=one.key, status="stopped") for one in work.reply.trials)
        message = Outcome(outcomes=stopped, provenance=PROVENANCE, reason="memory")
        queue.finish(work.claim.attempt_id, work.claim.secret, message)
        queue.plan(max_lanes=9, slots=1)
        clock.pass_seconds(600)
        claims = queue.claim(owner="d", limit=9)
        replies = [queue.start(claim.attempt_id, claim.secret) for claim in claims]
        assert [len(reply.trials) for reply in replies] == [1, 1]
        offered = {reply.trials[0].key: reply.trials[0].checkpoints for reply in replies}
        assert [one.step for one in offered[work.key(1)]] == [10]
        assert offered[work.key(0)] == ()


class TestEnds:
    @pytest.mark.parametrize("way", ["metrics", "finish"])
    def test_all_go_when_the_trial_ends(self, work: Work, way: str) -> None:
        work.keep(1, seed=0)
        work.keep(1, seed=1)
        if way == "metrics":
            work.tell(1, 0.5, seed=0, ends=True)
            assert work.rows() == [(2, 1, 5)]
        else:
            work.finish()
            assert work.rows() == []

    def test_all_go_when_it_is_given_up(self, work: Work) -> None:
        work.keep(1)
        claims = [work.claim]
        while claims:
            for claim in claims:
                work.queue.lost(attempt_id=claim.attempt_id, reason="killed by signal 9")
            work.clock.pass_seconds(600)
            work.queue.plan(max_lanes=9, slots=1)
            claims = work.queue.claim(owner="d", limit=9)
            for claim in claims:
                work.queue.start(claim.attempt_id, claim.secret)
        with read(work.engine) as connection:
            states = set(connection.scalars(sa.select(Trial.state)))
        assert states == {"failed"}
        assert work.rows() == []

    def test_all_go_when_it_is_cancelled_and_stay_while_it_is_paused(
        self, work: Work, engine: Engine, clock: SteppedClock
    ) -> None:
        work.keep(1)
        controls = Controls(engine, clock=clock)
        controls.pause(1)
        stopped = tuple(TrialOutcome(trial=one.key, status="stopped") for one in work.reply.trials)
        work.queue.finish(
            work.claim.attempt_id, work.claim.secret, Outcome(outcomes=stopped, provenance=PROVENANCE)
        )
        assert work.rows() == [(1, 1, 5)]
        controls.cancel(1)
        assert work.rows() == []

    def test_files_that_no_attempt_will_want(self, work: Work) -> None:
        """Of attempts that have ended, of trials that are known: those that are not kept."""
        key, other = work.key(0), work.key(1)
        work.keep(1)
        work.keep(2)
        work.keep(3)
        names = [CheckpointName(key, 1, step) for step in (5, 10, 15, 20)]
        names += [CheckpointName(other, 1, 5), CheckpointName("0" * 32, 1, 5), CheckpointName(key, 99, 5)]
        assert work.queue.unneeded(names) == [], "the attempt may be about to tell of them"
        work.lose()
        unneeded = {CheckpointName(key, 1, 5), CheckpointName(key, 1, 20), CheckpointName(other, 1, 5)}
        assert set(work.queue.unneeded(names)) == unneeded
        work.start()
        work.finish()
        ended = unneeded | {CheckpointName(key, 1, 10), CheckpointName(key, 1, 15)}
        assert set(work.queue.unneeded(names)) == ended
