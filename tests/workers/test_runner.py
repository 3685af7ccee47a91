"""One attempt against a scripted cohort and a reporter that remembers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.engine.cohort import Segment
from tests.support.fakes import (
    COMPILED,
    FELL_BACK,
    NO_COMPILER,
    WAIT_SECONDS,
    FakeReporter,
    ManualClock,
    ScriptedCohort,
    make_segment,
    make_start_reply,
)
from workers import runner
from workers.heartbeat import HeartbeatLost
from workers.messages import Heartbeat, HeartbeatReply, News, Outcome
from workers.ports import ReportError, Superseded
from workers.runner import run_attempt

FAST_LEASE = 0.03  # heartbeats every 10 ms


def outcome_of(reporter: FakeReporter) -> Outcome:
    assert reporter.outcome is not None
    return reporter.outcome


def test_superseded_attempt_never_builds_its_cohort() -> None:
    def never() -> Iterator[Segment]:
        raise AssertionError("computed although superseded")

    assert run_attempt(FakeReporter(None), build=ScriptedCohort(never)) == "superseded"


def test_an_attempt_that_is_to_stop_at_once_computes_nothing_and_gives_its_trials_back() -> None:
    def never() -> Iterator[Segment]:
        raise AssertionError("computed although its node drains")

    reporter = FakeReporter(make_start_reply(2).model_copy(update={"stop": "asked"}))
    assert run_attempt(reporter, build=ScriptedCohort(never)) == "stopped"
    assert [(one.trial, one.status) for one in reporter.outcomes] == [("t0", "stopped"), ("t1", "stopped")]
    assert (outcome_of(reporter).reason, reporter.batches) == ("asked", [])


def test_results_curves_and_shares_of_time() -> None:
    clock = ManualClock()

    def two_epochs() -> Iterator[Segment]:
        clock.now += 4
        yield make_segment(1, epochs=2, lanes=[0, 1], diverged=[1])
        clock.now += 3
        yield make_segment(2, epochs=2, lanes=[0], ends=True)

    reporter, cohort = FakeReporter(make_start_reply(2)), ScriptedCohort(two_epochs)
    assert run_attempt(reporter, build=cohort, clock=clock) == "finished"
    bad, good = reporter.outcomes
    assert [spec.seed for spec in cohort.trials] == [0, 1]
    assert (good.trial, good.status, good.metrics, good.seconds) == ("t0", "succeeded", {"loss": 0.0}, 5.0)
    assert (bad.trial, bad.status, bad.seconds) == ("t1", "failed", 2.0)
    assert bad.error is not None
    assert "step 17" in bad.error
    assert (bad.diverged_at, good.diverged_at) == (17, None)
    assert outcome_of(reporter).provenance.seconds == 7.0
    assert outcome_of(reporter).provenance.device.startswith("cpu")
    assert (outcome_of(reporter).provenance.peak_memory_bytes or 0) > 10_000_000
    assert len(reporter.batches) == 2


def test_results_are_told_when_they_are_there_and_once() -> None:
    """Lanes of ten steps, one after the other, as on a CPU; a batch goes out when a second has passed."""
    clock = ManualClock()

    def four_lanes() -> Iterator[Segment]:
        for lane in range(4):
            clock.now += 0.6
            yield dataclasses.replace(make_segment(1, epochs=1, lanes=[lane], ends=True), steps_total=40)

    reporter = FakeReporter(make_start_reply(4))
    assert run_attempt(reporter, build=ScriptedCohort(four_lanes), clock=clock) == "finished"
    told = [[outcome.trial for outcome in batch.outcomes] for batch in reporter.batches]
    assert told == [["t0", "t1"], ["t2", "t3"]]
    assert outcome_of(reporter).outcomes == ()


def test_lanes_pay_for_their_own_segments_and_all_for_compiling() -> None:
    """Of the first 6 s, 1.5 are for all three; the second lane has ended when the third begins."""
    clock = ManualClock()

    def one_after_the_other() -> Iterator[Segment]:
        for lane, seconds in enumerate([6, 2, 1]):
            clock.now += seconds
            yield make_segment(1, epochs=1, lanes=[lane], ends=True)

    reporter = FakeReporter(make_start_reply(3))
    run_attempt(reporter, build=ScriptedCohort(one_after_the_other), clock=clock)
    assert [outcome.seconds for outcome in reporter.outcomes] == [5.0, 2.5, 1.5]


def test_nothing_is_computed_where_an_attempt_before_told_of_all_trials() -> None:
    def never() -> Iterator[Segment]:
        raise AssertionError("computed although there are no trials")

    reporter = FakeReporter(make_start_reply(0))
    assert run_attempt(reporter, build=ScriptedCohort(never)) == "finished"
    assert outcome_of(reporter).outcomes == ()


def test_curve_points_travel_in_batches_of_a_second() -> None:
    clock = ManualClock()

    def ten_epochs() -> Iterator[Segment]:
        for epoch in range(1, 11):
            clock.now += 0.3
            yield make_segment(epoch, epochs=10, lanes=[0], ends=epoch == 10)

    reporter = FakeReporter(make_start_reply(1))
    run_attempt(reporter, build=ScriptedCohort(ten_epochs), clock=clock)
    sent = [(n, s.first, len(s.values)) for n, b in enumerate(reporter.batches, 1) for s in b.segments]
    assert sent == [(1, 1, 4), (2, 5, 4), (3, 9, 2)]
    assert [batch.progress.steps_done for batch in reporter.batches] == [40, 80, 100]
    values = [v for batch in reporter.batches for s in batch.segments for v in s.values]
    assert values == pytest.approx([n / 10 for n in range(1, 11)])


def test_provenance_tells_how_steps_were_done_and_when_the_first_was() -> None:
    clock = ManualClock()

    def two_segments() -> Iterator[Segment]:
        clock.now += 4
        yield make_segment(1, epochs=2, lanes=[0])
        clock.now += 3
        yield make_segment(2, epochs=2, lanes=[0], ends=True)

    reporter = FakeReporter(make_start_reply(1))
    run_attempt(reporter, build=ScriptedCohort(two_segments), clock=clock)
    found = outcome_of(reporter).provenance
    assert (found.executor, found.compile_seconds, found.first_step_seconds) == ("loop", 1.5, 4.0)
    assert found.matmul == "native"
    assert found.fallback is None


def test_phases_of_an_attempt_are_those_of_its_segments_and_what_lies_around_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Importing takes 3 s, making the cohort 5 s, sending curves 0.5 s each of two times."""
    clock = ManualClock()

    def takes(seconds: float) -> None:
        clock.now += seconds

    class SlowReporter(FakeReporter):
        def metrics(self, news: News) -> None:
            takes(0.5)

    class SlowCohort(ScriptedCohort):
        def __call__(self, *arguments: Any, **options: Any) -> ScriptedCohort:
            takes(5)
            return super().__call__(*arguments, **options)

    def two_epochs() -> Iterator[Segment]:
        for epoch in (1, 2):
            takes(20)
            yield make_segment(epoch, epochs=2, lanes=[0], ends=epoch == 2)

    monkeypatch.setattr(runner, "import_engine", lambda: takes(3))
    execution = dataclasses.replace(COMPILED, seconds={"steps": 30.0, "evaluation": 10.0})
    reporter = SlowReporter(make_start_reply(1))
    run_attempt(reporter, build=SlowCohort(two_epochs, execution=execution), clock=clock)
    found = outcome_of(reporter).provenance
    assert found.phases == {"imports": 3, "data": 5, "steps": 30, "evaluation": 10, "reports": 1.0}
    assert found.seconds == 49


