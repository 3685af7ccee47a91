"""What finished attempts took, to predict what others will take."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from benchmarks.spec import CellSpec
from service.states import AttemptState, TrialState
from service.storage.models import Attempt, Cell, Trial


class FinishedAttempt(NamedTuple):
    """The trials that succeeded in one attempt, all of one program.

    ``spec`` is that of one of their cells; ``steps`` and ``seconds`` are of all of them together. ``phases``
    says what the attempt spent its time on, where it was told.
    """

    signature: str
    spec: CellSpec
    trials: int
    steps: int
    seconds: float
    phases: dict[str, float]


def finished_attempts(connection: Connection, *, limit: int) -> list[FinishedAttempt]:
    """The newest ``limit`` finished attempts, newest first; those without a success are left out."""
    newest = (
        sa.select(Attempt.id, Attempt.cohort_id)
        .where(Attempt.state == AttemptState.FINISHED)
        .order_by(Attempt.id.desc())
        .limit(limit)
        .subquery()
    )
    sums = (
        sa.select(
            newest.c.id,
            sa.func.max(Trial.signature).label("signature"),
            sa.func.min(Trial.cell_id).label("cell_id"),
            sa.func.count().label("trials"),
            sa.cast(sa.func.sum(Trial.steps), sa.BigInteger).label("steps"),
            sa.func.sum(Trial.seconds).label("seconds"),
        )
        # by cohort first, which is indexed
        .join(Trial, sa.and_(Trial.cohort_id == newest.c.cohort_id, Trial.attempt_id == newest.c.id))
        .where(Trial.state == TrialState.SUCCEEDED, Trial.seconds > 0)
        .group_by(newest.c.id)
        .subquery()
    )
    rows = connection.execute(
        sa.select(
            sums.c.signature, Cell.spec, sums.c.trials, sums.c.steps, sums.c.seconds, Attempt.provenance
        )
        .join(Cell, Cell.id == sums.c.cell_id)
        .join(Attempt, Attempt.id == sums.c.id)
        .order_by(sums.c.id.desc())
    )
    return [
        FinishedAttempt(signature, spec, trials, steps, seconds, (provenance or {}).get("phases", {}))
        for signature, spec, trials, steps, seconds, provenance in rows
    ]
