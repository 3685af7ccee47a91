"""Made-up tasks for tests of the lane engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from benchmarks.tasks.contract import Batch, Draw, Loss, Parameters, Phase, TaskBase, Variables
from benchmarks.tasks.info import Split
from estimators import NoiseSource


class Data(TaskBase):
    """Data and phases without a model.

    Args:
        splits: examples of each.
        batch_size: of a minibatch.
        phases: of a step.
        lengths: of the examples of splits.
    """

    def __init__(
        self,
        splits: Mapping[Split, int],
        *,
        batch_size: int,
        phases: tuple[Phase, ...] = (Phase(),),
        lengths: Mapping[Split, Tensor] | None = None,
    ) -> None:
        self.splits, self.batch_size, self.phases = splits, batch_size, phases
        self.lengths = lengths or {}
        self.steps_per_epoch = -(-splits[phases[0].split] // batch_size)

    def init(self, noise: NoiseSource, lanes: int) -> Variables:
        """No parameters."""
        return Variables(groups={"model": {}})

    def loss(self, phase: Phase, variables: Variables, batch: Batch, draw: Draw) -> Loss:
        """Not asked."""
        raise NotImplementedError


class Scripted(TaskBase):
    """A parameter whose gradient is always 1, and metrics that follow a script.

    Under gradient descent the parameter falls by the learning rate of each step.

    Args:
        scripts: by metric and lane, its values at the evaluations in order.
        steps_per_epoch, evaluations_per_epoch, phases: as the contract has them.
    """

    batch_size = 1

    def __init__(
        self,
        scripts: Mapping[str, Sequence[Sequence[float]]],
        *,
        steps_per_epoch: int,
        evaluations_per_epoch: int = 1,
        phases: tuple[Phase, ...] = (Phase(),),
    ) -> None:
        self._scripts = {name: torch.tensor(rows) for name, rows in scripts.items()}
        self.steps_per_epoch, self.evaluations_per_epoch = steps_per_epoch, evaluations_per_epoch
        self.phases = phases

    def init(self, noise: NoiseSource, lanes: int) -> Variables:
        """The parameter ``w`` at 0 in every phase's group; ``steps`` done."""
        groups: dict[str, Parameters] = {phase.group: {"w": torch.zeros(lanes, 1)} for phase in self.phases}
        return Variables(groups=groups, buffers={"steps": torch.zeros(lanes, dtype=torch.int64)})

    def loss(self, phase: Phase, variables: Variables, batch: Batch, draw: Draw) -> Loss:
        """The parameter itself; counts the step in the first phase."""
        loss, steps = variables.groups[phase.group]["w"].sum(1), variables.buffers["steps"]
        counted = {"steps": steps + 1} if phase == self.phases[0] else {}
        return Loss(loss=loss, metrics={f"{phase.name}_w": loss.detach()}, weight=1, buffers=counted)

    def measure(self, variables: Variables) -> dict[str, Tensor]:
        """What the scripts say at this evaluation."""
        steps = variables.buffers["steps"]
        whole, rest = steps // self.steps_per_epoch, steps % self.steps_per_epoch
        done = whole * self.evaluations_per_epoch + rest * self.evaluations_per_epoch // self.steps_per_epoch
        return {
            name: rows.gather(1, (done - 1).view(-1, 1)).squeeze(1) for name, rows in self._scripts.items()
        }
