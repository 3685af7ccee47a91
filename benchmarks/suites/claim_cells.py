"""The cells that a claim reads, as statistics take them: of a board, at an epoch, at common parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from benchmarks.scoring.posterior import Cell
from benchmarks.spec import CellSpec
from benchmarks.suites.predicates import only_metric
from benchmarks.suites.schema import ClaimSection

Values = Mapping[str, Mapping[int, float]]
"""Metric -> seed -> value."""


class Scene(NamedTuple):
    """Where estimators are compared: a board by its title, and at which epoch if not at the end."""

    board: str
    when: str = ""

    def __str__(self) -> str:
        return f"{self.board}, {self.when}" if self.when else self.board


def at_epoch(metric: str, epoch: int) -> str:
    """What a metric's value at an epoch is called among the final ones."""
    return f"{metric}@{epoch}"


def epoch_of(name: str, metric: str) -> int | None:
    """The epoch of such a name; ``None`` if it is another's."""
    known, at, epoch = name.rpartition("@")
    return int(epoch) if at and known == metric else None


def metrics_of(claim: ClaimSection) -> list[str]:
    """The metrics whose final values a claim reads; those of other estimators at common parameters, too.

    The metric of another estimator at the parameters that one trains has its id at the end, see
    :func:`benchmarks.tasks.diagnostic_metrics.metric_name`.
    """
    metric = only_metric(claim)
    return [metric, *(probe(metric, name) for name in _estimators(claim) if claim.on not in (None, name))]


def probe(metric: str, estimator: str) -> str:
    """The name of a diagnostic metric of an estimator that does not train."""
    return f"{metric}.{estimator}"


def scored(spec: CellSpec, values: Values) -> Cell:
    """A cell with those of its metrics that have a value."""
    parameters = {**spec.estimator.values, "lr": spec.lr, "optimizer": spec.optimizer.id}
    known = {name: own for name, own in values.items() if own}
    return Cell(estimator=spec.estimator.id, parameters=parameters, values=known)


def scenes(claim: ClaimSection, board: str, cells: Sequence[Cell]) -> Iterator[tuple[Scene, list[Cell]]]:
    """What the tests of a claim compare on a board, at the end or at every epoch that was measured.

    Args:
        claim: the sentence.
        board: title of the board.
        cells: those of the board.
    """
    metric = only_metric(claim)
    read = list(_common(claim, metric, cells)) if claim.on else list(cells)
    if not claim.every_epoch:
        yield Scene(board), read
        return
    found = (epoch_of(name, metric) for one in read for name in one.values)
    for epoch in sorted({epoch for epoch in found if epoch is not None}):
        yield Scene(board, f"epoch {epoch}"), [_then(one, metric, epoch) for one in read]


def _common(claim: ClaimSection, metric: str, cells: Sequence[Cell]) -> Iterator[Cell]:
    """For each estimator a cell with what it measured on the models of the one that trains."""
    for trained in (one for one in cells if one.estimator == claim.on):
        for name in dict.fromkeys([trained.estimator, *_estimators(claim)]):
            own = metric if name == trained.estimator else probe(metric, name)
            yield Cell(estimator=name, parameters={}, values=dict(_renamed(trained.values, own, metric)))


def _renamed(values: Values, old: str, new: str) -> Iterator[tuple[str, Mapping[int, float]]]:
    for name, own in values.items():
        epoch = epoch_of(name, old)
        if name == old:
            yield new, own
        elif epoch is not None:
            yield at_epoch(new, epoch), own


def _then(cell: Cell, metric: str, epoch: int) -> Cell:
    """The cell with the value at an epoch in place of the final one."""
    values = {**cell.values, metric: cell.values.get(at_epoch(metric, epoch), {})}
    return Cell(estimator=cell.estimator, parameters=cell.parameters, values=values)


def _estimators(claim: ClaimSection) -> list[str]:
    """All that the tests name, each once."""
    named = [name for test in claim.tests for name in (test.estimator, *test.than) if name]
    return list(dict.fromkeys(named))
