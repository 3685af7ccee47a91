"""Boards and trials by the first letters of their keys."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.orm import InstrumentedAttribute

from service.storage.models import Board, Trial


def board_keys(connection: Connection, prefix: str, *, limit: int) -> list[str]:
    """Keys of boards that begin so, in order."""
    return list(connection.scalars(_begins(Board.task_key, prefix, limit)))


def trial_keys(connection: Connection, prefix: str, *, limit: int) -> list[str]:
    """Keys of trials that begin so, in order."""
    return list(connection.scalars(_begins(Trial.key, prefix, limit)))


def _begins(column: InstrumentedAttribute[str], prefix: str, limit: int) -> sa.Select[str]:
    """By the index: keys are hexadecimal, so those that begin with the prefix lie before ``prefix + g``."""
    return sa.select(column).where(column >= prefix, column < f"{prefix}g").order_by(column).limit(limit)
