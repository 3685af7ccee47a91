"""When a loss is finite but absurd, by hand."""

from __future__ import annotations

import math

import pytest

from benchmarks.scoring.absurd import absurd_from
from benchmarks.scoring.goals import Goal


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([200.0, 150.0, 2200.0], None),  # 200 + 10 * 200, not above it
        ([200.0, 150.0, 2200.1], 3),
        ([200.0, 1e6, 150.0], None),  # it came back
        ([200.0, 1e6, 1e9], 2),
        ([0.001, 5.0, 10.0], None),  # 0.001 + 10 * 1
        ([0.001, 5.0, 10.1], 3),
        ([-100.0, 900.0], None),
        ([-100.0, 901.0], 2),
        ([math.nan, 200.0, 2201.0], 3),
        ([200.0, 3000.0, math.nan], 2),  # what is not finite is divergence, and no way back
        ([math.nan, math.inf], None),
        ([], None),
    ],
)
def test_losses(values: list[float], found: int | None) -> None:
    assert absurd_from(range(1, len(values) + 1), values, "minimize") == found


@pytest.mark.parametrize(("goal", "found"), [("minimize", 40), ("maximize", None)])
def test_what_is_better_the_larger_is_never_absurd(goal: Goal, found: int | None) -> None:
    assert absurd_from([10, 40], [1.0, 1e9], goal) == found
