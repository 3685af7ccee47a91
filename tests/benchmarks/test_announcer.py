"""How long a command says it will still take."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from benchmarks.commands.announcer import Announcer


def told(capsys: pytest.CaptureFixture[str], guesses: Sequence[float], times: Sequence[float]) -> list[str]:
    """Lines of two cases, the second with two lines, at these times."""
    ticks = iter(times)
    tell = Announcer(guesses, clock=lambda: next(ticks))
    tell.next("first")
    tell("round 1")
    tell.next("second")
    tell("round 1")
    tell("round 2")
    return capsys.readouterr().out.splitlines()


def test_time_left_follows_the_first_guess_then_what_cases_took(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, [100.0, 100.0], [0.0, 5.0, 35.0, 125.0, 135.0, 250.0]) == [
        "[1/2] first: round 1; about 3 min left",
        "[2/2] second: round 1; about 2 min left",
        "[2/2] second: round 2; takes longer than foreseen",
    ]


def test_unequal_guesses_are_corrected_by_what_cases_took(capsys: pytest.CaptureFixture[str]) -> None:
    """The first was to take 100 s and takes 200, so the second takes 600, of which 60 have passed."""
    assert told(capsys, [100.0, 300.0], [0.0, 0.0, 40.0, 200.0, 260.0, 800.0]) == [
        "[1/2] first: round 1; about 6 min left",
        "[2/2] second: round 1; about 9 min left",
        "[2/2] second: round 2; takes longer than foreseen",
    ]
