"""How far a sweep is, and how long it still takes: arithmetic on counts."""

from __future__ import annotations

from collections.abc import Sequence

from service.resources import schemas
from service.states import TrialState
from service.storage.queries.sweeps import RunningRow, SweepRow


def progress(sweep: SweepRow, running: Sequence[RunningRow]) -> schemas.Progress:
    """Progress of one sweep from what is kept of its trials and from its running attempts.

    Ended trials count with the steps that were computed, running ones with their share of what their attempt
    has done of those that it has not ended. The time left is the steps left over the speed of the attempts
    that run now, ``None`` while there is no speed yet. Steps of other trials may cost differently: the range
    goes from what it would take if all attempts were as fast as the fastest of them to the slowest.
    """
    counts = trials_by_state(sweep, running)
    pending = sweep.steps - sweep.steps_ended
    done = min(round(sum(_done(row) * _part(row) for row in running)), pending)
    moving = [row for row in running if _speed(row) > 0]
    speed = sum(_speed(row) * _part(row) for row in moving)
    left = pending - done
    known = speed > 0 and left > 0
    slots = sum(_part(row) for row in moving)
    return schemas.Progress(
        steps_done=sweep.steps_done + done,
        steps_total=sweep.steps,
        counts={state.value: counts[state] for state in TrialState},
        seconds_left=left / speed if known else None,
        seconds_left_low=left / (slots * max(map(_speed, moving))) if known else None,
        seconds_left_high=left / (slots * min(map(_speed, moving))) if known else None,
    )


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


def _speed(row: RunningRow) -> float:
    """Steps a second of the whole attempt; 0 before its first report."""
    seconds = _seconds(row)
    return row.attempt_done / seconds if seconds > 0 else 0.0


def _seconds(row: RunningRow) -> float:
    """How long the attempt had computed when it last reported."""
    if row.started_at is None or row.reported_at is None:
        return 0.0
    return (row.reported_at - row.started_at).total_seconds()
