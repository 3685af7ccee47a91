"""Lanes that stand at the same step and advance together as one vectorised program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from benchmarks.engine.compiled.programs import Compilation, Program, compilation, copied
from benchmarks.engine.noise import LaneNoise, Purpose, seed_keys, shuffled
from benchmarks.engine.optimizers.adam import LaneOptimizers
from benchmarks.engine.step import Inputs, LaneStep, State
from benchmarks.spec import TrialSpec
from benchmarks.tasks.contract import LaneEstimator, Parameters, Task
from estimators import Value, bind, registry

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A group between two segments."""

    step: int
    running: tuple[bool, ...]
    state: State


class LaneGroup:
    """Runs trials of one cohort signature from one common step.

    The first step of a trial, which shows what the estimator and the metrics look like, and the last of an
    epoch whose minibatch is short are run as they are; a trial that is resumed does the same.

    Args:
        trials: one per lane.
        epochs: length of each trial.
        task: bound to its parameters and to ``device``.
        device: where parameters lie.
        states: where to resume, all at the same step; empty: from the start.
        compiled: whether the other steps are compiled.
        width: lanes of the program; those without a trial are frozen copies of the first.
    """

    def __init__(
        self,
        trials: Sequence[TrialSpec],
        *,
        epochs: Sequence[int],
        task: Task,
        device: torch.device,
        states: Sequence[LaneState] = (),
        compiled: bool = False,
        width: int | None = None,
    ) -> None:
        count = len(trials)
        self.width = width or count
        idle = self.width - count
        self._running = [True] * count + [False] * idle
        trials, epochs = [*trials, *[trials[0]] * idle], [*epochs, *[epochs[0]] * idle]
        states = [*states, *[states[0]] * idle] if states else []
        self._task, self._device, self._compiled = task, device, compiled
        # A captured graph keeps the precision of its products, whatever is set when it is replayed.
        self._name = (trials[0].estimator.id, _static_values(trials[0]), trials[0].precision)
        self._step = LaneStep(task, _estimator(trials[0]))
        self._optimizers = LaneOptimizers([t.optimizer.id for t in trials], [t.lr for t in trials])
        self._last_steps = [count * task.steps_per_epoch for count in epochs]
        self._keys = seed_keys([trial.seed for trial in trials], device)
        self._inputs = Inputs(
            keys=self._keys,
            lane=_lane_parameters(trials, device),
            before=torch.zeros(1, dtype=torch.int64, device=device),
            coefficients=torch.zeros(task.steps_per_epoch, 2, len(trials), device=device),
            order=torch.zeros(len(trials), task.examples or 0, dtype=torch.int64, device=device),
        )
        self._state = _restored(states, device) if states else _initial(task, self._keys)
        self._freeze()
        self._epoch: int | None = None
        self.step = states[0]["step"] if states else 0
        self.compilation: Compilation | None = None

    @property
    def running(self) -> bool:
        """Whether a lane still has steps to do."""
        return any(self._running)

    @property
    def begun(self) -> bool:
        """Whether it has done a step."""
        return self._epoch is not None

    @property
    def form(self) -> str:
        """How it does its steps: the form of its program, or ``eager``."""
        program = self.compilation.program if self.compilation else None
        return program.form if program else "eager"

    @property
    def steps_left(self) -> int:
        """Lane-steps still to do; none for a lane that diverged."""
        pairs = zip(self._last_steps, self._running, strict=True)
        return sum(last - self.step for last, running in pairs if running)

    def advance(self, limit: int) -> Advance:
        """Do up to ``limit`` steps, at most to the end of the epoch; nothing leaves the device before."""
        per_epoch = self._task.steps_per_epoch
        epoch = self.step // per_epoch
        before, end = epoch * per_epoch, (epoch + 1) * per_epoch
        self._begin(epoch)
        stop = min(self.step + limit, end)
        if self.step == 0:
            self._run_as_it_is(1)
        self._run(min(stop, before + self._step.full_steps))
        self._run_as_it_is(stop)
        return self._report(epoch + 1 if stop == end else None)

    def rehearse(self) -> None:
        """One step and one evaluation, to see what they need; the group is of no use afterwards."""
        self._begin(0)
        self._run_as_it_is(self.step + 1)
        self._epoch_metrics(1)

    def snapshot(self) -> Snapshot:
        """What :meth:`restore` goes back to; on the same device."""
        return Snapshot(step=self.step, running=tuple(self._running), state=copied(self._state))

    def restore(self, snapshot: Snapshot) -> None:
        """Undo what was done since; for a group that goes on as another."""
        self.step, self._running = snapshot.step, list(snapshot.running)
        self._state = snapshot.state

    @property
    def positions(self) -> tuple[int, ...]:
        """Positions that run."""
        return tuple(self._positions())

    def state(self, position: int) -> LaneState:
        """The state of a lane, copied to the CPU."""

        def of_lane(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {name: _row_major(value[position].detach().cpu()) for name, value in tensors.items()}

        return LaneState(
            step=self.step,
            parameters=of_lane(self._state["parameters"]),
            first_moment=of_lane(self._state["first_moment"]),
            second_moment=of_lane(self._state["second_moment"]),
            estimator=of_lane(self._state["estimator"]),
            sums={name: float(value[position]) for name, value in self._state["sums"].items()},
            weight=float(self._state["weight"]),
        )

    def _begin(self, epoch: int) -> None:
        """Put the epoch's coefficients and order of data in their places."""
        if epoch == self._epoch:
            return
        before, examples = epoch * self._task.steps_per_epoch, self._task.examples
        self._inputs["before"].fill_(before)
        table = self._optimizers.coefficients(before + 1, self._task.steps_per_epoch)
        self._inputs["coefficients"].copy_(table)
        if examples is not None:
            self._inputs["order"].copy_(shuffled(self._keys, epoch, examples))
        self._epoch = epoch

    def _run(self, stop: int) -> None:
        """Do the steps up to ``stop``, compiled if they are to be and can be."""
        count = stop - self.step
        program = self._program() if self._compiled and count > 0 else None
        if program is None:
            self._run_as_it_is(stop)
        else:
            self._state = program.advance(self._state, self._inputs, count)
            self.step = stop

    def _run_as_it_is(self, stop: int) -> None:
        while self.step < stop:
            short = self.step % self._task.steps_per_epoch >= self._step.full_steps
            self._state = self._step(self._state, self._inputs, short=short)
            self.step += 1

    def _program(self) -> Program | None:
        if self.compilation is None:
            self.compilation = compilation(self._task, self._step, self._state, self._inputs, name=self._name)
        return self.compilation.program

    def _report(self, epoch: int | None) -> Advance:
        """Fetch what the host needs in one transfer: steps of divergence, and metrics at an epoch's end."""
        values = {} if epoch is None else self._epoch_metrics(epoch)
        rows = [self._state["diverged_at"], *(value.double() for value in values.values())]
        host = torch.stack(rows).cpu().numpy()
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
        """Means of the epoch's training metrics, which start anew, and those measured now."""
        sums, weight = self._state["sums"], self._state["weight"]
        means = {name: value / weight for name, value in sums.items()}
        for total in (*sums.values(), weight):
            total.zero_()
        noise = LaneNoise(self._keys, Purpose.EVALUATION, step=epoch)
        return means | self._task.evaluate(self._state["parameters"], noise)

    def _positions(self) -> list[int]:
        return [i for i, running in enumerate(self._running) if running]

    def _retire(self, positions: Sequence[int]) -> None:
        if not positions:
            return
        for i in positions:
            self._running[i] = False
        self._freeze()

    def _freeze(self) -> None:
        """Lanes that do not run do not move."""
        self._state["alive"].logical_and_(torch.tensor(self._running, device=self._device))


def _row_major(value: Tensor) -> Tensor:
    """A copy, whatever order the program wanted in memory."""
    return value.clone(memory_format=torch.contiguous_format)


def _initial(task: Task, keys: Tensor) -> State:
    parameters = task.init(LaneNoise(keys, Purpose.INITIALISATION, step=0), len(keys))
    device = keys.device
    return State(
        step=torch.zeros(1, dtype=torch.int64, device=device),
        parameters=parameters,
        first_moment={name: torch.zeros_like(p) for name, p in parameters.items()},
        second_moment={name: torch.zeros_like(p) for name, p in parameters.items()},
        estimator={},
        sums={},
        weight=torch.zeros(1, dtype=torch.float64, device=device),
        alive=torch.ones(len(keys), dtype=torch.bool, device=device),
        diverged_at=torch.zeros(len(keys), dtype=torch.float64, device=device),
    )


def _restored(states: Sequence[LaneState], device: torch.device) -> State:
    lanes, first = len(states), states[0]
    sums = {name: [state["sums"][name] for state in states] for name in first["sums"]}
    return State(
        step=torch.tensor([first["step"]], device=device),
        parameters=_stacked([state["parameters"] for state in states], device),
        first_moment=_stacked([state["first_moment"] for state in states], device),
        second_moment=_stacked([state["second_moment"] for state in states], device),
        estimator=_stacked([state["estimator"] for state in states], device),
        sums={name: torch.tensor(v, dtype=torch.float64, device=device) for name, v in sums.items()},
        weight=torch.tensor([first["weight"]], dtype=torch.float64, device=device),
        alive=torch.ones(lanes, dtype=torch.bool, device=device),
        diverged_at=torch.zeros(lanes, dtype=torch.float64, device=device),
    )


def _estimator(trial: TrialSpec) -> LaneEstimator:
    """The estimator with its static parameters."""
    info = registry.get(trial.estimator.id)
    return LaneEstimator(
        function=bind(info), properties=info.properties, static=dict(_static_values(trial)), lane={}
    )


def _static_values(trial: TrialSpec) -> tuple[tuple[str, Value], ...]:
    """Parameters of the estimator that the lanes share."""
    by_lane = _names_by_lane(trial)
    return tuple((name, value) for name, value in trial.estimator.parameters if name not in by_lane)


def _lane_parameters(trials: Sequence[TrialSpec], device: torch.device) -> dict[str, Tensor]:
    """Parameters of the estimator that may differ by lane."""
    return {
        name: torch.tensor([float(trial.estimator.values[name]) for trial in trials], device=device)
        for name in trials[0].estimator.values
        if name in _names_by_lane(trials[0])
    }


def _names_by_lane(trial: TrialSpec) -> frozenset[str]:
    return frozenset(p.name for p in registry.get(trial.estimator.id).parameters if p.lane)


def _stacked(lanes: Sequence[Mapping[str, Tensor]], device: torch.device) -> Parameters:
    return {name: torch.stack([lane[name] for lane in lanes]).to(device) for name in lanes[0]}
