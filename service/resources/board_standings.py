"""Where the rows of a board stand: ranks, ties and differences to the best, over common seeds."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.scoring import power
from benchmarks.scoring.goals import Goal
from benchmarks.scoring.pairs import ALPHA, Difference
from benchmarks.scoring.ranking import Ranking
from benchmarks.scoring.ranking import Standing as Place
from service.resources.board_schemas import DifferenceToBest, Standing


def standings(ranking: Ranking, goal: Goal) -> Mapping[str, Standing]:
    """Estimator -> where it stands, the best first."""
    comparisons = max(1, len(ranking.standings) - 1)
    return {name: _standing(one, goal, comparisons) for name, one in ranking.standings.items()}


def _standing(place: Place, goal: Goal, comparisons: int) -> Standing:
    to_best = None
    if place.against_best is not None and place.p_against_best is not None:
        to_best = _to_best(place.against_best, place.p_against_best, goal, comparisons)
    return Standing(
        position=place.position,
        rank_low=place.rank_low,
        rank_high=place.rank_high,
        tied_with_best=place.tied_with_best,
        to_best=to_best,
    )


def _to_best(found: Difference, adjusted: float, goal: Goal, comparisons: int) -> DifferenceToBest:
    """The difference in the metric's own direction: ``found`` is positive for what is better."""
    ends = (found.low, found.high)
    mean, low, high = found.mean, *ends
    if goal == "minimize":
        mean, (low, high) = -mean, tuple(None if end is None else -end for end in reversed(ends))
    separable = adjusted <= ALPHA
    alpha = ALPHA / comparisons
    return DifferenceToBest(
        seeds=found.seeds,
        left_out=found.left_out,
        mean=mean if found.seeds else None,
        low=low,
        high=high,
        test=found.test,
        p=found.p,
        p_adjusted=adjusted,
        separable=separable,
        detectable=None if found.sd is None else power.detectable(found.sd, found.seeds, alpha=alpha),
        more_seeds=0 if separable else _more_seeds(found, alpha),
    )


def _more_seeds(found: Difference, alpha: float) -> int | None:
    """At least one, for those that are there did not do."""
    if found.sd is None:
        return None
    needed = power.seeds_to_separate(found.mean, found.sd, alpha=alpha)
    return None if needed is None else max(1, needed - found.seeds)
