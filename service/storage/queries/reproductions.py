"""What is known of the cells of an exhibit, by their keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from service.states import TrialState
from service.storage.models import Cell, Sweep, Trial, TrialMetric
from service.storage.queries.moves import chunks


class EndedRow(NamedTuple):
    """A metric of a trial that succeeded, or a trial that failed: then metric and value are ``None``."""

    cell_key: str
    seed: int
    metric: str | None
    value: float | None


def ended(connection: Connection, cell_keys: Sequence[str], metrics: Sequence[str]) -> list[EndedRow]:
    """Of every seed of these cells that ended, the final values of some metrics."""
    asked = sa.and_(TrialMetric.trial_id == Trial.id, TrialMetric.metric.in_(metrics))
    found: list[EndedRow] = []
    for some in chunks(cell_keys):
        rows = connection.execute(
            sa.select(Cell.cell_key, Trial.seed, TrialMetric.metric, TrialMetric.value)
            .join(Trial, Trial.cell_id == Cell.id)
            .outerjoin(TrialMetric, asked)
            .where(Cell.cell_key.in_(some), Trial.state.in_((TrialState.SUCCEEDED, TrialState.FAILED)))
        )
        found += [EndedRow(*row) for row in rows]
    return found


def sweeps_with_keys(connection: Connection, idempotency_keys: Sequence[str]) -> dict[str, int]:
    """Ids of the sweeps that were submitted with these keys."""
    found: dict[str, int] = {}
    for some in chunks(idempotency_keys):
        rows = connection.execute(
            sa.select(Sweep.idempotency_key, Sweep.id).where(Sweep.idempotency_key.in_(some))
        )
        found.update({str(key): id for key, id in rows})
    return found
