"""Where an estimator stands over the boards that it is on, from the summaries of their cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from sqlalchemy import Engine

from benchmarks.scoring.across import average_ranks, profiles
from benchmarks.scoring.goals import Goal
from service.resources import describe
from service.resources.board_list_schemas import BoardStanding, ProfilePoint, Standing
from service.resources.board_lists import best_result, rules
from service.storage.engine import read
from service.storage.queries import board_lists
from service.storage.queries.board_lists import BestCell, FoundBoard, Rule, Search

MOST_BOARDS = 100
"""Boards that are looked at, those with the newest results first."""

AMONG = 10_000
"""Boards among which they are looked for, those with the newest results."""

SHORTFALLS = np.round(np.linspace(0, 1, 51), 2)
"""Where a profile is read."""


class Field(NamedTuple):
    """The estimators on one board, each at its best cell, best first."""

    board: FoundBoard
    rule: Rule | None
    cells: list[BestCell]

    @property
    def goal(self) -> Goal:
        """Which direction is better there."""
        return "maximize" if self.rule is not None and self.rule.maximize else "minimize"

    @property
    def means(self) -> dict[str, float]:
        """Estimator -> its mean."""
        return {cell.estimator: cell.mean for cell in self.cells}


def show_standing(engine: Engine, estimator: str) -> Standing:
    """Ranks and means of an estimator on its boards, by the metric that chooses there by default."""
    with read(engine) as connection:
        search = Search(estimator=estimator, newest=AMONG)
        found = board_lists.found_boards(connection, search, limit=MOST_BOARDS + 1)
        boards, chosen = found[:MOST_BOARDS], rules(found)
        cells = board_lists.best_cells(connection, [board.id for board in boards], chosen)
    by_board: dict[int, list[BestCell]] = {board.id: [] for board in boards}
    for cell in cells:
        by_board[cell.board_id].append(cell)
    fields = [Field(board, chosen.get(board.task_id), by_board[board.id]) for board in boards]
    return standing(estimator, fields, left_out=len(found) > MOST_BOARDS)


def standing(estimator: str, fields: Sequence[Field], *, left_out: bool = False) -> Standing:
    """The same from what is known of each board."""
    lines = [_line(estimator, field) for field in fields]
    mine = [field for field in fields if estimator in field.means]
    means = {field.board.task_key: field.means for field in mine}
    goals: Mapping[str, Goal] = {field.board.task_key: field.goal for field in mine}
    ranked = [line for line in lines if line.rank is not None]
    average = average_ranks(means, goals).get(estimator)
    shares = profiles(means, goals, SHORTFALLS).get(estimator)
    return Standing(
        estimator=estimator,
        boards=lines,
        left_out=left_out,
        ranked=len(ranked),
        average_rank=None if average is None else average.rank,
        average_of=sum(line.of for line in ranked) / len(ranked) if ranked else None,
        first=sum(line.rank == 1 for line in ranked),
        profile=[]
        if shares is None
        else [ProfilePoint(shortfall=at, share=share) for at, share in zip(SHORTFALLS, shares, strict=True)],
    )


def _line(estimator: str, field: Field) -> BoardStanding:
    board, rule, means = field.board, field.rule, field.means
    alone = {board.task_key: means}
    rank = average_ranks(alone, {board.task_key: field.goal}).get(estimator)
    return BoardStanding(
        board=board.task_key,
        title=describe.board_title(board.task),
        task=board.task_id,
        metric="" if rule is None else rule.metric,
        goal=field.goal,
        rank=None if rank is None else rank.rank,
        of=len(means),
        n=next((cell.n for cell in field.cells if cell.estimator == estimator), None),
        mean=means.get(estimator),
        shortfall=_shortfall(estimator, means),
        best=None if rule is None or not field.cells else best_result(field.cells[0], rule),
        changed_at=board.changed_at,
    )


def _shortfall(estimator: str, means: Mapping[str, float]) -> float | None:
    """The distance from the best mean over that of the worst from the best; the first is the best."""
    if estimator not in means or len(means) < 2:
        return None
    best, *_, worst = means.values()
    return (means[estimator] - best) / (worst - best) if worst != best else 0.0
