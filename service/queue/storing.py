"""A sweep on its way into the database: boards, cells and trials that nobody asked for before, and who wants
what. One piece of it is one transaction, in which nobody else submits."""

from __future__ import annotations

import functools
from collections.abc import Container, Mapping, Sequence
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
from service.queue.workload import Workload
from service.states import ENDED_BADLY
from service.storage.engine import serialise
from service.storage.queries import cells, control, events, submission, totals
from service.storage.queries.submission import KnownTrial, NewBoard, NewCell, NewTrial


class Piece(NamedTuple):
    """Cells that are stored in one transaction, and the boards that they stand on, by key."""

    cells: Sequence[KeyedCell]
    boards: Mapping[str, NewBoard]

    @classmethod
    def of(cls, cells: Sequence[KeyedCell]) -> Piece:
        """What can be made ready before the transaction, which others wait for."""
        first = {cell.task_key: cell for cell in cells}
        boards = {
            key: NewBoard(key, cell.task_text, cell.spec.task.id, words(cell.spec.task))
            for key, cell in first.items()
        }
        return cls(cells, boards)


class Storing:
    """Stores one sweep: in the first transaction :meth:`begin`, in the others
    :meth:`require_held`; then :meth:`add`, and :meth:`hold` or in the end :meth:`publish`; after
    each of them :meth:`count`.

    Attributes:
        id, until: primary key of the sweep, and how long it counts as being stored; once it is held.
        began: when.
        new, known: trials that were added and nobody wanted before, and the others.
        work: what the cells that were counted have to do.
    """

    id: int
    until: datetime
    began: datetime

    def __init__(self, sweep: Sweep, idempotency_key: str | None) -> None:
        self._sweep, self._key = sweep, idempotency_key
        self._boards: dict[str, int] = {}  # those of the last piece: cells come board by board
        self._steps = self._cells = self._boards_total = self.new = self.known = 0
        self.work = Workload()
        self._added: tuple[Sequence[KeyedCell], Mapping[str, KnownTrial]] = ((), {})

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

    def add(self, connection: Connection, piece: Piece) -> None:
        """Store some of its cells with their trials."""
        cells = piece.cells
        fresh = self._add_boards(connection, piece.boards)
        stored = submission.cell_ids(connection, [cell.key for cell in cells if cell.task_key not in fresh])
        known = submission.known_trials(
            connection, [key for cell in cells if cell.key in stored for key in cell.seeds]
        )
        cell_ids = stored | self._add_cells(connection, cells, stored, known)
        new = [
            NewTrial(key, cell_ids[cell.key], seed, cell.signature, cell.steps)
            for cell in cells
            for key, seed in cell.seeds.items()
            if key not in known
        ]
        added = submission.insert_trials(connection, new, priority=self._sweep.priority, sweep_id=self.id)
        submission.lock_pending(connection, known.values())
        wanted = [*added, *(trial.id for trial in known.values())]
        places = [(self._boards[cell.task_key], cell_ids[cell.key]) for cell in cells]
        submission.want(connection, self.id, wanted, places)
        self.new += len(new)
        self.known += len(known)
        self._cells += len(cells)
        self._steps += sum(trial.steps for trial in new)
        self._added = (cells, known)

    def count(self) -> None:
        """Add to ``work`` the cells that were added last."""
        self.work.add(*self._added)
        self._added = ((), {})

    def publish(self, connection: Connection, *, now: datetime) -> None:
        """From now on the sweep is seen and its trials are computed."""
        shared = self.known > 0 or submission.is_shared(connection, self.id)
        if shared:
            self._share(connection, now)
        else:
            submission.note_new(connection, self.id, trials=self.new, steps=self._steps)
        submission.publish(
            connection, self.id, new_trials=self.new, cells=self._cells, boards=self._boards_total
        )
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

    def _add_boards(self, connection: Connection, boards: Mapping[str, NewBoard]) -> Container[str]:
        """Keys of those that were added: nobody has asked for a cell of them before."""
        wanted = [key for key in boards if key not in self._boards]
        found = submission.board_ids(connection, wanted)
        missing = [boards[key] for key in wanted if key not in found]
        added = submission.insert_boards(connection, missing, now=self.began)
        self._boards = {key: id for key, id in self._boards.items() if key in boards} | found | added
        self._boards_total += len(wanted)
        return added

    def _add_cells(
        self,
        connection: Connection,
        wanted: Sequence[KeyedCell],
        stored: Mapping[str, int],
        known: Mapping[str, KnownTrial],
    ) -> dict[str, int]:
        """Ids of the new ones by key; those that are stored count their new trials, too."""
        more = {
            stored[cell.key]: sum(key not in known for key in cell.seeds)
            for cell in wanted
            if cell.key in stored
        }
        cells.add_trials(connection, {id: count for id, count in more.items() if count})
        missing = [
            NewCell(
                cell.key,
                self._boards[cell.task_key],
                cell.spec.estimator.id,
                cell.spec.estimator.version,
                cell.text,
                len(cell.seeds),
            )
            for cell in wanted
            if cell.key not in stored
        ]
        return submission.insert_cells(connection, missing)


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
