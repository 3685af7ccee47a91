"""What cells have to do, as a forecast of device time needs it: small, however many cells there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from benchmarks.keys import KeyedCell
from benchmarks.spec import Component
from service.states import TrialState
from service.storage.queries.submission import KnownTrial

MOST_PROGRAMS = 600
"""Of an estimator, that are kept; thinned to half of them when they are reached."""


@dataclass(frozen=True, slots=True)
class Program:
    """Trials of one signature that nobody has computed.

    Attributes:
        signature: as :func:`~benchmarks.spec.cohort_signature`.
        task, estimator: of the first of its cells; what differs inside a cohort changes how many steps there
            are, not what one of them takes.
        trials: how many there are, by the steps of one.
    """

    signature: str
    task: Component
    estimator: Component
    trials: Counter[int] = field(default_factory=Counter)


class EstimatorWork:
    """What the cells of one estimator have to do.

    Attributes:
        trials, to_compute: all of its trials, and those that nobody has computed.
        steps: of all that are to compute.
    """

    def __init__(self) -> None:
        self.trials = self.to_compute = self.steps = 0
        self._signatures: dict[str, int] = {}
        self._kept: dict[str, Program] = {}
        self._every = 1

    @property
    def programs(self) -> Iterable[Program]:
        """What is to compute, by signature; of many every so manieth, each with all of its trials."""
        return self._kept.values()

    def add(self, cell: KeyedCell, to_compute: int) -> None:
        """Count a cell, of which so many trials are to compute."""
        self.trials += len(cell.seeds)
        if not to_compute:
            return
        self.to_compute += to_compute
        self.steps += to_compute * cell.steps
        number = self._signatures.setdefault(cell.signature, len(self._signatures))
        if number % self._every:
            return
        if cell.signature not in self._kept:
            self._kept[cell.signature] = Program(cell.signature, cell.spec.task, cell.spec.estimator)
        self._kept[cell.signature].trials[cell.steps] += to_compute
        if len(self._kept) == MOST_PROGRAMS:
            self._every *= 2
            self._kept = {
                signature: program
                for signature, program in self._kept.items()
                if not self._signatures[signature] % self._every
            }


class Workload:
    """What cells have to do, by estimator in the order in which they came."""

    def __init__(self) -> None:
        self.estimators: dict[str, EstimatorWork] = {}

    def add(self, cells: Iterable[KeyedCell], known: Mapping[str, KnownTrial]) -> None:
        """Count cells; ``known`` are those of their trials that are in the database."""
        done = {key for key, trial in known.items() if trial.state is TrialState.SUCCEEDED}
        for cell in cells:
            to_compute = len(cell.seeds.keys() - done) if done else len(cell.seeds)
            estimator = cell.spec.estimator.id
            if estimator not in self.estimators:
                self.estimators[estimator] = EstimatorWork()
            self.estimators[estimator].add(cell, to_compute)
