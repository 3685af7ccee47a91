"""Storing a validated sweep: boards, cells and trials that nobody asked for before, and who wants what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, Engine

from benchmarks.spec import CellSpec, cohort_signature
from benchmarks.sweep import SpecError, Sweep, read_sweep
from benchmarks.tasks import registry as tasks
from service.errors import IdempotencyKeyReused
from service.queue.control import settle
from service.states import ENDED_BADLY, PENDING, TrialState
from service.storage.engine import Clock, database_clock, read, serialise, write
from service.storage.queries import cells, events, submission
from service.storage.queries.submission import KnownTrial


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmitResult:
    """What submitting did.

    Attributes:
        sweep_id: primary key of the sweep.
        trials: trials that the sweep wants.
        new: trials that nobody wanted before.
        known: the rest: computed, queued or running already, or queued again after a failure.
        planned: its cells, with what was left to compute of each.
    """

    sweep_id: int
    trials: int
    new: int
    known: int
    planned: tuple[PlannedCell, ...] = field(default=(), compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class CellTrials:
    """A cell of a sweep with the seeds wanted of it."""

    key: str
    task_key: str
    spec: CellSpec
    signature: str
    steps: int
    """Of one trial."""
    seeds: dict[str, int]
    """Trial key -> seed."""

    @classmethod
    def of(cls, spec: CellSpec, seeds: Iterable[int]) -> CellTrials:
        """A cell with these seeds; whatever they share is computed once."""
        return cls(
            key=spec.cell_key,
            task_key=spec.task_key,
            spec=spec,
            signature=cohort_signature(spec),
            steps=tasks.get(spec.task.id).total_steps(spec.task.values),
            seeds=spec.trial_keys(seeds),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedCell:
    """A cell of a sweep, and how many of its trials nobody has computed."""

    cell: CellTrials
    to_compute: int


def submit(
    engine: Engine, sweep: Sweep, *, idempotency_key: str | None = None, clock: Clock = database_clock
) -> SubmitResult:
    """Store a sweep in one transaction. One key is computed once, whoever asks.

    Trials that succeeded are taken as they are, failed and cancelled ones return to the queue, queued and
    running ones are shared. The same ``idempotency_key`` with the same sweep gives the first answer again.

    Raises:
        IdempotencyKeyReused: the key came with another sweep.
    """
    wanted = list(expand(sweep))
    with write(engine) as connection:
        serialise(connection, "submit")
        known = submission.known_trials(connection, [key for cell in wanted for key in cell.seeds])
        planned = _planned(wanted, known)
        if idempotency_key is not None and (stored := _repeated(connection, sweep, idempotency_key)):
            return replace(stored, planned=planned)
        now = clock(connection)
        sweep_id = submission.insert_sweep(
            connection,
            name=sweep.name,
            owner=sweep.owner,
            priority=sweep.priority,
            document=sweep.to_json(),
            idempotency_key=idempotency_key,
            now=now,
        )
        new = _insert_new(connection, wanted, known, sweep=sweep, sweep_id=sweep_id)
        _share_known(connection, list(known.values()), sweep=sweep, sweep_id=sweep_id)
        if any(trial.state in PENDING for trial in known.values()):
            serialise(connection, "plan")
            settle(connection, sweep_id, now)
        submission.note_new_trials(connection, sweep_id, new)
        detail = f"{sweep.name}: {new + len(known)} trials, {new} of them new"
        events.record(connection, "sweep_submitted", detail, at=now, sweep_id=sweep_id)
    return SubmitResult(
        sweep_id=sweep_id, trials=new + len(known), new=new, known=len(known), planned=planned
    )


def plan(engine: Engine, sweep: Sweep) -> tuple[PlannedCell, ...]:
    """The sweep's cells, with what is left to compute of each."""
    return plan_cells(engine, list(expand(sweep)))


def plan_cells(engine: Engine, wanted: Sequence[CellTrials]) -> tuple[PlannedCell, ...]:
    """These cells, with what is left to compute of each."""
    with read(engine) as connection:
        known = submission.known_trials(connection, [key for cell in wanted for key in cell.seeds])
    return _planned(wanted, known)


