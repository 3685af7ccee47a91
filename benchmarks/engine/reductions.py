"""Metrics that follow from the history of others: a mean of the last values, the best by another metric.

They are computed by the host at every evaluation, one lane at a time, from numbers that it fetches anyway.
What they keep is a plain dictionary, a part of the lane's state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.tasks.info import Metric

History = dict[str, list[float]]
"""By name of the reduced metric: the last values of a mean, oldest first; or ``[best of the other,
value]``."""


class Reductions:
    """The reductions among the metrics of a task.

    Args:
        metrics: of the task.

    Raises:
        KeyError: a reduction names a metric that there is not.
    """

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._reduced = [metric for metric in metrics if metric.reduction is not None]
        self._goals = {metric.name: metric.goal for metric in metrics}
        for metric in self._reduced:
            assert metric.reduction is not None
            names = {metric.reduction.of} | ({metric.reduction.by} if metric.reduction.by else set())
            if unknown := sorted(names - set(self._goals)):
                raise KeyError(
                    f"{metric.name} is reduced from {unknown[0]!r}, which the task does not report"
                )

    def advanced(self, history: History, values: Mapping[str, float]) -> History:
        """The history after an evaluation that measured these values."""
        new = dict(history)
        for metric in self._reduced:
            reduction = metric.reduction
            assert reduction is not None
            if reduction.of not in values or (reduction.by and reduction.by not in values):
                continue
            value = values[reduction.of]
            if reduction.kind == "mean":
                new[metric.name] = [*new.get(metric.name, []), value][-reduction.count :]
            elif self._is_better(reduction.by, values[reduction.by], new.get(metric.name)):
                new[metric.name] = [values[reduction.by], value]
        return new

    def values(self, history: History) -> dict[str, float]:
        """The reduced metrics that have a value so far."""
        found = {}
        for metric in self._reduced:
            if kept := history.get(metric.name):
                is_mean = metric.reduction is not None and metric.reduction.kind == "mean"
                found[metric.name] = sum(kept) / len(kept) if is_mean else kept[1]
        return found

    def _is_better(self, by: str, value: float, kept: list[float] | None) -> bool:
        if kept is None:
            return True
        return value < kept[0] if self._goals[by] == "minimize" else value > kept[0]