def test_fallback_is_reported_and_said_once_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def two_epochs() -> Iterator[Segment]:
        yield make_segment(1, epochs=2, lanes=[0])
        yield make_segment(2, epochs=2, lanes=[0], ends=True)

    reporter = FakeReporter(make_start_reply(1))
    run_attempt(reporter, build=ScriptedCohort(two_epochs, execution=FELL_BACK))
    found = outcome_of(reporter).provenance
    assert (found.executor, found.fallback) == ("eager", (NO_COMPILER,))
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "C++ compiler (g++)" in record.message
    assert NO_COMPILER in record.message


def test_attempt_without_a_step_has_no_executor() -> None:
    def fails_at_once() -> Iterator[Segment]:
        raise ZeroDivisionError
        yield

    reporter = FakeReporter(make_start_reply(1))
    run_attempt(reporter, build=ScriptedCohort(fails_at_once))
    found = outcome_of(reporter).provenance
    assert (found.executor, found.compile_seconds, found.first_step_seconds) == (None, None, None)
    assert found.matmul is None


def test_error_goes_to_the_trials_that_had_not_ended() -> None:
    def fails_later() -> Iterator[Segment]:
        yield make_segment(1, epochs=2, lanes=[0, 1], diverged=[0])
        raise ZeroDivisionError("a task went wrong")

    reporter = FakeReporter(make_start_reply(2))
    assert run_attempt(reporter, build=ScriptedCohort(fails_later)) == "failed"
    first, second = outcome_of(reporter).outcomes
    assert first.traceback is None
    assert second.error == "ZeroDivisionError: a task went wrong"
    assert second.traceback is not None
    assert "fails_later" in second.traceback
    assert len(reporter.batches) == 1, "curves up to the error are kept"


