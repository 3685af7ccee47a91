"""Nodes: who told of them, what is lost on them, where nothing is to begin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from service.states import CohortState
from service.storage.engine import is_sqlite
from service.storage.models import Attempt, Cohort, Node


class NodeRow(NamedTuple):
    """A node with the attempts that hold a cohort there."""

    id: int
    name: str
    device: str
    slots: int
    free: int | None
    heard_at: datetime
    draining: bool
    losses: int
    quarantined_until: datetime | None
    differs_since: datetime | None
    busy: int


def _with_counts() -> sa.Select[
    int, str, str, int, int | None, datetime, bool, int, datetime | None, datetime | None, int
]:
    busy = (
        sa.select(Attempt.node_id, sa.func.count().label("busy"))
        .join(Cohort, sa.and_(Cohort.id == Attempt.cohort_id, Cohort.attempt == Attempt.number))
        .where(Cohort.state == CohortState.RUNNING)
        .group_by(Attempt.node_id)
        .subquery()
    )
    return sa.select(
        Node.id,
        Node.name,
        Node.device,
        Node.slots,
        Node.free,
        Node.heard_at,
        Node.draining,
        Node.losses,
        Node.quarantined_until,
        Node.differs_since,
        sa.func.coalesce(busy.c.busy, 0),
    ).outerjoin(busy, busy.c.node_id == Node.id)


_WITH_COUNTS = _with_counts()


def node_rows(connection: Connection) -> list[NodeRow]:
    """All nodes, by name."""
    return [NodeRow(*row) for row in connection.execute(_WITH_COUNTS.order_by(Node.name))]


def node_row(connection: Connection, name: str) -> NodeRow | None:
    """The node of this name."""
    row = connection.execute(_WITH_COUNTS.where(Node.name == name)).one_or_none()
    return None if row is None else NodeRow(*row)


def note(connection: Connection, rows: Sequence[Mapping[str, Any]], *, now: datetime) -> None:
    """What a launcher tells of its nodes: ``name, device, slots, free``."""
    told = ("device", "slots", "free", "heard_at")
    insert = (sqlite if is_sqlite(connection) else postgresql).insert(Node)
    for row in sorted(rows, key=lambda row: str(row["name"])):  # in one order, whoever else tells of them
        add = insert.values(**row, heard_at=now, draining=False, losses=0)
        connection.execute(
            add.on_conflict_do_update(
                index_elements=[Node.name], set_={name: add.excluded[name] for name in told}
            )
        )


def note_differences(connection: Connection, since: Mapping[int, datetime | None]) -> None:
    """Node id -> since when launcher and queue disagree about it, ``None`` when they agree."""
    for node_id, when in sorted(since.items()):
        connection.execute(sa.update(Node).where(Node.id == node_id).values(differs_since=when))


def note_worker(connection: Connection, name: str, device: str, *, now: datetime) -> tuple[int, bool]:
    """A worker has begun an attempt there; returns the node's id, and whether it is draining."""
    insert = (sqlite if is_sqlite(connection) else postgresql).insert(Node)
    add = insert.values(name=name, device=device, slots=0, heard_at=now, draining=False, losses=0)
    known = add.on_conflict_do_update(index_elements=[Node.name], set_={"heard_at": now})
    node_id, draining = connection.execute(known.returning(Node.id, Node.draining)).one()
    return node_id, draining


def place(
    connection: Connection, attempt_id: int, *, node_id: int, host: str, worker: Mapping[str, Any]
) -> None:
    """Where an attempt runs, and what its worker said of itself."""
    values = {"node_id": node_id, "host": host, "worker": dict(worker)}
    connection.execute(sa.update(Attempt).where(Attempt.id == attempt_id).values(values))


def avoided(connection: Connection, *, now: datetime, latest: datetime) -> frozenset[str]:
    """Names of the nodes where nothing is to begin. No quarantine ends after ``latest``: one that does was
    set before the clock was set back."""
    out = sa.or_(Node.draining, sa.and_(Node.quarantined_until > now, Node.quarantined_until <= latest))
    return frozenset(connection.scalars(sa.select(Node.name).where(out)))


def set_draining(connection: Connection, node_id: int, draining: bool) -> None:
    """Begin or end to drain a node; when that ends, so does its quarantine."""
    values: dict[str, Any] = {"draining": draining}
    values |= {} if draining else {"losses": 0, "quarantined_until": None}
    connection.execute(sa.update(Node).where(Node.id == node_id).values(values))


def count_loss(connection: Connection, attempt_id: int) -> tuple[int, str, int] | None:
    """One more attempt in a row was lost on the node of this one; its id, name and losses.

    ``None`` when nobody knows where the attempt ran.
    """
    where = sa.select(Attempt.node_id).where(Attempt.id == attempt_id).scalar_subquery()
    counted = sa.update(Node).where(Node.id == where).values(losses=Node.losses + 1)
    row = connection.execute(counted.returning(Node.id, Node.name, Node.losses)).one_or_none()
    return None if row is None else (row.id, row.name, row.losses)


def forgive(connection: Connection, attempt_id: int) -> None:
    """The attempt ended well: the next loss on its node is the first in a row."""
    where = sa.select(Attempt.node_id).where(Attempt.id == attempt_id).scalar_subquery()
    calm = sa.update(Node).where(Node.id == where, Node.losses > 0)
    connection.execute(calm.values(losses=0, quarantined_until=None))


def others_in_service(connection: Connection, node_id: int, *, now: datetime, heard_after: datetime) -> bool:
    """Whether attempts could begin on another node."""
    well = (Node.slots > 0, Node.heard_at > heard_after, sa.not_(Node.draining))
    calm = sa.or_(Node.quarantined_until.is_(None), Node.quarantined_until <= now)
    others = sa.select(Node.id).where(Node.id != node_id, *well, calm)
    return bool(connection.execute(sa.select(others.exists())).scalar_one())


def quarantine(connection: Connection, node_id: int, *, until: datetime) -> None:
    """Let nothing begin on the node for a while."""
    connection.execute(sa.update(Node).where(Node.id == node_id).values(quarantined_until=until))
