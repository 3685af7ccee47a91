"""Losses that are finite but absurd: what blew up without leaving the numbers that a computer has."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.scoring.goals import Goal

TIMES = 10.0
"""A loss is absurd when it lies further above its first value than this many times that value's size."""

FLOOR = 1.0
"""Least size of a first value, in the unit of the loss, so that a rise from nearly 0 is none."""


def absurd_from(epochs: Sequence[int], values: Sequence[float], goal: Goal) -> int | None:
    """The first epoch from which a curve stays absurd until its end; ``None`` where it ends in its senses.

    A loss (``minimize``) is absurd where value > first + 10 max(|first|, 1), ``first`` being its first finite
    value: training made it more than ten times worse than an epoch of training had left it. Metrics of which
    more is better, such as accuracies and cosines, are bounded and never absurd; what is not finite is
    divergence, which is known otherwise. A curve whose first epoch is absurd already is not found.

    Args:
        epochs: rising, one for each value.
        values: of one metric of one trial.
        goal: which direction of the metric is better.
    """
    finite = [(epoch, value) for epoch, value in zip(epochs, values, strict=True) if math.isfinite(value)]
    if goal != "minimize" or not finite:
        return None
    first = finite[0][1]
    limit = first + TIMES * max(abs(first), FLOOR)
    found = None
    for epoch, value in reversed(finite):
        if value <= limit:
            break
        found = epoch
    return found
