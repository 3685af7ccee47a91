"""Estimators over several boards: average ranks and performance profiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.scoring.goals import Goal, costs

Boards = Mapping[str, Mapping[str, float]]
"""Board -> estimator -> mean."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AverageRank:
    """The mean of an estimator's ranks over the boards that it is on.

    Attributes:
        rank: mean over boards; ties share the mean of their places.
        boards: how many boards it is on.
    """

    rank: float
    boards: int


def average_ranks(boards: Boards, goals: Mapping[str, Goal]) -> dict[str, AverageRank]:
    """Mean ranks, best first. On each board estimators are ranked among those that are there.

    Only boards with at least two finite values count: a rank among one says nothing.

    Args:
        boards: board -> estimator -> mean; values that are not finite have no rank.
        goals: board -> which direction is good there.
    """
    ranks: dict[str, list[float]] = {}
    for board, means in boards.items():
        names = [name for name, mean in means.items() if np.isfinite(mean)]
        if len(names) < 2:  # see above
            continue
        for name, place in zip(names, _ranks(costs([means[n] for n in names], goals[board])), strict=True):
            ranks.setdefault(name, []).append(float(place))
    found = {
        name: AverageRank(rank=float(np.mean(places)), boards=len(places)) for name, places in ranks.items()
    }
    return dict(sorted(found.items(), key=lambda item: (item[1].rank, item[0])))


def profiles(
    boards: Boards, goals: Mapping[str, Goal], taus: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Performance profiles: on which share of boards an estimator is within tau of the best.

    The shortfall of an estimator on a board is its distance from the best mean over the distance of the worst
    from the best there (0 for the best, 1 for the worst), so that boards of different metrics compare; tau is
    a shortfall. A board on which an estimator has no finite value counts as never within.

    Args:
        boards: board -> estimator -> mean.
        goals: board -> which direction is good there.
        taus: shortfalls at which the profile is read.

    Returns:
        Estimator -> share of boards for each tau, over the boards with two finite values and a difference.
    """
    shortfalls: dict[str, list[float]] = {name: [] for means in boards.values() for name in means}
    for board, means in boards.items():
        cost = {name: float(costs([mean], goals[board])[0]) for name, mean in means.items()}
        finite = [value for value in cost.values() if np.isfinite(value)]
        if len(finite) < 2 or min(finite) == max(finite):  # nothing to fall short of
            continue
        best, worst = min(finite), max(finite)
        for name, reached in shortfalls.items():
            reached.append((cost.get(name, np.inf) - best) / (worst - best))
    return {
        name: (np.array(reached)[:, None] <= taus[None, :]).mean(axis=0)
        for name, reached in shortfalls.items()
        if reached
    }


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places from 1, ties sharing the mean of theirs."""
    below = (values[None, :] < values[:, None]).sum(axis=1)
    equal = (values[None, :] == values[:, None]).sum(axis=1)
    places: NDArray[np.float64] = below + (equal + 1) / 2
    return places
