"""Leaderboards: per estimator the cell with the best mean of one metric, and what its seeds gave.

A board is read from the summaries of its cells; trials are read of the chosen cells only, so its cost does
not grow with the number of trials. What was made is kept until something happens on the board.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Engine

from benchmarks import scoring
from benchmarks.scoring.goals import Goal
from benchmarks.scoring.seeds import CONFIDENCE, Method, Moments
from benchmarks.tasks import registry as tasks
from benchmarks.tasks.info import TaskInfo
from service.errors import NotFound
from service.resources import board_references, describe, metrics, paging
from service.resources.board_choice import Choice, choose, is_eligible
from service.resources.board_costs import baseline, pareto_fronts
from service.resources.board_curves import (
    absurd_curves,
    anytime,
    board_curves,
    equal_evaluations,
    metric_with_curves,
)
from service.resources.board_repeat import asking, repeat
from service.resources.board_rows import Absurd, Measured, example_cell, ranked_rows, summaries, unranked_rows
from service.resources.board_schemas import (
    Board,
    BoardCell,
    BoardCellList,
    BoardCurve,
    Interval,
    Repeat,
    Spread,
)
from service.resources.board_schemas import BoardRow as Row
from service.resources.board_tuning import tuning
from service.resources.fallbacks import fallbacks
from service.resources.kept import Kept
from service.resources.plugin_code import mixed_code
from service.storage.engine import read
from service.storage.queries import boards, curves
from service.storage.queries.boards import BoardRow, CellRow, SeedRow

PROVENANCE_SHOWN = ("heunboard", "torch", "device", "executor")

SHOWN_SWEEPS = 20
"""Sweeps that asked for a board, on the board."""

KEPT_BOARDS = 64

MANY_CELLS = 5_000
"""Settings on a board from which making it takes long."""

INTERVALS: dict[Method, Interval] = {
    "t": Interval(method="Student's t", level=CONFIDENCE, over="seeds"),
    "bootstrap": Interval(method="bootstrap (BCa)", level=CONFIDENCE, over="seeds"),
}
"""What intervals of means can be; those of differences are Student's t."""


@dataclass(frozen=True)
class ShownBoard:
    """A board and its answer as JSON, which is written once.

    Attributes:
        board: the answer.
        counts: of its cells and running trials, and the last event, when it was made.
    """

    board: Board
    counts: tuple[BoardRow, int, int]

    @cached_property
    def json(self) -> str:
        """The body of the answer."""
        return self.board.model_dump_json()


_boards: Kept[ShownBoard] = Kept(
    boards.news, KEPT_BOARDS, slow=lambda shown: shown.counts[0].cells > MANY_CELLS
)


def show_board(
    engine: Engine,
    task_key: str,
    *,
    select: str | None = None,
    report: Sequence[str] | None = None,
    interval: Method = "t",
) -> Board:
    """A board with every estimator at its best setting.

    Args:
        engine: the database.
        task_key: id of the board.
        select: the metric whose mean over seeds chooses; default: the task's.
        report: metrics shown beside it; default: the task's.
        interval: of means over seeds.

    Raises:
        NotFound: there is no such board, or its task is not installed here.
        InvalidRequest: the task has no such metric.
    """
    return shown_board(engine, task_key, select=select, report=report, interval=interval).board


def shown_board(
    engine: Engine,
    task_key: str,
    *,
    select: str | None = None,
    report: Sequence[str] | None = None,
    interval: Method = "t",
) -> ShownBoard:
    """As :func:`show_board`, with the text of the answer."""
    asked = (task_key, select, None if report is None else tuple(report), interval)
    return _boards.get(
        engine,
        asked,
        lambda connection, before: _made(engine, connection, before, task_key, select, report, interval),
    )


def list_cells(
    engine: Engine,
    task_key: str,
    *,
    select: str | None = None,
    report: Sequence[str] | None = None,
    estimator: str | None = None,
    limit: int,
    page_token: str | None = None,
) -> BoardCellList:
    """Every setting on a board, estimator by estimator, with what its seeds gave.

    Args:
        engine: the database.
        task_key: id of the board.
        select: the metric that chooses; default: the task's.
        report: metrics shown beside it; default: the task's.
        estimator: only its settings.
        limit: entries on a page.
        page_token: of the page before.

    Raises:
        NotFound: there is no such board, or its task is not installed here; or nothing has such a name.
        InvalidRequest: the task has no such metric.
        InvalidPageToken: the token is not one of this list's.
    """
    if "\0" in (estimator or ""):  # PostgreSQL refuses to look for one
        raise NotFound(f"there is no estimator {estimator!r}")
    board = show_board(engine, task_key, select=select, report=report)
    shown = [board.select, *board.report]
    with read(engine) as connection:
        board_id, _ = _found(connection, task_key)
        kind = f"board-cells-{board_id}-{estimator or ''}"
        after = paging.last_id(kind, page_token)
        found = boards.cell_page(
            connection, board_id, metric=shown[0], limit=limit + 1, after=after, estimator=estimator
        )
        cells = _cells(connection, board, found[:limit], shown)
        total = boards.cell_count(connection, board_id, estimator=estimator)
    more = paging.token(kind, found[limit - 1].id) if len(found) > limit else None
    return BoardCellList(select=shown[0], report=shown[1:], total=total, cells=cells, next_page_token=more)


