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
    tables = sa.MetaData()
    tables.reflect(engine)
    with write(engine) as connection:
        now = database_clock(connection)
        _add_attempts(connection, tables, trials, now)
        for statement in _results(tables, now):
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


def _add_attempts(connection: Connection, tables: sa.MetaData, trials: int, now: datetime) -> None:
    """A cohort and its attempt for every thousand trials, both with the number of the thousand."""
    numbers = range(1, -(-trials // COHORT_TRIALS) + 1)
    cohort = {
        "state": CohortState.DONE.value,
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
        "state": AttemptState.FINISHED.value,
        "owner": "bench",
        "claimed_at": now,
        "ended_at": now,
        "last_seq": 0,
        "steps_done": 0,
        "steps_total": 0,
        "blameless": False,
        "provenance": PROVENANCE,
    }
    connection.execute(sa.insert(tables.tables["cohort"]), [{"id": number, **cohort} for number in numbers])
    connection.execute(
        sa.insert(tables.tables["attempt"]),
        [{"id": number, "cohort_id": number, **attempt} for number in numbers],
    )


def _results(tables: sa.MetaData, now: datetime) -> Iterator[sa.Executable]:
    """Every trial succeeded, in the attempt of its thousand, and is counted."""
    trial, cell, sweep = (tables.tables[name] for name in ("trial", "cell", "sweep"))
    number = (trial.c.id - 1) // COHORT_TRIALS + 1
    yield sa.update(trial).values(
        state=TrialState.SUCCEEDED.value,
        cohort_id=number,
        attempt_id=number,
        seconds=1.0,
        ended_at=now,
        steps_done=trial.c.steps,
    )
    yield from _values(trial, tables.tables["trial_metric"], tables.tables["cell_summary"])
    yield _curves(trial, tables.tables["curve_segment"])
    yield sa.update(cell).values(succeeded=cell.c.trials)
    ended = {"succeeded": sweep.c.trials, "steps_ended": sweep.c.steps, "steps_done": sweep.c.steps}
    yield sa.update(sweep).values(**ended, finished_at=now)


def _values(trial: sa.Table, metrics: sa.Table, summaries: sa.Table) -> Iterator[sa.Executable]:
    """Final values, a part of the setting's and a fiftieth of it of the seed's, and their moments."""
    value = 0.25 + 0.05 * _share(trial.c.cell_id, 104_729, 9_973) + 0.001 * _share(trial.c.id, 7_919, 1_009)
    for metric in METRICS:
        rows = sa.select(trial.c.id, sa.literal(metric), value)
        yield sa.insert(metrics).from_select(["trial_id", "metric", "value"], rows)
    count, mean = sa.func.count(), sa.func.avg(metrics.c.value)
    squares = sa.func.sum(metrics.c.value * metrics.c.value) - count * mean * mean
    m2 = sa.case((squares > 0.0, squares), else_=0.0)
    moments = (
        sa.select(trial.c.cell_id, metrics.c.metric, count, mean, m2)
        .join(trial, trial.c.id == metrics.c.trial_id)
        .group_by(trial.c.cell_id, metrics.c.metric)
    )
    yield sa.insert(summaries).from_select(["cell_id", "metric", "count", "mean", "m2"], moments)


def _share(column: sa.Column[Any], factor: int, modulus: int) -> sa.ColumnElement[Any]:
    """Scattered over [0, 1)."""
    scattered = sa.cast(column, sa.BigInteger) * factor % modulus
    return sa.cast(scattered, sa.Double()) / modulus


def _curves(trial: sa.Table, segments: sa.Table) -> sa.Executable:
    columns = ["trial_id", "metric", "attempt_id", "first", "count", "packed"]
    packed = sa.literal(pack([0.3] * EPOCHS), sa.LargeBinary())
    ends = (sa.literal(1), sa.literal(EPOCHS))
    rows = sa.select(trial.c.id, sa.literal(METRICS[0]), trial.c.attempt_id, *ends, packed)
    return sa.insert(segments).from_select(columns, rows)
