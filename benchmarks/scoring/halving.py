"""Successive halving: which settings of a grid deserve more seeds. A pure function of results, without torch.

All cells of a group (an estimator on a board) start with few seeds. The best of them get more, until the last
few have all (Karnin, Koren, Somekh 2013; Jamieson and Talwalkar 2016). docs/explanation/statistics.md has an
example.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.scoring.goals import Goal, costs


@dataclass(frozen=True, kw_only=True, slots=True)
class HalvingPlan:
    """How seeds are added.

    Attributes:
        seeds: the seeds in the order in which they are added.
        rungs: number of seeds on each rung, rising; e.g. (1, 2, 4, 10).
        eta: between rungs, the best ceil(m / eta) of m cells are kept, and what ties with the last of them.
        goal: which end of the metric is the good one.

    Raises:
        ValueError: rungs that do not rise from at least 1 to at most the number of seeds, seeds that repeat,
            or eta of 1 or less.
    """

    seeds: tuple[int, ...]
    rungs: tuple[int, ...]
    eta: float = 2.0
    goal: Goal = "minimize"

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip((0, *self.rungs), self.rungs, strict=False))
        if not self.rungs or not rising or self.rungs[-1] > len(self.seeds):
            raise ValueError(f"rungs rise from 1 to at most {len(self.seeds)} seeds, got {self.rungs}")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds differ from each other, got {self.seeds}")
        if not 1 < self.eta < math.inf:
            raise ValueError(f"eta is above 1 and finite, got {self.eta}")


@dataclass(frozen=True, kw_only=True, slots=True)
class GridCell:
    """A setting of the grid.

    Attributes:
        id: its name, unique on the grid.
        group: what it competes in: an estimator on a board.
        values: results by seed. A seed that failed or diverged is NaN or infinite; one without a result yet
            is absent.
    """

    id: Hashable
    group: Hashable
    values: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Elimination:
    """A cell that gets no more seeds.

    Attributes:
        cell, group: which.
        rung: after which rung, counted from 0.
        seeds: how many seeds it had on that rung.
        failed: how many of them failed.
        mean: mean of the others, ``None`` if there is none.
        rank: its place among the cells of the rung, counted from 1; equal cells share the best one.
        of: number of cells on the rung.
        threshold: mean of the last cell that was kept.
        threshold_failed: failed seeds of that cell.
    """

    cell: Hashable
    group: Hashable
    rung: int
    seeds: int
    failed: int
    mean: float | None
    rank: int
    of: int
    threshold: float | None
    threshold_failed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """What halving says of the results so far.

    Attributes:
        wanted: trials (cell, seed) to compute next, in order of cells; those of a rung come all at once.
        eliminated: cells that are out, by group and rung.
        survivors: cells that are not.
        trials: number of trials that the plan has asked for up to now, done or not.
        finished: every survivor has all seeds of the last rung.
    """

    wanted: tuple[tuple[Hashable, int], ...]
    eliminated: tuple[Elimination, ...]
    survivors: tuple[Hashable, ...]
    trials: int
    finished: bool


def advance(cells: Sequence[GridCell], plan: HalvingPlan) -> Progress:
    """Replay the plan on the results that exist, and say what is wanted next.

    On rung r the cells are ranked by their first ``plan.rungs[r]`` seeds: fewer failed seeds first, then the
    better mean of the others, which is the order of means when a failed seed counts as an infinitely bad
    value. A rung is decided when every one of its cells has those seeds, so nothing is eliminated for a trial
    that is missing, and results of later seeds change no decision. A cell of which all seeds failed is kept
    only where all cells did. Nothing is eliminated after the last rung.

    Raises:
        ValueError: two cells with one id.
    """
    if len({cell.id for cell in cells}) < len(cells):
        raise ValueError("two cells have the same id")
    groups: dict[Hashable, list[GridCell]] = {}
    for cell in cells:
        groups.setdefault(cell.group, []).append(cell)
    parts = [_climb(group, plan) for group in groups.values()]
    wanted = {trial for part in parts for trial in part.wanted}
    survivors = {cell for part in parts for cell in part.survivors}
    return Progress(
        wanted=tuple((c.id, s) for c in cells for s in plan.seeds if (c.id, s) in wanted),
        eliminated=tuple(gone for part in parts for gone in part.eliminated),
        survivors=tuple(cell.id for cell in cells if cell.id in survivors),
        trials=sum(part.trials for part in parts),
        finished=all(part.finished for part in parts),
    )


def _climb(cells: Sequence[GridCell], plan: HalvingPlan) -> Progress:
    """One group, up to the first rung that is not complete."""
    eliminated: list[Elimination] = []
    trials = before = 0
    for rung, count in enumerate(plan.rungs):
        seeds = plan.seeds[:count]
        trials += len(cells) * (count - before)
        before = count
        wanted = tuple((cell.id, seed) for cell in cells for seed in seeds if seed not in cell.values)
        if wanted or count == plan.rungs[-1]:
            break
        gone = _eliminated(cells, seeds, rung, plan)
        out = {elimination.cell for elimination in gone}
        cells = [cell for cell in cells if cell.id not in out]
        eliminated += gone
    return Progress(
        wanted=wanted,
        eliminated=tuple(eliminated),
        survivors=tuple(cell.id for cell in cells),
        trials=trials,
        finished=not wanted,
    )


@dataclass(frozen=True, order=True, slots=True)
class _Score:
    """Of a cell on a rung; small is good."""

    failed: int
    cost: float  # mean over the seeds that did not fail, infinite if all did

    @classmethod
    def of(cls, cell: GridCell, seeds: Sequence[int], goal: Goal) -> _Score:
        spent = costs([cell.values[seed] for seed in seeds], goal).tolist()
        finite = [value for value in spent if math.isfinite(value)]
        mean = math.fsum(finite) / len(finite) if finite else math.inf
        return cls(len(spent) - len(finite), mean)

    def mean(self, goal: Goal) -> float | None:
        """In the metric's own sign."""
        if math.isinf(self.cost):
            return None
        return -self.cost if goal == "maximize" else self.cost


def _eliminated(
    cells: Sequence[GridCell], seeds: Sequence[int], rung: int, plan: HalvingPlan
) -> list[Elimination]:
    """The cells that end on this rung, the best of them first."""
    scores = [_Score.of(cell, seeds, plan.goal) for cell in cells]
    ordered = sorted(scores)
    threshold = ordered[math.ceil(len(cells) / plan.eta) - 1]
    if math.isinf(threshold.cost):  # cells that failed entirely do not tie with others into the next rung
        threshold = max((score for score in scores if math.isfinite(score.cost)), default=threshold)
    gone = [
        Elimination(
            cell=cell.id,
            group=cell.group,
            rung=rung,
            seeds=len(seeds),
            failed=score.failed,
            mean=score.mean(plan.goal),
            rank=ordered.index(score) + 1,
            of=len(cells),
            threshold=threshold.mean(plan.goal),
            threshold_failed=threshold.failed,
        )
        for cell, score in zip(cells, scores, strict=True)
        if score > threshold
    ]
    return sorted(gone, key=lambda elimination: elimination.rank)
