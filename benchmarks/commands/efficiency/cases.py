"""What is measured: two problems, seven estimators, and the published figures of each pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.spec import TrialSpec
from benchmarks.suites import costs, reading
from benchmarks.sweep import read_sweep
from benchmarks.tasks import registry
from benchmarks.tasks.info import Split


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """A task whose steps are measured. It is sent to other processes, so that it has to be picklable.

    Attributes:
        name: as in the published table.
        title: for reports.
        task: the block ``task`` of a sweep file.
        made_up: numbers of random examples that stand for the task's data; ``None``: the data themselves.
    """

    name: str
    title: str
    task: Mapping[str, Any]
    made_up: Mapping[Split, int] | None = None

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        info = registry.get(str(self.task["id"]))
        given = {name: value for name, value in self.task.items() if name != "id"}
        return info.steps_per_epoch(info.values(given))

    def trial(self, contender: Contender) -> TrialSpec:
        """A trial of the task with an estimator at temperature 1, which costs as much as any other."""
        entry = {"id": contender.estimator, **contender.parameters}
        sweep = {"name": self.name, "task": dict(self.task), "estimators": [entry], "seeds": 1}
        (trial,) = read_sweep(sweep).expand()
        return trial


@dataclass(frozen=True, kw_only=True, slots=True)
class Contender:
    """An estimator with the parameters that its cost follows from."""

    estimator: str
    draws: int | None = None

    @property
    def name(self) -> str:
        """As in ``gumbel_rao-100``."""
        return costs.contender(self.estimator, self.draws)

    @property
    def parameters(self) -> Mapping[str, int]:
        """Those that are not at their defaults."""
        return {} if self.draws is None else {"num_draws": self.draws}


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """Seconds and peak megabytes of an epoch in Table 3 of the ReinMax paper."""

    seconds: float
    megabytes: float


QUADRATIC = Problem(
    name="quadratic",
    title=costs.TITLES["quadratic"],
    task={"id": "polynomial", "p": 2, "latents": 128, "batch_size": 512},
)
VAE = Problem(
    name="vae",
    title=costs.TITLES["vae"],
    task={"id": "categorical_vae", "categories": 10, "latents": 30, "batch_size": 100},
)
PROBLEMS = (QUADRATIC, VAE)
BASE = Contender(estimator=costs.BASE)
"""Whose cost is the unit of the others'."""
CONTENDERS = (
    BASE,
    *(Contender(estimator=id) for id in ("st", "stgs", "gst")),
    *(Contender(estimator="gumbel_rao", draws=draws) for draws in (100, 300, 1000)),
)


def published(problem: Problem, contender: Contender) -> Published | None:
    """What Table 3 says of the pair, if it has it."""
    printed = costs.published(reading.exhibit("reinmax-2023/table3"))
    found = printed.get(problem.name, {}).get(contender.name)
    if found is None:
        return None
    return Published(seconds=found[costs.SECONDS].value, megabytes=found[costs.MEGABYTES].value)
