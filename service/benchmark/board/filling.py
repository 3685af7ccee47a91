"""A board with results that nobody computed: submitted as usual, ended by a few statements."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from benchmarks.sweep import read_sweep
from service.queue.submission import submit
from service.states import AttemptState, CohortState, TrialState
from service.storage.engine import database_clock, write
from service.storage.models import (
    Attempt,
    Cell,
    CellSummary,
    Cohort,
    CurveSegment,
    Sweep,
    Trial,
    TrialMetric,
)
from service.storage.queries.curves import pack

TEMPERED = (
    "st", "stgs", "decoupled_stgs", "gumbel_softmax", "gumbel_rao",
    "gst", "gst_p", "reinmax", "reinmax_rao", "reinmax_cv",
)  # fmt: skip
"""Estimators with a temperature."""

OTHERS = (
    "exact", "reinforce", "reinforce_ema", "rloo", "nvil",
    "disarm", "arms", "arsm", "muprop", "double_cv",
)  # fmt: skip

TEMPERATURES = 10
SEEDS = 10
SWEEP_TRIALS = 100_000
"""Of one sweep at most."""
COHORT_TRIALS = 1_000
EPOCHS = 20
METRICS = ("expected_loss", "train_loss")
TASK: dict[str, Any] = {"id": "polynomial", "latents": 4, "batch_size": 4, "epochs": EPOCHS}

PROVENANCE: dict[str, Any] = {
    "heunboard": "0",
    "torch": "0",
    "device": "none",
    "executor": "steps",
    "evaluations": 1,
    "peak_memory_bytes": 1 << 20,
}


def fill(engine: Engine, trials: int) -> None:
    """Put a board of so many trials, ten seeds a setting, into an empty database."""
    of_sweep = min(trials, SWEEP_TRIALS)
    for number in range(trials // of_sweep):
        submit(engine, read_sweep(_document(number, of_sweep)))
    with write(engine) as connection:
        now = database_clock(connection)
        _add_attempts(connection, trials, now)
        for statement in (_ends(now), *_values(), _summaries(), _curves(), *_totals(now)):
            connection.execute(statement)
    with write(engine) as connection:
        connection.execute(sa.text("ANALYZE"))


def _document(number: int, trials: int) -> dict[str, Any]:
    """A sweep whose learning rates no other has."""
    settings = trials // ((len(TEMPERED) + len(OTHERS)) * SEEDS)
    temperatures = [(1 + i) / 5 for i in range(TEMPERATURES)]
    rates = [(1 + number + i / (settings + 1)) * 1e-3 for i in range(settings)]
    return {
        "name": f"wide {number}",
        "task": TASK,
        "estimators": [
            *({"id": id, "temperature": temperatures, "lr": rates[::TEMPERATURES]} for id in TEMPERED),
            *({"id": id, "lr": rates} for id in OTHERS),
        ],
        "seeds": SEEDS,
    }


def _add_attempts(connection: Connection, trials: int, now: datetime) -> None:
    """A cohort and its attempt for every thousand trials, both with the number of the thousand."""
    numbers = range(1, -(-trials // COHORT_TRIALS) + 1)
    cohort = {
        "state": CohortState.DONE,
        "label": "filled",
        "lanes": COHORT_TRIALS,
        "priority": 0,
        "sweep_order": 1,
        "submitter": "",
        "attempt": 1,
        "not_before": now,
        "created_at": now,
    }
    attempt = {
        "number": 1,
        "secret_hash": "",
        "state": AttemptState.FINISHED,
        "owner": "bench",
        "claimed_at": now,
        "ended_at": now,
        "provenance": PROVENANCE,
    }
    connection.execute(sa.insert(Cohort), [{"id": number, **cohort} for number in numbers])
    connection.execute(
        sa.insert(Attempt), [{"id": number, "cohort_id": number, **attempt} for number in numbers]
    )


def _ends(now: datetime) -> sa.Executable:
    """Every trial succeeded, in the attempt of its thousand."""
    number = (Trial.id - 1) // COHORT_TRIALS + 1
    return sa.update(Trial).values(
        state=TrialState.SUCCEEDED,
        cohort_id=number,
        attempt_id=number,
        seconds=1.0,
        ended_at=now,
        steps_done=Trial.steps,
    )


def _values() -> Iterator[sa.Executable]:
    """Final values: a part of the setting's, and a fiftieth of it of the seed's."""
    of_setting = _share(Trial.cell_id, 104_729, 9_973)
    value = 0.25 + 0.05 * of_setting + 0.001 * _share(Trial.id, 7_919, 1_009)
    for metric in METRICS:
        rows = sa.select(Trial.id, sa.literal(metric), value)
        yield sa.insert(TrialMetric).from_select(["trial_id", "metric", "value"], rows)


def _share(column: sa.SQLColumnExpression[int], factor: int, modulus: int) -> sa.ColumnElement[Any]:
    """Scattered over [0, 1)."""
    scattered = sa.cast(column, sa.BigInteger) * factor % modulus
    return sa.cast(scattered, sa.Double()) / modulus


def _summaries() -> sa.Executable:
    count, value = sa.func.count(), TrialMetric.value
    mean = sa.func.avg(value)
    squares = sa.func.sum(value * value) - count * mean * mean
    rows = (
        sa.select(
            Trial.cell_id, TrialMetric.metric, count, mean, sa.case((squares > 0.0, squares), else_=0.0)
        )
        .join(Trial, Trial.id == TrialMetric.trial_id)
        .group_by(Trial.cell_id, TrialMetric.metric)
    )
    return sa.insert(CellSummary).from_select(["cell_id", "metric", "count", "mean", "m2"], rows)


def _curves() -> sa.Executable:
    columns = ["trial_id", "metric", "attempt_id", "first", "count", "packed"]
    ends = (sa.literal(1), sa.literal(EPOCHS))
    packed = sa.literal(pack([0.3] * EPOCHS), sa.LargeBinary())
    rows = sa.select(Trial.id, sa.literal(METRICS[0]), Trial.attempt_id, *ends, packed)
    return sa.insert(CurveSegment).from_select(columns, rows)


def _totals(now: datetime) -> Iterator[sa.Executable]:
    yield sa.update(Cell).values(succeeded=Cell.trials)
    yield sa.update(Sweep).values(
        succeeded=Sweep.trials, steps_ended=Sweep.steps, steps_done=Sweep.steps, finished_at=now
    )
