"""Trials of a task run to their end, and their results compared."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor

from benchmarks.engine.cohort import Cohort, CurvePoint, LaneEnd
from benchmarks.engine.compiled.compiler import OF_THIS_PROCESS, Compiler
from benchmarks.engine.evaluation import CHUNK, evaluated
from benchmarks.engine.group import LaneGroup, Settings
from benchmarks.engine.lane_state import LaneState, restored
from benchmarks.engine.noise import seed_keys
from benchmarks.spec import TrialSpec
from benchmarks.tasks.battery.subject import Subject
from benchmarks.tasks.contract import Task, Variables
from estimators import registry

RELATIVE, ABSOLUTE = 1e-4, 1e-6
"""What rounding in float32 may make of a number in one step: shares of it, or of the largest beside it."""


@dataclass(frozen=True)
class Outcome:
    """What trials came to, by lane.

    Attributes:
        curves: (metric, epoch, value), in order.
        ends: of the lanes that ended.
        states: at the last segment.
    """

    curves: dict[int, list[tuple[str, int, float]]] = field(default_factory=dict)
    ends: dict[int, LaneEnd] = field(default_factory=dict)
    states: dict[int, LaneState] = field(default_factory=dict)

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
    return outcome


def _without_lane(point: CurvePoint) -> tuple[str, int, float]:
    return point.metric, point.epoch, point.value


def group(
    subject: Subject,
    task: Task,
    trials: Sequence[TrialSpec],
    *,
    states: Sequence[LaneState] = (),
    compiler: Compiler | None = None,
) -> LaneGroup:
    """Lanes that can be advanced step by step; compiled, where there is a compiler.

    A single step from equal states is what can be compared but for rounding: over many, an optimizer that
    divides by the size of a gradient makes full steps of what should be 0.
    """
    settings = Settings(
        device=torch.device("cpu"),
        compiled=compiler is not None,
        compiler=compiler or OF_THIS_PROCESS,
        chunk=CHUNK,
        metrics=subject.info.metrics,
    )
    epochs = [int(trial.task.values["epochs"]) for trial in trials]
    return LaneGroup(trials, epochs=epochs, task=task, settings=settings, states=states)


def computed(state: LaneState) -> dict[str, Any]:
    """What a step computed for a lane: metrics, buffers, estimator states, gradients as optimizers keep them.

    Where they keep nothing, parameters.
    """
    parts = {name: state[name] for name in ("sums", "weight", "buffers", "estimator", "optimizer")}
    kept = any(slots for slots in state["optimizer"].values())
    return parts if kept else parts | {"parameters": state["parameters"]}


def metrics(task: Task, trials: Sequence[TrialSpec], states: Sequence[LaneState]) -> list[dict[str, float]]:
    """An evaluation of every lane of a group at these states."""
    state = restored(states, torch.device("cpu"))
    values = evaluated(
        task,
        Variables(groups=state["parameters"], buffers=state["buffers"]),
        registry.get(trials[0].estimator.id).properties,
        seed_keys([trial.seed for trial in trials]),
        number=1,
    )
    return [{name: float(value[lane]) for name, value in values.items()} for lane in range(len(trials))]


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


def disagreement(a: Any, b: Any, at: str = "", *, largest: float = 0.0) -> str:
    """Where two nested values first differ by more than rounding, in words; empty where they agree.

    A tensor is held against the largest number of those beside it: a gradient that cancels to nearly 0 (that
    of a bias before a batch norm, say) is rounding alone.
    """
    if isinstance(a, Mapping) and isinstance(b, Mapping) and a.keys() == b.keys():
        most = max((_largest(part) for part in a.values() if isinstance(part, Tensor)), default=0.0)
        found = (disagreement(a[key], b[key], f"{at}/{key}", largest=most) for key in a)
        return next(filter(None, found), "")
    if isinstance(a, Tensor) and isinstance(b, Tensor) and a.shape == b.shape:
        gap = _largest(a - b)
        near = gap <= RELATIVE * max(largest, _largest(a)) + ABSOLUTE
        return "" if near else f"{at}: off by {gap:.3g}, the largest beside it is {largest:.3g}"
    if isinstance(a, float) and isinstance(b, float):
        close = math.isclose(a, b, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
        return "" if close else f"{at}: {a!r} against {b!r}"
    return difference(a, b, at)


def _largest(tensor: Tensor) -> float:
    return float(tensor.abs().max()) if tensor.numel() else 0.0