def test_error_of_one_lane_is_told_of_that_lane() -> None:
    def one_breaks() -> Iterator[Segment]:
        good, bad = (make_segment(1, epochs=1, lanes=[lane], ends=True) for lane in (0, 1))
        error = ZeroDivisionError("a task went wrong")
        end = dataclasses.replace(bad.ended[0], metrics={}, error=error)
        yield dataclasses.replace(bad, ended=(end,))
        yield good

    reporter = FakeReporter(make_start_reply(2))
    assert run_attempt(reporter, build=ScriptedCohort(one_breaks)) == "failed", "the process is replaced"
    first, second = outcome_of(reporter).outcomes
    assert first.status == "succeeded"
    assert (second.status, second.error) == ("failed", "ZeroDivisionError: a task went wrong")
    assert second.traceback is not None


def test_cohort_that_ends_without_an_outcome_fails_its_lane() -> None:
    reporter = FakeReporter(make_start_reply(1))
    run_attempt(reporter, build=ScriptedCohort(lambda: iter([make_segment(1, epochs=2, lanes=[0])])))
    assert "lanes [0]" in (outcome_of(reporter).outcomes[0].error or "")


def endless(reporter: FakeReporter) -> Iterator[Segment]:
    """Epochs for ever, each of which waits for a heartbeat; gives up instead of hanging the test."""
    for epoch in range(1, 1000):
        assert reporter.beat.wait(WAIT_SECONDS)
        reporter.beat.clear()
        yield make_segment(epoch, epochs=1000, lanes=[0, 1], diverged=[1] if epoch == 1 else [])
    raise AssertionError("nothing stopped the attempt")


def test_an_attempt_that_is_asked_stops_at_the_next_segment() -> None:
    reporter = FakeReporter(
        make_start_reply(2, lease_seconds=FAST_LEASE), lambda _m: HeartbeatReply(stop="asked")
    )
    assert run_attempt(reporter, build=ScriptedCohort(lambda: endless(reporter))) == "stopped"
    assert [o.status for o in outcome_of(reporter).outcomes] == ["stopped", "failed"]


def test_superseded_on_the_way_reports_nothing_more() -> None:
    def conflict(_message: Heartbeat) -> HeartbeatReply:
        raise Superseded

    reporter = FakeReporter(make_start_reply(2, lease_seconds=FAST_LEASE), conflict)
    assert run_attempt(reporter, build=ScriptedCohort(lambda: endless(reporter))) == "superseded"
    assert reporter.outcome is None


def test_death_of_the_heartbeat_stops_the_attempt() -> None:
    def broken(_message: Heartbeat) -> HeartbeatReply:
        raise OSError("no more threads")

    reporter = FakeReporter(make_start_reply(2, lease_seconds=FAST_LEASE), broken)
    with pytest.raises(HeartbeatLost, match="no more threads"):
        run_attempt(reporter, build=ScriptedCohort(lambda: endless(reporter)))
    assert reporter.outcome is None


def test_heartbeats_tell_the_progress() -> None:
    seen: list[int] = []

    def stop_after_progress(message: Heartbeat) -> HeartbeatReply:
        seen.append(message.steps_done)
        return HeartbeatReply(stop="asked" if message.steps_done else None)

    reporter = FakeReporter(make_start_reply(2, lease_seconds=FAST_LEASE), stop_after_progress)
    run_attempt(reporter, build=ScriptedCohort(lambda: endless(reporter)))
    assert seen[-1] >= 20


def test_refusal_by_the_server_is_not_a_trial_error() -> None:
    class Refusing(FakeReporter):
        def finish(self, message: Outcome) -> None:
            raise ReportError("refused")

    reporter = Refusing(make_start_reply(1))
    script = ScriptedCohort(lambda: iter([make_segment(1, epochs=1, lanes=[0], ends=True)]))
    with pytest.raises(ReportError, match="refused"):
        run_attempt(reporter, build=script)
