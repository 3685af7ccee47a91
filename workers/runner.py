"""Run one attempt: ask what to compute, compute it, report it. Knows neither Ray nor the database."""

from __future__ import annotations

import importlib
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from benchmarks.engine.stopwatch import Stopwatch
from benchmarks.spec import TrialSpec
from workers.bookkeeping import CurveBuffer, LaneOutcomes
from workers.heartbeat import Heart, StopReason
from workers.messages import News, Outcome, Provenance, StartReply
from workers.ports import AttemptReporter, ReportError, Superseded
from workers.provenance import describe

if TYPE_CHECKING:
    from benchmarks.engine.cohort import Execution, Segment

_log = logging.getLogger(__name__)

HEARTBEATS_PER_LEASE = 3  # two may be lost before the lease is
LONGEST_BEAT = 1.5
"""Seconds between heartbeats at most: their answers say when to stop, and people who ask for that wait."""
FLUSH_SECONDS = 1.0

Ending = Literal["finished", "failed", "stopped", "superseded"]
Stop = Literal["asked", "superseded", "memory"]
Clock = Callable[[], float]


class Lanes(Protocol):
    """The part of ``benchmarks.engine.cohort.Cohort`` that is used here."""

    def segments(self) -> Iterator[Segment]:
        """Run to the end, segment by segment."""

    @property
    def execution(self) -> Execution:
        """How steps are done, as far as they have begun."""


class BuildCohort(Protocol):
    """Makes the program that runs the trials as lanes."""

    def __call__(self, trials: Sequence[TrialSpec], *, device: str, data_dir: Path | None) -> Lanes:
        """Load data, initialise parameters."""


def build_cohort(trials: Sequence[TrialSpec], *, device: str, data_dir: Path | None) -> Lanes:
    """The lane engine, single-threaded on a CPU: one worker per core, and results are bitwise."""
    import torch

    from benchmarks.engine.cohort import Cohort

    if device == "cpu":
        torch.set_num_threads(1)
    else:
        torch.cuda.reset_peak_memory_stats(device)
    return Cohort(trials, device=device, data_dir=data_dir)


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
    build: BuildCohort = build_cohort,
    clock: Clock = time.monotonic,
) -> Ending:
    """Run one attempt from its start to its finish.

    What goes wrong in a trial (a missing data set, an error in a task, a lane that diverges) is reported as
    the outcome of the trials that had not ended. What goes wrong between here and the server is raised.

    Args:
        reporter: the line to the server; its ``start`` says what to compute.
        device: a torch device.
        data_dir: where data sets lie; default as in ``benchmarks.datasets.loading``.
        build: makes the cohort.
        clock: monotonic seconds.

    Returns:
        How it ended; ``superseded`` also when the attempt was not to start at all.

    Raises:
        ReportError: the server refused the attempt or was away for too long, or the heartbeat died.
    """
    reply = reporter.start()
    if reply is None:
        return "superseded"
    try:
        return _Run(reply, reporter, clock).execute(build, device, data_dir)
    except Superseded:
        return "superseded"


class _Run:
    """One started attempt: its trials, its unsent curves, its progress."""

    def __init__(self, reply: StartReply, reporter: AttemptReporter, clock: Clock) -> None:
        self._reporter = reporter
        self._clock, self._watch = clock, Stopwatch(clock)
        self._interval = min(LONGEST_BEAT, reply.lease_seconds / HEARTBEATS_PER_LEASE)
        self._specs = [trial.spec for trial in reply.trials]
        self._outcomes = LaneOutcomes([trial.key for trial in reply.trials])
        self._curves = CurveBuffer([trial.key for trial in reply.trials])
        self._began = clock()
        self._first_step_seconds: float | None = None
        self._execution: Execution | None = None
        self._exhausted: Exception | None = None
        self._data: dict[str, str] = {}

    def execute(self, build: BuildCohort, device: str, data_dir: Path | None) -> Ending:
        with Heart(self._reporter, interval=self._interval, progress=self._curves.progress) as heart:
            stop = self._compute(build, device, data_dir, heart)
            if stop == "superseded":
                return "superseded"
            self._send(self._curves.take())
            if stop is not None:
                self._outcomes.stop_rest(self._exhausted)
            outcomes, provenance = self._outcomes.take(), self._provenance(device)
            self._reporter.finish(Outcome(outcomes=outcomes, provenance=provenance, reason=stop or "asked"))
        if stop == "asked":
            return "stopped"
        return "failed" if stop == "memory" or self._outcomes.raised else "finished"

    def _compute(self, build: BuildCohort, device: str, data_dir: Path | None, heart: Heart) -> Stop | None:
        if not self._specs:  # the attempt before told of all trials and was lost before it could finish
            return None
        try:
            with self._watch("imports"):
                import_engine()
            with self._watch("data"):
                specs = [TrialSpec.from_json(spec) for spec in self._specs]
                self._data = {one.id: one.digest for spec in specs for one in spec.task.data()}
                lanes = build(specs, device=device, data_dir=data_dir)
            return self._iterate(lanes, heart)
        except ReportError:
            raise
        except Exception as error:  # whatever a task raises belongs to its trials, with the traceback
            if _is_out_of_memory(error):
                self._exhausted = error
                return "memory"
            self._outcomes.fail_rest(error)
            return None

    def _iterate(self, lanes: Lanes, heart: Heart) -> StopReason | None:
        """Take segments until the last one or a request to stop; send what is new about once a second."""
        mark = flushed = self._clock()
        for segment in lanes.segments():
            now = self._clock()
            if self._first_step_seconds is None:
                self._first_step_seconds = now - self._began
            compiling = self._note(lanes.execution)
            self._outcomes.add(segment, seconds=now - mark, compiling=min(compiling, now - mark))
            self._curves.add(segment)
            mark = now
            if now - flushed >= FLUSH_SECONDS:
                self._send(self._curves.take(self._outcomes.take()))
                flushed = now
            if stop := heart.stop_reason():
                return stop
        self._outcomes.require_all_ended()
        return None

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

    def _provenance(self, device: str) -> Provenance:
        return describe(
            device,
            seconds=self._clock() - self._began,
            first_step_seconds=self._first_step_seconds,
            phases=self._watch.seconds,
            data=self._data,
            execution=self._execution,
        )

    def _send(self, news: News | None) -> None:
        with self._watch("reports"):
            if news is not None:
                self._reporter.metrics(news)
