"""Submitting a validated sweep: what it wants that nobody has computed is stored and queued."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine

from benchmarks.keys import KeyedCell, KeyMaker
from benchmarks.spec import CellSpec
from benchmarks.sweep import SpecError, Sweep, read_sweep
from service.errors import IdempotencyKeyReused
from service.queue.storing import Addition, Piece, Storing
from service.queue.workload import Workload
from service.storage.engine import Clock, database_clock, flushed_later, others_first, read, serialise, write
from service.storage.queries import submission
from service.storage.queries.submission import StoredSweep

PIECE = 5_000
"""Trials that are stored in one transaction, which others wait for: about a sixth of a second."""

PAUSE = 0.1
"""Between two pieces on SQLite, for writers in other processes: of the time that the piece took."""

SILENCE = timedelta(seconds=60)
"""Between two pieces; after it a submission counts as dead and what it has stored is taken away."""

LOOK_AGAIN_S = 0.05
"""Between two looks at the same submission that somebody else is storing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmitResult:
    """What submitting did.

    Attributes:
        sweep_id: primary key of the sweep.
        trials: trials that the sweep wants.
        new: trials that nobody wanted before.
        known: the rest: computed, queued or running already, or queued again after a failure.
        work: what was left to compute of its cells.
    """

    sweep_id: int
    trials: int
    new: int
    known: int
    work: Workload = field(default_factory=Workload, compare=False)


def submit(
    engine: Engine, sweep: Sweep, *, idempotency_key: str | None = None, clock: Clock = database_clock
) -> SubmitResult:
    """Store a sweep, a small one in one transaction. One key is computed once, whoever asks.

    A large one is stored piece by piece, so that nobody waits for all of it, and is seen and computed after
    the last. If that is not reached nothing of it stays; after a crash :func:`clear_up` sees to that.

    Trials that succeeded are taken as they are, failed and cancelled ones return to the queue, queued and
    running ones are shared. The same ``idempotency_key`` with the same sweep gives the first answer again.

    Raises:
        IdempotencyKeyReused: the key came with another sweep.
        SubmissionGivenUp: between two pieces so much time passed that it was taken for dead.
    """
    while isinstance(stored := _store(engine, sweep, idempotency_key, clock), StoredSweep):
        if stored.storing_until is None:
            return _repeated(stored, plan(engine, sweep))
        clear_up(engine, clock=clock)
        time.sleep(LOOK_AGAIN_S)  # the same sweep is being stored by somebody else
    return stored


def plan(engine: Engine, sweep: Sweep) -> Workload:
    """What is left to compute of a sweep."""
    return plan_cells(engine, expand(sweep))


def plan_cells(engine: Engine, wanted: Iterable[KeyedCell]) -> Workload:
    """What is left to compute of these cells."""
    work = Workload()
    with read(engine) as connection:
        for cells in _parts(wanted):
            known = submission.known_trials(connection, [key for cell in cells for key in cell.seeds])
            work.add(cells, known)
    return work


def expand(sweep: Sweep) -> Iterator[KeyedCell]:
    """The sweep's cells with their keys."""
    return key_cells((spec, sweep.seeds) for spec in sweep.cells())


def key_cells(cells: Iterable[tuple[CellSpec, Iterable[int]]]) -> Iterator[KeyedCell]:
    """Cells and the seeds wanted of them, with their keys."""
    maker = KeyMaker()
    return (maker.keyed(spec, seeds) for spec, seeds in cells)


def clear_up(engine: Engine, *, clock: Clock = database_clock) -> int:
    """Take away what submissions have left that ended before their sweep was stored; returns how many."""
    with read(engine) as connection:
        left = submission.silent(connection, clock(connection))
    for sweep_id, storing_until in left:
        _forget(engine, sweep_id, storing_until, clock)
    return len(left)


def _store(
    engine: Engine, sweep: Sweep, idempotency_key: str | None, clock: Clock
) -> SubmitResult | StoredSweep:
    """Store all pieces or nothing: nothing if the same was submitted before, and that is the answer then."""
    storing = Storing(sweep, idempotency_key)
    pieces = map(Piece.of, _parts(expand(sweep)))
    work = Workload()

    def following(addition: Addition) -> Piece | None:
        work.add(addition.piece.cells, addition.known)
        return next(pieces, None)

    piece = next(pieces, None)
    begun = False
    try:
        with ThreadPoolExecutor(1, "keys") as keys:
            while piece is not None:
                with others_first(engine, pause=PAUSE):
                    with write(engine) as connection:
                        serialise(connection, "submit")
                        now = clock(connection)
                        until = now + SILENCE
                        if begun:
                            storing.require_held(connection)
                        elif earlier := _earlier(connection, sweep, idempotency_key):
                            return earlier
                        else:
                            storing.begin(connection, now=now, until=until)
                        addition = storing.match(connection, piece)
                        # The database works from here on, and Python has time for the keys of the next piece.
                        made_ready = keys.submit(following, addition)
                        storing.add(connection, addition)
                        if storing.trials == sweep.count():
                            storing.publish(connection, now=now)
                        else:
                            storing.hold(connection, until)
                            flushed_later(connection)
                    begun, storing.until = True, until
                piece = made_ready.result()
    except BaseException:
        if begun:
            _forget(engine, storing.id, storing.until, clock)
        raise
    return SubmitResult(
        sweep_id=storing.id,
        trials=storing.trials,
        new=storing.new,
        known=storing.known,
        work=work,
    )


def _forget(engine: Engine, sweep_id: int, storing_until: datetime, clock: Clock) -> None:
    """Take away a sweep that is not stored completely, unless its submission is alive after all."""
    remaining, held = PIECE, storing_until
    while remaining == PIECE:
        with others_first(engine), write(engine) as connection:
            serialise(connection, "submit")
            until = clock(connection) + SILENCE
            if not submission.is_held(connection, sweep_id, held):
                return
            submission.hold(connection, sweep_id, until)
            held = until
            remaining = submission.forget_trials(connection, sweep_id, limit=PIECE)
            if remaining < PIECE:
                submission.forget_sweep(connection, sweep_id)


def _parts(wanted: Iterable[KeyedCell]) -> Iterator[list[KeyedCell]]:
    """Cells in order, together as many trials as one transaction stores."""
    cells: list[KeyedCell] = []
    trials = 0
    for cell in wanted:
        if cells and trials + len(cell.seeds) > PIECE:
            yield cells
            cells, trials = [], 0
        cells.append(cell)
        trials += len(cell.seeds)
    yield cells


def _earlier(connection: Connection, sweep: Sweep, idempotency_key: str | None) -> StoredSweep | None:
    """What was submitted with the same key."""
    stored = None if idempotency_key is None else submission.sweep_with_key(connection, idempotency_key)
    if stored is not None and not _describes(stored.document, sweep):
        raise IdempotencyKeyReused
    return stored


def _repeated(stored: StoredSweep, work: Workload) -> SubmitResult:
    """The first answer, with what is left to compute now."""
    return SubmitResult(
        sweep_id=stored.id,
        trials=stored.trials,
        new=stored.new_trials,
        known=stored.trials - stored.new_trials,
        work=work,
    )


def _describes(document: dict[str, Any], sweep: Sweep) -> bool:
    """Whether a stored sweep file says the same; an older version may have spelt it otherwise."""
    try:
        return read_sweep(document) == sweep
    except SpecError:
        return False
