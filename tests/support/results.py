"""Sweeps that were computed without computing, by a rule that gives every trial its result."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Engine

from benchmarks.sweep import Sweep
from service.queue.cohorts import Queue
from service.queue.submission import submit
from tests.support.sweeps import PROVENANCE
from workers.messages import CurveSegment, Heartbeat, LaneTrial, MetricsBatch, Outcome, TrialOutcome

Spec = Mapping[str, Any]
Result = float | str
"""Final expected loss, or the error that a trial failed with; NaN: it diverged at step 5."""

EVALUATIONS = {"reinforce": 1, "rloo": 4, "reinmax": 1, "st": 1, "exact": 16}


def results(engine: Engine, sweep: Sweep, result: Callable[[Spec], Result], *, seconds: float = 0.5) -> str:
    """Submit a sweep and report what ``result`` says of every trial's specification; returns the sweep's id.

    Curves of two epochs end at the result. Every trial takes as long.
    """
    stored = submit(engine, sweep)
    queue = Queue(engine)
    queue.plan(max_lanes=64, slots=1)
    while claims := queue.claim(owner="test", limit=100):
        for claim in claims:
            trials = queue.start(claim.attempt_id, claim.secret).trials
            ends = [result(trial.spec) for trial in trials]
            queue.metrics(claim.attempt_id, claim.secret, _curves(trials, ends))
            each = EVALUATIONS.get(trials[0].spec["estimator"]["id"], 2)  # a cohort is of one estimator
            outcome = Outcome(
                outcomes=tuple(_outcome(*pair, seconds) for pair in zip(trials, ends, strict=True)),
                provenance=PROVENANCE.model_copy(update={"evaluations": each}),
            )
            queue.finish(claim.attempt_id, claim.secret, outcome)
    return str(stored.sweep_id)


def _curves(trials: Sequence[LaneTrial], ends: Sequence[Result]) -> MetricsBatch:
    segments = tuple(
        CurveSegment(trial=trial.key, metric="expected_loss", first=1, values=(2.0 + end, end))
        for trial, end in zip(trials, ends, strict=True)
        if isinstance(end, float) and math.isfinite(end)
    )
    return MetricsBatch(seq=1, progress=Heartbeat(steps_done=10, steps_total=10), segments=segments)


def _outcome(trial: LaneTrial, end: Result, seconds: float) -> TrialOutcome:
    if isinstance(end, str):
        return TrialOutcome(trial=trial.key, status="failed", error=end, traceback="Traceback: here")
    if math.isnan(end):
        return TrialOutcome(trial=trial.key, status="failed", error="its loss is NaN", diverged_at=5)
    metrics = {"expected_loss": end, "train_loss": 1.0}
    return TrialOutcome(trial=trial.key, status="succeeded", metrics=metrics, seconds=seconds)
