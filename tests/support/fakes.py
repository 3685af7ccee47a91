"""In-memory stand-ins for what workers need from outside."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.engine.cohort import CurvePoint, Execution, LaneEnd, Segment
from benchmarks.engine.lane_state import LaneState
from benchmarks.spec import Component, TrialSpec, optimizer_from_json
from workers.messages import (
    CheckpointReport,
    Heartbeat,
    HeartbeatReply,
    LaneTrial,
    News,
    Outcome,
    Resumption,
    StartReply,
    TrialOutcome,
)
from workers.ports import Backlog, Claim, Exit, NodeReport, QueueUnavailable

WAIT_SECONDS = 60.0  # bound of every wait of a test


def make_spec(seed: int = 0) -> TrialSpec:
    """A trial that no engine needs to understand."""
    task = Component(id="polynomial", version=1, parameters=(("epochs", 1),))
    estimator = Component(id="exact", version=1, parameters=())
    return TrialSpec(
        task=task, estimator=estimator, optimizer=optimizer_from_json("adam"), lr=1e-3, seed=seed
    )


def make_start_reply(lanes: int = 2, *, lease_seconds: float = 30.0) -> StartReply:
    """What a server answers to ``start``; the trials are called ``t0``, ``t1``, ..."""
    trials = tuple(LaneTrial(key=f"t{lane}", spec=make_spec(lane).to_json()) for lane in range(lanes))
    return StartReply(attempt_id=7, cohort_id=1, number=1, lease_seconds=lease_seconds, trials=trials)


def make_claim(attempt_id: int, *, number: int = 1) -> Claim:
    """One lane's worth of work."""
    return Claim(
        attempt_id=attempt_id, cohort_id=attempt_id, number=number, secret="s3cret", lanes=1, label="test"
    )


def make_segment(
    epoch: int, *, epochs: int, lanes: Sequence[int], diverged: Sequence[int] = (), ends: bool = False
) -> Segment:
    """Ten steps of each lane in an epoch; ``diverged`` lanes end in it, the others when ``ends`` is set."""
    points = tuple(CurvePoint(lane=n, metric="loss", epoch=epoch, value=n + epoch / 10) for n in lanes)
    ended = tuple(
        LaneEnd(
            lane=n,
            metrics={} if n in diverged else {"loss": float(n)},
            diverged_at=17 if n in diverged else None,
        )
        for n in lanes
        if n in diverged or ends
    )
    total = 10 * epochs * max(len(lanes), 1)
    return Segment(
        steps_done=total * epoch // epochs,
        steps_total=total,
        lanes=tuple(lanes),
        points=points,
        ended=ended,
    )


