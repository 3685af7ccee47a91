"""What pages, the API and the command line show of one trial."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine

from benchmarks.scoring.absurd import absurd_from
from benchmarks.scoring.goals import Goal
from service.errors import NotFound
from service.resources import describe, metrics, repeating, schemas
from service.resources.attempts import attempt_fields
from service.resources.costs import costs
from service.resources.sweeps import trial
from service.resources.trial_schemas import CheckpointLine, TrialDetail, TrialEvent
from service.storage.engine import read
from service.storage.queries import attempts, checkpoints, curves, events, trials
from service.storage.queries.trials import PlaceRow, TrialRow

SHOWN = 200
"""Seeds of its cell, sweeps that want it and events that are shown of a trial."""


def show_trial(engine: Engine, key: str) -> TrialDetail:
    """Specification, state and final metrics, where it belongs and what became of it.

    Raises:
        NotFound: there is no such trial.
    """
    with read(engine) as connection:
        row = _trial(connection, key)
        finals = trials.final_metrics(connection, [row.id]).get(row.id, {})
        shown = trial(row, finals, costs(connection, [row]).get(row.id))
        place = trials.place(connection, row.id)
        return TrialDetail(
            **dict(shown),
            **_where(row, place),
            seeds=_seeds(connection, place.cell_id),
            sweeps=_sweeps(connection, row.id),
            checkpoints=_checkpoints(connection, row.id),
            events=_events(connection, row.id),
            sweep_file=repeating.sweep_file(row.spec),
            absurd=_absurd(connection, row),
        )


def _absurd(connection: Connection, row: TrialRow) -> dict[str, int]:
    """Metric -> the epoch from which its curve is finite but absurd."""
    found = {}
    for one in curves.of_trial(connection, row.id):
        goal = metrics.metric_info(row.cell.task.id, one.metric).goal
        better: Goal = "maximize" if goal == "maximize" else "minimize"
        since = absurd_from(one.epochs.tolist(), one.values.tolist(), better)
        if since is not None:
            found[one.metric] = since
    return found


def _where(row: TrialRow, place: PlaceRow) -> dict[str, Any]:
    """What the trial is of, and how far it is."""
    cell = row.cell
    return {
        "seed": row.seed,
        "estimator": cell.estimator.id,
        "title": describe.estimator_title(cell.estimator),
        "setting": describe.setting(cell),
        "cell": place.cell_key,
        "board": place.board,
        "board_title": describe.board_title(cell.task),
        "board_page": f"/boards/{place.board}",
        "task": cell.task.id,
        "steps": place.steps,
        "steps_done": place.steps_done,
        "ended_at": place.ended_at,
    }


def _seeds(connection: Connection, cell_id: int) -> list[schemas.SeedTrial]:
    found = trials.seeds_of_cell(connection, cell_id, limit=SHOWN)
    return [schemas.SeedTrial(key=key, seed=seed, state=state) for key, seed, state in found]


def _sweeps(connection: Connection, trial_id: int) -> list[schemas.SweepOfAttempt]:
    found = trials.sweeps_wanting(connection, trial_id, limit=SHOWN)
    return [schemas.SweepOfAttempt(id=str(id), name=name, page=f"/sweeps/{id}") for id, name in found]


def _checkpoints(connection: Connection, trial_id: int) -> list[CheckpointLine]:
    found = checkpoints.of_trials(connection, [trial_id]).get(trial_id, [])
    return [
        CheckpointLine(
            attempt=one.attempt_id, step=one.step, epochs=one.epochs, bytes=one.bytes, seconds=one.seconds
        )
        for one in found
    ]


def _events(connection: Connection, trial_id: int) -> list[TrialEvent]:
    ids = [attempt.id for attempt in attempts.attempts_at(connection, trial_id)]
    found = events.of_attempts(connection, ids, limit=SHOWN)
    return [TrialEvent(at=one.at, kind=one.kind, attempt=one.attempt_id, detail=one.detail) for one in found]


def trial_curves(engine: Engine, key: str) -> schemas.CurveList:
    """Everything that was reported epoch by epoch; while the trial runs, up to its last report.

    Raises:
        NotFound: there is no such trial.
    """
    with read(engine) as connection:
        row = _trial(connection, key)
        found = curves.of_trial(connection, row.id)
        cost = costs(connection, [row]).get(row.id)
    shown = [
        schemas.Curve(metric=one.metric, epochs=one.epochs.tolist(), values=one.values.tolist())
        for one in found
    ]
    return schemas.CurveList(key=key, curves=[_with_axes(one, cost) for one in shown])


def trial_attempts(engine: Engine, key: str) -> schemas.AttemptList:
    """The executions of the cohorts that the trial has stood in, oldest first.

    Raises:
        NotFound: there is no such trial.
    """
    with read(engine) as connection:
        row = _trial(connection, key)
        rows = attempts.attempts_at(connection, row.id)
    shown = [
        schemas.Attempt(**attempt_fields(one), resumed_from_step=(one.resumed or {}).get(key)) for one in rows
    ]
    return schemas.AttemptList(key=key, attempts=shown)


def _with_axes(curve: schemas.Curve, cost: schemas.TrialCost | None) -> schemas.Curve:
    """The curve with the updates and evaluations that its epochs took, where these are known."""
    if cost is None:
        return curve
    steps = [epoch * cost.steps_per_epoch for epoch in curve.epochs]
    each = cost.evaluations_per_step
    evaluations = None if each is None else [count * each for count in steps]
    return curve.model_copy(update={"steps": steps, "evaluations": evaluations})


def _trial(connection: Connection, key: str) -> TrialRow:
    row = trials.trial_by_key(connection, key)
    if row is None:
        raise NotFound(f"there is no trial {key!r}")
    return row
