"""Entries of the registries of estimators and tasks, as the API answers and pages show them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from benchmarks.tasks import registry as tasks
from benchmarks.tasks.info import TaskInfo
from estimators import registry as estimators
from estimators.info import EstimatorInfo, Parameter
from estimators.plugins import Broken, Package
from service.errors import NotFound
from service.resources import metrics
from service.resources.near import advice, near_tasks
from service.resources.schemas import BrokenPlugin, EstimatorEntry, ParameterInfo, TaskEntry


def estimator_entry(info: EstimatorInfo) -> EstimatorEntry:
    """An entry of the registry as an answer."""
    return EstimatorEntry(
        id=info.id,
        title=info.title,
        version=info.version,
        package=_shown(estimators.package(info.id)),
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
        why = tasks.absence(id) or advice(near_tasks(id), others)
        raise NotFound(f"there is no task {id!r}; {why}")
    return tasks.get(id)


def task_entry(info: TaskInfo) -> TaskEntry:
    """An entry of the registry as an answer."""
    return TaskEntry(
        id=info.id,
        title=info.title,
        version=info.version,
        package=_shown(tasks.package(info.id)),
        parameters=[_parameter(p) for p in info.parameters],
        metrics=metrics.known_metrics(info.id),
        select=info.select,
        report=list(info.report),
        optimizers=list(info.optimizers),
        default_lr=info.default_lr,
    )


def broken(plugins: Iterable[Broken]) -> list[BrokenPlugin]:
    """What packages announce in vain, as an answer."""
    return [
        BrokenPlugin(
            id=one.id,
            package=one.package.name,
            version=one.package.version,
            entry_point=f"{one.name} = {one.value}",
            reason=one.reason,
        )
        for one in plugins
    ]


def _shown(package: Package | None) -> str | None:
    return None if package is None else str(package)


def _parameter(parameter: Parameter) -> ParameterInfo:
    return ParameterInfo(
        name=parameter.name,
        type=parameter.type.__name__,
        default=parameter.default,
        allowed=parameter.range_text(),
        description=parameter.description,
    )
