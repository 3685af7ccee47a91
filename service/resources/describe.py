"""Specifications and registry entries in the words of ``service.resources.schemas``.

A stored specification may come from a version that knew other ids and parameters: what this version cannot
say of it is left out, and nothing here raises.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.spec import CellSpec, Component, TrialSpec
from benchmarks.suites import published
from benchmarks.tasks import registry as tasks
from benchmarks.tasks.info import Reference, TaskInfo
from estimators import registry as estimators
from estimators.info import Parameter, Value
from service.resources import schemas


def setting(spec: CellSpec) -> schemas.Setting:
    """Everything of a cell besides its task and estimator."""
    return schemas.Setting(
        parameters=estimator_values(spec.estimator),
        optimizer=spec.optimizer.id,
        optimizer_parameters=spec.optimizer.stated("optimizer"),
        lr=spec.lr,
        precision=spec.precision,
    )


def trial_label(spec: TrialSpec) -> str:
    """A trial in one line, e.g. ``ReinMax temperature=1.1, adam 0.001, seed 3``."""
    estimator = assignments(estimator_title(spec.estimator), estimator_values(spec.estimator))
    rule = assignments(spec.optimizer.id, spec.optimizer.stated("optimizer"))
    return f"{estimator}, {rule} {spec.lr:g}, seed {spec.seed}"


def assignments(name: str, values: Mapping[str, Value]) -> str:
    """A name with its parameters: ``sgd momentum=0.9``."""
    return " ".join([name, *(f"{key}={value}" for key, value in values.items())])


def estimator_values(estimator: Component) -> dict[str, Value]:
    """Parameters that say something: none at its neutral value, or at its default where it plays no part.

    One that plays no part and has another value is kept: it tells the cell from that with the default.
    """
    stated = estimator.stated("estimator")
    declared = estimators.get(estimator.id).parameters if estimator.id in estimators.available() else ()
    idle = {p.name for p in declared if not p.plays_a_part(stated) and stated.get(p.name) == p.default}
    return {name: value for name, value in stated.items() if name not in idle}


def estimator_title(estimator: Component) -> str:
    """The name pages show; the id of an estimator that this version does not know."""
    return title_of_estimator(estimator.id)


def title_of_estimator(id: str) -> str:
    """The name pages show for an id; the id itself where this version does not know it."""
    return estimators.get(id).title if id in estimators.available() else id


def board_title(task: Component) -> str:
    """The title of a board; id, version and parameters of a task that this version cannot describe."""
    info = known_task(task)
    if info is not None:
        return info.describe(task.values)
    values = ", ".join(f"{name} {value}" for name, value in task.parameters)
    return f"{task.id} version {task.version}" + (f": {values}" if values else "")


def component(task: Component) -> schemas.TaskSetting:
    """A task as the API answers it, with every parameter."""
    return schemas.TaskSetting(id=task.id, version=task.version, parameters=task.values)


def references(task: Component, select: str | None = None) -> tuple[Reference, ...]:
    """Numbers to show beside those of a board, the task's own levels before published ones.

    None for a task that this version cannot describe.

    Args:
        task: the board's.
        select: metric that chooses its settings; by default the task's.
    """
    info = known_task(task)
    return () if info is None else (*info.references(task.values), *published.references(task, select))


def known_task(task: Component) -> TaskInfo | None:
    """The registry entry, if every parameter that it declares has a value that it still allows."""
    if task.id not in tasks.available():
        return None
    info, values = tasks.get(task.id), task.values
    return info if all(p.name in values and _allowed(p, values[p.name]) for p in info.parameters) else None


def board_link(task_key: str, task: Component, *, trials: int, succeeded: int) -> schemas.BoardLink:
    """A board as it stands in lists."""
    return schemas.BoardLink(
        id=task_key, title=board_title(task), task=task.id, trials=trials, succeeded=succeeded
    )


def _allowed(parameter: Parameter, value: Value) -> bool:
    if parameter.type is str:
        return value in parameter.choices
    return not isinstance(value, str) and not parameter.objection(value)
