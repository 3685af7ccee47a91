"""Seconds by what they were spent on, of a watch and of a cohort."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
import torch
from torch import Tensor

from benchmarks.engine.compiled.compiler import Compiler
from benchmarks.engine.stopwatch import Stopwatch
from benchmarks.tasks.contract import Batch, Draw, Loss, Phase, Variables
from benchmarks.tasks.polynomial.task import Polynomial
from tests.support.fakes import ManualClock
from tests.support.trials import cohort, trial


def test_what_is_inside_counts_once() -> None:
    clock = ManualClock()
    watch = Stopwatch(clock)
    clock.now = 100.0
    with watch("outer"):
        clock.now += 1
        with watch("inner"):
            clock.now += 10
        clock.now += 2
    clock.now += 1000
    with watch("inner"):
        clock.now += 20
    assert watch.seconds == {"outer": 3.0, "inner": 30.0}


def test_an_error_ends_what_it_leaves() -> None:
    clock = ManualClock()
    watch = Stopwatch(clock)

    def fail() -> NoReturn:
        clock.now += 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), watch("outer"), watch("inner"):
        fail()
    clock.now += 5
    with watch("outer"):
        clock.now += 2
    assert watch.seconds == {"outer": 2.0, "inner": 1.0}


class Slow(Polynomial):
    """A step takes 1 s of the clock, an evaluation 100 s."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(trial().task.values, device=torch.device("cpu"))
        self._clock = clock

    def loss(self, phase: Phase, variables: Variables, batch: Batch, draw: Draw) -> Loss:
        """Of a step."""
        self._clock.now += 1
        return super().loss(phase, variables, batch, draw)

    def measure(self, variables: Variables) -> dict[str, Tensor]:
        """Of an evaluation."""
        self._clock.now += 100
        return super().measure(variables)


def test_a_cohort_says_on_what_its_segments_spent_their_time() -> None:
    """Two lanes of four epochs of five steps; what their steps need is compiled once, in vain, in 5,000 s."""
    clock = ManualClock()

    def build(*_: Any) -> NoReturn:
        clock.now += 5000
        raise RuntimeError("no compiler")

    lanes = cohort(
        trial(seed=0),
        trial(seed=1),
        task=Slow(clock),
        watch=Stopwatch(clock),
        compiled=True,
        compiler=Compiler(lambda state: {"loop": build}),
    )
    assert lanes.execution.seconds == {}
    for _ in lanes.segments():
        clock.now += 70  # between segments: not the cohort's
    assert lanes.execution.seconds == {"first_step": 2, "compiling": 5000, "steps": 38, "evaluation": 800}
