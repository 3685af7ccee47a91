"""Specifications and registry entries in the words of ``service.resources.schemas``."""

from __future__ import annotations

from typing import Any

from benchmarks.spec import Component
from benchmarks.tasks import registry as tasks
from estimators import registry as estimators
from service.resources import schemas


def setting(spec: dict[str, Any]) -> schemas.Setting:
    """Everything of a cell besides its task and estimator."""
    parameters = spec["estimator"]["parameters"]
    return schemas.Setting(
        parameters=parameters,
        optimizer=spec["optimizer"],
        lr=spec["lr"],
        precision=spec.get("precision", "float32"),
    )


def trial_label(spec: dict[str, Any], seed: int) -> str:
    """A trial in one line, e.g. ``ReinMax temperature=1.1, adam 0.001, seed 3``."""
    values = " ".join(f"{name}={value}" for name, value in spec["estimator"]["parameters"].items())
    name = f"{estimator_title(spec)} {values}".rstrip()
    return f"{name}, {spec['optimizer']} {spec['lr']:g}, seed {seed}"


def estimator_title(spec: dict[str, Any]) -> str:
    """The name pages show; the id of an estimator that this version does not know."""
    id: str = spec["estimator"]["id"]
    return estimators.get(id).title if id in estimators.available() else id


def board_title(task: dict[str, Any]) -> str:
    """The title of a board; the id of a task that this version does not know."""
    component = Component.from_json(task, "task")
    if component.id not in tasks.available():
        return component.id
    return tasks.get(component.id).describe(component.values)


def board_link(task_key: str, task: dict[str, Any], *, trials: int, succeeded: int) -> schemas.BoardLink:
    """A board as it stands in lists."""
    return schemas.BoardLink(
        id=task_key, title=board_title(task), task=task["id"], trials=trials, succeeded=succeeded
    )
