"""What the battery checks: a registered task with small parameters, and trials of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.spec import TrialSpec
from benchmarks.sweep import read_sweep
from benchmarks.sweep_file.compatibility import Demands, objection
from benchmarks.tasks.contract import Task
from benchmarks.tasks.info import Facts, Split, TaskInfo
from estimators import registry
from estimators.info import EstimatorInfo, Value

MADE_UP: Mapping[Split, int] = {"train": 53, "valid": 37, "test": 31}
"""Examples of a task that reads data; prime, so that the last minibatch of an epoch is short."""
EPOCHS = 2
REPRESENTATIVES = ("reinmax", "rloo", "reinforce_ema", "exact")
"""One that differentiates a sample, one that needs values only, one that learns, and enumeration."""
MOST_OUTCOMES = 256
"""Of a space that is enumerated in every step of a check."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A registered task with values of all its parameters.

    Attributes:
        info: its registry entry.
        values: of all its parameters.
    """

    info: TaskInfo
    values: Mapping[str, Value]

    @property
    def facts(self) -> Facts:
        """What the task declares for these parameters."""
        return self.info.facts(self.values)

    @property
    def splits(self) -> Mapping[Split, int]:
        """Examples of every split that the task should have: those declared, or made up."""
        declared = self.info.splits(self.values)
        return {split: MADE_UP[split] for split in declared} if self.info.reads_data else declared

    @property
    def estimators(self) -> tuple[str, ...]:
        """The representatives that can work on it."""
        return tuple(id for id in REPRESENTATIVES if _fits(registry.get(id), self.facts))

    def task(self) -> Task:
        """The task on the CPU; a new object, which shares nothing with others but what the class hides."""
        made_up: dict[str, Any] = {"made_up": self.splits} if self.info.reads_data else {}
        task: Task = self.info.load()(self.values, device=torch.device("cpu"), **made_up)
        return task

    def trials(self, estimator: str, count: int) -> list[TrialSpec]:
        """Trials that can be lanes of one cohort and differ in seed, learning rate and temperature."""
        return [self._trial(estimator, lane) for lane in range(count)]

    def _trial(self, estimator: str, lane: int) -> TrialSpec:
        block: dict[str, Any] = {"id": estimator}
        temperature = registry.get(estimator).parameter("temperature")
        if temperature is not None and temperature.default is not None:
            block["temperature"] = float(temperature.default) * (1 + lane / 8)
        sweep = read_sweep(
            {
                "name": "battery",
                "task": {"id": self.info.id, **self.values},
                "estimators": [block],
                "grid": {"lr": self.info.default_lr * (1 + lane / 4)},
                "seeds": [lane],
            }
        )
        (trial,) = sweep.expand()
        return trial


def subject(info: TaskInfo, settings: Mapping[str, Value] | None = None) -> Subject:
    """The task at the small parameters that it declares and, before those, ``settings``."""
    small: dict[str, Value] = {"epochs": EPOCHS, **info.small, **(settings or {})}
    return Subject(info=info, values=info.values(small))


def _fits(estimator: EstimatorInfo, facts: Facts) -> bool:
    """Whether an estimator can work on what is declared, and enumerates few outcomes if any."""
    if objection(estimator, Demands.of([facts])):
        return False
    return estimator.properties.kind != "exact" or all(
        estimator.evaluations(
            {}, variables=space.variables, categories=space.categories, separable=space.separable
        )
        <= MOST_OUTCOMES
        for space in facts.spaces.values()
    )
