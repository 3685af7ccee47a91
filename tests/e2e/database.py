"""A small database with something of everything, made by the service's own code as workers would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine

from benchmarks.sweep import Sweep
from estimators import registry
from service.queue.cohorts import Queue
from service.queue.control import Controls
from service.queue.submission import submit
from tests.support.sweeps import PROVENANCE, small_sweep
from workers.messages import (
    CurveSegment,
    Heartbeat,
    LaneTrial,
    MetricsBatch,
    Outcome,
    TrialOutcome,
)
from workers.ports import NodeReport

HOSTILE = (
    "<script>document.title = 'taken'</script> =HYPERLINK(\"http://example.org\") \N{HEBREW LETTER ALEF}"
)
"""A name as a stranger may choose it: markup, a formula, letters that are written from right to left."""

OVERRIDE = "\N{RIGHT-TO-LEFT OVERRIDE}"
"""Names may not hold it, what programs print may: all that follows is written backwards."""

EPOCHS = 12

End = Callable[[LaneTrial], TrialOutcome]


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """Ids of what is there: boards of all estimators, of two, and without results; sweeps by their state."""

    board: str
    small_board: str
    empty_board: str
    sweep: int
    failed_sweep: int
    queued_sweep: int
    hostile_sweep: int
    trial: str
    failed_trial: str
    queued_trial: str


def fill(engine: Engine) -> Contents:
    """Put everything in."""
    everybody = small_sweep(name="all estimators", estimators=list(registry.available()), task=_task(4))
    two = small_sweep(name="two estimators", description="One line.", owner="ann", task=_task(5))
    failing = small_sweep(name="no luck", estimators=["st"], task=_task(6))
    hostile = small_sweep(name=HOSTILE, owner=HOSTILE, description=HOSTILE, estimators=["st"], task=_task(7))
    waiting = small_sweep(name="later", estimators=["st"], task=_task(8))
    binned = small_sweep(name="in the bin", estimators=["reinmax"], task=_task(8))
    with_results = [compute(engine, sweep, succeeded) for sweep in (everybody, two)]
    broken = [compute(engine, sweep, failed) for sweep in (failing, hostile)]
    Queue(engine).see_nodes([NodeReport(name="<b>node</b>", device="cpu", slots=2, free=2)])
    queued, deleted = submit(engine, waiting).sweep_id, submit(engine, binned).sweep_id
    Controls(engine).delete(deleted)
    return Contents(
        board=board_of(everybody),
        small_board=board_of(two),
        empty_board=board_of(waiting),
        sweep=with_results[0],
        failed_sweep=broken[0],
        queued_sweep=queued,
        hostile_sweep=broken[1],
        trial=trial_of(two),
        failed_trial=trial_of(hostile),
        queued_trial=trial_of(waiting),
    )


def trial_of(sweep: Sweep) -> str:
    """The id of its first trial."""
    return next(sweep.expand()).key


def compute(engine: Engine, sweep: Sweep, end: End) -> int:
    """Submit a sweep and report all of its trials; returns its id."""
    stored = submit(engine, sweep)
    queue = Queue(engine)
    queue.plan(max_lanes=64, slots=1)
    while claims := queue.claim(owner="test", limit=100):
        for claim in claims:
            trials = queue.start(claim.attempt_id, claim.secret).trials
            queue.metrics(claim.attempt_id, claim.secret, _curves(trials))
            ends = tuple(end(trial) for trial in trials)
            queue.finish(claim.attempt_id, claim.secret, Outcome(outcomes=ends, provenance=PROVENANCE))
        queue.plan(max_lanes=64, slots=1)
    return stored.sweep_id


def board_of(sweep: Sweep) -> str:
    """Id of the only board of a sweep."""
    return next(iter(sweep.expand())).task_key


def succeeded(trial: LaneTrial) -> TrialOutcome:
    """It ended well, with a loss that grows from estimator to estimator and a little from seed to seed."""
    loss = _curve(trial)[-1]
    metrics = {"expected_loss": loss, "train_loss": loss + 0.5}
    return TrialOutcome(trial=trial.key, status="succeeded", metrics=metrics, seconds=0.5)


def failed(trial: LaneTrial) -> TrialOutcome:
    """It ended badly, and says so in letters of its own choice."""
    error = f"RuntimeError: {HOSTILE} {OVERRIDE}abc"
    return TrialOutcome(trial=trial.key, status="failed", error=error, traceback=f"Traceback: {HOSTILE}")


def _task(latents: int) -> dict[str, object]:
    return {"id": "polynomial", "latents": latents, "epochs": EPOCHS, "steps_per_epoch": 5}


def _curve(trial: LaneTrial) -> tuple[float, ...]:
    known = registry.available()
    place = known.index(trial.spec["estimator"]["id"]) / len(known)
    return tuple(1 + place + 0.002 * trial.spec["seed"] + 3 / epoch for epoch in range(1, EPOCHS + 1))


def _curves(trials: tuple[LaneTrial, ...]) -> MetricsBatch:
    segments = tuple(
        CurveSegment(trial=trial.key, metric="expected_loss", first=1, values=_curve(trial))
        for trial in trials
    )
    return MetricsBatch(seq=1, progress=Heartbeat(steps_done=10, steps_total=10), segments=segments)
