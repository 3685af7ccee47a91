"""What the rows of a board cost: time, evaluations and memory of a step, and who is worth it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.scoring.goals import Goal
from benchmarks.scoring.tradeoffs import pareto_front
from service.resources.board_schemas import BoardRow, ParetoFronts, RowCost
from service.states import TrialState
from service.storage.queries.boards import SeedRow

BASELINE = "st"
"""Estimator that costs are relative to where it is ranked: straight-through, the cheapest there is."""


def row_cost(
    seeds: Sequence[SeedRow], provenances: Mapping[int, Mapping[str, Any]], steps: int | None
) -> RowCost:
    """The cost of a step at one setting, not yet relative to anything.

    Args:
        seeds: of the setting.
        provenances: attempt id -> what it computed with.
        steps: of a trial; ``None`` where that is not known.
    """
    ended = [seed for seed in seeds if seed.state is TrialState.SUCCEEDED]
    seconds = [seed.seconds for seed in ended if seed.seconds is not None]
    attempts = {seed.attempt_id for seed in ended if seed.attempt_id is not None}
    used = [provenances[id] for id in attempts if id in provenances]
    each = [one["evaluations"] for one in used if one.get("evaluations") is not None]
    memory = [one["peak_memory_bytes"] for one in used if one.get("peak_memory_bytes") is not None]
    return RowCost(
        seconds_per_step=statistics.median(seconds) / steps if seconds and steps else None,
        relative=None,
        evaluations_per_step=max(each, default=None),
        evaluations=max(each) * steps if each and steps else None,
        peak_memory_bytes=max(memory, default=None),
    )


def mean_seconds(seeds: Sequence[SeedRow]) -> float:
    """What a trial of a setting took on average; 0 where none says."""
    known = [seed.seconds for seed in seeds if seed.seconds is not None]
    return statistics.fmean(known) if known else 0.0


def baseline(costs: Mapping[str, RowCost]) -> str | None:
    """The estimator that costs are relative to: straight-through, or the cheapest; ``None`` without any."""
    known = {name: cost.seconds_per_step for name, cost in costs.items() if cost.seconds_per_step}
    return BASELINE if BASELINE in known else min(known, key=lambda name: (known[name], name), default=None)


def relative_to(cost: RowCost, base: RowCost | None) -> RowCost:
    """The cost with its ratio to that of the baseline."""
    if base is None or not base.seconds_per_step or cost.seconds_per_step is None:
        return cost
    return cost.model_copy(update={"relative": cost.seconds_per_step / base.seconds_per_step})


def pareto_fronts(rows: Sequence[BoardRow], select: str, goal: Goal) -> ParetoFronts:
    """Who no other beats at no more cost."""
    means = {row.estimator: row.metrics[select].mean for row in rows if select in row.metrics}
    seconds = {row.estimator: row.cost.seconds_per_step for row in rows}
    evaluations = {row.estimator: row.cost.evaluations_per_step for row in rows}
    known = {name: value for name, value in seconds.items() if value is not None}
    counted = {name: float(value) for name, value in evaluations.items() if value is not None}
    return ParetoFronts(
        seconds=pareto_front(known, means, goal), evaluations=pareto_front(counted, means, goal)
    )
