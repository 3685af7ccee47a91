"""Run one attempt: ask what to compute, compute it, report it. Knows neither Ray nor the database."""

from __future__ import annotations

import functools
import importlib
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from benchmarks.engine.stopwatch import Stopwatch
from benchmarks.spec import TrialSpec
from workers import logs
from workers.bookkeeping import CurveBuffer, LaneOutcomes
from workers.checkpoints import LEAST_SECONDS, Checkpoints, Interval, LaneStates
from workers.components import changed, plugins_of, require
from workers.heartbeat import Heart, StopReason
from workers.messages import (
    CheckpointReport,
    News,
    Outcome,
    Provenance,
    Resumption,
    StartReply,
    TrialOutcome,
)
from workers.ports import AttemptReporter, CheckpointStore, ReportError, Superseded
from workers.provenance import describe

if TYPE_CHECKING:
    from benchmarks.engine.cohort import Execution, Segment
    from benchmarks.engine.lane_state import LaneState

_log = logging.getLogger(__name__)

HEARTBEATS_PER_LEASE = 3  # two may be lost before the lease is
LONGEST_BEAT = 1.5
"""Seconds between heartbeats at most: their answers say when to stop, and people who ask for that wait."""
FLUSH_SECONDS = 1.0

Ending = Literal["finished", "failed", "stopped", "superseded"]
Stop = Literal["asked", "superseded", "memory"]
Clock = Callable[[], float]


class Lanes(LaneStates, Protocol):
    """The part of ``benchmarks.engine.cohort.Cohort`` that is used here."""

    def segments(self) -> Iterator[Segment]:
        """Run to the end, segment by segment."""

    @property
    def execution(self) -> Execution:
        """How steps are done, as far as they have begun."""


class BuildCohort(Protocol):
    """Makes the program that runs the trials as lanes."""

    def __call__(
        self,
        trials: Sequence[TrialSpec],
        *,
        device: str,
        data_dir: Path | None,
        states: Mapping[int, LaneState],
    ) -> Lanes:
        """Load data; initialise the parameters of lanes that have no state to go on from."""


def build_cohort(
    trials: Sequence[TrialSpec], *, device: str, data_dir: Path | None, states: Mapping[int, LaneState]
) -> Lanes:
    """The lane engine, single-threaded on a CPU: one worker per core, and results are bitwise."""
    import torch

    from benchmarks.engine.cohort import Cohort

    if device == "cpu":
        torch.set_num_threads(1)
    else:
        torch.cuda.reset_peak_memory_stats(device)
    return Cohort(trials, device=device, data_dir=data_dir, states=states, contain=True)


def _is_out_of_memory(error: Exception) -> bool:
    if "torch" not in sys.modules:
        return isinstance(error, MemoryError)
    from benchmarks.engine.memory import is_out_of_memory

    return is_out_of_memory(error)


def import_engine() -> None:
    """Load torch and the lane engine, of which an attempt knows only once it has announced itself."""
    importlib.import_module("benchmarks.engine.cohort")


def run_attempt(
    reporter: AttemptReporter,
    *,
    device: str = "cpu",
    data_dir: Path | None = None,
    store: CheckpointStore | None = None,
    checkpoint_seconds: float = LEAST_SECONDS,
    build: BuildCohort = build_cohort,
    clock: Clock = time.monotonic,
    log: Callable[[], str | None] = lambda: None,
) -> Ending:
    """Run one attempt from its start to its finish.

    What goes wrong in a trial (a missing data set, an error in a task, a lane that diverges) is reported as
    the outcome of the trials that had not ended. What goes wrong between here and the server is raised.

    Args:
        reporter: the line to the server; its ``start`` says what to compute.
        device: a torch device.
        data_dir: where data sets lie; default as in ``benchmarks.datasets.loading``.
        store: where checkpoints lie; ``None``: trials begin anew and none is kept.
        checkpoint_seconds: of work that may be lost (see :class:`workers.checkpoints.Interval`).
        build: makes the cohort.
        clock: monotonic seconds.
        log: the end of what was logged meanwhile, for the attempt's report.

    Returns:
        How it ended; ``superseded`` also when the attempt was not to start at all.

    Raises:
        ReportError: the server refused the attempt or was away for too long, or the heartbeat died.
    """
    reply = reporter.start()
    if reply is None:
        return "superseded"
    with logs.bound(cohort=reply.cohort_id):
        _log.info("attempt %d begins: %d trials on %s", reply.attempt_id, len(reply.trials), device)
        try:
            checkpoints = Checkpoints(
                store,
                attempt=reply.attempt_id,
                trials=reply.trials,
                interval=Interval(checkpoint_seconds),
                clock=clock,
            )
            return _Run(reply, reporter, checkpoints, device, clock, log).execute(build, data_dir)
        except Superseded:
            return "superseded"