def versions(provenances: Sequence[Mapping[str, object]]) -> dict[str, list[str]]:
    """What the shown results were computed with: every value of a few fields, each once."""
    return {
        name: list(dict.fromkeys(str(one[name]) for one in provenances if one.get(name) is not None))
        for name in PROVENANCE_SHOWN
    }


@dataclass(frozen=True, slots=True)
class _Making:
    """A board in the making: the ``shown`` metrics are the choosing one, then those beside it."""

    engine: Engine
    connection: Connection
    row: BoardRow
    info: TaskInfo
    shown: Sequence[str]
    running: int
    interval: Method

    def board(self) -> Board:
        """The whole answer."""
        cells = boards.cell_rows(self.connection, self.row.id, metric=self.shown[0])
        choice = choose(cells, maximize=self._goal(self.shown[0]) == "maximize")
        ids = {one.chosen.id: one.estimator for one in choice.ranked if one.chosen is not None}
        by_seed = curves.of_cells(self.connection, list(ids), self.shown)
        found = board_curves(ids, by_seed)
        measured = self._measured(choice, absurd_curves(by_seed, {m: self._goal(m) for m in self.shown}))
        rows, fragile = ranked_rows(choice, measured, self.shown[0], self._goal(self.shown[0]))
        levels = [board_references.level(one) for one in measured.references if one.estimator is None]
        provenances = list(measured.provenances.values())
        asked = boards.asking_sweeps(self.connection, self.row.id)
        return Board(
            **self._rule(),
            interval=INTERVALS[self.interval],
            scoring_version=scoring.VERSION,
            enough_seeds=choice.enough,
            rows=rows,
            unranked=unranked_rows(choice, measured),
            fragile_seeds=list(fragile),
            references=levels,
            curves=found,
            tuning=tuning(
                self.engine,
                self.connection,
                self.row,
                choice,
                goal=self._goal(self.shown[0]),
                shown=self.shown,
            ),
            **self._costs(rows, found, measured),
            sweeps=asking(asked[:SHOWN_SWEEPS]),
            sweeps_total=len(asked),
            repeat=self._repeat(choice, rows, measured),
            trials=self.row.trials,
            counts=_counts(self.row, self.running),
            versions=versions(provenances),
            fallbacks=fallbacks(provenances),
            mixed_code=mixed_code(provenances),
        )

    def _rule(self) -> dict[str, Any]:
        """What is shown, and by which rule."""
        task = self.info.id
        chosen = metrics.metric_info(task, self.shown[0])
        default_select, default_report = metrics.default_rule(task)
        return {
            "id": self.row.task_key,
            "title": describe.board_title(self.row.task),
            "task": describe.component(self.row.task),
            "metrics": [metrics.metric_info(task, name) for name in self.shown],
            "select": self.shown[0],
            "select_label": metrics.selection_label(task, self.shown[0]),
            "selected_on_test": chosen.split == "test",
            "goal": chosen.goal,
            "report": list(self.shown[1:]),
            "default_select": default_select,
            "default_report": default_report,
        }

    def _measured(self, choice: Choice, absurd: Absurd) -> Measured:
        """What is read of the chosen cells, and of one example of every estimator without one."""
        chosen = [one.chosen.id for one in choice.ranked if one.chosen is not None]
        examples = [example_cell(one).id for one in choice.unranked]
        seeds: dict[int, list[SeedRow]] = {}
        for seed in boards.seed_rows(self.connection, [*chosen, *examples]):
            seeds.setdefault(seed.cell_id, []).append(seed)
        failed = [one.estimator for one in choice.unranked if any(cell.failed for cell in one.cells)]
        values = boards.final_values(self.connection, chosen, self.shown)
        return Measured(
            specs=boards.cell_specs(self.connection, chosen),
            summaries=summaries(values, self.shown, self.interval, absurd),
            seeds=seeds,
            provenances=boards.provenances(self.connection, chosen),
            diverged=boards.diverged(self.connection, self.row.id, failed) if failed else {},
            references=describe.references(self.row.task, self.shown[0]),
            goals={name: self._goal(name) for name in self.shown},
            steps=self._steps()[0],
        )

    def _costs(self, rows: Sequence[Row], found: Sequence[BoardCurve], measured: Measured) -> dict[str, Any]:
        """Fields of cost and of what is reached when."""
        goal, metric = self._goal(self.shown[0]), metric_with_curves(found, self.shown)
        per_epoch = self._steps()[1]
        each = {row.estimator: row.cost.evaluations_per_step or 0 for row in rows}
        equal = None
        if metric is not None and per_epoch is not None:
            equal = equal_evaluations(found, metric, self._goal(metric), each=each, steps_per_epoch=per_epoch)
        return {
            "cost_baseline": baseline({row.estimator: row.cost for row in rows}),
            "steps": measured.steps,
            "steps_per_epoch": per_epoch,
            "pareto": pareto_fronts(rows, self.shown[0], goal),
            "anytime": None if metric is None else anytime(found, metric, self._goal(metric)),
            "equal_evaluations": equal,
        }

    def _repeat(self, choice: Choice, rows: Sequence[Row], measured: Measured) -> Repeat | None:
        chosen = {one.estimator: one.chosen.id for one in choice.ranked if one.chosen is not None}
        ids = [chosen[row.estimator] for row in rows]
        return repeat(
            describe.board_title(self.row.task),
            self.row.task,
            [measured.specs[id] for id in ids],
            [seed for id in ids for seed in measured.seeds.get(id, ())],
            measured.provenances.values(),
            select=self.shown[0],
            report=self.shown[1:],
            board=self.row.task_key,
            spent=sum(row.device_seconds for row in rows),
        )

    def _goal(self, metric: str) -> Goal:
        return "maximize" if metrics.metric_info(self.info.id, metric).goal == "maximize" else "minimize"

    def _steps(self) -> tuple[int | None, int | None]:
        """Of a trial and of an epoch; neither of a task that this version cannot describe."""
        info, values = describe.known_task(self.row.task), self.row.task.values
        return (None, None) if info is None else (info.total_steps(values), info.steps_per_epoch(values))


