"""How results answer to one hyper-parameter while the others are at their best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.integrate import trapezoid

from benchmarks.scoring.goals import Goal, costs

Value = float | int | str

Scale = Literal["linear", "log", "words"]

LOG_FROM = 10.0
"""Factor that positive values span from which their axis is logarithmic."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Best:
    """The best setting with one value of a hyper-parameter.

    Attributes:
        value: of the hyper-parameter.
        setting: index of the best setting with it.
        settings: how many have it.
    """

    value: Value
    setting: int
    settings: int


def profile(values: Sequence[Value], means: Sequence[float], goal: Goal) -> list[Best]:
    """Of every value the best setting, numbers rising, then words. Settings that are not finite lose.

    Args:
        values: of the hyper-parameter, one per setting.
        means: of the metric that chooses, likewise.
        goal: which direction is good.
    """
    cost = costs(means, goal).tolist()
    best: dict[Value, int] = {}
    counts: dict[Value, int] = {}
    for setting, value in enumerate(values):
        counts[value] = counts.get(value, 0) + 1
        if value not in best or cost[setting] < cost[best[value]]:
            best[value] = setting
    ordered = sorted(best, key=lambda value: (isinstance(value, str), value))
    return [Best(value=value, setting=best[value], settings=counts[value]) for value in ordered]


def scale_of(values: Sequence[Value]) -> Scale:
    """The axis that values belong on."""
    if any(isinstance(value, str) for value in values):
        return "words"
    numbers = [float(value) for value in values]
    return "log" if min(numbers) > 0 and max(numbers) >= LOG_FROM * min(numbers) else "linear"


def area(response: Mapping[Value, float], goal: Goal) -> float | None:
    """Mean shortfall from the best value of a hyper-parameter, over its axis: trapezoids over its length.

    0 where the parameter does not matter. ``None`` for words, below two values, or where one is not finite.

    Args:
        response: value -> mean there.
        goal: which direction is good.
    """
    scale = scale_of(list(response)) if response else "words"
    if scale == "words" or len(response) < 2:
        return None
    axis = np.array(sorted(float(value) for value in response))
    cost = costs([response[value] for value in sorted(response, key=float)], goal)
    if not np.isfinite(cost).all():
        return None
    places = np.log(axis) if scale == "log" else axis
    return float(trapezoid(cost - cost.min(), places) / (places[-1] - places[0]))
