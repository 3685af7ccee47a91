"""Lanes that stand at the same step and advance together as one vectorised program."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from benchmarks.noise import LaneNoise, Purpose, shuffled
from benchmarks.optimizers import LaneOptimizer
from benchmarks.spec import TrialSpec
from benchmarks.tasks.base import LaneEstimator, Parameters, StepResult, Task
from estimators import bind, registry

_NEVER = 0  # in `diverged_at`: steps are counted from 1


class LaneState(TypedDict):
    """Everything a lane needs to go on, in any cohort. Tensors lie on the CPU, without a lane axis.

    Plain tensors, numbers and dictionaries: ``torch.save`` writes it, ``torch.load(weights_only=True)``
    reads it.
    """

    step: int
    parameters: dict[str, Tensor]
    first_moment: dict[str, Tensor]
    second_moment: dict[str, Tensor]
    estimator: dict[str, Tensor]
    sums: dict[str, float]
    weight: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Advance:
    """What a group did in one go: ``(position, ...)`` tuples, position being the lane within the group.

    Attributes:
        metrics: per position that finished an epoch, its metrics.
        epoch: the epoch (counted from 1) those metrics belong to.
        diverged: position -> step whose loss or gradient was not finite.
        ended: positions that reached their last step.
    """

    metrics: dict[int, dict[str, float]]
    epoch: int
    diverged: dict[int, int]
    ended: tuple[int, ...]


class LaneGroup:
    """Runs trials of one cohort signature from one common step.

    Args:
        trials: one per lane.
        epochs: length of each trial.
        task: bound to its parameters and to ``device``.
        device: where parameters lie.
        states: where to resume, all at the same step; empty: from the start.
    """

    def __init__(
        self,
        trials: Sequence[TrialSpec],
        *,
        epochs: Sequence[int],
        task: Task,
        device: torch.device,
        states: Sequence[LaneState] = (),
    ) -> None:
        seeds = [trial.seed for trial in trials]
        self._task, self._device, self._seeds = task, device, seeds
        self._noise = LaneNoise(seeds, Purpose.TRAINING)
        self._test_noise = LaneNoise(seeds, Purpose.EVALUATION)
        self._estimator = _lane_estimator(trials, device)
        self._last_steps = [count * task.steps_per_epoch for count in epochs]
        self._running = [True] * len(trials)
        self._alive = torch.ones(len(trials), dtype=torch.bool, device=device)
        self._diverged_at = torch.zeros(len(trials), dtype=torch.float64, device=device)
        self._order: Tensor | None = None
        self._parameters = self._initial(states)
        self._optimizer = LaneOptimizer(
            self._parameters, [trial.optimizer for trial in trials], [trial.lr for trial in trials]
        )
        self.step = 0
        self._clear()
        if states:
            self._restore(states)

    @property
    def running(self) -> bool:
        """Whether a lane still has steps to do."""
        return any(self._running)

    @property
    def steps_left(self) -> int:
        """Lane-steps still to do; none for a lane that diverged."""
        pairs = zip(self._last_steps, self._running, strict=True)
        return sum(last - self.step for last, running in pairs if running)

    def advance(self, limit: int) -> Advance:
        """Do up to ``limit`` steps, at most to the end of the epoch; nothing leaves the device before."""
        per_epoch = self._task.steps_per_epoch
        epoch, offset = divmod(self.step, per_epoch)
        count = min(limit, per_epoch - offset)
        self._shuffle(epoch)
        coefficients = self._optimizer.coefficients(self.step + 1, count)
        for position in range(count):
            self._one_step(offset + position, coefficients[position])
        return self._report(epoch + 1 if offset + count == per_epoch else None)

    def state(self, position: int) -> LaneState:
        """The state of a lane, copied to the CPU."""

        def copied(tensors: Parameters) -> dict[str, Tensor]:
            return {name: value[position].detach().cpu().clone() for name, value in tensors.items()}

        return LaneState(
            step=self.step,
            parameters=copied(self._parameters),
            first_moment=copied(self._optimizer.first),
            second_moment=copied(self._optimizer.second),
            estimator=copied(dict(self._estimator.state or {})),
            sums={name: float(value[position]) for name, value in self._sums.items()},
            weight=self._weight,
        )

    def _initial(self, states: Sequence[LaneState]) -> Parameters:
        if states:
            values = _stacked([state["parameters"] for state in states], self._device)
        else:
            values = self._task.init(LaneNoise(self._seeds, Purpose.INITIALISATION), len(self._seeds))
        return {name: value.requires_grad_() for name, value in values.items()}

    def _restore(self, states: Sequence[LaneState]) -> None:
        self.step = states[0]["step"]
        self._optimizer.first = _stacked([state["first_moment"] for state in states], self._device)
        self._optimizer.second = _stacked([state["second_moment"] for state in states], self._device)
        if states[0]["estimator"]:
            self._carry(_stacked([state["estimator"] for state in states], self._device))
        self._weight = states[0]["weight"]
        for name in states[0]["sums"]:
            sums = [state["sums"][name] for state in states]
            self._sums[name] = torch.tensor(sums, dtype=torch.float64, device=self._device)

    def _clear(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._weight = 0.0

    def _shuffle(self, epoch: int) -> None:
        """The epoch's order of the training set, ``(lanes, examples)``."""
        examples = self._task.examples
        if examples is None or (self._order is not None and self.step % self._task.steps_per_epoch):
            return
        rows = np.stack([shuffled(seed, epoch, examples) for seed in self._seeds])
        self._order = torch.from_numpy(rows).to(self._device)

    def _one_step(self, position: int, coefficients: Tensor) -> None:
        """One minibatch and update; ``position`` counts within the epoch."""
        self.step += 1
        self._noise.seek(self.step)
        size = self._task.batch_size
        index = None if self._order is None else self._order[:, position * size : (position + 1) * size]
        batch = None if index is None else self._task.batch(index)
        result = self._task.step(self._parameters, batch, self._noise, self._estimator)
        gradients = torch.autograd.grad(result.loss.sum(), tuple(self._parameters.values()))
        self._watch(result.loss.detach(), gradients)
        self._optimizer.update(gradients, coefficients, self._alive)
        if result.state:
            self._carry(self._of_living_lanes(result.state))
        self._accumulate(result)

    def _of_living_lanes(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The estimator's new state; a frozen lane keeps its old one."""
        before = self._estimator.state
        if before is None:
            return state
        return {
            name: torch.where(self._alive.view(-1, *[1] * (new.dim() - 1)), new, before[name])
            for name, new in state.items()
        }

    def _carry(self, state: Mapping[str, Tensor]) -> None:
        """Give the estimator back what it returned."""
        self._estimator = dataclasses.replace(self._estimator, state=state)

    def _watch(self, loss: Tensor, gradients: Sequence[Tensor]) -> None:
        """Freeze the lanes whose loss or gradient is not finite, or whose gradient's sum overflows."""
        total = loss + sum(gradient.flatten(1).sum(1) for gradient in gradients)
        finite = total.isfinite()
        self._diverged_at.masked_fill_(self._alive & ~finite, self.step)
        self._alive &= finite

    def _accumulate(self, result: StepResult) -> None:
        """Add to the epoch's sums, in float64 on the device."""
        self._weight += result.weight
        for name, value in result.metrics.items():
            if name not in self._sums:
                self._sums[name] = torch.zeros_like(value, dtype=torch.float64)
            self._sums[name] += torch.where(self._alive, value, 0.0).double() * result.weight

    def _report(self, epoch: int | None) -> Advance:
        """Fetch what the host needs in one transfer: steps of divergence, and metrics at an epoch's end."""
        values = {} if epoch is None else self._epoch_metrics(epoch)
        host = torch.stack([self._diverged_at, *(value.double() for value in values.values())]).cpu().numpy()
        diverged = {i: int(host[0, i]) for i in self._positions() if host[0, i] != _NEVER}
        metrics = {}
        for i in self._positions():
            if epoch is not None and i not in diverged:
                metrics[i] = dict(zip(values, host[1:, i].tolist(), strict=True))
                if not np.isfinite(host[1:, i]).all():
                    diverged[i] = self.step
        ended = tuple(i for i in metrics if self.step == self._last_steps[i] and i not in diverged)
        self._retire((*diverged, *ended))
        finite = {i: metrics[i] for i in metrics if i not in diverged}
        return Advance(metrics=finite, epoch=epoch or 0, diverged=diverged, ended=ended)

    @torch.no_grad()
    def _epoch_metrics(self, epoch: int) -> dict[str, Tensor]:
        self._test_noise.seek(epoch)
        means = {name: value / self._weight for name, value in self._sums.items()}
        self._clear()
        return means | self._task.evaluate(self._parameters, self._test_noise)

    def _positions(self) -> list[int]:
        return [i for i, running in enumerate(self._running) if running]

    def _retire(self, positions: Sequence[int]) -> None:
        if not positions:
            return
        for i in positions:
            self._running[i] = False
        self._alive &= torch.tensor(self._running, device=self._device)


def _lane_estimator(trials: Sequence[TrialSpec], device: torch.device) -> LaneEstimator:
    """Split the parameters of the estimator that the trials share into static ones and tensors by lane."""
    info = registry.get(trials[0].estimator.id)
    by_lane = {parameter.name for parameter in info.parameters if parameter.lane}
    values = trials[0].estimator.values
    return LaneEstimator(
        function=bind(info),
        properties=info.properties,
        static={name: value for name, value in values.items() if name not in by_lane},
        lane={
            name: torch.tensor([float(trial.estimator.values[name]) for trial in trials], device=device)
            for name in values
            if name in by_lane
        },
    )


def _stacked(lanes: Sequence[Mapping[str, Tensor]], device: torch.device) -> Parameters:
    return {name: torch.stack([lane[name] for lane in lanes]).to(device) for name in lanes[0]}
