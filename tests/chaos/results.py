"""What a database holds of its trials: one result each, and what is wrong about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from service.resources.trials import trial_attempts
from service.storage.engine import read
from service.storage.models import Attempt, Cell, CellSummary, CurveSegment, Event, Trial, TrialMetric
from tests.support.references import dangling


class Result(NamedTuple):
    """What was stored of a trial: its state, final metrics, and curves as they were packed."""

    state: str
    metrics: Mapping[str, float]
    curves: Mapping[str, bytes]


class Doubled(NamedTuple):
    """Trials, or cells, of which something is there twice or missing in between."""

    curves: int
    """Curves whose points are not each there once."""
    cells: int
    """Cells whose counts or sums are not those of their trials."""
    references: int
    """Rows of what sweeps want that refer to nothing."""


def results(engine: Engine) -> dict[str, Result]:
    """Of all trials, by key."""
    with read(engine) as connection:
        keys = {row.id: row for row in connection.execute(sa.select(Trial.id, Trial.key, Trial.state))}
        metrics: dict[int, dict[str, float]] = {id: {} for id in keys}
        for trial, metric, value in connection.execute(
            sa.select(TrialMetric.trial_id, TrialMetric.metric, TrialMetric.value)
        ):
            metrics[trial][metric] = value
        curves: dict[int, dict[str, bytes]] = {id: {} for id in keys}
        for trial, metric, packed in connection.execute(
            sa.select(CurveSegment.trial_id, CurveSegment.metric, CurveSegment.packed).order_by(
                CurveSegment.trial_id, CurveSegment.metric, CurveSegment.first
            )
        ):
            curves[trial][metric] = curves[trial].get(metric, b"") + packed
    return {row.key: Result(str(row.state), metrics[id], curves[id]) for id, row in keys.items()}


def errors(engine: Engine) -> list[str]:
    """Of trials that have ended without a result."""
    with read(engine) as connection:
        ended = sa.select(Trial.error).where(Trial.state != "succeeded").order_by(Trial.id)
        return [error or "it was cancelled" for error in connection.scalars(ended)]


def stories(engine: Engine) -> list[str]:
    """What there is to know of each trial without a result: how it ended, and every attempt at it."""
    with read(engine) as connection:
        ended = sa.select(Trial.key, Trial.state, Trial.error, Trial.traceback).where(
            Trial.state != "succeeded"
        )
        found = connection.execute(ended.order_by(Trial.id)).all()
    return [
        "\n    ".join(
            (
                f"trial {row.key} {row.state}: {row.error}",
                str(row.traceback),
                *(one.model_dump_json() for one in trial_attempts(engine, row.key).attempts),
            )
        )
        for row in found
    ]


def doubled(engine: Engine) -> Doubled:
    """What is counted twice, or not at all."""
    with read(engine) as connection:
        return Doubled(_broken_curves(connection), _broken_cells(connection), len(dangling(engine)))


def _broken_curves(connection: Connection) -> int:
    """Points are counted from 1, so a whole curve has as many as the number of its last."""
    count, last = sa.func.sum(CurveSegment.count), sa.func.max(CurveSegment.first + CurveSegment.count - 1)
    broken = sa.select(CurveSegment.trial_id).group_by(CurveSegment.trial_id, CurveSegment.metric)
    return len(connection.execute(broken.having(count != last)).all())


def _broken_cells(connection: Connection) -> int:
    ended = Counter[int](connection.scalars(sa.select(Trial.cell_id).where(Trial.state == "succeeded")).all())
    finals = connection.execute(sa.select(Trial.cell_id, TrialMetric.metric).join(Trial))
    values = Counter[tuple[int, str]]((cell, metric) for cell, metric in finals)
    counted = connection.execute(sa.select(Cell.id, Cell.succeeded)).all()
    summed = connection.execute(sa.select(CellSummary.cell_id, CellSummary.metric, CellSummary.count)).all()
    wrong = {id for id, count in counted if count != ended[id]}
    return len(wrong | {cell for cell, metric, count in summed if count != values[cell, metric]})


def stale_writes(engine: Engine) -> int:
    """Attempts that something was stored of after they had been given up. Only where the clock was right."""
    with read(engine) as connection:
        late = sa.select(sa.func.count()).where(
            Attempt.state == "lost", Attempt.reported_at > Attempt.ended_at
        )
        return int(connection.execute(late).scalar_one())


def refused(engine: Engine) -> int:
    """Reports that the fence has refused."""
    with read(engine) as connection:
        return int(
            connection.execute(sa.select(sa.func.count()).where(Event.kind == "stale_report")).scalar_one()
        )


def steps(engine: Engine) -> tuple[int, int]:
    """Steps that all attempts have done, and those of the trials that have succeeded."""
    with read(engine) as connection:
        attempts = connection.execute(sa.select(Attempt.steps_done, Attempt.resumed)).all()
        needed = connection.execute(
            sa.select(sa.func.sum(Trial.steps)).where(Trial.state == "succeeded")
        ).scalar_one()
    done = sum(steps - sum((resumed or {}).values()) for steps, resumed in attempts)
    return done, int(needed or 0)
