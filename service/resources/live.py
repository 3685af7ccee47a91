"""What has changed in the database, as events: one reading for all who listen."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Engine

from service.resources import numbers, sweeps
from service.resources.live_schemas import BoardEvent, Kind, ProgressEvent, RunningEvent, SweepEvent
from service.resources.schemas import Answer, Progress, SweepLine
from service.states import PENDING, Hold, SweepState, TrialState
from service.storage.engine import read as reading
from service.storage.queries import live

DELETED = "deleted"
"""State of a sweep that is gone, or in the bin."""
EVERYTHING = ""
"""The subject of what goes on altogether."""


class News(NamedTuple):
    """One event, and what of it counts as news: an estimate that moves with the clock does not."""

    kind: Kind
    subject: str
    data: Answer
    essence: Any


def read(engine: Engine, sweep_ids: Collection[int], board_ids: Collection[str]) -> list[News]:
    """How everything stands that goes on, and besides it these sweeps and boards.

    Args:
        engine: the database.
        sweep_ids: sweeps that are told of whether they go on or not.
        board_ids: boards that are told of.
    """
    with reading(engine) as connection:
        lines = sweeps.open_sweeps(connection, besides=sorted(sweep_ids))
        newest = live.newest_sweep(connection)
        boards = live.board_counts(connection, sorted(board_ids)) if board_ids else []
    found = [_running(lines, newest)]
    for line in lines:
        found += [_progress(line), _sweep(line)]
    gone = sorted(set(sweep_ids) - {int(line.id) for line in lines})
    found += [_gone(id) for id in gone]
    return found + [_news("board", row.task_key, BoardEvent(board=row[0], **_counts(row))) for row in boards]


def _running(lines: Sequence[SweepLine], newest: int | None) -> News:
    running = [line for line in lines if line.state == SweepState.RUNNING]
    queued = [line for line in lines if line.state == SweepState.QUEUED]
    going = [*running, *queued]
    total = sum(line.trials for line in going)
    ended = total - sum(line.progress.counts[state] for line in going for state in PENDING)
    low, high = _longest([line.progress for line in going])
    trials = f"{ended:,} of {total:,} trials"
    left = _roughly_between(low, high)
    data = RunningEvent(
        running=len(running),
        queued=len(queued),
        trials_ended=ended,
        trials_total=total,
        seconds_left_low=low,
        seconds_left_high=high,
        newest=None if newest is None else str(newest),
        title=_title(len(running), len(queued)),
        detail=f"{trials}, {left}" if left else trials,
    )
    return News("running", EVERYTHING, data, (data.running, data.queued, ended, total, newest))


def _title(running: int, queued: int) -> str:
    count, doing = (running, "running") if running else (queued, "waiting")
    return f"{count:,} {'sweep' if count == 1 else 'sweeps'} {doing}" if count else ""


def _longest(all: Sequence[Progress]) -> tuple[float | None, float | None]:
    """The range of the sweep that takes longest, of those that have an estimate."""
    ranges = [(one.seconds_left_high, one.seconds_left_low) for one in all if one.seconds_left_high]
    high, low = max(ranges, default=(None, None), key=lambda ends: ends[0] or 0.0)
    return low, high


def _roughly_between(low: float | None, high: float | None) -> str:
    """``about 18 min left``, or ``up to 40 min left`` where the two are far apart; empty when unknown."""
    if low is None or high is None:
        return ""
    close = high <= numbers.CLOSE * low
    time = numbers.rough_duration((low + high) / 2 if close else high)
    return f"{time} left" if time.startswith("less") else f"{'about' if close else 'up to'} {time} left"


def _progress(line: SweepLine) -> News:
    progress = line.progress
    left = numbers.duration_between(progress.seconds_left_low, progress.seconds_left_high)
    data = ProgressEvent(
        sweep=line.id,
        progress=progress,
        percent=numbers.percent(progress.steps_done, progress.steps_total),
        steps=f"{progress.steps_done:,} of {progress.steps_total:,} steps",
        time_left=f"{left} left" if left else _without_estimate(line),
    )
    counts = tuple(progress.counts.values())
    return News("progress", line.id, data, (progress.steps_done, progress.steps_total, counts))


def _without_estimate(line: SweepLine) -> str:
    waits = line.held == Hold.ACTIVE and line.progress.counts[TrialState.QUEUED]
    return "waiting for a worker" if waits and not line.progress.counts[TrialState.RUNNING] else ""


def _sweep(line: SweepLine) -> News:
    finished = line.finished_at is not None
    data = SweepEvent(sweep=line.id, name=line.name, state=line.state, held=line.held, finished=finished)
    return _news("sweep", line.id, data)


def _gone(id: int) -> News:
    data = SweepEvent(sweep=str(id), name="", state=DELETED, held="", finished=True)
    return _news("sweep", data.sweep, data)


def _counts(row: live.BoardCounts) -> dict[str, int]:
    return {name: getattr(row, name) for name in ("trials", "succeeded", "failed", "cancelled")}


def _news(kind: Kind, subject: str, data: Answer) -> News:
    """An event of which all is news."""
    return News(kind, subject, data, data)
