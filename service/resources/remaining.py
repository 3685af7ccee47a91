"""How far a sweep is, and how long it still takes: arithmetic on counts."""

from __future__ import annotations

from collections.abc import Sequence

from service.resources import schemas
from service.states import PENDING, TrialState
from service.storage.queries.sweeps import RunningRow, StateRow


def progress(states: Sequence[StateRow], running: Sequence[RunningRow]) -> schemas.Progress:
    """Progress of one sweep from its trials by state and by running attempt.

    Ended trials count with all their steps, running ones with their share of what their attempt has done of
    those that it has not ended. The time left is the steps left over the speed of the attempts that run now,
    ``None`` while there is no speed yet.
    """
    total = sum(row.steps for row in states)
    pending = sum(row.steps for row in states if row.state in PENDING)
    done = round(sum(_done(row) * _part(row) for row in running))
    speed = sum(row.attempt_done * _part(row) / _seconds(row) for row in running if _seconds(row) > 0)
    left = pending - done
    return schemas.Progress(
        steps_done=total - left,
        steps_total=total,
        counts={state.value: 0 for state in TrialState} | {row.state.value: row.trials for row in states},
        seconds_left=left / speed if speed > 0 and left > 0 else None,
    )


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
