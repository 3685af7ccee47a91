"""Groups of lanes of made-up tasks, which are no trials of a registered one."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from benchmarks.engine.compiled.compiler import Compiler
from benchmarks.engine.group import LaneGroup, Settings
from benchmarks.engine.lane_state import LaneState
from benchmarks.spec import TrialSpec
from benchmarks.tasks.contract import Task
from benchmarks.tasks.info import Metric


@dataclass
class Ran:
    """What a group reported.

    Attributes:
        curves: by position, the metrics of each epoch.
        epochs: by position, which those were.
        diverged: by position, the step.
    """

    curves: dict[int, list[dict[str, float]]] = field(default_factory=dict)
    epochs: dict[int, list[int]] = field(default_factory=dict)
    diverged: dict[int, int] = field(default_factory=dict)


def settings(metrics: Sequence[Metric] = (), *, compiled: bool = False, chunk: int = 1000) -> Settings:
    """On the CPU, with a compiler of their own."""
    return Settings(
        device=torch.device("cpu"), compiled=compiled, compiler=Compiler(), chunk=chunk, metrics=metrics
    )


def group(
    trials: Sequence[TrialSpec], task: Task, options: Settings, *, states: Sequence[LaneState] = ()
) -> LaneGroup:
    """Of trials that stand for those of the task: it has their epochs."""
    epochs = [int(trial.task.values["epochs"]) for trial in trials]
    return LaneGroup(trials, epochs=epochs, task=task, settings=options, states=states)


def advanced(lanes: LaneGroup, steps: int | None = None, *, limit: int = 3) -> Ran:
    """Run in segments of at most ``limit`` steps, up to a number of steps or to the end."""
    ran = Ran()
    while lanes.running and (steps is None or lanes.step < steps):
        done = lanes.advance(limit if steps is None else min(limit, steps - lanes.step))
        for position, metrics in done.metrics.items():
            ran.curves.setdefault(position, []).append(metrics)
            ran.epochs.setdefault(position, []).append(done.epoch)
        ran.diverged |= done.diverged
    return ran


def stored(state: LaneState) -> LaneState:
    """Through bytes, as checkpoints go."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: LaneState = torch.load(file, weights_only=True)
    return loaded