class _Run:
    """One started attempt: its trials, its unsent curves, its progress."""

    def __init__(
        self,
        reply: StartReply,
        reporter: AttemptReporter,
        checkpoints: Checkpoints,
        device: str,
        clock: Clock,
        log: Callable[[], str | None],
    ) -> None:
        self._reporter, self._checkpoints, self._device = reporter, checkpoints, device
        self._log = log
        self._clock, self._watch = clock, Stopwatch(clock)
        self._interval = min(LONGEST_BEAT, reply.lease_seconds / HEARTBEATS_PER_LEASE)
        self._specs = [trial.spec for trial in reply.trials]
        self._packages, self._stop_at_once = reply.packages, reply.stop
        self._outcomes = LaneOutcomes([trial.key for trial in reply.trials])
        self._curves = CurveBuffer([trial.key for trial in reply.trials])
        self._began = clock()
        self._first_step_seconds: float | None = None
        self._execution: Execution | None = None
        self._exhausted: Exception | None = None
        self._data: dict[str, str] = {}
        self._plugins: dict[str, str] = {}

    def execute(self, build: BuildCohort, data_dir: Path | None) -> Ending:
        with Heart(self._reporter, interval=self._interval, progress=self._curves.progress) as heart:
            stop = self._compute(build, data_dir, heart)
            if stop == "superseded":
                return "superseded"
            self._send(self._curves.take())
            if stop is not None:
                self._outcomes.stop_rest(self._exhausted)
            outcomes, provenance = self._ends(), self._provenance()
            reason = stop or "asked"
            self._reporter.finish(
                Outcome(outcomes=outcomes, provenance=provenance, reason=reason, log=self._log())
            )
        self._checkpoints.forget(self._outcomes.ended())
        if stop == "asked":
            return "stopped"
        return "failed" if stop == "memory" or self._outcomes.raised else "finished"

    def _compute(self, build: BuildCohort, data_dir: Path | None, heart: Heart) -> Stop | None:
        if not self._specs:  # the attempt before told of all trials and was lost before it could finish
            return None
        if self._stop_at_once:
            return self._stop_at_once
        try:
            with self._watch("imports"):
                import_engine()
            states = self._resume()
            with self._watch("data"):
                specs = [TrialSpec.from_json(spec) for spec in self._specs]
                self._require(specs)
                self._data = {one.id: one.digest for spec in specs for one in spec.task.data()}
                lanes = build(specs, device=self._device, data_dir=data_dir, states=states)
            return self._iterate(lanes, heart)
        except ReportError:
            raise
        except Exception as error:  # whatever a task raises belongs to its trials, with the traceback
            if _is_out_of_memory(error):
                self._exhausted = error
                return "memory"
            self._outcomes.fail_rest(error)
            return None

    def _require(self, specs: Sequence[TrialSpec]) -> None:
        """Look at what the trials are made of before anything is computed."""
        require(specs, self._packages)
        self._plugins = plugins_of(specs)
        for line in changed(specs, self._packages):
            _log.warning("%s", line)

    def _resume(self) -> dict[int, LaneState]:
        """Lane -> the state it goes on from, which the server knows of before anything else is told."""
        if not self._checkpoints.offered:
            return {}
        with self._watch("checkpoints"):
            resumed = self._checkpoints.resume()
            self._reporter.resume(Resumption(trials=self._checkpoints.resumptions()))
        self._outcomes.spent({lane: one.seconds for lane, one in resumed.items()})
        return {lane: one.state for lane, one in resumed.items()}

    def _iterate(self, lanes: Lanes, heart: Heart) -> StopReason | None:
        """Take segments until the last one or a request to stop; send what is new about once a second."""
        mark = flushed = self._clock()
        for segment in lanes.segments():
            now = self._clock()
            if self._first_step_seconds is None:
                self._first_step_seconds = now - self._began
            compiling = min(self._note(lanes.execution), now - mark)
            self._outcomes.add(segment, seconds=now - mark, compiling=compiling)
            self._curves.add(segment)
            self._checkpoints.ran(segment, since=mark + compiling)  # programs are kept anyway
            mark = now
            stop = heart.stop_reason()
            if now - flushed >= FLUSH_SECONDS:
                self._send(self._curves.take(self._ends()))
                flushed = now
            if self._checkpoints.due or (stop == "asked" and self._checkpoints.unkept):
                self._keep(lanes)
            if stop is not None:
                return stop
        self._outcomes.require_all_ended()
        return None

    def _keep(self, lanes: Lanes) -> None:
        """Take checkpoints, and have them told of after the curves up to them."""
        self._send(self._curves.take(self._ends()))
        with self._watch("checkpoints"):
            taken = self._checkpoints.take(lanes, self._outcomes.seconds)
        if taken:
            report = CheckpointReport(checkpoints=taken, provenance=self._provenance())
            self._reporter.checkpoint(report, functools.partial(self._checkpoints.told, taken))

    def _ends(self) -> tuple[TrialOutcome, ...]:
        """Outcomes that have not been told of; those of failures are logged."""
        ends = self._outcomes.take()
        for one in ends:
            if one.status == "failed":
                _log.warning("the trial failed: %s", one.error, extra={"trial": one.trial})
        return ends

    def _note(self, execution: Execution) -> float:
        """Keep how steps are done; say once in the worker's log when that is slower than it could be.

        Returns:
            Seconds spent on compiling since the last call.
        """
        before, self._execution = self._execution, execution
        warned = before is not None and before.failures
        if execution.failures and not warned:
            _log.warning(
                "training steps could not be compiled and take a slower form; results are right. "
                "Compiling needs a C++ compiler (g++) on the worker. What failed: %s",
                "; ".join(execution.failures),
            )
        return execution.compile_seconds - (before.compile_seconds if before else 0.0)

    def _provenance(self) -> Provenance:
        return describe(
            self._device,
            seconds=self._clock() - self._began,
            first_step_seconds=self._first_step_seconds,
            phases=self._watch.seconds,
            data=self._data,
            plugins=self._plugins,
            execution=self._execution,
        )

    def _send(self, news: News | None) -> None:
        with self._watch("reports"):
            if news is not None:
                self._reporter.metrics(news)
