"""Lanes that stand at the same step and advance together as one vectorised program."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from benchmarks.engine import diagnostics
from benchmarks.engine.batches import Batches, StepShape
from benchmarks.engine.compiled import tree
from benchmarks.engine.compiled.compiler import Compilation, Compiler
from benchmarks.engine.compiled.forms import Program
from benchmarks.engine.evaluation import evaluated
from benchmarks.engine.lane_state import LaneState, initial, of_lane, restored
from benchmarks.engine.noise import seed_keys
from benchmarks.engine.records import LaneRecord, Recorder
from benchmarks.engine.resolved import annealed, lane_parameters, optimizers_of, others_of, resolved_estimator
from benchmarks.engine.step import Inputs, LaneStep, State
from benchmarks.engine.stopwatch import Stopwatch
from benchmarks.kernels import layers
from benchmarks.spec import TrialSpec
from benchmarks.tasks.contract import Task, Variables
from benchmarks.tasks.info import Metric

_NEVER = 0  # in `diverged_at`: steps are counted from 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Advance:
    """What a group did in one go: by position, which is the lane within the group.

    Attributes:
        metrics: per position that finished an epoch, its metrics.
        epoch: the epoch (counted from 1) those metrics belong to.
        diverged: position -> step whose loss or gradient was not finite.
        ended: position that reached its last step -> final metrics: the epoch's, and diagnostics as last
            measured.
    """

    metrics: dict[int, dict[str, float]]
    epoch: int
    diverged: dict[int, int]
    ended: dict[int, dict[str, float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A group between two segments."""

    step: int
    running: tuple[bool, ...]
    state: State
    records: tuple[LaneRecord, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How a group does its work, whatever its trials are.

    Attributes:
        device: where parameters lie.
        compiled: whether steps are compiled.
        compiler: by what.
        chunk: examples that are evaluated at a time.
        metrics: that the task declares, for its reductions.
        identity: of the code and the task, if it is known, so that programs can be found on disk.
        watch: books the first step, compiling and evaluation apart from the other steps.
    """

    device: torch.device
    compiled: bool
    compiler: Compiler
    chunk: int
    metrics: Sequence[Metric]
    identity: str | None = None
    watch: Stopwatch = field(default_factory=Stopwatch)


class LaneGroup:
    """Runs trials of one cohort signature from one common step.

    The first step of a trial, which shows what estimator states and metrics look like, and the last of an
    epoch whose minibatch is short are run as they are; a trial that is resumed does the same.

    Args:
        trials: one per lane.
        epochs: length of each trial.
        task: bound to its parameters and to the device.
        settings: how.
        states: where to resume, all at the same step; empty: from the start.
        width: lanes of the program; those without a trial are frozen copies of the first.
    """

    def __init__(
        self,
        trials: Sequence[TrialSpec],
        *,
        epochs: Sequence[int],
        task: Task,
        settings: Settings,
        states: Sequence[LaneState] = (),
        width: int | None = None,
    ) -> None:
        count = len(trials)
        self.width = width or count
        idle = self.width - count
        self._running = [True] * count + [False] * idle
        trials, epochs = [*trials, *[trials[0]] * idle], [*epochs, *[epochs[0]] * idle]
        states = [*states, *[states[0]] * idle] if states else []
        self._task, self._settings, device = task, settings, settings.device
        self._last_steps = [count * task.steps_per_epoch for count in epochs]
        self._estimator = resolved_estimator(trials[0])
        self._optimizers = optimizers_of(task, trials, self._last_steps)
        self._step = LaneStep(task, self._estimator, self._optimizers)
        # A captured graph keeps the precision of its matmuls, whatever is set when it is replayed.
        self._program_key = (
            trials[0].estimator.id,
            tuple(self._estimator.static.items()),
            trials[0].precision,
            tuple((name, optimizer.key) for name, optimizer in self._optimizers.items()),
        )
        self._keys = seed_keys([trial.seed for trial in trials], device)
        self._batches = Batches(task, self._keys)
        self._diagnostics = trials[0].diagnostics
        self._lane = lane_parameters(trials, device)
        self._inputs = self._empty_inputs({name: value.clone() for name, value in self._lane.items()})
        state = restored(states, device) if states else initial(task, self._keys, self._optimizers)
        self._state = tree.input_major(state, self._sparse_weights())
        self._recorder = Recorder(settings.metrics, self._optimizers)
        self._records = [state["record"] for state in states] or [self._recorder.start() for _ in trials]
        self._freeze()
        self._epoch: int | None = None
        self.step = states[0]["step"] if states else 0
        self._compilations: dict[StepShape, Compilation] = {}

    @property
    def running(self) -> bool:
        """Whether a lane still has steps to do."""
        return any(self._running)

    @property
    def begun(self) -> bool:
        """Whether it has done a step."""
        return self._epoch is not None

    @property
    def forms(self) -> frozenset[str]:
        """How it does its steps: the forms of its programs, or ``eager``."""
        programs = [compilation.program for compilation in self._compilations.values()]
        return frozenset(program.form if program else "eager" for program in programs) or frozenset({"eager"})

    @property
    def compilations(self) -> tuple[Compilation, ...]:
        """What came of compiling its steps, one for each of their shapes."""
        return tuple(self._compilations.values())

    @property
    def evaluations(self) -> int:
        """Evaluations of f a step and example; 0 before the first step."""
        return max(self._step.spent, *(result.evaluations for result in self.compilations), 0)

    def is_finite(self) -> bool:
        """Whether all parameters of all lanes are finite; a wait for the device."""
        leaves = tree.tensors(self._state["parameters"])
        return all(bool(leaf.isfinite().all()) for leaf in leaves)

    @property
    def steps_left(self) -> int:
        """Lane-steps still to do; none for a lane that diverged."""
        pairs = zip(self._last_steps, self._running, strict=True)
        return sum(last - self.step for last, running in pairs if running)

    def advance(self, limit: int) -> Advance:
        """Do up to ``limit`` steps, at most to the next evaluation; nothing leaves the device before."""
        per_epoch = self._task.steps_per_epoch
        epoch = self.step // per_epoch
        self._begin(epoch)
        end = self._next_evaluation()
        stop = min(self.step + limit, end)
        self._run(stop)
        if stop == end:
            with self._settings.watch("evaluation"):
                return self._report(epoch + 1, ends_epoch=stop == (epoch + 1) * per_epoch)
        return self._report(0, ends_epoch=False)

    def rehearse(self) -> None:
        """One step and one evaluation, to see what they need; the group is of no use afterwards."""
        self._begin(0)
        self._run_as_it_is(self._batches.shape(0), 1)
        self._measured(1)

    def snapshot(self) -> Snapshot:
        """What :meth:`restore` goes back to; on the same device."""
        return Snapshot(
            step=self.step,
            running=tuple(self._running),
            state=tree.copied(self._state),
            records=tuple(self._records),
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Undo what was done since; for a group that goes on as another."""
        self.step, self._running = snapshot.step, list(snapshot.running)
        self._state, self._records = snapshot.state, list(snapshot.records)

    @property
    def positions(self) -> tuple[int, ...]:
        """Positions that run."""
        return tuple(i for i, running in enumerate(self._running) if running)

    def state(self, position: int) -> LaneState:
        """The state of a lane, copied to the CPU."""
        return of_lane(self._state, position, step=self.step, record=self._records[position])

    def _empty_inputs(self, lane: dict[str, Tensor]) -> Inputs:
        steps, lanes, device = self._task.steps_per_epoch, len(self._keys), self._settings.device
        return Inputs(
            keys=self._keys,
            lane=lane,
            before=torch.zeros(1, dtype=torch.int64, device=device),
            coefficients={
                name: torch.zeros(steps, optimizer.rows, lanes, device=device)
                for name, optimizer in self._optimizers.items()
            },
            order=self._batches.empty(),
        )

    def _sparse_weights(self) -> frozenset[str]:
        """Weights whose inputs are mostly zero, where there is a kernel that makes use of it."""
        names = self._task.sparse_inputs
        on_cpu = self._settings.device.type == "cpu"
        return names if names and on_cpu and layers.library() == "native" else frozenset()

    def _begin(self, epoch: int) -> None:
        """Put the epoch's coefficients and orders of data in their places."""
        if epoch == self._epoch:
            return
        self._inputs["before"].fill_(epoch * self._task.steps_per_epoch)
        self._fill_coefficients(epoch)
        self._fill_temperatures(epoch)
        self._batches.fill(self._inputs["order"], epoch)
        self._epoch = epoch
        if self.step == epoch * self._task.steps_per_epoch:
            self._diagnose(epoch)

    def _fill_coefficients(self, epoch: int) -> None:
        first, count = epoch * self._task.steps_per_epoch + 1, self._task.steps_per_epoch
        for name, optimizer in self._optimizers.items():
            scales = (
                [record["plateaus"][name]["scale"] for record in self._records] if optimizer.plateau else ()
            )
            self._inputs["coefficients"][name].copy_(optimizer.coefficients(first, count, scales))

    def _fill_temperatures(self, epoch: int) -> None:
        if "temperature" in self._lane:
            epochs = [last // self._task.steps_per_epoch for last in self._last_steps]
            moved = annealed(
                self._lane["temperature"], self._task.final_temperature, epoch=epoch, epochs=epochs
            )
            self._inputs["lane"]["temperature"].copy_(moved)

    def _next_evaluation(self) -> int:
        """The step at which lanes are evaluated next: parts of an epoch are as equal as whole steps allow."""
        per_epoch, parts = self._task.steps_per_epoch, self._task.evaluations_per_epoch
        before = self.step // per_epoch * per_epoch
        ends = (before + -(-part * per_epoch // parts) for part in range(1, parts + 1))
        return next(end for end in ends if end > self.step)

    def _run(self, stop: int) -> None:
        """Do the steps up to ``stop``, compiled if they are to be and can be."""
        assert self._epoch is not None
        before = self._epoch * self._task.steps_per_epoch
        while self.step < stop:
            shape = self._batches.shape(self.step - before)
            count = self._batches.alike(self.step - before, stop - before)
            if self.step == 0:
                with self._settings.watch("first_step"):
                    self._run_as_it_is(shape, 1)
            elif (
                self._settings.compiled
                and shape.size == self._task.batch_size
                and (program := self._program(shape))
            ):
                self._state = program.advance(self._state, self._inputs, count)
                self.step += count
            else:
                self._run_as_it_is(shape, count)

    def _run_as_it_is(self, shape: StepShape, count: int) -> None:
        """Do steps that are not compiled, in place but for the first, whose parameters the task may own."""
        self._state = tree.input_major(self._state, self._sparse_weights())
        for _ in range(count):
            self._state = self._step(self._state, self._inputs, shape=shape, in_place=self.step > 0)
            self.step += 1

    def _program(self, shape: StepShape) -> Program | None:
        self._state = tree.input_major(self._state, self._sparse_weights())
        if shape not in self._compilations:
            with self._settings.watch("compiling"):
                self._compilations[shape] = self._settings.compiler.compilation(
                    self._task,
                    self._step,
                    shape,
                    self._state,
                    self._inputs,
                    key=self._program_key,
                    identity=self._settings.identity,
                )
        return self._compilations[shape].program

    def _report(self, epoch: int, *, ends_epoch: bool) -> Advance:
        """Fetch what the host needs in one transfer: steps of divergence, and metrics at an evaluation."""
        values = self._means() if ends_epoch else {}
        values |= self._measured(self._evaluation_number()) if epoch else {}
        rows = [self._state["diverged_at"], *(value.double() for value in values.values())]
        host = torch.stack(rows).cpu().numpy()
        diverged = {i: int(host[0, i]) for i in self.positions if host[0, i] != _NEVER}
        metrics = {}
        for i in self.positions:
            if epoch and i not in diverged:
                if not np.isfinite(host[1:, i]).all():
                    diverged[i] = self.step
                metrics[i] = self._recorded(i, dict(zip(values, host[1:, i].tolist(), strict=True)), epoch)
        if metrics and not ends_epoch:
            self._fill_coefficients(epoch - 1)  # rates may have fallen
        finite = {i: metrics[i] for i in metrics if ends_epoch and i not in diverged}
        ended = {
            i: self._records[i]["diagnostics"] | values
            for i, values in finite.items()
            if self.step == self._last_steps[i]
        }
        self._retire((*diverged, *ended))
        return Advance(metrics=finite, epoch=epoch, diverged=diverged, ended=ended)

    def _recorded(self, position: int, measured: dict[str, float], epoch: int) -> dict[str, float]:
        """All metrics of a lane at an evaluation, after noting those that its record follows."""
        record = self._recorder.advanced(self._records[position], position, measured)
        self._records[position] = record
        return self._recorder.reported(record, measured, epoch)

    def _evaluation_number(self) -> int:
        """Of the evaluation at this step, counted from 1."""
        per_epoch, parts = self._task.steps_per_epoch, self._task.evaluations_per_epoch
        whole, rest = divmod(self.step, per_epoch)
        return whole * parts + rest * parts // per_epoch

    def _means(self) -> dict[str, Tensor]:
        """Means of the epoch's training metrics, whose sums start anew."""
        means: dict[str, Tensor] = {}
        for phase, sums in self._state["sums"].items():
            weight = self._state["weight"][phase]
            means |= {name: value / weight for name, value in sums.items()}
            for total in (*sums.values(), weight):
                total.zero_()
        return means

    def _measured(self, number: int) -> dict[str, Tensor]:
        return evaluated(
            self._task,
            self._variables(),
            self._estimator.info.properties,
            self._keys,
            number=number,
            chunk=self._settings.chunk,
        )

    def _variables(self) -> Variables:
        return Variables(groups=self._state["parameters"], buffers=self._state["buffers"])

    def _diagnose(self, epoch: int) -> None:
        """Measure gradients at the start of an epoch, if it is one of those that the trials name."""
        if self._diagnostics is None or epoch + 1 not in self._diagnostics.epochs:
            return
        values = diagnostics.measured(
            diagnostics.Subject(
                task=self._task,
                variables=self._variables(),
                estimator=self._estimator,
                lane=self._inputs["lane"],
                keys=self._keys,
                states=self._state["estimator"],
                others=others_of(self._diagnostics, len(self._keys), self._settings.device),
            ),
            self._diagnostics,
            order=self._inputs["order"],
            epoch=epoch + 1,
        )
        host = {name: value.double().cpu().tolist() for name, value in values.items()}
        for i, record in enumerate(self._records):
            measured = {name: numbers[i] for name, numbers in host.items() if math.isfinite(numbers[i])}
            self._records[i] = {**record, "diagnostics": measured, "diagnosed": epoch + 1}

    def _retire(self, positions: Sequence[int]) -> None:
        if not positions:
            return
        for i in positions:
            self._running[i] = False
        self._freeze()

    def _freeze(self) -> None:
        """Lanes that do not run do not move."""
        self._state["alive"].logical_and_(torch.tensor(self._running, device=self._settings.device))