def _made(
    engine: Engine,
    connection: Connection,
    before: ShownBoard | None,
    task_key: str,
    select: str | None,
    report: Sequence[str] | None,
    interval: Method,
) -> ShownBoard:
    """The board; the one that was there before, where nothing has happened on it."""
    _, info = _found(connection, task_key)
    shown = _shown(info, select, report)
    row = boards.board_by_key(connection, task_key)
    if row is None:
        raise NotFound(f"there is no board {task_key!r}")
    counts = (row, boards.running_trials(connection, row.id), boards.last_event(connection))
    if before is not None and before.counts == counts:
        return before
    return ShownBoard(_Making(engine, connection, row, info, shown, counts[1], interval).board(), counts)


def _found(connection: Connection, task_key: str) -> tuple[int, TaskInfo]:
    """Id and task of a board."""
    found = boards.board_task(connection, task_key)
    if found is None:
        raise NotFound(f"there is no board {task_key!r}")
    board_id, task = found
    if task.id not in tasks.available():
        raise NotFound(f"the task {task.id!r} of this board is not installed here; its results are kept")
    return board_id, tasks.get(task.id)


def _shown(info: TaskInfo, select: str | None, report: Sequence[str] | None) -> list[str]:
    """The choosing metric, then those beside it."""
    chooser = select or info.select
    shown = [chooser, *metrics.beside(chooser, info.report if report is None else report)]
    metrics.require_metrics(info.id, shown)
    return shown


def _cells(
    connection: Connection, board: Board, rows: Sequence[CellRow], shown: Sequence[str]
) -> list[BoardCell]:
    ids = [row.id for row in rows]
    specs = boards.cell_specs(connection, ids)
    spreads: dict[int, dict[str, Spread]] = {}
    for one in boards.summary_rows(connection, ids, shown):
        summary = Moments(one.n, one.mean, one.m2).summary()
        spreads.setdefault(one.cell_id, {})[one.metric] = Spread.model_validate(summary)
    newest = {row.estimator: row.version for row in board.rows}
    chosen = {row.cell for row in board.rows}
    return [
        BoardCell(
            cell=row.cell_key,
            estimator=row.estimator,
            title=describe.title_of_estimator(row.estimator),
            version=row.version,
            setting=describe.setting(specs[row.id]),
            trials=row.trials,
            succeeded=row.succeeded,
            failed=row.failed,
            cancelled=row.cancelled,
            eligible=row.version == newest.get(row.estimator) and is_eligible(row, board.enough_seeds),
            chosen=row.cell_key in chosen,
            metrics={name: spreads[row.id][name] for name in shown if name in spreads.get(row.id, {})},
        )
        for row in rows
    ]


def _counts(board: BoardRow, running: int) -> dict[str, int]:
    ended = {"succeeded": board.succeeded, "failed": board.failed, "cancelled": board.cancelled}
    queued = max(board.trials - sum(ended.values()) - running, 0)
    return {"queued": queued, "running": running, **ended}
