"""Nodes: draining them, putting them under quarantine, and what launchers tell of them.

A node is under quarantine when ``quarantine_losses`` attempts were lost on it one after the other, none that
ended well between them, and another node is in service: for ``quarantine``, doubled with every further loss
up to ``longest_quarantine``. What runs there goes on; an attempt that ends well ends the quarantine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, Engine

from service.errors import NotFound, NothingToDo
from service.queue.reports import QueueRules
from service.storage.engine import Clock, database_clock, serialise, write
from service.storage.queries import control, events, nodes
from service.storage.queries.nodes import NodeRow
from workers.ports import NodeReport


class Nodes:
    """What people do with nodes. Every method says what it did by an event.

    All raise :class:`NotFound` without such a node, and :class:`NothingToDo` when it is so already.

    Args:
        engine: either kind of database, its schema current.
        clock: what time it is; tests bring their own.
    """

    def __init__(self, engine: Engine, *, clock: Clock = database_clock) -> None:
        self._engine = engine
        self._clock = clock

    def drain(self, name: str) -> None:
        """Let it become idle: attempts there are asked to stop and go on elsewhere, nothing begins there."""
        self._set(name, draining=True)

    def undrain(self, name: str) -> None:
        """Let it take attempts again, whether it was drained or under quarantine."""
        self._set(name, draining=False)

    def _set(self, name: str, *, draining: bool) -> None:
        with write(self._engine) as connection:
            node = nodes.node_row(connection, name)
            if node is None:
                raise NotFound(f"there is no node {name!r}")
            if node.draining is draining and (draining or node.quarantined_until is None):
                raise NothingToDo(f"node {name} is {'draining already' if draining else 'in service'}")
            nodes.set_draining(connection, node.id, draining)
            what = f"{name}: {'drains' if draining else 'is in service again'}"
            events.record(connection, "node_controlled", what, at=self._clock(connection))
        # In a second transaction: reports lock a cohort first and its node then. What begins there from now
        # on finds that the node drains.
        with write(self._engine) as connection:
            serialise(connection, "plan")
            control.ask_to_stop(connection, control.of_node(node.id), now=self._clock(connection))


def see(connection: Connection, reports: Sequence[NodeReport], rules: QueueRules, *, now: datetime) -> None:
    """Note what a launcher tells of its nodes, and since when it disagrees with the queue about them."""
    before = {row.name: row for row in nodes.node_rows(connection)}
    nodes.note(connection, [asdict(report) for report in reports], now=now)
    changed = {}
    for report in reports:
        row = before.get(report.name)
        if row is None:
            continue
        since = (row.differs_since or now) if report.slots - report.free != row.busy else None
        if since != row.differs_since:
            changed[row.id] = since
        _tell_difference(connection, row, report, since, rules, now=now)
    nodes.note_differences(connection, changed)


def _tell_difference(
    connection: Connection,
    row: NodeRow,
    report: NodeReport,
    since: datetime | None,
    rules: QueueRules,
    *,
    now: datetime,
) -> None:
    """An event when they have disagreed for so long that it is more than a moment between two reports."""
    if since is not None and row.heard_at - since < rules.disagreement <= now - since:
        detail = (
            f"{row.name}: the launcher has {report.free} of {report.slots} slots free, "
            f"by the queue {row.busy} are busy"
        )
        events.record(connection, "node_differs", detail, at=now)


def count_loss(connection: Connection, attempt_id: int, rules: QueueRules, *, now: datetime) -> None:
    """An attempt was lost; its node may come under quarantine for it."""
    lost = nodes.count_loss(connection, attempt_id)
    if lost is None:
        return
    node_id, name, losses = lost
    further = losses - rules.quarantine_losses
    heard_after = now - rules.in_service
    if further < 0 or not nodes.others_in_service(connection, node_id, now=now, heard_after=heard_after):
        return
    length = min(rules.longest_quarantine, rules.quarantine * 2.0 ** min(further, 30))
    nodes.quarantine(connection, node_id, until=now + length)
    detail = f"{name}: {losses} attempts in a row were lost there; nothing begins there for {length}"
    events.record(connection, "node_quarantined", detail, at=now, attempt_id=attempt_id)
