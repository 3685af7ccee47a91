"""One measurement, in a process of its own: nothing of another one is in its memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmarks.commands.efficiency import memory
from benchmarks.commands.efficiency.cases import Contender, Problem
from benchmarks.commands.efficiency.passes import Passes


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How to measure.

    Attributes:
        device: where.
        epochs: how many are timed.
        warm_up: steps before the first of them.
        seconds: an epoch that would take longer is cut to so many steps, at least one, and its time scaled;
            the warm-up ends after as long a time, too. ``None``: whole epochs.
        threads: of torch.
    """

    device: str
    epochs: int
    warm_up: int
    seconds: float | None
    threads: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What a pair of problem and estimator costs.

    Attributes:
        epochs: seconds of each epoch, scaled to all its steps.
        steps: how many of them were done.
        of: how many an epoch has.
        held_bytes: before the first step: weights, data and, on a CPU, the program.
        peak_bytes: at most, from there on.
    """

    epochs: tuple[float, ...]
    steps: int
    of: int
    held_bytes: int
    peak_bytes: int

    @property
    def seconds(self) -> float:
        """Of an epoch: the median."""
        return statistics.median(self.epochs)

    @property
    def added_bytes(self) -> int:
        """What the steps needed above what was there before."""
        return self.peak_bytes - self.held_bytes


def measure(problem: Problem, contender: Contender, plan: Plan) -> Figures:
    """Warm up, then time epochs; the device is waited for at both ends of each.

    Raises:
        DatasetUnavailable: as :class:`benchmarks.commands.efficiency.passes.Passes`.
    """
    torch.set_num_threads(plan.threads)
    device = torch.device(plan.device)
    step = Passes(problem, contender, device)
    step.touch()
    held = memory.held(device)
    each = _warm_up(step, plan, device)
    whole = problem.steps
    count = whole if plan.seconds is None else min(whole, max(1, int(plan.seconds / each)))
    epochs = [_seconds(step, count, device) * whole / count for _ in range(plan.epochs)]
    return Figures(
        epochs=tuple(epochs), steps=count, of=whole, held_bytes=held, peak_bytes=memory.peak(device)
    )


def _warm_up(step: Callable[[], object], plan: Plan, device: torch.device) -> float:
    """Seconds of the last step before everything is warm."""
    began = time.perf_counter()
    each = _seconds(step, 1, device)
    for _ in range(plan.warm_up - 1):
        if plan.seconds is not None and time.perf_counter() - began > plan.seconds:
            break
        each = _seconds(step, 1, device)
    return each


def _seconds(step: Callable[[], object], count: int, device: torch.device) -> float:
    _wait(device)
    began = time.perf_counter()
    for _ in range(count):
        step()
    _wait(device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
