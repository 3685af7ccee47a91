"""How far a sweep is, and how long it still takes: arithmetic on counts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from service.resources import schemas
from service.states import Hold, TrialState
from service.storage.queries.sweeps import RunningRow, SweepRow

SETTLED_SECONDS = 10.0
"""Of an attempt after which its speed says something: the start and compiling come first."""


def progress(sweep: SweepRow, running: Sequence[RunningRow], *, now: datetime) -> schemas.Progress:
    """Progress of one sweep from what is kept of its trials and from its running attempts.

    Ended trials count with the steps that were computed, running ones with their share of what their attempt
    has done of those that it has not ended. The time left is the steps left over a speed, of which there are
    two: that of the attempts that run now, once they have settled, and that of the sweep since it was
    submitted. Steps of other trials may cost differently, so both are told, as a range; the estimate lies in
    the middle. ``None`` while there is no speed yet, and while it is paused.
    """
    counts = trials_by_state(sweep, running)
    pending = sweep.steps - sweep.steps_ended
    done = min(round(sum(_done(row) * _part(row) for row in running)), pending)
    left = pending - done
    speeds = [speed for speed in (_of_now(running), _of_life(sweep, done, now)) if speed > 0]
    goes_on = sweep.finished_at is None and sweep.held is Hold.ACTIVE
    known = goes_on and left > 0 and bool(speeds)
    low, high = (left / max(speeds), left / min(speeds)) if known else (None, None)
    return schemas.Progress(
        steps_done=sweep.steps_done + done,
        steps_total=sweep.steps,
        counts={state.value: counts[state] for state in TrialState},
        seconds_left=None if low is None or high is None else (low + high) / 2,
        seconds_left_low=low,
        seconds_left_high=high,
    )


def _of_now(running: Sequence[RunningRow]) -> float:
    """Steps a second of the attempts that run, as far as they are the sweep's; 0 while one has just begun."""
    if any(_seconds(row) < SETTLED_SECONDS for row in running):
        return 0.0
    return sum(row.attempt_done * _part(row) / _seconds(row) for row in running)


def _of_life(sweep: SweepRow, done: int, now: datetime) -> float:
    """Steps a second since it was submitted, without those of trials that were known then; 0 at first."""
    seconds = (now - sweep.created_at).total_seconds()
    known = sweep.steps * (1 - sweep.new_trials / sweep.trials) if sweep.trials else 0.0
    computed = sweep.steps_done + done - known
    return max(computed, 0.0) / seconds if seconds >= SETTLED_SECONDS else 0.0


def trials_by_state(sweep: SweepRow, running: Sequence[RunningRow]) -> dict[TrialState, int]:
    """Its trials by state. Once it has finished nothing of it runs: others may compute its trials again."""
    ended = sweep.succeeded + sweep.failed + sweep.cancelled
    runs = sum(row.trials for row in running) if sweep.finished_at is None else 0
    return {
        TrialState.QUEUED: sweep.trials - ended - runs,
        TrialState.RUNNING: runs,
        TrialState.SUCCEEDED: sweep.succeeded,
        TrialState.FAILED: sweep.failed,
        TrialState.CANCELLED: sweep.cancelled,
    }


def _done(row: RunningRow) -> int:
    """Steps that its attempt has done of the trials that run."""
    return min(max(row.attempt_done - row.attempt_ended, 0), _running(row))


def _running(row: RunningRow) -> int:
    """All steps of the trials that run in its attempt."""
    return row.attempt_total - row.attempt_ended


def _part(row: RunningRow) -> float:
    """Which part of them is the sweep's."""
    return row.steps / _running(row) if _running(row) > 0 else 0.0


def _seconds(row: RunningRow) -> float:
    """How long the attempt had computed when it last reported."""
    if row.started_at is None or row.reported_at is None:
        return 0.0
    return (row.reported_at - row.started_at).total_seconds()
