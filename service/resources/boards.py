"""Leaderboards: per estimator the cell with the best mean of one metric, and what its seeds gave.

A board is read from the summaries of its cells; trials are read of the chosen cells only, so its cost does
not grow with the number of trials.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, Engine

from benchmarks.scoring import seeds
from benchmarks.spec import CellSpec
from benchmarks.tasks import registry as tasks
from benchmarks.tasks.info import Reference, TaskInfo
from service.errors import NotFound
from service.resources import describe, metrics, paging, schemas
from service.resources.fallbacks import fallbacks
from service.storage.engine import read
from service.storage.queries import boards, curves
from service.storage.queries.boards import BoardRow, CellRow, ValueRow
from service.storage.queries.curves import Curve

PROVENANCE_SHOWN = ("heunboard", "torch", "device", "executor")


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The cell that an estimator is shown at, and among how many it was chosen."""

    cell: CellRow
    tried: int


def list_boards(engine: Engine, *, limit: int, page_token: str | None = None) -> schemas.BoardList:
    """Newest first.

    Raises:
        InvalidPageToken: the token is not one of this list's.
    """
    before = paging.last_id("boards", page_token)
    with read(engine) as connection:
        rows = boards.board_rows(connection, limit=limit + 1, before=before)
    more = paging.token("boards", rows[limit - 1].id) if len(rows) > limit else None
    links = [
        describe.board_link(row.task_key, row.task, trials=row.trials, succeeded=row.succeeded)
        for row in rows[:limit]
    ]
    return schemas.BoardList(boards=links, next_page_token=more)


def show_board(
    engine: Engine,
    task_key: str,
    *,
    select: str | None = None,
    report: Sequence[str] | None = None,
) -> schemas.Board:
    """A board with every estimator at its best setting.

    Args:
        select: the metric whose mean over seeds chooses; default: the task's.
        report: metrics shown beside it; default: the task's.

    Raises:
        NotFound: there is no such board, or its task is not installed here.
        InvalidRequest: the task has no such metric.
    """
    with read(engine) as connection:
        board = boards.board_by_key(connection, task_key)
        if board is None:
            raise NotFound(f"there is no board {task_key!r}")
        info = _task(board)
        chooser = select or info.select
        shown = [chooser, *metrics.beside(chooser, info.report if report is None else report)]
        metrics.require_metrics(info.id, shown)
        cells = boards.cell_rows(connection, board.id, metric=chooser)
        choices = choose(cells, maximize=metrics.metric_info(info.id, chooser).goal == "maximize")
        return _board(connection, board, info, choices, shown)


def choose(cells: Sequence[CellRow], *, maximize: bool) -> list[Choice]:
    """Per estimator the cell with the best mean among those with enough seeds; best first.

    Enough is half of the results that the fullest cell of the board has. Of several versions of an estimator
    only the newest counts. Equal means: the cell submitted first.
    """
    finished = [cell for cell in cells if cell.n]
    enough = math.ceil(max((cell.n or 0 for cell in finished), default=0) / 2)
    sign = -1.0 if maximize else 1.0
    by_estimator: dict[str, list[CellRow]] = {}
    for cell in cells:
        by_estimator.setdefault(cell.estimator, []).append(cell)
    choices = []
    for estimator in dict.fromkeys(cell.estimator for cell in finished):
        newest = _newest_version(by_estimator[estimator])
        eligible = [cell for cell in newest if (cell.n or 0) >= enough]
        if eligible:
            best = min(eligible, key=lambda cell: sign * _mean(cell))
            tried = sum(cell.succeeded + cell.failed > 0 for cell in newest)
            choices.append(Choice(cell=best, tried=tried))
    return sorted(choices, key=lambda choice: sign * _mean(choice.cell))


def summarise(values: Sequence[ValueRow], flags: Sequence[bool]) -> schemas.Summary:
    """One metric of one cell over its seeds."""
    numbers = [row.value for row in values]
    summary = seeds.summary(numbers)
    return schemas.Summary(
        n=summary.n,
        mean=summary.mean,
        sd=summary.sd,
        low=summary.low,
        high=summary.high,
        median=seeds.median(numbers),
        seeds=[
            schemas.SeedValue(seed=row.seed, value=row.value, outlier=flag)
            for row, flag in zip(values, flags, strict=True)
        ],
    )


def curve_over_seeds(estimator: str, metric: str, found: Sequence[Curve]) -> schemas.BoardCurve:
    """Mean and standard deviation (n - 1) at every epoch over the seeds whose value there is finite."""
    last = max(int(one.epochs[-1]) for one in found)
    grid = np.full((len(found), last), np.nan)
    for lane, one in enumerate(found):
        grid[lane, one.epochs - 1] = one.values
    finite = np.isfinite(grid)
    n = finite.sum(axis=0)
    mean = np.where(finite, grid, 0.0).sum(axis=0) / np.maximum(n, 1)
    squares = np.where(finite, grid - mean, 0.0) ** 2
    sd = np.sqrt(squares.sum(axis=0) / np.maximum(n - 1, 1))
    return schemas.BoardCurve(
        estimator=estimator,
        metric=metric,
        epochs=list(range(1, last + 1)),
        mean=[float(x) if k else None for x, k in zip(mean, n, strict=True)],
        sd=[float(x) if k > 1 else None for x, k in zip(sd, n, strict=True)],
        n=n.tolist(),
    )


