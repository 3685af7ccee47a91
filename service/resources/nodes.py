"""What pages, the API and the command line show of nodes."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Engine

from service.errors import NotFound
from service.queue.reports import QueueRules
from service.resources import schemas
from service.states import node_state
from service.storage.engine import Clock, database_clock, read
from service.storage.queries import nodes
from service.storage.queries.nodes import NodeRow

SHOWN = timedelta(days=1)
"""Nodes that were not heard of for longer are left out, unless they are draining."""

RULES = QueueRules()


def list_nodes(engine: Engine, *, clock: Clock = database_clock) -> schemas.NodeList:
    """All nodes that were heard of within a day, or are draining, by name."""
    with read(engine) as connection:
        now = clock(connection)
        rows = nodes.node_rows(connection)
    shown = [row for row in rows if row.draining or now - row.heard_at < SHOWN]
    return schemas.NodeList(nodes=[_node(row, now) for row in shown])


def show_node(engine: Engine, name: str, *, clock: Clock = database_clock) -> schemas.Node:
    """One node.

    Raises:
        NotFound: there is none of this name.
    """
    with read(engine) as connection:
        row = nodes.node_row(connection, name)
        if row is None:
            raise NotFound(f"there is no node {name!r}")
        return _node(row, clock(connection))


def _node(row: NodeRow, now: datetime) -> schemas.Node:
    quarantined = row.quarantined_until is not None and row.quarantined_until > now
    away = now - row.heard_at > RULES.in_service
    state = node_state(draining=row.draining, busy=row.busy, quarantined=quarantined, away=away)
    return schemas.Node(
        name=row.name,
        device=row.device,
        state=state,
        slots=row.slots,
        busy=row.busy,
        idle=max(0, row.slots - row.busy),
        free=row.free,
        heard_at=row.heard_at,
        losses=row.losses,
        quarantined_until=row.quarantined_until if quarantined else None,
        warning=None if away else _warning(row, now),
    )


def _warning(row: NodeRow, now: datetime) -> str | None:
    if row.differs_since is None or now - row.differs_since < RULES.disagreement:
        return None
    return (
        f"the launcher has {row.free} of {row.slots} slots free, by the queue {row.busy} are busy, "
        f"since {row.differs_since:%Y-%m-%d %H:%M} UTC"
    )
