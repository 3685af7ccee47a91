"""Entries of the registries of estimators and tasks, as the API answers and pages show them."""

from __future__ import annotations

import dataclasses

from benchmarks.tasks import registry as tasks
from benchmarks.tasks.info import TaskInfo
from estimators.info import EstimatorInfo, Parameter
from service.errors import NotFound
from service.resources import metrics
from service.resources.near import advice, near_tasks
from service.resources.schemas import EstimatorEntry, ParameterInfo, TaskEntry


def estimator_entry(info: EstimatorInfo) -> EstimatorEntry:
    """An entry of the registry as an answer."""
    return EstimatorEntry(
        id=info.id,
        title=info.title,
        version=info.version,
        equation=info.equation,
        cost=info.cost.text,
        parameters=[_parameter(p) for p in info.parameters],
        properties=dataclasses.asdict(info.properties),
        citation=dataclasses.asdict(info.citation),
    )


def task(id: str) -> TaskInfo:
    """The registry entry of a task.

    Raises:
        NotFound: there is none.
    """
    if id not in tasks.available():
        others = f"there are {', '.join(tasks.available())}"
        raise NotFound(f"there is no task {id!r}; {advice(near_tasks(id), others)}")
    return tasks.get(id)


def task_entry(info: TaskInfo) -> TaskEntry:
    """An entry of the registry as an answer."""
    return TaskEntry(
        id=info.id,
        title=info.title,
        version=info.version,
        parameters=[_parameter(p) for p in info.parameters],
        metrics=metrics.known_metrics(info.id),
        select=info.select,
        report=list(info.report),
        optimizers=list(info.optimizers),
        default_lr=info.default_lr,
    )


def _parameter(parameter: Parameter) -> ParameterInfo:
    return ParameterInfo(
        name=parameter.name,
        type=parameter.type.__name__,
        default=parameter.default,
        allowed=parameter.range_text(),
        description=parameter.description,
    )
