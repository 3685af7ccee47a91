"""Numbers of the whole queue for monitoring: one short reading, whatever the size of the database."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from service.states import AttemptState, Cause, CohortState
from service.storage.engine import is_sqlite
from service.storage.models import Attempt, Cell, Cohort, Sweep


class Gauges(NamedTuple):
    """What monitoring asks of the database.

    Attributes:
        trials: state -> how many; ``waiting`` are queued, running or no longer wanted.
        cohorts: state -> how many, of those queued and running.
        lost: cause -> attempts that were lost, of every cause.
        storing: sweeps that are being stored.
        stored_bytes: size of the database.
    """

    trials: dict[str, int]
    cohorts: dict[str, int]
    lost: dict[str, int]
    storing: int
    stored_bytes: int


def gauges(connection: Connection) -> Gauges:
    """Read all of them."""
    counts = (Cell.trials, Cell.succeeded, Cell.failed, Cell.cancelled)
    sums = connection.execute(sa.select(*(sa.func.coalesce(sa.func.sum(one), 0) for one in counts))).one()
    trials, succeeded, failed, cancelled = map(int, sums)
    ended = {"succeeded": succeeded, "failed": failed, "cancelled": cancelled}
    by_state = (
        sa.select(Cohort.state, sa.func.count())
        .where(Cohort.state.in_((CohortState.QUEUED, CohortState.RUNNING)))
        .group_by(Cohort.state)
    )
    found = {state: number for state, number in connection.execute(by_state)}
    lost = (
        sa.select(Attempt.cause, sa.func.count())
        .where(Attempt.state == AttemptState.LOST)
        .group_by(Attempt.cause)
    )
    losses = {cause.value if cause else "unknown": number for cause, number in connection.execute(lost)}
    storing = sa.select(sa.func.count()).where(Sweep.storing_until.is_not(None))
    return Gauges(
        trials={"waiting": trials - sum(ended.values()), **ended},
        cohorts={one.value: found.get(one, 0) for one in (CohortState.QUEUED, CohortState.RUNNING)},
        lost={**dict.fromkeys(Cause, 0), **losses},
        storing=int(connection.execute(storing).scalar_one()),
        stored_bytes=_stored_bytes(connection),
    )


def _stored_bytes(connection: Connection) -> int:
    if is_sqlite(connection):
        pages = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
        return int(connection.execute(sa.text(pages)).scalar_one())
    size = sa.select(sa.func.pg_database_size(sa.func.current_database()))
    return int(connection.execute(size).scalar_one())


def running(connection: Connection) -> list[tuple[int, datetime]]:
    """Of every attempt that runs: steps of all its lanes, and since when."""
    rows = connection.execute(
        sa.select(Attempt.steps_done, Attempt.started_at).where(Attempt.state == AttemptState.RUNNING)
    )
    return [(steps, since) for steps, since in rows if since is not None]
