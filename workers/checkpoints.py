"""Checkpoints of an attempt's lanes: what they go on from, when they are taken, when they go.

A lane's state is written when :meth:`Interval.seconds` of its work have not been kept, and when the attempt
is asked to stop. The server keeps the last two of a trial, and so does the store. Only what the server knows
of is ever resumed from; until it knows of one, none is taken after it.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from workers.messages import CHECKPOINTS_KEPT, Checkpoint, LaneTrial, ResumedTrial, StoredCheckpoint
from workers.ports import CheckpointName, CheckpointStore

if TYPE_CHECKING:
    from benchmarks.engine.cohort import Segment
    from benchmarks.engine.lane_state import LaneState

_log = logging.getLogger(__name__)

FORMAT = 1
"""Of the files. It rises whenever :class:`benchmarks.engine.lane_state.LaneState` changes: what an older
version wrote is then left alone and its trial begins anew."""

LEAST_SECONDS = 30.0
SHARE = 0.02
"""Of the time that writing may take."""

Clock = Callable[[], float]


class Damaged(Exception):
    """A file is not what was written."""


class LaneStates(Protocol):
    """Lanes whose states can be had, as those of ``benchmarks.engine.cohort.Cohort``."""

    @property
    def steps_per_epoch(self) -> int:
        """Steps of every lane from one curve point to the next."""

    def lane_state(self, lane: int) -> LaneState:
        """What the lane goes on from."""


class Resumed(NamedTuple):
    """Where a lane goes on: its state, and what it had taken to get there."""

    state: LaneState
    seconds: float


class Interval:
    """How much work may be lost: ``least`` seconds, or 50 times what the last round of writing took,
    whichever is longer.

    Writing then takes at most 2 % of the time. A round takes hundredths of a second for common trials, so a
    loss costs ``least`` seconds and a segment, with the default half a minute; it costs more than a minute
    only where a round takes longer than 1.2 s, and then 2 % is what less would cost. A trial that is shorter
    than ``least`` pays nothing.

    Args:
        least: seconds.
    """

    def __init__(self, least: float = LEAST_SECONDS) -> None:
        self._least = least
        self._cost = 0.0

    @property
    def seconds(self) -> float:
        """Of work that is not kept, from which on it should be."""
        return max(self._least, self._cost / SHARE)

    def took(self, seconds: float) -> None:
        """A round of writing, whether it went well or not, has taken so long."""
        self._cost = seconds


class Checkpoints:
    """Those of one attempt.

    What goes wrong with the store is logged and costs no more than the checkpoint: the attempt goes on.

    Args:
        store: where they lie; ``None``: nothing is resumed and nothing kept.
        attempt: primary key of the attempt.
        trials: of its lanes, in order.
        interval: how much work may be lost.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        store: CheckpointStore | None,
        *,
        attempt: int,
        trials: Sequence[LaneTrial],
        interval: Interval,
        clock: Clock,
    ) -> None:
        self._store = store
        self._attempt, self._trials = attempt, trials
        self._interval, self._clock = interval, clock
        self._since: dict[int, float] = {}
        self._taken = self._told = 0  # rounds; the first is counted by the run, the other by who reports
        self._names: dict[str, list[CheckpointName]] = {}

    @property
    def offered(self) -> bool:
        """Whether there is anything to go on from."""
        return any(trial.checkpoints for trial in self._trials)

    def resume(self) -> dict[int, Resumed]:
        """Lane -> where it goes on: the newest of its checkpoints that is what was written.

        Lanes without one begin anew. Files of no use are left to who sweeps the store: while it is away, all
        of them look like that.
        """
        found = {lane: self._newest(trial) for lane, trial in enumerate(self._trials)}
        return {lane: resumed for lane, resumed in found.items() if resumed is not None}

    def resumptions(self) -> tuple[ResumedTrial, ...]:
        """What became of the checkpoints that the server has offered, for each trial that had any."""
        return tuple(
            self._resumption(trial.key, self._names[trial.key][-1:])
            for trial in self._trials
            if trial.checkpoints
        )

    def ran(self, segment: Segment, *, since: float) -> None:
        """Lanes did work in a segment that began at ``since``."""
        for lane in segment.lanes:
            self._since.setdefault(lane, since)
        for end in segment.ended:
            self._since.pop(end.lane, None)

    @property
    def unkept(self) -> bool:
        """Whether lanes have done what could be kept and is not."""
        return self._store is not None and bool(self._since)

    @property
    def due(self) -> bool:
        """Whether so much of that is there that it should be, and the last round is told."""
        if not self.unkept or self._told < self._taken:
            return False
        return self._clock() - min(self._since.values()) >= self._interval.seconds

    def take(self, lanes: LaneStates, seconds: Callable[[int], float]) -> tuple[Checkpoint, ...]:
        """Keep the states of all lanes that have done something since they were kept last.

        Args:
            lanes: between two segments.
            seconds: what a lane has taken so far.

        Returns:
            What the server should be told; :meth:`told` is called when it knows.
        """
        if self._store is None:
            return ()
        began, changed = self._clock(), sorted(self._since)
        taken = [self._written(lane, lanes, seconds(lane), self._store) for lane in changed]
        self._since.clear()
        self._interval.took(self._clock() - began)
        told = tuple(one for one in taken if one is not None)
        self._taken += bool(told)
        return told

    def told(self, checkpoints: Iterable[Checkpoint]) -> None:
        """The server knows of these, and keeps no more than the one before of their trials."""
        for one in checkpoints:
            names = self._names.setdefault(one.trial, [])
            names.append(CheckpointName(one.trial, self._attempt, one.step))
            self._remove(names[:-CHECKPOINTS_KEPT])
            del names[:-CHECKPOINTS_KEPT]
        self._told += 1

    def forget(self, trials: Iterable[str]) -> None:
        """These trials have ended: nobody will go on with them."""
        for trial in trials:
            self._remove(self._names.pop(trial, ()))

    def _newest(self, trial: LaneTrial) -> Resumed | None:
        names = [CheckpointName(trial.key, one.attempt, one.step) for one in trial.checkpoints]
        for newer, (name, offered) in enumerate(zip(names, trial.checkpoints, strict=True)):
            if (state := self._read(name, offered)) is not None:
                self._names[trial.key] = names[newer:][::-1]
                return Resumed(state, offered.seconds)
        self._names[trial.key] = []
        return None

    def _resumption(self, trial: str, newest: Sequence[CheckpointName]) -> ResumedTrial:
        if not newest:
            return ResumedTrial(trial=trial, attempt=None, step=0)
        return ResumedTrial(trial=trial, attempt=newest[0].attempt, step=newest[0].step)

    def _read(self, name: CheckpointName, offered: StoredCheckpoint) -> LaneState | None:
        if self._store is None:
            return None
        try:
            content = self._store.read(name)
            if hashlib.sha256(content).hexdigest() != offered.digest:
                raise Damaged("it is not what was written")
            return unpacked(content)
        except Exception as error:  # a store raises whatever its client library does
            _log.warning("checkpoint %s cannot be used: %s: %s", name.file, type(error).__name__, error)
            return None

    def _written(
        self, lane: int, lanes: LaneStates, seconds: float, store: CheckpointStore
    ) -> Checkpoint | None:
        state, trial = lanes.lane_state(lane), self._trials[lane].key
        content = packed(state)
        name = CheckpointName(trial, self._attempt, state["step"])
        try:
            store.write(name, content)
        except Exception as error:  # likewise
            _log.warning("checkpoint %s is not kept: %s: %s", name.file, type(error).__name__, error)
            return None
        return Checkpoint(
            trial=trial,
            step=state["step"],
            epochs=state["step"] // lanes.steps_per_epoch,
            digest=hashlib.sha256(content).hexdigest(),
            bytes=len(content),
            seconds=seconds,
        )

    def _remove(self, names: Iterable[CheckpointName]) -> None:
        if self._store is None:
            return
        try:
            self._store.remove(names)
        except Exception as error:  # likewise; who sweeps the store will find them
            _log.warning("checkpoints could not be removed: %s: %s", type(error).__name__, error)


def packed(state: LaneState) -> bytes:
    """The content of a file."""
    import torch  # here, so that an attempt announces itself before it pays for this import

    file = io.BytesIO()
    torch.save({"format": FORMAT, "state": state}, file)
    return file.getvalue()


def unpacked(content: bytes) -> LaneState:
    """The inverse of :func:`packed`. Nothing but tensors, numbers, text and dictionaries is read.

    Raises:
        Damaged: it is of another format.
    """
    import torch

    found: dict[str, Any] = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    if found.get("format") != FORMAT:
        raise Damaged(f"its format is {found.get('format')}, and this version reads {FORMAT}")
    state: LaneState = found["state"]
    return state
