"""Seeds that a row of a board lacks to be told from the best: the sweep that computes them."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence

from sqlalchemy import Engine

from benchmarks.spec import CellSpec
from benchmarks.sweep import ComponentGrid, EstimatorGrid, Sweep
from benchmarks.sweep_file.limits import MAX_NAME_LENGTH
from service.errors import InvalidRequest, NotFound
from service.resources.board_schemas import Board, BoardRow
from service.storage.engine import read
from service.storage.queries import boards


def more_seeds(engine: Engine, board: Board, estimator: str) -> Sweep:
    """A sweep of a row's setting and the best one's, at as many seeds as would separate the two.

    Seeds that only one of them has come first: they cost half.

    Raises:
        NotFound: the estimator is not ranked on the board.
        InvalidRequest: no number of seeds is known that would separate the two, or they need none.
    """
    row = next((one for one in board.rows if one.estimator == estimator), None)
    if row is None:
        raise NotFound(f"{estimator!r} is not ranked on board {board.id!r}")
    to_best = row.standing.to_best
    if to_best is None or not to_best.more_seeds:
        raise InvalidRequest(f"no seeds are missing to tell {row.title} from the best of this board")
    best = board.rows[0]
    common = _seeds(row, board.select) & _seeds(best, board.select)
    return _sweep(board, [row, best], _specs(engine, [row, best]), _next(common, to_best.more_seeds))


def _seeds(row: BoardRow, metric: str) -> set[int]:
    return {one.seed for one in row.metrics[metric].seeds}


def _next(taken: Collection[int], count: int) -> tuple[int, ...]:
    """The first ``count`` seeds from 0 on that are not taken."""
    return tuple(itertools.islice((seed for seed in itertools.count() if seed not in taken), count))


def _specs(engine: Engine, rows: Sequence[BoardRow]) -> list[CellSpec]:
    with read(engine) as connection:
        ids = boards.cell_ids(connection, [row.cell for row in rows])
        specs = boards.cell_specs(connection, list(ids.values()))
    return [specs[ids[row.cell]] for row in rows]


def _sweep(
    board: Board, rows: Sequence[BoardRow], specs: Sequence[CellSpec], seeds: tuple[int, ...]
) -> Sweep:
    """Precision and diagnostics are those of a whole sweep.

    Raises:
        InvalidRequest: the two settings differ in them.
    """
    first, second = specs
    if (first.precision, first.diagnostics) != (second.precision, second.diagnostics):
        raise InvalidRequest("the two settings differ in precision or diagnostics: submit a sweep for each")
    name = f"More seeds: {rows[0].title} and {rows[1].title}"
    return Sweep(
        name=name[:MAX_NAME_LENGTH],
        task=ComponentGrid.of(first.task),
        estimators=tuple(map(_entry, specs)),
        seeds=seeds,
        metric=board.select,
        goal="maximize" if board.goal == "maximize" else "minimize",
        report=tuple(board.report),
        precision=first.precision,
        diagnostics=first.diagnostics,
    )


def _entry(cell: CellSpec) -> EstimatorGrid:
    return EstimatorGrid(
        estimator=ComponentGrid.of(cell.estimator),
        optimizers=(ComponentGrid.of(cell.optimizer),),
        lrs=(cell.lr,),
    )
