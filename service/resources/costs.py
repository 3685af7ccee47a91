"""What trials took: arithmetic on their own seconds, their specification and their attempt's provenance."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from service.resources import describe, schemas
from service.storage.queries import trials
from service.storage.queries.trials import TrialRow


def costs(connection: Connection, rows: Sequence[TrialRow]) -> dict[int, schemas.TrialCost]:
    """Trial id -> its cost, for trials that have ended and whose task this version can describe."""
    ids = sorted({row.attempt_id for row in rows if row.attempt_id is not None})
    provenances = trials.provenances(connection, ids)
    found = {}
    for row in rows:
        info = describe.known_task(row.spec.task)
        if info is None or row.seconds is None:
            continue
        values, provenance = row.spec.task.values, provenances.get(row.attempt_id or 0, {})
        steps = info.total_steps(values)
        found[row.id] = schemas.TrialCost(
            steps=steps,
            steps_per_epoch=info.steps_per_epoch(values),
            seconds_per_step=row.seconds / steps if row.state == "succeeded" else None,
            evaluations_per_step=provenance.get("evaluations"),
            peak_memory_bytes=provenance.get("peak_memory_bytes"),
        )
    return found
