"""Forward and backward passes of a task with an estimator, without the update."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.commands.efficiency.cases import Contender, Problem
from benchmarks.datasets import files
from benchmarks.engine.compiled.recording import data_of
from benchmarks.engine.draw import TrainingDraw
from benchmarks.engine.noise import LaneNoise, Purpose, seed_keys, shuffled
from benchmarks.engine.resolved import lane_parameters, resolved_estimator
from benchmarks.tasks import registry
from benchmarks.tasks.contract import Batch, Task, Variables


class Passes:
    """Calls do one step of one trial: a minibatch, its loss, the gradient of every parameter.

    Steps are run as they are, not compiled, as in the paper. Parameters stay where they began.

    Args:
        problem: the task; it has one phase.
        contender: the estimator; it has no state.
        device: where.

    Raises:
        DatasetUnavailable: the task's data are not there and cannot be fetched.
    """

    def __init__(self, problem: Problem, contender: Contender, device: torch.device) -> None:
        trial = problem.trial(contender)
        self._task = _task(problem, trial.task.values, device)
        self._keys = seed_keys([trial.seed], device)
        self._estimator = resolved_estimator(trial)
        self._lane = lane_parameters([trial], device)
        (self._phase,) = self._task.phases
        start = self._task.init(LaneNoise(self._keys, Purpose.INITIALISATION, step=0), 1)
        self._parameters = {
            name: value.requires_grad_() for name, value in start.groups[self._phase.group].items()
        }
        self._order = self._shuffled()
        self._number = 0

    def __call__(self) -> tuple[Tensor, ...]:
        """The gradients of the next step."""
        self._number += 1
        draw = TrainingDraw(self._estimator, lane=self._lane, keys=self._keys, step=self._number, states={})
        variables = Variables(groups={self._phase.group: self._parameters})
        loss = self._task.loss(self._phase, variables, self._batch(), draw).loss
        return torch.autograd.grad(loss.sum(), tuple(self._parameters.values()))

    def touch(self) -> None:
        """Read all data once: pages of a file that are mapped count as memory from then on."""
        for _, tensor in data_of(self._task):
            tensor.sum()

    def _shuffled(self) -> Tensor | None:
        examples = self._task.splits.get(self._phase.split)
        return None if examples is None else shuffled(self._keys, 0, examples)

    def _batch(self) -> Batch:
        """The next whole minibatch; after the last one the first comes again."""
        if self._order is None:
            return None
        size = self._task.batch_size
        first = (self._number - 1) % (self._order.shape[1] // size) * size
        noise = LaneNoise(self._keys, Purpose.DATA, step=self._number)
        return self._task.batch(self._phase.split, self._order[:, first : first + size], noise, length=None)


def _task(problem: Problem, values: object, device: torch.device) -> Task:
    info = registry.get(str(problem.task["id"]))
    options = {} if problem.made_up is None else {"made_up": problem.made_up}
    task: Task = info.load()(values, device=device, data_dir=files.environment_dir(), **options)
    return task
