"""Boards whose results are given number by number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Engine

from service.queue.cohorts import Queue
from service.queue.submission import submit
from tests.support.sweeps import PROVENANCE, small_sweep
from workers.messages import CurveSegment, Heartbeat, LaneTrial, MetricsBatch, Outcome, TrialOutcome

Scores = Mapping[tuple[str, float], Sequence[float | None]]
"""Final expected loss by (estimator, temperature) and seed; ``None`` for a seed that fails."""


def score(engine: Engine, scores: Scores, **changes: Any) -> str:
    """Compute a board with these results; returns its id."""
    grids = [{"id": estimator, "temperature": at} for estimator, at in scores]
    sweep = small_sweep(estimators=grids, seeds=max(map(len, scores.values())), **changes)
    submit(engine, sweep)
    queue = Queue(engine)
    queue.plan(max_lanes=64, slots=1)
    for claim in queue.claim(owner="test", limit=100):
        reply = queue.start(claim.attempt_id, claim.secret)
        batch = MetricsBatch(
            seq=1,
            progress=Heartbeat(steps_done=10, steps_total=10),
            segments=tuple(_curve(trial, scores) for trial in reply.trials),
        )
        queue.metrics(claim.attempt_id, claim.secret, batch)
        ends = tuple(_end(trial, scores) for trial in reply.trials)
        queue.finish(claim.attempt_id, claim.secret, Outcome(outcomes=ends, provenance=PROVENANCE))
    return next(iter(sweep.expand())).task_key


def _value(trial: LaneTrial, scores: Scores) -> float | None:
    estimator, seed = trial.spec["estimator"], trial.spec["seed"]
    values = scores[estimator["id"], estimator["parameters"]["temperature"]]
    return values[seed] if seed < len(values) else None


def _curve(trial: LaneTrial, scores: Scores) -> CurveSegment:
    value = _value(trial, scores)
    values = (9.0, 9.0 if value is None else value)
    return CurveSegment(trial=trial.key, metric="expected_loss", first=1, values=values)


def _end(trial: LaneTrial, scores: Scores) -> TrialOutcome:
    value = _value(trial, scores)
    if value is None:
        return TrialOutcome(trial=trial.key, status="failed", error="=1+1\nsecond line")
    metrics = {"expected_loss": value, "train_loss": 2 * value}
    return TrialOutcome(trial=trial.key, status="succeeded", metrics=metrics, seconds=0.5)
