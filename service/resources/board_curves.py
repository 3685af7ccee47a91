"""Training curves of a board: mean over seeds, who leads at which epoch, what equal evaluations buy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.scoring.absurd import absurd_from
from benchmarks.scoring.goals import Goal
from benchmarks.scoring.tradeoffs import Curve as MeanCurve
from benchmarks.scoring.tradeoffs import at_equal_cost, leads
from service.resources.board_schemas import Anytime, BoardCurve, EqualEvaluations, EqualLine, Lead
from service.storage.queries.curves import Curve


def curve_over_seeds(estimator: str, metric: str, found: Sequence[Curve]) -> BoardCurve:
    """Mean and standard deviation (n - 1) at every epoch over the seeds whose value there is finite."""
    last = max(int(one.epochs[-1]) for one in found)
    grid = np.full((len(found), last), np.nan)
    for lane, one in enumerate(found):
        grid[lane, one.epochs - 1] = one.values
    finite = np.isfinite(grid)
    n = finite.sum(axis=0)
    mean = np.where(finite, grid, 0.0).sum(axis=0) / np.maximum(n, 1)
    squares = np.where(finite, grid - mean, 0.0) ** 2
    sd = np.sqrt(squares.sum(axis=0) / np.maximum(n - 1, 1))
    return BoardCurve(
        estimator=estimator,
        metric=metric,
        epochs=list(range(1, last + 1)),
        mean=[float(x) if k else None for x, k in zip(mean, n, strict=True)],
        sd=[float(x) if k > 1 else None for x, k in zip(sd, n, strict=True)],
        n=n.tolist(),
    )


def board_curves(estimators: Mapping[int, str], found: Sequence[Curve]) -> list[BoardCurve]:
    """One for each chosen cell and metric that has curves.

    Args:
        estimators: cell id -> estimator.
        found: of single seeds.
    """
    grouped: dict[tuple[int, str], list[Curve]] = {}
    for row in found:
        grouped.setdefault((row.cell_id, row.metric), []).append(row)
    return [curve_over_seeds(estimators[cell], metric, rows) for (cell, metric), rows in grouped.items()]


def absurd_curves(found: Sequence[Curve], goals: Mapping[str, Goal]) -> dict[tuple[int, str, int], int]:
    """Cell id, metric and seed of curves that end absurd -> the epoch from which they are."""
    return {
        (one.cell_id, one.metric, one.seed): since
        for one in found
        if (since := absurd_from(one.epochs.tolist(), one.values.tolist(), goals[one.metric])) is not None
    }


def metric_with_curves(curves: Sequence[BoardCurve], shown: Sequence[str]) -> str | None:
    """The first of the shown metrics that has curves."""
    there = {curve.metric for curve in curves}
    return next((metric for metric in shown if metric in there), None)


def anytime(curves: Sequence[BoardCurve], metric: str, goal: Goal) -> Anytime:
    """Who led at which epoch by one metric."""
    found = leads(_means(curves, metric), goal)
    return Anytime(
        metric=metric,
        leads=[Lead(first_epoch=one.first, last_epoch=one.last, estimator=one.name) for one in found],
    )


def equal_evaluations(
    curves: Sequence[BoardCurve], metric: str, goal: Goal, *, each: Mapping[str, int], steps_per_epoch: int
) -> EqualEvaluations | None:
    """The rows after equally many evaluations; ``None`` where fewer than two say how many they take.

    Args:
        curves: of the board.
        metric: the one that is looked at.
        goal: which direction of it is good.
        each: estimator -> evaluations of a step.
        steps_per_epoch: of the task.
    """
    means = {name: curve for name, curve in _means(curves, metric).items() if each.get(name)}
    if len(means) < 2:
        return None
    of_epoch = {name: float(each[name] * steps_per_epoch) for name in means}
    budget, found = at_equal_cost(means, of_epoch, goal)
    lines = [
        EqualLine(estimator=one.name, position=position, epoch=one.epoch, mean=one.value)
        for position, one in enumerate(found, start=1)
    ]
    return EqualEvaluations(metric=metric, evaluations=round(budget), rows=lines)


def _means(curves: Sequence[BoardCurve], metric: str) -> dict[str, MeanCurve]:
    return {one.estimator: (one.epochs, one.mean) for one in curves if one.metric == metric}
