"""Everything that was computed of a board as tables for other programs: a row a trial, or a point of a curve.

They are read in pieces, a transaction each, so that neither a server's memory nor its database feels the
size of a board. Names of columns say whose they are: ``estimator.temperature``, ``metric.train_loss``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Engine

from benchmarks.spec import CellSpec
from estimators.info import Value
from service.resources import describe
from service.resources.boards import show_board
from service.resources.tables import Column, Kind, Row, Table
from service.states import TrialState
from service.storage.engine import read
from service.storage.queries import curves, tidy
from service.storage.queries.boards import BoardRow, board_by_key
from service.storage.queries.tidy import CellLine, TrialLine
from service.storage.queries.trials import final_metrics, provenances

Cells = Literal["all", "shown"]
"""All cells of a board, or those that it shows of its estimators."""

CELLS = 500
TRIALS = 5_000
POINTS = 200
"""What is read at once: cells to look through, trials, trials with their curves."""

BOARD = (Column("board", "text"), Column("task", "text"), Column("task_version", "integer"))
CELL = (
    Column("estimator", "text"), Column("estimator_version", "integer"), Column("cell", "text"),
    Column("shown", "truth"), Column("optimizer", "text"), Column("lr", "number"),
    Column("precision", "text"),
)  # fmt: skip
TRIAL = (Column("trial", "text"), Column("seed", "integer"), Column("state", "text"))
OUTCOME = (
    Column("steps", "integer"), Column("seconds", "number"), Column("seconds_per_step", "number"),
    Column("evaluations_per_step", "integer"), Column("peak_memory_bytes", "integer"),
    Column("device", "text"), Column("diverged_at", "integer"), Column("error", "text"),
)  # fmt: skip
POINT = (
    Column("board", "text"), Column("estimator", "text"), Column("estimator_version", "integer"),
    Column("cell", "text"), Column("shown", "truth"), Column("trial", "text"), Column("seed", "integer"),
    Column("metric", "text"), Column("epoch", "integer"), Column("steps", "integer"),
    Column("evaluations", "integer"), Column("value", "number"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Which trials of which board.

    Attributes:
        engine: the database.
        board: whose trials.
        shown: keys of the cells that the board shows.
        cells: which cells' trials.
    """

    engine: Engine
    board: BoardRow
    shown: frozenset[str]
    cells: Cells


def source(engine: Engine, key: str, *, select: str | None, cells: Cells) -> Source:
    """The trials of a board; ``select`` chooses the settings that it shows.

    Raises:
        NotFound: there is no such board, or its task is not installed here.
        InvalidRequest: the task has no such metric.
    """
    shown = show_board(engine, key, select=select, report=[])
    with read(engine) as connection:
        board = board_by_key(connection, key)
    assert board is not None
    return Source(engine=engine, board=board, shown=frozenset(row.cell for row in shown.rows), cells=cells)


def trials_table(source: Source) -> Table:
    """A row for each trial, whatever has become of it."""
    parameters, board = _parameters(source), source.board
    with read(source.engine) as connection:
        metrics = tidy.metrics(connection, board.id)
    task = [Column(f"task.{name}", _kind(value)) for name, value in board.task.parameters]
    settings = [Column(name, kind) for name, kind in parameters.items()]
    finals = [Column(f"metric.{name}", "number") for name in metrics]
    columns = (*BOARD, *task, *CELL, *settings, *TRIAL, *finals, *OUTCOME)
    start = [board.task_key, board.task.id, board.task.version, *board.task.values.values()]

    def blocks() -> Iterator[list[Row]]:
        for group in _groups(source, TRIALS):
            fixed = {cell.id: [*start, *_cell(source, cell), *_values(cell.spec, settings)] for cell in group}
            with read(source.engine) as connection:
                yield [
                    [*fixed[trial.cell_id], trial.key, trial.seed, trial.state.value, *rest]
                    for trial, rest in _outcomes(connection, group, metrics)
                ]

    return Table(columns, blocks())


def curves_table(source: Source) -> Table:
    """A row for each value that a trial with an outcome reported: metric, epoch, value."""

    def blocks() -> Iterator[list[Row]]:
        for group in _groups(source, POINTS):
            with read(source.engine) as connection:
                yield list(_points(connection, source, group))

    return Table(POINT, blocks())


