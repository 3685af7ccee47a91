"""The lane engine: a cohort of trials as lanes of one program (interface; see the class below)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.spec import TrialSpec


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
        diverged_at: the step (counted from 1) whose loss or gradient was not finite, else ``None``.
    """

    lane: int
    metrics: dict[str, float]
    diverged_at: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """What one segment of steps produced; metrics leave the device once per segment."""

    steps_done: int
    steps_total: int
    points: tuple[CurvePoint, ...]
    ended: tuple[LaneEnd, ...]


class Cohort:
    """Trials of the same task shape, estimator and static parameters, run as lanes.

    Args:
        trials: what to run; they may differ in seed, learning rate, optimizer and lane parameters.
        device: a torch device.
        data_dir: where data sets lie; default as in ``benchmarks.data``.
    """

    def __init__(
        self, trials: Sequence[TrialSpec], *, device: str = "cpu", data_dir: Path | None = None
    ) -> None:
        raise NotImplementedError

    def segments(self) -> Iterator[Segment]:
        """Run to the end, segment by segment (at most an epoch, about a second). Stop by not asking on."""
        raise NotImplementedError
