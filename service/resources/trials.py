"""What pages, the API and the command line show of one trial."""

from __future__ import annotations

from sqlalchemy import Connection, Engine

from service.errors import NotFound
from service.resources import schemas
from service.resources.attempts import attempt_fields
from service.resources.costs import costs
from service.resources.sweeps import trial
from service.storage.engine import read
from service.storage.queries import attempts, curves, trials
from service.storage.queries.trials import TrialRow


def show_trial(engine: Engine, key: str) -> schemas.Trial:
    """Specification, state and final metrics.

    Raises:
        NotFound: there is no such trial.
    """
    with read(engine) as connection:
        row = _trial(connection, key)
        finals = trials.final_metrics(connection, [row.id]).get(row.id, {})
        return trial(row, finals, costs(connection, [row]).get(row.id))


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
