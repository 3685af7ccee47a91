"""Who is better and who is not to be told apart: ranks as intervals, and the group that ties for the best.

Every two estimators are compared over the seeds that both have (:mod:`benchmarks.scoring.pairs`), all
comparisons together at 5 %.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.scoring.goals import Goal
from benchmarks.scoring.pairs import ALPHA, Difference, difference, holm

Seeds = Mapping[int, float]
"""Seed -> value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where one estimator stands.

    Attributes:
        position: from 1, by the mean over its own seeds.
        rank_low: 1 more than the number of estimators that are significantly better.
        rank_high: the number of estimators less those that are significantly worse.
        tied_with_best: not significantly worse than the one with the best mean.
        against_best: how much better it is than the best one; ``None`` for that one itself.
        p_against_best: its p-value among the comparisons with the best one, by Holm; ``None`` likewise.
    """

    position: int
    rank_low: int
    rank_high: int
    tied_with_best: bool
    against_best: Difference | None
    p_against_best: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """All standings, the best mean first.

    Attributes:
        standings: name -> where it stands.
        fragile: seeds without any one of which another estimator would have the best mean.
    """

    standings: dict[str, Standing]
    fragile: tuple[int, ...]


def rank(values: Mapping[str, Seeds], goal: Goal) -> Ranking:
    """Rank estimators, given as name -> seed -> value. Those without a finite value are left out.

    The order is that of means. With m estimators the m (m - 1) / 2 comparisons behind the rank intervals, and
    the m - 1 with the best, are two families, each held at 5 % by Holm's correction: in all but 5 % of boards
    no estimator is said to be better that is not.
    """
    names = _by_mean(values, goal)
    against = _against_best(values, names, goal)
    better, worse = _counts(values, names, goal)
    standings = {
        name: Standing(
            position=position,
            rank_low=1 + better[name],
            rank_high=len(names) - worse[name],
            tied_with_best=name == names[0] or against[name][1] > ALPHA,
            against_best=None if name == names[0] else against[name][0],
            p_against_best=None if name == names[0] else against[name][1],
        )
        for position, name in enumerate(names, start=1)
    }
    return Ranking(standings=standings, fragile=_fragile(values, names, goal))


def _mean(seeds: Seeds, goal: Goal, *, without: int | None = None) -> float:
    """Mean cost of the finite values, infinity where there is none."""
    kept = [value for seed, value in seeds.items() if seed != without and np.isfinite(value)]
    if not kept:
        return float("inf")
    return float(np.mean(kept)) * (-1.0 if goal == "maximize" else 1.0)


def _by_mean(values: Mapping[str, Seeds], goal: Goal) -> list[str]:
    means = {name: _mean(seeds, goal) for name, seeds in values.items()}
    return sorted((name for name, mean in means.items() if np.isfinite(mean)), key=lambda n: (means[n], n))


def _against_best(
    values: Mapping[str, Seeds], names: list[str], goal: Goal
) -> dict[str, tuple[Difference, float]]:
    others = names[1:]
    found = [difference(values[name], values[names[0]], goal, comparisons=len(others)) for name in others]
    adjusted = holm([one.p for one in found])
    return {name: (one, p) for name, one, p in zip(others, found, adjusted, strict=True)}


def _counts(
    values: Mapping[str, Seeds], names: list[str], goal: Goal
) -> tuple[dict[str, int], dict[str, int]]:
    """Of each estimator, how many are significantly better and how many significantly worse."""
    pairs = list(itertools.combinations(names, 2))
    found = [difference(values[a], values[b], goal, comparisons=max(1, len(pairs))) for a, b in pairs]
    better, worse = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for (a, b), one, p in zip(pairs, found, holm([one.p for one in found]), strict=True):
        if p <= ALPHA:
            winner, loser = (a, b) if one.mean > 0 else (b, a)
            better[loser] += 1
            worse[winner] += 1
    return better, worse


def _fragile(values: Mapping[str, Seeds], names: list[str], goal: Goal) -> tuple[int, ...]:
    """Seeds that decide who has the best mean. An estimator of one seed has none without it."""
    if len(names) < 2:  # nobody to change places with
        return ()
    seeds = sorted({seed for name in names for seed in values[name]})
    found = []
    for seed in seeds:
        means = {name: _mean(values[name], goal, without=seed) for name in names}
        if min(means, key=lambda n: (means[n], n)) != names[0] and np.isfinite(min(means.values())):
            found.append(seed)
    return tuple(found)
