"""The shipped table of measured rates, and what it says of trials that were not measured. No torch.

``rates.json`` has rows of seconds a step, measured on one machine by ``python -m benchmarks.commands.rates``,
and the constants of a rough model that carries a row over to other sizes:

    seconds a step = (overhead + operations / speed of the task + numbers drawn x seconds a number) x ratio

with ``ratio`` such that the rows are right: that of the same task and estimator where there is one, else the
geometric mean of the task's rows, else 1 with the speed of no task in particular.
"""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass
from enum import IntEnum
from importlib import resources
from statistics import fmean
from typing import Any

from benchmarks.cost.compiling import worth_compiling
from benchmarks.cost.work import of_step
from benchmarks.spec import Component


class Footing(IntEnum):
    """What a number of the table rests on, the firmest first."""

    ESTIMATOR = 0
    """Rows of the task with the estimator."""
    TASK = 1
    """Rows of the task with other estimators."""
    NOTHING = 2
    """The model alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Seconds a step of one setting, compiled or not, on one thread."""

    task: Component
    estimator: Component
    compiled: bool
    seconds_per_step: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Measured rates and the model between them.

    Attributes:
        machine: where the rows were measured.
        start_seconds: until a program is compiled; once for all trials that share it.
        overhead_seconds: of a step, whatever its work.
        number_seconds: of a number that an estimator draws or relaxes.
        flop_per_second: by task id; ``""`` for tasks without a number of their own.
        uncompiled: by how much steps take longer where they are not compiled, for tasks without rows.
        rows: what was measured.
    """

    machine: str
    start_seconds: float
    overhead_seconds: float
    number_seconds: float
    flop_per_second: dict[str, float]
    uncompiled: float
    rows: tuple[Row, ...]

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Table:
        """Read a table as it is shipped."""
        rows = tuple(
            Row(
                task=Component.from_json(row["task"], "task"),
                estimator=Component.from_json(row["estimator"], "estimator"),
                compiled=row["compiled"],
                seconds_per_step=row["seconds_per_step"],
            )
            for row in data["rows"]
        )
        return cls(**{**data, "rows": rows})

    def seconds(self, task: Component, estimator: Component, *, steps: int, each: int) -> float:
        """Device time of ``steps`` steps of trials that share a program and have about ``each`` steps.

        Raises:
            KeyError: the registries do not know the task or the estimator in this version.
        """
        return steps * self.pace(task, estimator, each=each) + self.start(task, estimator, each=each)

    def start(self, task: Component, estimator: Component, *, each: int) -> float:
        """Seconds until trials of about ``each`` steps have their program; 0 for those that need none.

        Raises:
            KeyError: the registries do not know the task or the estimator in this version.
        """
        return self.start_seconds if worth_compiling(task, estimator, each) else 0.0

    def pace(self, task: Component, estimator: Component, *, each: int) -> float:
        """Seconds a step of trials that have about ``each`` steps.

        Raises:
            KeyError: the registries do not know the task or the estimator in this version.
        """
        compiled = worth_compiling(task, estimator, each)
        return self._model(task, estimator) * self._ratio(compiled, task.id, estimator.id)

    def footing(self, task: Component, estimator: Component) -> Footing:
        """What :meth:`seconds` rests on."""
        if (True, task.id, estimator.id) in self._logs:
            return Footing.ESTIMATOR
        return Footing.TASK if (True, task.id, None) in self._logs else Footing.NOTHING

    def _model(self, task: Component, estimator: Component) -> float:
        work = of_step(task, estimator)
        speed = self.flop_per_second.get(task.id, self.flop_per_second[""])
        return self.overhead_seconds + work.flop / speed + work.numbers * self.number_seconds

    def _ratio(self, compiled: bool, task: str, estimator: str) -> float:
        """Measured over modelled, geometric mean of the rows."""
        logs = self._logs.get((compiled, task, estimator)) or self._logs.get((compiled, task, None))
        if logs:
            return math.exp(fmean(logs))
        return 1.0 if compiled else self.uncompiled

    @functools.cached_property
    def _logs(self) -> dict[tuple[bool, str, str | None], list[float]]:
        """Logarithms of measured over modelled seconds: by form, task and, or not, estimator."""
        found: dict[tuple[bool, str, str | None], list[float]] = {}
        for row in self.rows:
            log = math.log(row.seconds_per_step / self._model(row.task, row.estimator))
            for estimator in (row.estimator.id, None):
                found.setdefault((row.compiled, row.task.id, estimator), []).append(log)
        return found


def read() -> dict[str, Any]:
    """The shipped table as it stands in the file."""
    data: dict[str, Any] = json.loads(resources.files(__package__).joinpath("rates.json").read_text("utf-8"))
    return data


@functools.cache
def shipped() -> Table:
    """The shipped table."""
    return Table.from_json(read())
