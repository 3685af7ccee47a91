"""Storing what an attempt reports of its trials, inside the report's transaction."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from benchmarks.spec import CellSpec
from benchmarks.tasks import registry as tasks
from benchmarks.tasks.diagnostic_metrics import diagnostic_metric
from service.errors import InvalidReport, StaleAttempt
from service.queue.storable import storable_json
from service.states import Event, TrialState
from service.storage.queries import cells, checkpoints, curves, reports
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
    lanes = _lanes(connection, cohort_id)
    _refuse_strangers({segment.trial for segment in segments}, lanes)
    rows = [
        {
            "trial_id": lanes[segment.trial].id,
            "metric": segment.metric,
            "attempt_id": attempt_id,
            "first": segment.first,
            "values": segment.values,
        }
        for segment in segments
        if segment.values
    ]
    if rows:
        curves.insert(connection, rows)


def require_all(connection: Connection, cohort_id: int, outcomes: Sequence[TrialOutcome]) -> None:
    """Refuse what is not exactly one outcome for each unfinished trial of the cohort.

    Raises:
        InvalidReport: it is not.
    """
    lanes = _lanes(connection, cohort_id)
    _refuse_strangers({outcome.trial for outcome in outcomes}, lanes)
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
    _refuse_strangers({outcome.trial for outcome in outcomes}, lanes)
    _refuse_doubles(outcomes, lanes)
    if any(outcome.status == "stopped" for outcome in outcomes):
        raise InvalidReport("a trial that is stopped has no end; tell of it when the attempt finishes")
    judged = [_judge(outcome, lanes[outcome.trial]) for outcome in outcomes]
    for status, event in _EVENTS.items():
        rows = [_end(outcome, lanes) for outcome in judged if outcome.status == status]
        if rows and reports.end_trials(
            connection, event, rows, cohort_id=cohort_id, attempt_id=attempt_id, ended_at=now
        ) != len(rows):
            raise StaleAttempt("a trial of the cohort has ended otherwise; nothing was stored")
    _store_metrics(connection, judged, lanes)
    checkpoints.forget_ended(connection, checkpoints.in_cohort(cohort_id))


def _lanes(connection: Connection, cohort_id: int) -> dict[str, Lane]:
    return {lane.key: lane for lane in reports.running_lanes(connection, cohort_id)}


def _refuse_strangers(keys: set[str], lanes: Mapping[str, Lane]) -> None:
    if strangers := sorted(keys - lanes.keys()):
        raise InvalidReport(f"trial {strangers[0]} is not one that this attempt has to end")


def _refuse_doubles(outcomes: Sequence[TrialOutcome], lanes: Mapping[str, Lane]) -> None:
    if len({outcome.trial for outcome in outcomes}) != len(outcomes):
        raise InvalidReport(_ONE_FOR_EACH.format(len(outcomes), len(lanes)))


def _judge(outcome: TrialOutcome, lane: Lane) -> TrialOutcome:
    """The outcome as it is stored: a success with a number that is not finite, or without the metrics that
    its task declares, is a failure."""
    if outcome.status == "succeeded":
        if not (error := _not_finite(outcome) or _unfit(outcome, lane.cell)):
            return outcome.model_copy(update={"error": None, "traceback": None})
        return outcome.model_copy(update={"status": "failed", "metrics": {}, "error": error})
    reason = (outcome.error or "failed without a message") if outcome.status == "failed" else None
    return outcome.model_copy(update={"metrics": {}, "error": reason})


def _not_finite(outcome: TrialOutcome) -> str:
    broken = [f"{name} is {value}" for name, value in outcome.metrics.items() if not math.isfinite(value)]
    return f"final metric {', '.join(broken)}: the trial diverged" if broken else ""


def _unfit(outcome: TrialOutcome, cell: CellSpec) -> str:
    """What is wrong with the names of the final metrics: all that the task declares are there, and besides
    them only diagnostics. Of a task that is not installed here, or in another version, nothing is known."""
    if cell.task.id not in tasks.available() or tasks.get(cell.task.id).version != cell.task.version:
        return ""
    declared = {metric.name for metric in tasks.get(cell.task.id).metrics}
    missing = sorted(declared - outcome.metrics.keys())
    unknown = sorted(name for name in outcome.metrics.keys() - declared if diagnostic_metric(name) is None)
    wrong = [f"without {', '.join(missing)}"] if missing else []
    wrong += [f"with {', '.join(unknown)[:LONGEST_NAMES]}, which it does not declare"] if unknown else []
    return f"the worker reported task {cell.task.id!r} {' and '.join(wrong)}" if wrong else ""


def _end(outcome: TrialOutcome, lanes: Mapping[str, Lane]) -> dict[str, object]:
    return {
        "trial": lanes[outcome.trial].id,
        "told_error": storable_json(outcome.error),
        "told_traceback": storable_json(outcome.traceback),
        "told_seconds": storable_json(outcome.seconds),
        "told_divergence": outcome.diverged_at if outcome.status == "failed" else None,
    }


def _store_metrics(
    connection: Connection, outcomes: Sequence[TrialOutcome], lanes: Mapping[str, Lane]
) -> None:
    final = [
        (lanes[outcome.trial], metric, value)
        for outcome in outcomes
        for metric, value in outcome.metrics.items()
    ]
    if final:
        rows = [{"trial_id": lane.id, "metric": metric, "value": value} for lane, metric, value in final]
        reports.insert_trial_metrics(connection, rows)
    ends = [(lanes[outcome.trial].cell_id, TrialState(outcome.status)) for outcome in outcomes]
    cells.count_ends(connection, ends)
    cells.add_values(connection, [(lane.cell_id, metric, value) for lane, metric, value in final])
