"""The bin: sweeps that were deleted, and what becomes of them in the end."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Engine

from service.errors import NotFound
from service.queue.control import Controls
from service.storage.engine import Clock, database_clock, others_first, read, serialise, write
from service.storage.queries import bin as contents
from service.storage.queries import control, events

PIECE = 200
"""Trials of one transaction: others who write wait no longer than for that."""


def empty(engine: Engine, *, older: timedelta, clock: Clock = database_clock) -> int:
    """Take out for good what has been in the bin for longer than this; returns how many sweeps.

    A sweep with a trial that has not stopped yet stays for the next time.
    """
    with read(engine) as connection:
        due = contents.deleted_before(connection, clock(connection) - older)
    return sum(_remove(engine, sweep_id, clock) for sweep_id in due)


def delete_for_good(engine: Engine, sweep_id: int, *, clock: Clock = database_clock) -> bool:
    """Delete a sweep, in the bin or not, with the trials that no other sweep wants.

    Returns:
        Whether it is gone. Where one of its trials still runs it waits in the bin until that has stopped.

    Raises:
        NotFound: there is no such sweep.
    """
    with read(engine) as connection:
        sweep = control.controlled(connection, sweep_id)
    if sweep is None:
        raise NotFound(f"there is no sweep {sweep_id}")
    if sweep.deleted_at is None:
        Controls(engine, clock=clock).delete(sweep_id)
    return _remove(engine, sweep_id, clock)


def _remove(engine: Engine, sweep_id: int, clock: Clock) -> bool:
    """Piece by piece, so that a crash on the way leaves a sweep with fewer trials, still in the bin."""
    while _remove_piece(engine, sweep_id):
        pass
    with write(engine) as connection:
        serialise(connection, "submit")
        gone = contents.delete_sweep(connection, sweep_id)
        if gone:
            told = f"sweep {sweep_id} was taken out of the bin for good"
            events.record(connection, "sweep_removed", told, at=clock(connection))
    return gone


def _remove_piece(engine: Engine, sweep_id: int) -> bool:
    """Remove the next trials of the sweep; false when none is left."""
    with others_first(engine), write(engine) as connection:
        serialise(connection, "submit")
        trials = contents.orphans(connection, sweep_id, limit=PIECE)
        if trials:
            contents.count_again(connection, contents.delete_trials(connection, trials))
    return bool(trials)
