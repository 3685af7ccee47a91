"""How many seeds it takes: the smallest difference that can be told, the seeds that would tell this one."""

from __future__ import annotations

import functools
import math

from scipy.optimize import brentq
from scipy.special import nctdtr, stdtrit

from benchmarks.scoring.pairs import ALPHA

POWER = 0.8
"""Probability with which a difference of that size is found."""

MOST_SEEDS = 1000


def power(effect: float, seeds: int, *, alpha: float = ALPHA) -> float:
    """Probability that a paired two-sided t test of ``seeds`` pairs finds a mean of ``effect`` deviations.

    With T noncentral t of n - 1 degrees and noncentrality effect sqrt(n), P(|T| > t_{1 - alpha/2}).
    """
    degrees, shift = seeds - 1, abs(effect) * math.sqrt(seeds)
    critical = float(stdtrit(degrees, 1 - alpha / 2))
    inside = float(nctdtr(degrees, shift, critical)) - float(nctdtr(degrees, shift, -critical))
    return 1.0 if math.isnan(inside) else 1.0 - inside  # no number far from the middle, where it is 0


def detectable(sd: float, seeds: int, *, alpha: float = ALPHA, wanted: float = POWER) -> float | None:
    """The smallest mean difference that so many seeds find with probability ``wanted``.

    Args:
        sd: standard deviation of the paired differences.
        seeds: pairs; ``None`` is returned below two.
        alpha: level of the test, a share of ``ALPHA`` where several are judged together.
        wanted: the probability.
    """
    if seeds < 2:  # one difference has no spread
        return None
    return sd * _detectable_effect(seeds, alpha, wanted)


@functools.lru_cache(maxsize=1024)
def _detectable_effect(seeds: int, alpha: float, wanted: float) -> float:
    """In standard deviations."""
    largest = 1.0
    while power(largest, seeds, alpha=alpha) < wanted:
        largest *= 2
    return float(brentq(lambda effect: power(effect, seeds, alpha=alpha) - wanted, 0.0, largest, xtol=1e-9))


def seeds_to_separate(mean: float, sd: float, *, alpha: float = ALPHA, wanted: float = POWER) -> int | None:
    """The fewest seeds that find a difference of this size with probability ``wanted``.

    ``None`` when not even ``MOST_SEEDS`` do: the two are as good as equal.
    """
    if sd == 0.0:
        return 2 if mean else None
    effect = abs(mean) / sd
    if power(effect, MOST_SEEDS, alpha=alpha) < wanted:
        return None
    low, high = 1, MOST_SEEDS
    while high - low > 1:  # power grows with seeds
        middle = (low + high) // 2
        low, high = (low, middle) if power(effect, middle, alpha=alpha) >= wanted else (middle, high)
    return high
