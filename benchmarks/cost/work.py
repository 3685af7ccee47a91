"""What a training step has to do, counted from declared facts. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import estimators.registry
from benchmarks.spec import Component
from benchmarks.tasks import registry as tasks
from benchmarks.tasks.info import Space, TaskInfo
from estimators.info import EstimatorInfo, Value

EXACT_AS_DRAWS = 17
"""Draws that cost about as much as an exact mean over draws: 1.5 ms a step against 8.8 for 100 of them, 128
variables and 256 rows of logits. Copies that share their logits take it once for each outcome."""
_OUTCOMES = 2

Info = TypeVar("Info", TaskInfo, EstimatorInfo)


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """One step of one trial.

    Attributes:
        flop: floating-point operations of the task with all evaluations of its objective. The task's own
            count is for one evaluation; every further one counts like the first, which is an upper estimate.
        numbers: numbers that the estimator draws or relaxes: rows x V x n, times its ``num_draws``; see
            ``EXACT_AS_DRAWS`` for an exact mean over draws.
        ragged: as the task's facts say.

    A path estimator does both as often as the task asks it for a sample.
    """

    flop: float
    numbers: float
    ragged: bool = False


def of_step(task: Component, estimator: Component) -> Work:
    """The work of a step.

    Raises:
        KeyError: the registries do not know the task or the estimator in this version.
    """
    task_info, info = (
        _current(task, tasks.get(task.id)),
        _current(estimator, estimators.registry.get(estimator.id)),
    )
    facts = task_info.facts(_values(task, task_info))
    values = _values(estimator, info)
    evaluations = [
        info.evaluations(
            values, variables=space.variables, categories=space.categories, separable=space.separable
        )
        for space in facts.spaces.values()
    ]
    drawn = sum(_draws(space, values) * space.variables * space.categories for space in facts.spaces.values())
    passes = facts.passes if info.properties.kind == "path" else 1
    return Work(
        flop=facts.flop * passes * max(evaluations, default=1),
        numbers=float(passes * drawn),
        ragged=facts.ragged,
    )


def _draws(space: Space, values: Mapping[str, Value]) -> int:
    """What an estimator draws of every variable in all rows of a step."""
    if values.get("expectation") != "exact":
        return space.rows * int(values.get("num_draws", 1))
    integrated = min(space.rows, _OUTCOMES) if space.copies else space.rows
    return space.rows + (EXACT_AS_DRAWS - 1) * integrated


def _current(component: Component, info: Info) -> Info:
    """The registry's entry, if it is of the component's version."""
    if component.version != info.version:
        raise KeyError(f"{component.id} has version {info.version}, not {component.version}")
    return info


def _values(component: Component, info: TaskInfo | EstimatorInfo) -> Mapping[str, Value]:
    """Parameters with the defaults of those that stored specifications are older than."""
    defaults = {p.name: p.default for p in info.parameters if p.default is not None}
    return defaults | component.values
