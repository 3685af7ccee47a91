"""A sweep on its way into the database: boards, cells and trials that nobody asked for before, and who wants
what. One piece of it is one transaction, in which nobody else submits."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Collection, Container, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from benchmarks.keys import KeyedCell
from benchmarks.spec import Component
from benchmarks.sweep import Sweep
from benchmarks.tasks import registry as tasks
from estimators.info import Value
from service.errors import SubmissionGivenUp
from service.queue.control import settle
from service.states import ENDED_BADLY
from service.storage.engine import serialise
from service.storage.queries import cells, control, events, submission, totals
from service.storage.queries.submission import KnownTrial, NewBoard, NewCell, NewTrial


class Piece(NamedTuple):
    """What is stored in one transaction, by key: cells, the boards that they stand on, and their trials."""

    cells: Sequence[KeyedCell]
    boards: Mapping[str, NewBoard]
    new_cells: Mapping[str, NewCell]
    trials: Mapping[str, NewTrial]

    @classmethod
    def of(cls, cells: Sequence[KeyedCell]) -> Piece:
        """What can be made ready before the transaction, which others wait for."""
        first = {cell.task_key: cell for cell in cells}
        return cls(
            cells=cells,
            boards={
                key: NewBoard(key, cell.task_text, cell.spec.task.id, words(cell.spec.task))
                for key, cell in first.items()
            },
            new_cells={cell.key: _new(cell) for cell in cells},
            trials={
                key: NewTrial(cell.key, seed, cell.signature, cell.steps)
                for cell in cells
                for key, seed in cell.seeds.items()
            },
        )


class Addition(NamedTuple):
    """What a piece adds to the database.

    Attributes:
        piece: what it is made of.
        boards, cells, trials: ids of what nobody asked for before, by key.
        stored, known: the cells and the trials that exist, by key.
    """

    piece: Piece
    boards: Mapping[str, int]
    cells: Mapping[str, int]
    trials: Mapping[str, int]
    stored: Mapping[str, int]
    known: Mapping[str, KnownTrial]

    @property
    def more(self) -> dict[int, int]:
        """Cells that exist and get new trials: how many."""
        new = Counter(self.piece.trials[key].cell_key for key in self.trials) if self.stored else {}
        return {self.stored[key]: count for key, count in new.items() if key in self.stored}


class Storing:
    """Stores one sweep: in the first transaction :meth:`begin`, in the others
    :meth:`require_held`; then :meth:`match`, :meth:`add`, and :meth:`hold` or in the end
    :meth:`publish`.

    Attributes:
        id, until: primary key of the sweep, and how long it counts as being stored; once it is held.
        began: when.
        new, known: trials that were added and nobody wanted before, and the others.
    """

    id: int
    until: datetime
    began: datetime

    def __init__(self, sweep: Sweep, idempotency_key: str | None) -> None:
        self._sweep, self._key = sweep, idempotency_key
        self._boards: dict[str, int] = {}  # those of the last piece: cells come board by board
        self._steps = self._cells = self._boards_total = self.new = self.known = 0

    @property
    def trials(self) -> int:
        """How many were added."""
        return self.new + self.known

    def begin(self, connection: Connection, *, now: datetime, until: datetime) -> None:
        """The sweep without its trials, seen by nobody."""
        self.id = submission.begin_sweep(
            connection,
            name=self._sweep.name,
            owner=self._sweep.owner,
            priority=self._sweep.priority,
            document=self._sweep.to_json(),
            description=self._sweep.description,
            tags=self._sweep.tags,
            idempotency_key=self._key,
            now=now,
            storing_until=until,
        )
        self.until, self.began = until, now

    def require_held(self, connection: Connection) -> None:
        """Look whether it is still being stored by this submission.

        Raises:
            SubmissionGivenUp: it was taken away for its silence.
        """
        if not submission.is_held(connection, self.id, self.until):
            raise SubmissionGivenUp

    def hold(self, connection: Connection, until: datetime) -> None:
        """Say that it is still being stored; after everything else, for attempts lock sweeps last too."""
        submission.hold(connection, self.id, until)

    def match(self, connection: Connection, piece: Piece) -> Addition:
        """What of a piece is in the database, and ids for what is not: a few short questions."""
        boards = self._match_boards(connection, piece.boards)
        old = [cell for cell in piece.cells if cell.task_key not in boards]
        stored = submission.cell_ids(connection, [cell.key for cell in old])
        known = submission.known_trials(
            connection, [key for cell in old if cell.key in stored for key in cell.seeds]
        )
        return Addition(
            piece=piece,
            boards=boards,
            cells=submission.number_cells(connection, _without(piece.new_cells, stored)),
            trials=submission.number_trials(connection, _without(piece.trials, known)),
            stored=stored,
            known=known,
        )

    def add(self, connection: Connection, new: Addition) -> None:
        """Store what was matched in this transaction: few statements, in which the database works long."""
        piece, ids = new.piece, {**new.stored, **new.cells}
        submission.insert_boards(connection, new.boards, piece.boards, now=self.began)
        cells.add_trials(connection, new.more)
        submission.insert_cells(connection, new.cells, piece.new_cells, self._boards)
        submission.insert_trials(
            connection, new.trials, piece.trials, ids, priority=self._sweep.priority, sweep_id=self.id
        )
        submission.lock_pending(connection, new.known.values())
        wanted = [*new.trials.values(), *(trial.id for trial in new.known.values())]
        places = [(self._boards[cell.task_key], ids[cell.key]) for cell in piece.cells]
        submission.want(connection, self.id, wanted, places)
        self.new += len(new.trials)
        self.known += len(new.known)
        self._cells += len(piece.cells)
        self._steps += sum(piece.trials[key].steps for key in new.trials)

    def publish(self, connection: Connection, *, now: datetime) -> None:
        """From now on the sweep is seen and its trials are computed."""
        counts = {"new_trials": self.new, "cells": self._cells, "boards": self._boards_total}
        shared = self.known > 0 or submission.is_shared(connection, self.id)
        if shared:
            self._share(connection, now)
        else:
            counts |= {"trials": self.new, "steps": self._steps}
        submission.publish(connection, self.id, **counts)
        if shared and submission.waits_otherwise(connection, self.id, self._sweep.priority):
            settle(connection, self.id, now)
        detail = f"{self._sweep.name}: {self.trials} trials, {self.new} of them new"
        events.record(connection, "sweep_submitted", detail, at=now, sweep_id=self.id)

    def _share(self, connection: Connection, now: datetime) -> None:
        """Want what other sweeps want or wanted: what ended badly is queued again."""
        serialise(connection, "plan")
        control.lock_cohorts(connection, self.id)
        submission.take_over(connection, self.id)
        for old in ENDED_BADLY:
            submission.requeue(connection, old, self.id, priority=self._sweep.priority)
        totals.recount(connection, self.id, now=now)
        totals.recount_fallbacks(connection, self.id)

    def _match_boards(self, connection: Connection, boards: Mapping[str, NewBoard]) -> dict[str, int]:
        """Ids of those that nobody asked for a cell of before; afterwards ``_boards`` has those of all."""
        wanted = [key for key in boards if key not in self._boards]
        found = submission.board_ids(connection, wanted)
        new = submission.number_boards(connection, [key for key in wanted if key not in found])
        self._boards = {key: id for key, id in self._boards.items() if key in boards} | found | new
        self._boards_total += len(wanted)
        return new


def _new(cell: KeyedCell) -> NewCell:
    estimator = cell.spec.estimator
    return NewCell(cell.task_key, estimator.id, estimator.version, cell.text, len(cell.seeds))


def _without(keys: Collection[str], found: Container[str]) -> Collection[str]:
    """Those that were not found."""
    return [key for key in keys if key not in found] if found else keys


def words(task: Component) -> str:
    """What the board of a task is found by: its title and its parameters, in small letters."""
    title = tasks.get(task.id).describe(task.values)
    return f"{title} {task.id} {_listed(task.parameters)}".casefold()


def _listed(parameters: tuple[tuple[str, Value], ...]) -> str:
    names, values = zip(*parameters, strict=True) if parameters else ((), ())
    return _template(names) % values


@functools.lru_cache
def _template(names: tuple[str, ...]) -> str:
    """How parameters of these names are listed: boards of a sweep differ in the values alone."""
    return " ".join(f"{name}=%s" for name in names)
