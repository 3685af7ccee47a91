"""A process of one side of a contest: it warms up, then works on request and waits otherwise."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import torch

from benchmarks.commands.speed.cases import Case
from benchmarks.engine.cohort import Cohort
from benchmarks.kernels import layers

Name = Literal["ours", "reference"]
NAMES: tuple[Name, Name] = ("reference", "ours")

_STATUS = Path("/proc/self/status")


@dataclass(frozen=True, slots=True)
class Work:
    """Steps of trials done, and the seconds they took."""

    steps: int
    seconds: float


@dataclass(frozen=True, slots=True)
class LastWord:
    """Resident bytes at most, the library chosen for matmul on a CPU, and how our steps were done.

    ``forms`` are those of :class:`benchmarks.engine.cohort.Execution`; the reference has none.
    """

    peak_bytes: int
    matmul: str | None
    forms: tuple[str, ...]


def serve(side: Name, case: Case, index: int, line: Connection, *, warm_up: int, started: float) -> None:
    """Body of the process.

    Says how many seconds after ``started`` the first steps were done; then answers each number of seconds
    with the :class:`Work` done in them, and ``None`` with its :class:`LastWord`.

    Args:
        side: whose work it does.
        case: what to train.
        index: number of the process within its side; it chooses seeds.
        line: to the process that started this one.
        warm_up: steps of every trial before it is ready.
        started: ``time.monotonic()`` before this process was started.
    """
    torch.set_num_threads(1)
    cohort = cohort_of(case, index) if side == "ours" else None
    steps = lane_steps(case, cohort) if cohort else reference_steps(case, index)
    next(steps)
    first = time.monotonic() - started
    done, trials = 0, case.lanes if cohort else 1
    while done < warm_up * trials:
        done += next(steps)
    line.send(first)
    while (seconds := line.recv()) is not None:
        line.send(work(steps, seconds))
    forms = cohort.execution.forms if cohort else ()
    line.send(LastWord(peak_memory(), layers.chosen(), forms))


def work(steps: Iterator[int], seconds: float, clock: Callable[[], float] = time.perf_counter) -> Work:
    """Take whole items until ``seconds`` have passed; the time of the last item counts, too."""
    began = clock()
    done, elapsed = 0, 0.0
    while elapsed < seconds:
        done += next(steps)
        elapsed = clock() - began
    return Work(done, elapsed)


def peak_memory() -> int:
    """Bytes resident at most.

    On Linux ``ru_maxrss`` of a new program starts at the size of the one that started it, VmHWM at nothing.
    """
    if _STATUS.exists():
        fields = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def cohort_of(
    case: Case, index: int, *, device: str = "cpu", lanes: int | None = None, width: int | None = None
) -> Cohort:
    """Our side of a case.

    Args:
        case: what to train.
        index: number of the process, which chooses seeds.
        device: where.
        lanes: how many, default what the case says.
        width: of their groups, default the engine's.
    """
    count = lanes or case.lanes
    trials = case.trials(count, first_seed=index * count)
    task = case.setup.task(trials[0], torch.device(device))
    compiled = None if case.compiled else False
    return Cohort(trials, device=device, task=task, group_width=width, compiled=compiled)


def lane_steps(case: Case, cohort: Cohort) -> Iterator[int]:
    """Lane-steps of each segment of a cohort.

    Raises:
        RuntimeError: a lane ended, and the steps it did not do would count as done; or steps of a case whose
            steps are compiled could not be, and something slower than what workers run would be measured.
    """
    before = 0
    for segment in cohort.segments():
        if segment.ended:
            raise RuntimeError(f"lanes ended in {case.name}: {segment.ended}")
        execution = cohort.execution
        if case.compiled and (execution.failures or execution.forms == ("eager",)):
            raise RuntimeError(f"the steps of {case.name} are not compiled: {execution}")
        yield segment.steps_done - before
        before = segment.steps_done


def reference_steps(case: Case, index: int, *, device: str = "cpu") -> Iterator[int]:
    """Steps of one trial, one by one."""
    (trial,) = case.trials(1, first_seed=index)
    return case.setup.training(trial, device).steps()