class ManualClock:
    """Seconds that pass only when told, or by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass
class FakeReporter:
    """Remembers what was reported; ``on_heartbeat`` answers heartbeats."""

    reply: StartReply | None
    on_heartbeat: Callable[[Heartbeat], HeartbeatReply] = lambda _message: HeartbeatReply()
    batches: list[News] = field(default_factory=list)
    checkpoints: list[CheckpointReport] = field(default_factory=list)
    resumption: Resumption | None = None
    outcome: Outcome | None = None
    beat: threading.Event = field(default_factory=threading.Event)

    @property
    def outcomes(self) -> tuple[TrialOutcome, ...]:
        """Of all trials in the order in which they were told, on the way or at the end."""
        told = [outcome for batch in self.batches for outcome in batch.outcomes]
        return (*told, *(self.outcome.outcomes if self.outcome else ()))

    def start(self) -> StartReply | None:
        return self.reply

    def heartbeat(self, message: Heartbeat) -> HeartbeatReply:
        try:
            return self.on_heartbeat(message)
        finally:
            self.beat.set()

    def resume(self, message: Resumption) -> None:
        self.resumption = message

    def metrics(self, news: News) -> None:
        self.batches.append(news)

    def checkpoint(self, message: CheckpointReport, told: Callable[[], None]) -> None:
        self.checkpoints.append(message)
        told()

    def finish(self, message: Outcome) -> None:
        self.outcome = message

    def close(self) -> None:
        pass


NO_COMPILER = "loop: InvalidCxxCompiler: no working C++ compiler"
COMPILED = Execution(forms=("loop",), failures=(), compile_seconds=1.5, matmul="native")
FELL_BACK = Execution(forms=("eager",), failures=(NO_COMPILER,), compile_seconds=0.5)


class ScriptedCohort:
    """A cohort whose segments come from a generator function."""

    def __init__(self, script: Callable[[], Iterator[Segment]], *, execution: Execution = COMPILED) -> None:
        self._script = script
        self.execution = execution
        self.trials: Sequence[TrialSpec] = ()
        self.device: str | None = None
        self.states: Mapping[int, LaneState] = {}

    def __call__(
        self,
        trials: Sequence[TrialSpec],
        *,
        device: str,
        data_dir: Path | None,
        states: Mapping[int, LaneState],
    ) -> ScriptedCohort:
        self.trials, self.device, self.states = trials, device, states
        return self

    @property
    def steps_per_epoch(self) -> int:
        """As :func:`make_segment` has it."""
        return 10

    def lane_state(self, lane: int) -> LaneState:
        """Scripts have no state."""
        raise NotImplementedError

    def segments(self) -> Iterator[Segment]:
        return self._script()


@dataclass
class FakeQueue:
    """Cohorts that wait, are claimed and are lost; every call that changes something is written down."""

    waiting: list[Claim] = field(default_factory=list)
    claimed: dict[int, Claim] = field(default_factory=dict)
    losses: list[tuple[int, str]] = field(default_factory=list)
    ends: dict[int, bool] = field(default_factory=dict)
    unbegun: set[int] = field(default_factory=set)
    slow_to_stop: set[int] = field(default_factory=set)
    blameless: set[int] = field(default_factory=set)
    away: bool = False
    calls: list[str] = field(default_factory=list)

    unplanned: list[Claim] = field(default_factory=list)
    seen: list[NodeReport] = field(default_factory=list)
    avoided: frozenset[str] = frozenset()

    def see_nodes(self, nodes: Sequence[NodeReport]) -> frozenset[str]:
        self._require()
        self.seen = list(nodes)
        return self.avoided

    def backlog(self) -> Backlog:
        self._require()
        self.calls.append("backlog")
        return Backlog(unplanned=bool(self.unplanned), claimable=bool(self.waiting))

    def plan(self, *, max_lanes: int, slots: int, side_by_side: bool) -> int:
        self.calls.append(f"plan {max_lanes} {slots} {side_by_side}")
        planned, self.unplanned = self.unplanned, []
        self.waiting += planned
        return len(planned)

    def claim(self, *, owner: str, limit: int) -> list[Claim]:
        taken, self.waiting = self.waiting[:limit], self.waiting[limit:]
        self.claimed |= {claim.attempt_id: claim for claim in taken}
        return taken

    def ended(self, attempt_ids: Sequence[int]) -> dict[int, bool]:
        return {id: lost for id, lost in self.ends.items() if id in attempt_ids}

    def _require(self) -> None:
        if self.away:
            raise QueueUnavailable("no route to the database")

    def tidy(self) -> None:
        self.calls.append("tidy")

    def overdue(self, attempt_ids: Sequence[int]) -> list[int]:
        return sorted(self.slow_to_stop & set(attempt_ids))

    def lost(self, *, attempt_id: int, reason: str, blameless: bool = False) -> bool:
        self._require()
        self.losses.append((attempt_id, reason))
        self.blameless |= {attempt_id} if blameless else set()
        if claim := self.claimed.pop(attempt_id, None):
            self.waiting.append(claim)
        return blameless or attempt_id in self.unbegun

    def expire_leases(self) -> int:
        self.calls.append("expire_leases")
        return 0

    def ask_to_stop(self, *, owner: str) -> int:
        self._require()
        self.calls.append(f"ask_to_stop {owner}")
        return len(self.claimed)

    def release_owner(self, *, owner: str) -> int:
        self._require()
        self.calls.append(f"release_owner {owner}")
        self.waiting += self.claimed.values()
        self.claimed = {}
        return 0


@dataclass
class FakeLauncher:
    """Attempts that end when the test says so."""

    free: int = 2
    submitted: list[int] = field(default_factory=list)
    ended: list[Exit] = field(default_factory=list)
    killed: list[int] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    closed: bool = False
    getting_ready: int = 0
    avoided: set[str] = field(default_factory=set)

    def preparing(self) -> int:
        """As many as a test says."""
        return self.getting_ready

    def prepare(self) -> None:
        """Nothing has to be ready."""

    def slots(self) -> int:
        return 0 if "here" in self.avoided else self.free

    def nodes(self) -> Sequence[NodeReport]:
        return [NodeReport(name="here", device="cpu", slots=self.free, free=self.free)]

    def avoid(self, names: Collection[str]) -> None:
        self.avoided = set(names)

    def side_by_side(self) -> bool:
        return True

    def submit(self, claim: Claim) -> None:
        self.submitted.append(claim.attempt_id)

    def poll(self, timeout: float) -> Sequence[Exit]:
        self.waits.append(timeout)
        ended, self.ended = self.ended, []
        return ended

    def kill(self, attempt_id: int) -> None:
        self.killed.append(attempt_id)

    def close(self) -> None:
        self.closed = True
