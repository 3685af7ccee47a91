"""Storing what an attempt reports of its trials, inside the report's transaction."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from datetime import datetime

from sqlalchemy import Connection

from benchmarks.spec import Component
from benchmarks.tasks import registry as tasks
from benchmarks.tasks.diagnostic_metrics import diagnostic_metric
from service.errors import InvalidReport, StaleAttempt
from service.queue.storable import storable_json
from service.states import Event, TrialState
from service.storage.queries import cells, checkpoints, curves, reports, totals
from service.storage.queries.reports import Lane
from workers.messages import CurveSegment, Outcome, TrialOutcome

LONGEST_NAMES = 200
"""Characters of names that an error repeats."""

_ONE_FOR_EACH = "{} outcomes for {} trials; send exactly one for each"
_EVENTS = {"succeeded": Event.SUCCEED, "failed": Event.FAIL}


def store_curves(
    connection: Connection, cohort_id: int, attempt_id: int, segments: Sequence[CurveSegment]
) -> None:
    """Store curve segments of the cohort's unfinished trials.

    Raises:
        InvalidReport: a segment of another trial.
    """
    ids = reports.running_ids(connection, cohort_id)
    _refuse_strangers({segment.trial for segment in segments}, ids.keys())
    rows = [(ids[one.trial], one.metric, attempt_id, one.first, one.values) for one in segments if one.values]
    curves.insert(connection, rows)


def require_all(connection: Connection, cohort_id: int, outcomes: Sequence[TrialOutcome]) -> None:
    """Refuse what is not exactly one outcome for each unfinished trial of the cohort.

    Raises:
        InvalidReport: it is not.
    """
    lanes = _lanes(connection, cohort_id)
    _refuse_strangers({outcome.trial for outcome in outcomes}, lanes.keys())
    _refuse_doubles(outcomes, lanes)
    if len(outcomes) != len(lanes):
        raise InvalidReport(_ONE_FOR_EACH.format(len(outcomes), len(lanes)))


def settled(message: Outcome) -> tuple[list[TrialOutcome], list[TrialOutcome]]:
    """The outcomes of trials that have ended, and of those that another attempt may go on with.

    A single trial that does not fit into memory fails: no cohort is narrower than it.
    """
    stopped = [outcome for outcome in message.outcomes if outcome.status == "stopped"]
    ended = [outcome for outcome in message.outcomes if outcome.status != "stopped"]
    if message.reason == "memory" and len(stopped) == 1:
        return [*ended, stopped[0].model_copy(update={"status": "failed"})], []
    return ended, stopped


def store_ends(
    connection: Connection,
    cohort_id: int,
    attempt_id: int,
    outcomes: Sequence[TrialOutcome],
    *,
    now: datetime,
) -> None:
    """End unfinished trials of the cohort: states, final metrics, and what is kept per cell.

    Raises:
        InvalidReport: an outcome of another trial, two of one, or of one that has not ended.
    """
    lanes = _lanes(connection, cohort_id)
    _refuse_strangers({outcome.trial for outcome in outcomes}, lanes.keys())
    _refuse_doubles(outcomes, lanes)
    if any(outcome.status == "stopped" for outcome in outcomes):
        raise InvalidReport("a trial that is stopped has no end; tell of it when the attempt finishes")
    if not outcomes:
        return
    task = reports.task_of(connection, lanes[outcomes[0].trial].cell_id)  # that of the whole cohort
    judged = [_judge(outcome, task) for outcome in outcomes]
    untold = any(one.status == "failed" and one.diverged_at is None for one in judged)
    share = reports.share_done(connection, attempt_id, cohort_id) if untold else 0.0
    for status, event in _EVENTS.items():
        rows = [_end(outcome, lanes[outcome.trial], share) for outcome in judged if outcome.status == status]
        if rows and reports.end_trials(
            connection, event, rows, cohort_id=cohort_id, attempt_id=attempt_id, ended_at=now
        ) != len(rows):
            raise StaleAttempt("a trial of the cohort has ended otherwise; nothing was stored")
    _store_metrics(connection, judged, lanes)
    checkpoints.forget_ended(connection, checkpoints.in_cohort(cohort_id))
    totals.note_ends(connection, [lanes[outcome.trial].id for outcome in judged], now=now)


def _lanes(connection: Connection, cohort_id: int) -> dict[str, Lane]:
    return {lane.key: lane for lane in reports.running_lanes(connection, cohort_id)}


def _refuse_strangers(keys: Set[str], known: Set[str]) -> None:
    if strangers := sorted(keys - known):
        raise InvalidReport(f"trial {strangers[0]} is not one that this attempt has to end")


def _refuse_doubles(outcomes: Sequence[TrialOutcome], lanes: Mapping[str, Lane]) -> None:
    if len({outcome.trial for outcome in outcomes}) != len(outcomes):
        raise InvalidReport(_ONE_FOR_EACH.format(len(outcomes), len(lanes)))


def _judge(outcome: TrialOutcome, task: Component) -> TrialOutcome:
    """The outcome as it is stored: a success with a number that is not finite, or without the metrics that
    its task declares, is a failure."""
    if outcome.status == "succeeded":
        if not (error := _not_finite(outcome) or _unfit(outcome, task)):
            return outcome.model_copy(update={"error": None, "traceback": None})
        return outcome.model_copy(update={"status": "failed", "metrics": {}, "error": error})
    reason = (outcome.error or "failed without a message") if outcome.status == "failed" else None
    return outcome.model_copy(update={"metrics": {}, "error": reason})


def _not_finite(outcome: TrialOutcome) -> str:
    broken = [f"{name} is {value}" for name, value in outcome.metrics.items() if not math.isfinite(value)]
    return f"final metric {', '.join(broken)}: the trial diverged" if broken else ""


def _unfit(outcome: TrialOutcome, task: Component) -> str:
    """What is wrong with the names of the final metrics: all that the task declares are there, and besides
    them only diagnostics. Of a task that is not installed here, or in another version, nothing is known."""
    if task.id not in tasks.available() or tasks.get(task.id).version != task.version:
        return ""
    declared = {metric.name for metric in tasks.get(task.id).metrics}
    missing = sorted(declared - outcome.metrics.keys())
    unknown = sorted(name for name in outcome.metrics.keys() - declared if diagnostic_metric(name) is None)
    wrong = [f"without {', '.join(missing)}"] if missing else []
    wrong += [f"with {', '.join(unknown)[:LONGEST_NAMES]}, which it does not declare"] if unknown else []
    return f"the worker reported task {task.id!r} {' and '.join(wrong)}" if wrong else ""


def _end(outcome: TrialOutcome, lane: Lane, share: float) -> dict[str, object]:
    """What is stored of an end; ``share`` of its steps were done where the worker does not say."""
    told = round(lane.steps * share) if outcome.diverged_at is None else min(outcome.diverged_at, lane.steps)
    return {
        "trial": lane.id,
        "told_error": storable_json(outcome.error),
        "told_traceback": storable_json(outcome.traceback),
        "told_seconds": storable_json(outcome.seconds),
        "told_divergence": outcome.diverged_at if outcome.status == "failed" else None,
        "told_steps": lane.steps if outcome.status == "succeeded" else told,
    }


def _store_metrics(
    connection: Connection, outcomes: Sequence[TrialOutcome], lanes: Mapping[str, Lane]
) -> None:
    final = [
        (lanes[outcome.trial], metric, value)
        for outcome in outcomes
        for metric, value in outcome.metrics.items()
    ]
    reports.insert_trial_metrics(connection, [(lane.id, metric, value) for lane, metric, value in final])
    ends = [(lanes[outcome.trial].cell_id, TrialState(outcome.status)) for outcome in outcomes]
    cells.count_ends(connection, ends)
    cells.add_values(connection, [(lane.cell_id, metric, value) for lane, metric, value in final])
