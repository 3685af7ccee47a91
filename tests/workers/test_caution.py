"""Pauses after losses of the infrastructure, on a clock that moves when told."""

from __future__ import annotations

import pytest

from tests.support.fakes import ManualClock
from workers.caution import CALM, LONGEST, Caution


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_nothing_was_lost_nothing_waits(clock: ManualClock) -> None:
    assert not Caution(clock).pausing


def test_pauses_double_up_to_a_minute(clock: ManualClock) -> None:
    caution, pauses = Caution(clock), []
    for _ in range(8):
        pauses.append(caution.lost())
        clock.now += pauses[-1] - 0.1
        assert caution.pausing
        clock.now += 0.1
        assert not caution.pausing
    assert pauses == [1, 2, 4, 8, 16, 32, LONGEST, LONGEST]


def test_losses_during_a_pause_are_of_the_same_trouble(clock: ManualClock) -> None:
    caution = Caution(clock)
    caution.lost()
    clock.now = 0.75
    assert caution.lost() == 0.25
    clock.now = 1.0
    assert caution.lost() == 2.0


def test_a_good_end_or_a_long_calm_begins_anew(clock: ManualClock) -> None:
    caution = Caution(clock)
    caution.lost()
    caution.went_well()
    clock.now = 1.0
    assert caution.lost() == 1.0
    clock.now = 2.0 + CALM
    assert caution.lost() == 2.0
    clock.now += 2.0 + CALM + 0.1
    assert caution.lost() == 1.0
