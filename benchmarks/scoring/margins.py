"""Is one estimator worse than others by more than a margin? Or shown to be no worse? For a few comparisons.

The margin is the largest difference that does not matter, in units of the metric. Differences are paired by
seed (:mod:`benchmarks.scoring.pairs`); every question is one family that Holm's correction holds at 5 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.scoring.goals import Goal
from benchmarks.scoring.pairs import ALPHA, Difference, difference, holm

Verdict = Literal["better", "worse", "equivalent", "undecided"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What the common seeds say of one estimator held against another.

    Attributes:
        difference: over the common seeds, positive when the first one is better.
        p: of no difference, among all comparisons (Holm).
        verdict: ``better`` or ``worse`` by more than the margin, two-sided at 5 %; ``equivalent``: within the
            margin both ways, two one-sided tests at 5 % each; else ``undecided``.
        no_worse: shown not to be worse by more than the margin, one-sided at 5 %.
    """

    difference: Difference
    p: float
    verdict: Verdict
    no_worse: bool


def compare(
    first: Mapping[int, float],
    others: Sequence[Mapping[int, float]],
    goal: Goal,
    *,
    margin: float = 0.0,
) -> list[Comparison]:
    """Hold one estimator, given as seed -> value, against each of several others.

    Args:
        first: of the estimator that is asked about.
        others: of those that it is held against.
        goal: which direction is good.
        margin: largest difference that does not matter.

    Raises:
        ValueError: a negative margin.
    """
    if not margin >= 0:
        raise ValueError(f"a margin is a size, 0 or more, got {margin}")
    plain = [difference(first, other, goal, comparisons=len(others)) for other in others]
    # Shifted by the margin, a difference below 0 is one of more than the margin, and likewise above.
    helped = [_shifted(first, other, goal, margin, len(others)) for other in others]
    held_back = [_shifted(first, other, goal, -margin, len(others)) for other in others]
    worse, better = _proven(helped, sign=-1), _proven(held_back, sign=1)
    not_lower = [_one_sided(one, sign=1) for one in helped]
    not_higher = [_one_sided(one, sign=-1) for one in held_back]
    no_worse = [p <= ALPHA for p in holm(not_lower)]
    within = [p <= ALPHA for p in holm([max(pair) for pair in zip(not_lower, not_higher, strict=True)])]
    return [
        Comparison(difference=one, p=p, verdict=_verdict(*said), no_worse=safe)
        for one, p, safe, said in zip(
            plain,
            holm([one.p for one in plain]),
            no_worse,
            zip(worse, better, within, strict=True),
            strict=True,
        )
    ]


def _verdict(worse: bool, better: bool, within: bool) -> Verdict:
    if worse or better:
        return "worse" if worse else "better"
    return "equivalent" if within else "undecided"


def _shifted(
    first: Mapping[int, float], other: Mapping[int, float], goal: Goal, by: float, comparisons: int
) -> Difference:
    """The difference if every value of the first one were better by this much."""
    sign = 1.0 if goal == "maximize" else -1.0
    moved = {seed: value + sign * by for seed, value in first.items()}
    return difference(moved, other, goal, comparisons=comparisons)


def _proven(found: Sequence[Difference], *, sign: int) -> list[bool]:
    """Which means differ from 0 in this direction."""
    adjusted = holm([one.p for one in found])
    return [p <= ALPHA and sign * one.mean > 0 for one, p in zip(found, adjusted, strict=True)]


def _one_sided(one: Difference, *, sign: int) -> float:
    """p-value of the mean lying on the other side; both tests are symmetric, so it is half the two-sided."""
    if one.test == "none":
        return 1.0
    return one.p / 2 if sign * one.mean > 0 else 1 - one.p / 2
