"""References that the database does not check itself."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.orm import InstrumentedAttribute

from service.storage.engine import read
from service.storage.models import Board, Cell, Sweep, SweepCell, SweepTrial, Trial

UNCHECKED: tuple[tuple[InstrumentedAttribute[int], InstrumentedAttribute[int]], ...] = (
    (SweepTrial.sweep_id, Sweep.id),
    (SweepTrial.trial_id, Trial.id),
    (SweepCell.sweep_id, Sweep.id),
    (SweepCell.board_id, Board.id),
    (SweepCell.cell_id, Cell.id),
)


def dangling(engine: Engine) -> list[str]:
    """What refers to rows that are not there, a line for each."""
    with read(engine) as connection:
        return [
            f"{column} {number}"
            for column, target in UNCHECKED
            for number in connection.scalars(sa.select(column).where(column.not_in(sa.select(target))))
        ]
