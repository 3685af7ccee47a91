"""How far a sweep is and how long it takes, worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.resources.numbers import duration_between
from service.resources.remaining import progress
from service.states import Hold
from service.storage.queries.sweeps import RunningRow, SweepRow

BEGAN = datetime(2030, 1, 1, tzinfo=UTC)


def sweep(**changes: Any) -> SweepRow:
    """Twenty trials of 100 steps, all new, of which five have succeeded."""
    made = SweepRow(
        id=1,
        name="s",
        owner=None,
        description="",
        priority=0,
        created_at=BEGAN,
        held=Hold.ACTIVE,
        deleted_at=None,
        boards=1,
        cells=2,
        trials=20,
        new_trials=20,
        succeeded=5,
        failed=0,
        cancelled=0,
        steps=2000,
        steps_ended=500,
        steps_done=500,
        finished_at=None,
        recomputed_by=None,
    )
    return made._replace(**changes)


def running(steps: int, *, done: int, seconds: float) -> RunningRow:
    """An attempt at trials of so many steps, all of them the sweep's."""
    return RunningRow(
        sweep_id=1,
        trials=steps // 100,
        steps=steps,
        attempt_ended=0,
        attempt_done=done,
        attempt_total=steps,
        started_at=BEGAN,
        reported_at=BEGAN + timedelta(seconds=seconds),
    )


def after(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def test_the_range_is_between_the_speed_of_now_and_that_of_its_life() -> None:
    """1,300 steps are left. Two attempts do 5 and 1 a second; the 700 done took 140 s, 5 a second."""
    rows = [running(500, done=100, seconds=20), running(500, done=100, seconds=100)]
    found = progress(sweep(), rows, now=after(140))
    assert (found.steps_done, found.steps_total) == (700, 2000)
    assert found.seconds_left_low == pytest.approx(1300 / 6)
    assert found.seconds_left_high == pytest.approx(1300 / 5)
    assert found.seconds_left == pytest.approx((1300 / 6 + 1300 / 5) / 2)
    assert (found.counts["running"], found.counts["queued"]) == (10, 5)


def test_an_attempt_that_has_just_begun_says_nothing_of_speed() -> None:
    found = progress(sweep(), [running(500, done=5, seconds=5)], now=after(101))
    assert found.seconds_left_low == found.seconds_left_high == pytest.approx(1495 / 5)


def test_what_was_known_when_it_was_submitted_took_no_time() -> None:
    """Five of twenty trials were there already: nothing has been computed yet, and nothing is known."""
    found = progress(sweep(new_trials=15), [], now=after(60))
    assert (found.seconds_left, found.seconds_left_low, found.seconds_left_high) == (None, None, None)
    found = progress(sweep(new_trials=15), [running(300, done=150, seconds=50)], now=after(50))
    assert found.seconds_left == pytest.approx(1350 / 3)


def test_a_paused_sweep_takes_nobody_knows_how_long() -> None:
    assert progress(sweep(held=Hold.PAUSED), [], now=after(60)).seconds_left is None


def test_a_sweep_that_has_finished_takes_no_time() -> None:
    done = sweep(succeeded=20, steps_ended=2000, steps_done=2000, finished_at=after(30))
    assert progress(done, [], now=after(60)).seconds_left is None


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (200.0, 240.0, "about 3 min 40 s"),
        (200.0, 840.0, "3 min 20 s to 14 min 0 s"),
        (None, None, ""),
        (5.0, float("inf"), ""),
    ],
)
def test_a_range_in_words(low: float | None, high: float | None, text: str) -> None:
    assert duration_between(low, high) == text
