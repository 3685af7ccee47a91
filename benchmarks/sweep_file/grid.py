"""A validated sweep: the grid of trials it stands for. Does not import torch."""

from __future__ import annotations

import itertools
import math
import operator
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.engine.optimizers import registry as optimizers
from benchmarks.spec import CellSpec, Component, Diagnostics, Precision, TrialSpec
from benchmarks.tasks.info import Goal
from estimators.info import Value

Axes = tuple[tuple[str, tuple[Value, ...]], ...]
"""(name, values) of every declared parameter, in the order of declaration."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ComponentGrid:
    """A task, an estimator or an optimizer with a list of values for each of its parameters."""

    id: str
    version: int
    axes: Axes

    @classmethod
    def of(cls, component: Component) -> ComponentGrid:
        """One value of every parameter."""
        axes = tuple((name, (value,)) for name, value in component.parameters)
        return cls(id=component.id, version=component.version, axes=axes)

    def __len__(self) -> int:
        return _length(*(len(values) for _, values in self.axes))

    def __iter__(self) -> Iterator[Component]:
        """Every combination; the last declared parameter varies fastest."""
        by_name = sorted(range(len(self.axes)), key=lambda axis: self.axes[axis][0])
        names = [self.axes[axis][0] for axis in by_name]
        in_order = operator.itemgetter(*by_name) if len(by_name) > 1 else tuple
        for combination in self._combinations():
            pairs = tuple(zip(names, in_order(combination), strict=True))
            yield Component(id=self.id, version=self.version, parameters=pairs)

    def settings(self) -> Iterator[dict[str, Value]]:
        """The parameters of every combination, in the same order, for those who need no more of it."""
        names = [name for name, _ in self.axes]
        return (dict(zip(names, combination, strict=True)) for combination in self._combinations())

    def _combinations(self) -> Iterator[tuple[Value, ...]]:
        return itertools.product(*(values for _, values in self.axes))

    def overlaps(self, other: ComponentGrid) -> bool:
        """Whether a combination belongs to both: products meet where every axis does."""
        if self.id != other.id:
            return False
        pairs = zip(self.axes, other.axes, strict=True)
        return all(not set(mine).isdisjoint(theirs) for (_, mine), (_, theirs) in pairs)

    def to_json(self) -> dict[str, Any]:
        """As a block of a sweep file."""
        return {"id": self.id} | {name: list(values) for name, values in self.axes}


@dataclass(frozen=True, kw_only=True, slots=True)
class EstimatorGrid:
    """One entry under ``estimators``: an estimator's grid, the optimizers' and the learning rates."""

    estimator: ComponentGrid
    optimizers: tuple[ComponentGrid, ...]
    lrs: tuple[float, ...]

    def __len__(self) -> int:
        """Number of cells on one board."""
        return _length(len(self.estimator), sum(map(len, self.optimizers)), len(self.lrs))

    def __iter__(self) -> Iterator[tuple[Component, Component, float]]:
        return itertools.product(self.estimator, itertools.chain.from_iterable(self.optimizers), self.lrs)

    def to_json(self) -> dict[str, Any]:
        """As a block of a sweep file, with its own optimizers and learning rates."""
        own = {"optimizer": [_optimizer_block(grid) for grid in self.optimizers], "lr": list(self.lrs)}
        return self.estimator.to_json() | own


def _length(*factors: int) -> int:
    """The product, as far as Python's ``len`` can say it: what is larger is refused all the same."""
    return min(math.prod(factors), sys.maxsize)


def _optimizer_block(grid: ComponentGrid) -> str | dict[str, Any]:
    """As in a sweep file: the id alone where nothing else is said."""
    defaults = tuple((p.name, (p.default,)) for p in optimizers.get(grid.id).parameters)
    return grid.id if grid.axes == defaults else grid.to_json()


@dataclass(frozen=True, kw_only=True, slots=True)
class Sweep:
    """What a user submitted, with every default written out and every value of its declared type.

    Attributes:
        name: what people call it.
        task: the boards; each combination of task parameters is one board.
        estimators: the cells of every board.
        seeds: distinct, in the order given.
        metric: chooses the best cell of an estimator.
        goal: which direction of ``metric`` is better.
        report: metrics shown for the chosen cell.
        priority: higher runs first.
        description: free text.
        owner: whose it is, if somebody said.
        tags: distinct words to find it by.
        precision: of matmul on a GPU, in all trials.
        diagnostics: what is measured of gradients in all trials, if anything.
    """

    name: str
    task: ComponentGrid
    estimators: tuple[EstimatorGrid, ...]
    seeds: tuple[int, ...]
    metric: str
    goal: Goal
    report: tuple[str, ...]
    priority: int = 0
    description: str = ""
    owner: str | None = None
    tags: tuple[str, ...] = ()
    precision: Precision = "float32"
    diagnostics: Diagnostics | None = None

    def boards(self) -> Iterator[Component]:
        """The task configurations, one board each."""
        return iter(self.task)

    def count(self) -> int:
        """Number of trials, without expanding."""
        return len(self.task) * sum(map(len, self.estimators)) * len(self.seeds)

    def cells(self) -> Iterator[CellSpec]:
        """Every cell once, board by board."""
        entries = [list(entry) for entry in self.estimators]  # components are shared by all boards
        for task in self.task:  # one after the other: there may be a hundred thousand
            for estimator, optimizer, lr in itertools.chain.from_iterable(entries):
                yield CellSpec(
                    task=task,
                    estimator=estimator,
                    optimizer=optimizer,
                    lr=lr,
                    precision=self.precision,
                    diagnostics=self.diagnostics,
                )

    def expand(self) -> Iterator[TrialSpec]:
        """Every trial once: board by board, cell by cell, seed by seed."""
        return (cell.seeded(seed) for cell in self.cells() for seed in self.seeds)

    def to_json(self) -> dict[str, Any]:
        """The sweep as a sweep file with nothing left to defaults; reading it gives the same sweep."""
        tags = {"tags": list(self.tags)} if self.tags else {}
        diagnostics = (
            {} if self.diagnostics is None else {"diagnostics": _diagnostics_block(self.diagnostics)}
        )
        return {
            "name": self.name,
            "description": self.description,
            "owner": self.owner,
            "task": self.task.to_json(),
            "estimators": [entry.to_json() for entry in self.estimators],
            "seeds": list(self.seeds),
            "select": {"metric": self.metric, "goal": self.goal},
            "report": list(self.report),
            "priority": self.priority,
            "precision": self.precision,
            **tags,
            **diagnostics,
        }


def _diagnostics_block(diagnostics: Diagnostics) -> dict[str, Any]:
    """As in a sweep file."""
    others = [{"id": other.id, **other.values} for other in diagnostics.estimators]
    return diagnostics.to_json() | ({"estimators": others} if others else {})
