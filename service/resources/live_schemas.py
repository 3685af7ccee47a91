"""Events of ``/api/v1/events``: what changes while people look at it, in numbers and in words."""

from __future__ import annotations

from typing import Any, Literal

from service.resources.schemas import Answer, Progress

Kind = Literal["running", "progress", "sweep", "board"]
"""What an event is about."""


class RunningEvent(Answer):
    """All that goes on: sweeps that compute or wait, their trials, and the time until the last is done.

    A trial that two sweeps want counts twice. The time is that of the sweep that takes longest; ``None``
    while none has an estimate. ``newest`` is the sweep that was submitted last.
    """

    running: int
    queued: int
    trials_ended: int
    trials_total: int
    seconds_left_low: float | None = None
    seconds_left_high: float | None = None
    newest: str | None = None
    title: str
    """``3 sweeps running``; empty when nothing goes on."""
    detail: str
    """``412 of 1,240 trials, about 18 min left``."""


class ProgressEvent(Answer):
    """How far a sweep is; ``percent``, ``steps`` and ``time_left`` are how pages say it."""

    sweep: str
    progress: Progress
    percent: str
    steps: str
    time_left: str


class SweepEvent(Answer):
    """A sweep is in another state; ``deleted`` when it went to the bin or for good."""

    sweep: str
    name: str
    state: str
    held: str
    finished: bool


class BoardEvent(Answer):
    """A board has other results: trials that were asked for, and how many of them have ended how."""

    board: str
    trials: int
    succeeded: int
    failed: int
    cancelled: int


class LatestEvent(Answer):
    """One event of the stream as JSON."""

    id: str
    event: Kind
    data: dict[str, Any]


class Latest(Answer):
    """The last event of every subject, for those who ask from time to time.

    ``events`` are as in the stream: ``id``, ``event`` (its kind) and ``data``.
    """

    events: list[LatestEvent]
