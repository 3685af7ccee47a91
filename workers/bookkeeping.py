"""Bookkeeping of a running attempt: which trials have ended and how, which curve points are not yet sent."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from workers.messages import CurveSegment, Heartbeat, News, TrialOutcome

if TYPE_CHECKING:
    from benchmarks.engine.cohort import CurvePoint, LaneEnd, Segment

TRACEBACK_CHARACTERS = 20_000  # the end of a longer one is kept: it names the error
MESSAGE_CHARACTERS = 2_000


class LaneOutcomes:
    """Outcomes of the trials of one attempt, by lane.

    ``seconds`` of a trial is its share of the time: what a segment took is divided evenly among the lanes
    that ran in it, and time spent on compiling, of which all have the use, among all that have not ended. So
    the sum over trials is the time that the device was busy. A trial that goes on from a checkpoint brings
    what it had taken up to there; what a lost attempt did after it is not counted.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = tuple(keys)
        self._seconds = [0.0] * len(self._keys)
        self._ended: dict[int, TrialOutcome] = {}
        self._taken: set[int] = set()
        self.raised = False

    def add(self, segment: Segment, *, seconds: float, compiling: float = 0.0) -> None:
        """Note the lanes that ended in a segment that took ``seconds``, ``compiling`` of them for all."""
        self._share(compiling, self._running())
        self._share(seconds - compiling, segment.lanes)
        for end in segment.ended:
            self._ended[end.lane] = self._outcome(end)

    def spent(self, before: Mapping[int, float]) -> None:
        """Lanes go on from where earlier attempts had brought them, in so many seconds."""
        for lane, seconds in before.items():
            self._seconds[lane] += seconds

    def seconds(self, lane: int) -> float:
        """What a lane has taken so far."""
        return self._seconds[lane]

    def ended(self) -> list[str]:
        """Trials that nobody will go on with."""
        return [end.trial for end in self._ended.values() if end.status != "stopped"]

    def fail_rest(self, error: BaseException) -> None:
        """Give every trial that has not ended the error with its traceback."""
        self.raised = True
        self._end_rest("failed", error)

    def require_all_ended(self) -> None:
        """Raise RuntimeError when a trial has no outcome although its cohort ran to the end."""
        if running := self._running():
            raise RuntimeError(
                f"the cohort ended but its lanes {running} did not: an error of the lane engine"
            )

    def stop_rest(self, error: BaseException | None = None) -> None:
        """Report every trial that has not ended as stopped, with the error if one was the reason."""
        self._end_rest("stopped", error)

    def take(self) -> tuple[TrialOutcome, ...]:
        """Outcomes that were not taken before, in the order of the lanes."""
        fresh = sorted(self._ended.keys() - self._taken)
        self._taken.update(fresh)
        return tuple(self._ended[lane] for lane in fresh)

    def _end_rest(self, status: Literal["failed", "stopped"], error: BaseException | None) -> None:
        told = {} if error is None else _told(error)
        for lane in self._running():
            seconds = self._seconds[lane]
            self._ended[lane] = TrialOutcome(trial=self._keys[lane], status=status, seconds=seconds, **told)

    def _share(self, seconds: float, lanes: Sequence[int]) -> None:
        for lane in lanes:
            self._seconds[lane] += seconds / len(lanes)

    def _running(self) -> list[int]:
        return [lane for lane in range(len(self._keys)) if lane not in self._ended]

    def _outcome(self, end: LaneEnd) -> TrialOutcome:
        trial, seconds = self._keys[end.lane], self._seconds[end.lane]
        if end.error is not None:
            self.raised = True
            return TrialOutcome(trial=trial, status="failed", seconds=seconds, **_told(end.error))
        if end.diverged_at is None:
            return TrialOutcome(trial=trial, status="succeeded", metrics=end.metrics, seconds=seconds)
        error = (
            f"diverged: the loss or its gradient was not finite at step {end.diverged_at}; "
            "try a smaller learning rate or another temperature"
        )
        return TrialOutcome(
            trial=trial, status="failed", error=error, seconds=seconds, diverged_at=end.diverged_at
        )


def _told(error: BaseException) -> dict[str, str]:
    """What an outcome says of an error."""
    message = (str(error) or type(error).__name__)[:MESSAGE_CHARACTERS]
    trace = "".join(traceback.format_exception(error))[-TRACEBACK_CHARACTERS:]
    return {"error": f"{type(error).__name__}: {message}", "traceback": trace}


class CurveBuffer:
    """Curve points that wait to be sent, and the progress that goes with them."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = tuple(keys)
        self._points: list[CurvePoint] = []
        self._progress = Heartbeat(steps_done=0, steps_total=0)

    def progress(self) -> Heartbeat:
        """Steps done and to do, summed over lanes. An immutable record: safe to read from another thread."""
        return self._progress

    def add(self, segment: Segment) -> None:
        """Take over the points and the progress of a segment."""
        self._points.extend(segment.points)
        self._progress = Heartbeat(steps_done=segment.steps_done, steps_total=segment.steps_total)

    def take(self, outcomes: tuple[TrialOutcome, ...] = ()) -> News | None:
        """Everything that waits, with outcomes; ``None`` when there is nothing."""
        if not self._points and not outcomes:
            return None
        segments = tuple(self._segments(self._points))
        self._points = []
        return News(progress=self._progress, segments=segments, outcomes=outcomes)

    def _segments(self, points: Sequence[CurvePoint]) -> list[CurveSegment]:
        """Runs of consecutive epochs, one segment per run of a trial's metric."""
        runs: dict[tuple[int, str], list[list[CurvePoint]]] = {}
        for point in sorted(points, key=lambda p: (p.lane, p.metric, p.epoch)):
            series = runs.setdefault((point.lane, point.metric), [])
            if series and series[-1][-1].epoch + 1 == point.epoch:
                series[-1].append(point)
            else:
                series.append([point])
        return [self._segment(run) for series in runs.values() for run in series]

    def _segment(self, run: Sequence[CurvePoint]) -> CurveSegment:
        first = run[0]
        values = tuple(point.value for point in run)
        return CurveSegment(
            trial=self._keys[first.lane], metric=first.metric, first=first.epoch, values=values
        )