def _groups(source: Source, most: int) -> Iterator[list[CellLine]]:
    """Cells in their order, as many together as have about ``most`` trials."""
    group: list[CellLine] = []
    trials = 0
    for cell in _cells(source):
        if group and trials + cell.trials > most:
            yield group
            group, trials = [], 0
        group.append(cell)
        trials += cell.trials
    if group:
        yield group


def _cells(source: Source) -> Iterator[CellLine]:
    last = 0
    while True:
        with read(source.engine) as connection:
            found = tidy.cells(connection, source.board.id, after=last, limit=CELLS)
        yield from (cell for cell in found if source.cells == "all" or cell.key in source.shown)
        if len(found) < CELLS:
            return
        last = found[-1].id


def _parameters(source: Source) -> dict[str, Kind]:
    """Columns of the parameters of all estimators and optimizers, by name."""
    found: dict[str, Kind] = {}
    for cell in _cells(source):
        for name, value in _named(cell.spec).items():
            found[name] = _wider(found.get(name, _kind(value)), _kind(value))
    return dict(sorted(found.items()))


def _named(spec: CellSpec) -> dict[str, Value]:
    own = {f"estimator.{name}": value for name, value in describe.estimator_values(spec.estimator).items()}
    return own | {f"optimizer.{name}": value for name, value in spec.optimizer.stated("optimizer").items()}


def _kind(value: Value) -> Kind:
    if isinstance(value, str):
        return "text"
    return "integer" if isinstance(value, int) else "number"


def _wider(one: Kind, other: Kind) -> Kind:
    """What holds values of both kinds."""
    return one if one == other else "text" if "text" in (one, other) else "number"


def _cell(source: Source, cell: CellLine) -> list[object]:
    spec = cell.spec
    estimator = [spec.estimator.id, spec.estimator.version, cell.key, cell.key in source.shown]
    return [*estimator, spec.optimizer.id, spec.lr, spec.precision]


def _values(spec: CellSpec, columns: Sequence[Column]) -> list[object]:
    """Those of its parameters in these columns; numbers as text where others are words."""
    values = _named(spec)
    found = [(values.get(column.name), column) for column in columns]
    return [str(v) if column.kind == "text" and v is not None else v for v, column in found]


def _outcomes(
    connection: Connection, group: Sequence[CellLine], metrics: Sequence[str]
) -> Iterator[tuple[TrialLine, list[object]]]:
    """Every trial of some cells with its final metrics and what it took."""
    lines = tidy.trials(connection, [cell.id for cell in group])
    finals = final_metrics(connection, [line.id for line in lines])
    known = _provenances(connection, lines)
    for line in lines:
        values = finals.get(line.id, {})
        yield (
            line,
            [*(values.get(name) for name in metrics), *_costs(line, known.get(line.attempt_id or 0, {}))],
        )


def _costs(line: TrialLine, provenance: Mapping[str, Any]) -> list[object]:
    succeeded = line.state is TrialState.SUCCEEDED
    each = line.seconds / line.steps if succeeded and line.seconds is not None and line.steps else None
    said = [provenance.get(name) for name in ("evaluations", "peak_memory_bytes", "device")]
    error = None if line.error is None else line.error.partition("\n")[0]
    return [line.steps, line.seconds, each, *said, line.diverged_at, error]


def _points(connection: Connection, source: Source, group: Sequence[CellLine]) -> Iterator[Row]:
    """Every point of every curve of some cells, with the updates and evaluations that it took."""
    cells = {cell.id: cell for cell in group}
    lines = {line.id: line for line in tidy.trials(connection, list(cells))}
    known = _provenances(connection, lines.values())
    info = describe.known_task(source.board.task)
    per_epoch = None if info is None else info.steps_per_epoch(source.board.task.values)
    for curve in curves.of_cells(connection, list(cells)):
        line = lines[curve.trial_id]
        cell = _cell(source, cells[curve.cell_id])[:4]
        each = known.get(line.attempt_id or 0, {}).get("evaluations")
        start = [source.board.task_key, *cell, line.key, curve.seed, curve.metric]
        for epoch, value in zip(curve.epochs.tolist(), curve.values.tolist(), strict=True):
            steps = None if per_epoch is None else epoch * per_epoch
            yield [*start, epoch, steps, None if steps is None or each is None else steps * each, value]


def _provenances(connection: Connection, lines: Iterable[TrialLine]) -> dict[int, dict[str, Any]]:
    return provenances(connection, sorted({one.attempt_id for one in lines if one.attempt_id is not None}))