def _planned(wanted: Sequence[CellTrials], known: dict[str, KnownTrial]) -> tuple[PlannedCell, ...]:
    done = {key for key, trial in known.items() if trial.state is TrialState.SUCCEEDED}
    return tuple(PlannedCell(cell=cell, to_compute=len(cell.seeds.keys() - done)) for cell in wanted)


def expand(sweep: Sweep) -> Iterator[CellTrials]:
    """The sweep's cells; whatever all seeds of a cell share is computed once."""
    for spec in sweep.cells():
        yield CellTrials.of(spec, sweep.seeds)


def _repeated(connection: Connection, sweep: Sweep, idempotency_key: str) -> SubmitResult | None:
    stored = submission.sweep_with_key(connection, idempotency_key)
    if stored is None:
        return None
    if not _describes(stored.document, sweep):
        raise IdempotencyKeyReused
    known = stored.trials - stored.new_trials
    return SubmitResult(sweep_id=stored.id, trials=stored.trials, new=stored.new_trials, known=known)


def _describes(document: dict[str, Any], sweep: Sweep) -> bool:
    """Whether a stored sweep file says the same; an older version may have spelt it otherwise."""
    try:
        return read_sweep(document) == sweep
    except SpecError:
        return False


def _insert_new(
    connection: Connection,
    wanted: Sequence[CellTrials],
    known: dict[str, KnownTrial],
    *,
    sweep: Sweep,
    sweep_id: int,
) -> int:
    """Add the trials that are not known, with their boards and cells; returns how many."""
    boards = _board_ids(connection, wanted)
    cell_ids = _cell_ids(connection, wanted, boards)
    rows: list[dict[str, Any]] = [
        {
            "key": key,
            "cell_id": cell_ids[cell.key],
            "seed": seed,
            "signature": cell.signature,
            "steps": cell.steps,
            "priority": sweep.priority,
            "sweep_order": sweep_id,
        }
        for cell in wanted
        for key, seed in cell.seeds.items()
        if key not in known
    ]
    if not rows:
        return 0
    submission.insert_trials(connection, rows)
    added = submission.known_trials(connection, [row["key"] for row in rows])
    submission.want(connection, sweep_id, sorted(trial.id for trial in added.values()))
    cells.add_trials(connection, Counter(row["cell_id"] for row in rows))
    return len(rows)


def _share_known(connection: Connection, known: Sequence[KnownTrial], *, sweep: Sweep, sweep_id: int) -> None:
    """Want trials that exist; those that ended badly are queued again."""
    ids = sorted(trial.id for trial in known)
    if not ids:
        return
    submission.want(connection, sweep_id, ids)
    for old in ENDED_BADLY:
        again = sorted(trial.id for trial in known if trial.state is old)
        moved = submission.requeue(connection, old, again, priority=sweep.priority, sweep_order=sweep_id)
        cells.count_ends(connection, [(cell, old) for cell in moved], sign=-1)


def _board_ids(connection: Connection, wanted: Sequence[CellTrials]) -> dict[str, int]:
    tasks_by_key = {cell.task_key: cell.spec.task for cell in wanted}
    found = submission.board_ids(connection, list(tasks_by_key))
    missing = [{"task_key": key, "task": task} for key, task in tasks_by_key.items() if key not in found]
    if missing:
        submission.insert_boards(connection, missing)
    return submission.board_ids(connection, list(tasks_by_key)) if missing else found


def _cell_ids(connection: Connection, wanted: Sequence[CellTrials], boards: dict[str, int]) -> dict[str, int]:
    keys = [cell.key for cell in wanted]
    found = submission.cell_ids(connection, keys)
    missing = [
        {
            "cell_key": cell.key,
            "board_id": boards[cell.task_key],
            "estimator": cell.spec.estimator.id,
            "spec": cell.spec,
        }
        for cell in wanted
        if cell.key not in found
    ]
    if missing:
        submission.insert_cells(connection, missing)
    return submission.cell_ids(connection, keys) if missing else found
