"""The lane engine: a cohort of trials as lanes of one program.

The engine owns the order of data, noise, optimizers, accumulation of metrics, lanes that diverge and states
to resume from. Lanes are held in groups that advance together. On a CPU a group is one lane, and one runs to
its end before the next begins: its results are there early, its weights and moments stay in the cache, and
nothing is gained by batching the matmuls of different weights. On an accelerator groups are as wide as memory
allows, of few widths, and take turns, segment by segment; one that runs out of memory goes on from its last
segment as two of half the width.

What a trial computes does not depend on its lane-mates, on where segments end, or on a stop and resume; with
groups of one lane on one thread its bits are the same. The number of threads is the caller's business: call
``torch.set_num_threads(1)`` in a worker, since sums over several threads round differently.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from benchmarks.cost.compiling import worth_compiling
from benchmarks.datasets import files
from benchmarks.engine import denormals, memory, precision
from benchmarks.engine.compiled.compiler import OF_THIS_PROCESS, Compiler
from benchmarks.engine.compiled.identity import identity
from benchmarks.engine.evaluation import CHUNK
from benchmarks.engine.group import Advance, LaneGroup, Settings
from benchmarks.engine.lane_state import LaneState
from benchmarks.engine.stopwatch import Stopwatch
from benchmarks.kernels import layers
from benchmarks.spec import Component, TrialSpec, cohort_signature
from benchmarks.tasks import registry
from benchmarks.tasks.contract import Task

SEGMENT_SECONDS = 1.0
_REMEMBERED_TASKS = 8
_FIRST_SEGMENT_STEPS = 5  # the pace is not known yet


@dataclass(frozen=True, kw_only=True, slots=True)
class CurvePoint:
    """Value of one metric of one lane at the end of an epoch (counted from 1)."""

    lane: int
    metric: str
    epoch: int
    value: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LaneEnd:
    """A lane that ended in this segment.

    Attributes:
        lane: index into the cohort's trials.
        metrics: final metrics; empty when the lane diverged.
        diverged_at: the step (counted from 1) whose loss or gradient was not finite, or the last step of an
            epoch whose metrics were not, or one that could not be done because parameters were not; ``None``
            when the lane did all its steps.
        error: what a step of the lane raised, where the cohort contains errors and it had not diverged.
    """

    lane: int
    metrics: dict[str, float]
    diverged_at: int | None
    error: Exception | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """What one segment of steps produced; metrics leave the device once per segment.

    Attributes:
        steps_done, steps_total: lane-steps of the whole cohort, those done before a resume included. The
            remaining steps of a lane that diverged count as done.
        lanes: which did steps in the segment.
        points: curve points of the epochs that ended in the segment.
        ended: lanes that ended in the segment.
    """

    steps_done: int
    steps_total: int
    lanes: tuple[int, ...]
    points: tuple[CurvePoint, ...]
    ended: tuple[LaneEnd, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Execution:
    """How a cohort does its steps, as far as it has begun them.

    Attributes:
        forms: ``loop``, ``steps`` or ``graph`` (see :mod:`benchmarks.engine.compiled.forms`), or ``eager``,
            sorted.
        failures: what could not be compiled or did not fit into memory, a line each; then something slower
            took its place.
        compile_seconds: time spent on compiling programs; 0 where this process had compiled them before.
        matmul: the library with which this process multiplies matrices on a CPU, if it has come to choose
            one (:mod:`benchmarks.kernels.layers`); ``None`` on other devices.
        evaluations: evaluations of f a step and example; 0 before the first step.
        seconds: on what the time of segments was spent: ``first_step`` (of all groups), ``compiling``,
            ``steps``, ``evaluation``.
    """

    forms: tuple[str, ...]
    failures: tuple[str, ...]
    compile_seconds: float
    matmul: layers.Library | None = None
    evaluations: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    """A group and the lanes of the cohort at its positions."""

    lanes: list[int]
    group: LaneGroup


class Cohort:
    """Trials of the same task shape, estimator and static parameters, run as lanes.

    Args:
        trials: what to run; they may differ in seed, learning rate, optimizer and lane parameters.
        device: a torch device.
        data_dir: where data sets lie; default as in ``benchmarks.datasets.loading``.
        states: lane -> where it resumes (from :meth:`lane_state`); other lanes start at the beginning.
        group_width: most lanes per group; default one on a CPU, elsewhere what memory allows.
        task: the task itself, instead of the registered one of the trials.
        compiled: whether to compile steps; default as
            :func:`benchmarks.cost.compiling.worth_compiling` says.
        compiler: by what; default one that all cohorts of the process share.
        evaluation_chunk: examples that are evaluated at a time.
        clock: seconds, to find out how many steps make a segment.
        watch: books on what the time of segments is spent.
        contain: let what a step of a lane that stands alone raises be the end of that lane, and of no other,
            instead of raising it.

    Raises:
        ValueError: no trials, trials that cannot share a program, a state at its trial's end, or a precision
            that the device does not have.
        DatasetUnavailable: the task's data can be neither found nor fetched.
    """

    def __init__(
        self,
        trials: Sequence[TrialSpec],
        *,
        device: str = "cpu",
        data_dir: Path | None = None,
        states: Mapping[int, LaneState] | None = None,
        group_width: int | None = None,
        task: Task | None = None,
        compiled: bool | None = None,
        compiler: Compiler = OF_THIS_PROCESS,
        evaluation_chunk: int = CHUNK,
        clock: Callable[[], float] = time.monotonic,
        watch: Stopwatch | None = None,
        contain: bool = False,
    ) -> None:
        _check_signature(trials)
        self._device = torch.device(device)
        precision.check(trials[0].precision, self._device)
        self._trials = list(trials)
        self._epochs = [int(trial.task.values["epochs"]) for trial in trials]
        self._identity = identity(trials[0]) if task is None else None
        if task is None:
            task = _registered_task(trials[0].task, self._device, data_dir or files.environment_dir())
        self._task = task
        self._clock, self._watch = clock, watch or Stopwatch()
        self._contain = contain
        self._seconds_per_step = 0.0
        self._compiled, self._compiler, self._chunk = compiled, compiler, evaluation_chunk
        self._refusals: list[str] = []
        states = states or {}
        self._check_unfinished(states)
        width = group_width or self._default_width()
        self._groups = self._placed(range(len(trials)), states, width)

    def segments(self) -> Iterator[Segment]:
        """Run to the end, segment by segment (at most an epoch, about a second). Stop by not asking on.

        A segment advances one group. On a CPU groups run one after the other, elsewhere they take turns.
        Calling again goes on where the last call stopped.
        """
        while waiting := [placed for placed in self._groups if placed.group.running]:
            for placed in waiting[:1] if self._device.type == "cpu" else waiting:
                if (segment := self._turn(placed)) is not None:
                    yield segment

    def lane_state(self, lane: int) -> LaneState:
        """What :class:`Cohort` needs to resume this lane later, alone or in another cohort.

        Taken between segments, while the lane has not ended.
        """
        for placed in self._groups:
            if lane in placed.lanes:
                return placed.group.state(placed.lanes.index(lane))
        raise IndexError(f"the cohort has lanes 0 to {len(self._epochs) - 1}, not {lane}")

    @property
    def steps_per_epoch(self) -> int:
        """Steps of every lane from one curve point to the next."""
        return self._task.steps_per_epoch

    @property
    def execution(self) -> Execution:
        """How steps are done."""
        begun = [placed.group for placed in self._groups if placed.group.begun]
        results = [compilation for group in begun for compilation in group.compilations]
        return Execution(
            forms=tuple(sorted({form for group in begun for form in group.forms})),
            failures=(
                *self._refusals,
                *sorted({failure for result in results for failure in result.failures}),
            ),
            compile_seconds=sum(result.seconds for result in results),
            matmul=layers.chosen() if self._device.type == "cpu" else None,
            evaluations=max((group.evaluations for group in begun), default=0),
            seconds=dict(self._watch.seconds),
        )

    def _check_unfinished(self, states: Mapping[int, LaneState]) -> None:
        for lane, state in states.items():
            last = self._epochs[lane] * self._task.steps_per_epoch
            if state["step"] >= last:
                raise ValueError(
                    f"lane {lane} has done {state['step']} steps of {last}; nothing is left to resume"
                )

    def _is_long(self, lane: int) -> bool:
        """Whether compiling pays: a property of a trial alone, since compiled steps round differently."""
        if self._compiled is not None:
            return self._compiled
        trial, steps = self._trials[lane], self._epochs[lane] * self._task.steps_per_epoch
        return worth_compiling(trial.task, trial.estimator, steps, device=self._device.type)

    def _default_width(self) -> int:
        """One lane on a CPU: its state stays in the cache. Else as many as memory holds, at most all."""
        if self._device.type == "cpu":
            return 1
        free = memory.free_bytes(self._device)
        need = memory.footprint(lambda lanes: memory.peak_of(lambda: self.rehearse(lanes), self._device))
        return need.widest(free)

    def rehearse(self, lanes: int) -> None:
        """A step and an evaluation of the first trial in so many lanes, with the copy that undoing needs."""
        trial, epochs = self._trials[0], self._epochs[0]
        group = LaneGroup(
            [trial], epochs=[epochs], task=self._task, settings=self._settings(compiled=False), width=lanes
        )
        before = group.snapshot()
        with self._mode():
            group.rehearse()
        del before

    def _mode(self) -> AbstractContextManager[None]:
        return precision.matmul_precision(self._trials[0].precision)

    def _settings(self, *, compiled: bool) -> Settings:
        return Settings(
            device=self._device,
            compiled=compiled,
            compiler=self._compiler,
            chunk=self._chunk,
            metrics=registry.get(self._trials[0].task.id).metrics,
            identity=self._identity,
            watch=self._watch,
        )

    def _placed(self, lanes: Iterable[int], states: Mapping[int, LaneState], width: int) -> list[_Placed]:
        """Groups of lanes of equal step, all compiled or none; on an accelerator in width buckets."""
        return [
            _Placed(
                lanes=part,
                group=LaneGroup(
                    [self._trials[lane] for lane in part],
                    epochs=[self._epochs[lane] for lane in part],
                    task=self._task,
                    settings=self._settings(compiled=self._is_long(part[0])),
                    states=[states[lane] for lane in part if lane in states],
                    width=min(width, next((w for w in memory.WIDTHS if w >= len(part)), width)),
                ),
            )
            for part in _grouped(lanes, states, width, self._is_long)
        ]

    def _turn(self, placed: _Placed) -> Segment | None:
        """A segment of a group; ``None`` when it did not fit into memory and was cut in two instead."""
        group = placed.group
        if group.width == 1:
            try:
                return self._segment(placed)
            except Exception as error:
                if memory.is_out_of_memory(error) or (group.is_finite() and not self._contain):
                    raise
                return self._broken(placed, error)
        before = group.snapshot()
        try:
            return self._segment(placed)
        except Exception as error:
            if not memory.is_out_of_memory(error):
                raise
        group.restore(before)
        self._halve(placed)
        return None

    def _broken(self, placed: _Placed, error: Exception) -> Segment:
        """The end of a lane of which a step raised an error.

        Parameters that are not finite raise one where steps are checked (all categories masked, for one) and
        give numbers that are not finite where they are not: both are the same divergence.
        """
        group, (lane,) = placed.group, placed.lanes
        self._groups = [other for other in self._groups if other is not placed]
        if group.is_finite():
            end = LaneEnd(lane=lane, metrics={}, diverged_at=None, error=error)
        else:
            end = LaneEnd(lane=lane, metrics={}, diverged_at=group.step + 1)
        return Segment(
            steps_done=self._steps_done(),
            steps_total=self._steps_total(),
            lanes=(lane,),
            points=(),
            ended=(end,),
        )

    def _steps_total(self) -> int:
        return sum(self._epochs) * self._task.steps_per_epoch

    def _steps_done(self) -> int:
        return self._steps_total() - sum(placed.group.steps_left for placed in self._groups)

    def _halve(self, placed: _Placed) -> None:
        """Go on from the last segment in groups of half the width."""
        lanes, group = placed.lanes, placed.group
        self._refusals.append(f"{group.width} lanes: out of memory after step {group.step}; halved")
        states = {lanes[i]: group.state(i) for i in group.positions}
        self._groups = [other for other in self._groups if other is not placed]
        width = group.width // 2
        self._compiler.forget(self._task)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        self._groups += self._placed(states, states, width)

    def _advance(self, group: LaneGroup) -> Advance:
        """Advance for about a second, as measured on the segment before."""
        pace = self._seconds_per_step
        limit = max(1, int(SEGMENT_SECONDS / pace)) if pace else _FIRST_SEGMENT_STEPS
        before, started = group.step, self._clock()
        with denormals.flushed(), self._mode(), self._watch("steps"):
            done = group.advance(limit)
        self._seconds_per_step = max(self._clock() - started, 1e-9) / (group.step - before)
        return done

    def _segment(self, placed: _Placed) -> Segment:
        lanes, ran = placed.lanes, placed.group.positions
        done = self._advance(placed.group)
        points = tuple(
            CurvePoint(lane=lanes[i], metric=name, epoch=done.epoch, value=value)
            for i, metrics in done.metrics.items()
            for name, value in metrics.items()
        )
        ended = [LaneEnd(lane=lanes[i], metrics=final, diverged_at=None) for i, final in done.ended.items()]
        diverged = [LaneEnd(lane=lanes[i], metrics={}, diverged_at=at) for i, at in done.diverged.items()]
        return Segment(
            steps_done=self._steps_done(),
            steps_total=self._steps_total(),
            lanes=tuple(lanes[i] for i in ran),
            points=points,
            ended=(*ended, *diverged),
        )


def _check_signature(trials: Sequence[TrialSpec]) -> None:
    if not trials:
        raise ValueError("a cohort needs at least one trial, got none")
    first = cohort_signature(trials[0])
    for lane, trial in enumerate(trials):
        if cohort_signature(trial) != first:
            raise ValueError(
                f"trial {lane} cannot share a program with trial 0: {trial.task} and {trial.estimator} "
                f"against {trials[0].task} and {trials[0].estimator}; only seed, learning rate, optimizer "
                "and lane parameters may differ (precision may not)"
            )


@functools.lru_cache(maxsize=_REMEMBERED_TASKS)
def _registered_task(component: Component, device: torch.device, data_dir: Path | None) -> Task:
    """The same object for equal arguments: what a process has compiled for it serves later cohorts, too."""
    task: Task = registry.get(component.id).load()(component.values, device=device, data_dir=data_dir)
    return task


def _grouped(
    lanes: Iterable[int], states: Mapping[int, LaneState], width: int, is_long: Callable[[int], bool]
) -> list[list[int]]:
    """Lanes of equal step and length class, in order, in groups of at most ``width``.

    Fresh lanes stand apart from those that are resumed at the same step.
    """
    alike: dict[tuple[int, bool], list[int]] = {}
    for lane in lanes:
        step = states[lane]["step"] if lane in states else -1
        alike.setdefault((step, is_long(lane)), []).append(lane)
    return [
        members[start : start + width]
        for members in alike.values()
        for start in range(0, len(members), width)
    ]
