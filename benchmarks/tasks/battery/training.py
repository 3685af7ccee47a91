"""Trials of a task run to their end, and their results compared."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor

from benchmarks.engine.cohort import Cohort, CurvePoint, LaneEnd
from benchmarks.engine.lane_state import LaneState
from benchmarks.spec import TrialSpec
from benchmarks.tasks.contract import Task

TOLERANCE = 1e-4
"""Relative difference of metrics that rounding in float32 may make over the few dozen steps of a check."""


@dataclass(frozen=True)
class Outcome:
    """What trials came to, by lane.

    Attributes:
        curves: (metric, epoch, value), in order.
        ends: of the lanes that ended.
        states: at the last segment.
        forms, failures: of the steps, see :class:`benchmarks.engine.cohort.Execution`.
    """

    curves: dict[int, list[tuple[str, int, float]]] = field(default_factory=dict)
    ends: dict[int, LaneEnd] = field(default_factory=dict)
    states: dict[int, LaneState] = field(default_factory=dict)
    forms: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()

    def of(self, lane: int) -> dict[str, Any]:
        """All that is known of a lane, but for its number."""
        end = self.ends.get(lane)
        return {
            "curves": self.curves.get(lane, []),
            "metrics": None if end is None else end.metrics,
            "diverged_at": None if end is None else end.diverged_at,
            "state": self.states.get(lane),
        }


def require(truth: bool, message: str) -> None:
    """An assertion, also where Python runs optimised."""
    if not truth:
        raise AssertionError(message)


def train(
    task: Task, trials: Sequence[TrialSpec], *, stop_after: int | None = None, **options: Any
) -> Outcome:
    """Run a cohort to its end, or for some segments.

    Args:
        task: what is trained.
        trials: its lanes.
        stop_after: segments.
        options: of :class:`Cohort`; eager steps unless they say otherwise.
    """
    cohort = Cohort(trials, task=task, **({"compiled": False} | options))
    outcome = Outcome()
    for segment in itertools.islice(cohort.segments(), stop_after):
        for point in segment.points:
            outcome.curves.setdefault(point.lane, []).append(_without_lane(point))
        outcome.ends.update({end.lane: end for end in segment.ended})
    outcome.states.update({lane: cohort.lane_state(lane) for lane in range(len(trials))})
    execution = cohort.execution
    return replace(outcome, forms=execution.forms, failures=execution.failures)


def _without_lane(point: CurvePoint) -> tuple[str, int, float]:
    return point.metric, point.epoch, point.value


def step_by_step() -> Callable[[], float]:
    """A clock that makes segments short: all but the first are a step."""
    times = itertools.count(step=100.0)
    return lambda: next(times)


def stored(state: LaneState) -> LaneState:
    """A state through a file, as checkpoints go."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return cast(LaneState, torch.load(file, weights_only=True))


def difference(a: Any, b: Any, at: str = "") -> str:
    """Where two nested values first differ, in words; empty where all their bits agree."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return "" if _same_tensor(a, b) else f"{at}: tensors differ"
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        if a.keys() != b.keys():
            return f"{at}: {', '.join(map(str, a))} against {', '.join(map(str, b))}"
        return next(filter(None, (difference(a[key], b[key], f"{at}/{key}") for key in a)), "")
    if isinstance(a, list | tuple) and isinstance(b, list | tuple) and len(a) == len(b):
        pairs = enumerate(zip(a, b, strict=True))
        return next(filter(None, (difference(x, y, f"{at}/{i}") for i, (x, y) in pairs)), "")
    return "" if a == b else f"{at}: {a!r} against {b!r}"


def _same_tensor(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and bool(torch.allclose(a, b, 0.0, 0.0, equal_nan=True))


def disagreement(a: Outcome, b: Outcome, lane: int) -> str:
    """Where the metrics of a lane differ by more than rounding, in words; empty where they agree."""
    curves, others = a.curves.get(lane, []), b.curves.get(lane, [])
    if [point[:2] for point in curves] != [point[:2] for point in others]:
        return f"{[point[:2] for point in curves]} against {[point[:2] for point in others]}"
    for (metric, epoch, x), (_, _, y) in zip(curves, others, strict=True):
        if not math.isclose(x, y, rel_tol=TOLERANCE, abs_tol=TOLERANCE**2):
            return f"{metric} at epoch {epoch}: {x!r} against {y!r}"
    return ""