def _board(
    connection: Connection, board: BoardRow, info: TaskInfo, choices: Sequence[Choice], shown: list[str]
) -> schemas.Board:
    ids = [choice.cell.id for choice in choices]
    specs = boards.cell_specs(connection, ids)
    summaries = _summaries(boards.final_values(connection, ids, shown), shown)
    references = describe.references(board.task, shown[0])
    running = boards.running_trials(connection, board.id)
    provenances = boards.provenances(connection, ids)
    chosen = metrics.metric_info(info.id, shown[0])
    default_select, default_report = metrics.default_rule(info.id)
    return schemas.Board(
        id=board.task_key,
        title=describe.board_title(board.task),
        task=describe.component(board.task),
        metrics=[metrics.metric_info(info.id, name) for name in shown],
        select=shown[0],
        select_label=metrics.selection_label(info.id, shown[0]),
        goal=chosen.goal,
        report=shown[1:],
        default_select=default_select,
        default_report=default_report,
        rows=[
            _row(choice, specs[choice.cell.id], summaries.get(choice.cell.id, {}), references)
            for choice in choices
        ],
        references=[_reference(one, None) for one in references if one.estimator is None],
        curves=_curves(choices, curves.of_cells(connection, ids, shown)),
        trials=board.trials,
        counts=_counts(board, running),
        versions=versions(provenances),
        fallbacks=fallbacks(provenances),
    )


def _task(board: BoardRow) -> TaskInfo:
    id = board.task.id
    if id not in tasks.available():
        raise NotFound(f"the task {id!r} of this board is not installed here; its results are kept")
    return tasks.get(id)


def _newest_version(cells: Sequence[CellRow]) -> list[CellRow]:
    newest = max(cell.version for cell in cells)
    return [cell for cell in cells if cell.version == newest]


def _mean(cell: CellRow) -> float:
    return math.inf if cell.mean is None else cell.mean


def _summaries(values: Sequence[ValueRow], names: Sequence[str]) -> dict[int, dict[str, schemas.Summary]]:
    """Cell id -> metric -> summary; what counts as an outlier is judged over all shown cells together."""
    summaries: dict[int, dict[str, schemas.Summary]] = {}
    for metric in names:
        by_cell: dict[int, list[ValueRow]] = {}
        for row in values:
            if row.metric == metric:
                by_cell.setdefault(row.cell_id, []).append(row)
        flags = seeds.outliers([[row.value for row in rows] for rows in by_cell.values()])
        for (cell, rows), flagged in zip(by_cell.items(), flags, strict=True):
            summaries.setdefault(cell, {})[metric] = summarise(rows, flagged)
    return summaries


def _row(
    choice: Choice, spec: CellSpec, summaries: Mapping[str, schemas.Summary], references: Sequence[Reference]
) -> schemas.BoardRow:
    cell = choice.cell
    return schemas.BoardRow(
        estimator=cell.estimator,
        title=describe.estimator_title(spec.estimator),
        version=cell.version,
        cell=cell.cell_key,
        setting=describe.setting(spec),
        n=cell.n or 0,
        seeds_wanted=cell.trials,
        settings_tried=choice.tried,
        metrics=dict(summaries),
        references=[
            _reference(one, summaries.get(one.metric))
            for one in references
            if one.estimator == cell.estimator
        ],
    )


def _reference(reference: Reference, measured: schemas.Summary | None) -> schemas.ReferenceNumber:
    return schemas.ReferenceNumber(
        metric=reference.metric,
        estimator=reference.estimator,
        label=reference.label,
        mean=reference.mean,
        sd=reference.sd,
        source=reference.source,
        comparable=reference.comparable,
        n=reference.n,
        slip=reference.slip,
        exhibit=reference.exhibit,
        difference=None if measured is None else measured.mean - reference.mean,
    )


def _curves(choices: Sequence[Choice], found: Sequence[Curve]) -> list[schemas.BoardCurve]:
    grouped: dict[tuple[int, str], list[Curve]] = {}
    for row in found:
        grouped.setdefault((row.cell_id, row.metric), []).append(row)
    estimators = {choice.cell.id: choice.cell.estimator for choice in choices}
    return [curve_over_seeds(estimators[cell], metric, rows) for (cell, metric), rows in grouped.items()]


def _counts(board: BoardRow, running: int) -> dict[str, int]:
    ended = {"succeeded": board.succeeded, "failed": board.failed, "cancelled": board.cancelled}
    queued = max(board.trials - sum(ended.values()) - running, 0)
    return {"queued": queued, "running": running, **ended}


def versions(provenances: Sequence[Mapping[str, object]]) -> dict[str, list[str]]:
    """What the shown results were computed with: every value of a few fields, each once."""
    return {
        name: list(dict.fromkeys(str(one[name]) for one in provenances if one.get(name) is not None))
        for name in PROVENANCE_SHOWN
    }
