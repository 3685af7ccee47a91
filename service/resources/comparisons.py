"""Comparing an estimator with others: seed by seed, on one board or across two."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from benchmarks.scoring import margins, power
from benchmarks.scoring.goals import Goal
from benchmarks.scoring.pairs import ALPHA, Difference
from benchmarks.sweep_file.issues import nearest
from service.errors import InvalidRequest, NotFound
from service.resources import comparison_words, describe, metrics
from service.resources.board_choice import choose
from service.resources.board_schemas import Board
from service.resources.boards import show_board
from service.resources.comparison_schemas import ComparedCell, Comparison, HeldAgainst, PairedSeed
from service.resources.schemas import MetricInfo
from service.storage.engine import read
from service.storage.queries import boards, tidy
from service.storage.queries.tidy import CellLine

Seeds = Mapping[int, float]

PREFIX = re.compile(r"[0-9a-f]{8,32}")
"""What is taken for the key of a cell, or its first letters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What is compared.

    Attributes:
        first: an estimator (``reinmax``), one version of it (``reinmax@1``), or the key of a setting or its
            first eight or more digits.
        others: what it is held against, likewise.
        board: key of the board of the first one.
        other_board: of the others; by default the same.
        metric: that is compared; by default the one that chooses.
        select: metric that chooses the settings; by default the task's.
        margin: largest difference that does not matter, in units of the metric.
    """

    first: str
    others: Sequence[str]
    board: str
    other_board: str | None = None
    metric: str | None = None
    select: str | None = None
    margin: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Side:
    """A chosen cell, and the values of its seeds."""

    answer: ComparedCell
    values: Seeds


def compare(engine: Engine, question: Question) -> Comparison:
    """Hold the first one against all others, which are judged together.

    Raises:
        NotFound: there is no such board, estimator or setting, or it has no result.
        InvalidRequest: a metric that the task lacks, a margin that is no size, or nothing to compare with.
    """
    if not question.others:
        raise InvalidRequest("there is nothing to compare with; name at least one other estimator")
    if not (math.isfinite(question.margin) and question.margin >= 0):
        raise InvalidRequest(f"the margin is a size, 0 or more, not {question.margin}")
    place = _Place.find(engine, question.board, question)
    elsewhere = question.other_board not in (None, question.board)
    other_place = _Place.find(engine, str(question.other_board), question) if elsewhere else place
    with read(engine) as connection:
        first = place.side(connection, question.first)
        others = [other_place.side(connection, name) for name in question.others]
    if any(other.answer.cell == first.answer.cell for other in others):
        raise InvalidRequest(f"{question.first!r} would be compared with itself; name another one")
    return _answer(first, others, place, question)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """A board, and what is asked of it."""

    board: Board
    metric: MetricInfo

    @classmethod
    def find(cls, engine: Engine, key: str, question: Question) -> _Place:
        """A board as the question wants it shown."""
        board = show_board(engine, key, select=question.select, report=[])
        metric = question.metric or board.select
        metrics.require_metrics(board.task.id, [metric])
        return cls(board=board, metric=metrics.metric_info(board.task.id, metric))

    def side(self, connection: Connection, name: str) -> _Side:
        """The cell that a name means, with its values.

        Raises:
            NotFound: it means none that has a result.
        """
        cell, tried = self._meant(connection, name)
        rows = boards.final_values(connection, [cell.id], [self.metric.name])
        values = {row.seed: row.value for row in rows}
        failed = [seed for _, seed in tidy.failed_seeds(connection, [cell.id])]
        return _Side(answer=self._compared(cell, tried, values, failed), values=values)

    def _meant(self, connection: Connection, name: str) -> tuple[CellLine, int | None]:
        """A setting by its key, an estimator as the board shows it, or an older version of one."""
        if PREFIX.fullmatch(name) and (cell := self._cell(connection, name)) is not None:
            return cell, None
        for row in self.board.rows:
            if name in (row.estimator, f"{row.estimator}@{row.version}"):
                return self._known(connection, row.cell), row.settings_tried
        return self._older(connection, name)

    def _cell(self, connection: Connection, key: str) -> CellLine | None:
        found = tidy.cells_by_key(connection, self.board.id, key)
        if len(found) > 1:
            raise InvalidRequest(f"several settings of this board begin with {key!r}; give more digits")
        return found[0] if found else None

    def _known(self, connection: Connection, key: str) -> CellLine:
        (cell,) = tidy.cells_by_key(connection, self.board.id, key)
        return cell

    def _older(self, connection: Connection, name: str) -> tuple[CellLine, int]:
        """The best setting of one version of an estimator, by the rule of the board."""
        estimator, _, version = name.partition("@")
        board_id, _ = boards.board_task(connection, self.board.id) or (0, None)
        every = boards.cell_rows(connection, board_id, metric=self.board.select)
        if estimator not in {cell.estimator for cell in every}:
            raise NotFound(self._nobody(name, [cell.estimator for cell in every]))
        mine = [cell for cell in every if cell.estimator != estimator or str(cell.version) == version]
        for one in choose(mine, maximize=self.board.goal == "maximize").ranked:
            if one.estimator == estimator and one.chosen is not None:
                return self._known(connection, one.chosen.cell_key), one.tried
        raise NotFound(f"no setting of {name!r} has enough results on board {self.board.id}")

    def _nobody(self, name: str, known: Sequence[str]) -> str:
        there = list(dict.fromkeys(known))
        near = nearest(name, there)
        hint = f". Did you mean {near!r}?" if near else ""
        return f"board {self.board.id} has no estimator or setting {name!r}; it has {', '.join(there)}{hint}"

    def _compared(self, cell: CellLine, tried: int | None, values: Seeds, failed: list[int]) -> ComparedCell:
        finite = [value for value in values.values() if math.isfinite(value)]
        return ComparedCell(
            board=self.board.id,
            board_title=self.board.title,
            page=metrics.board_path(self.board.id, self.board.select, []),
            estimator=cell.spec.estimator.id,
            title=describe.estimator_title(cell.spec.estimator),
            version=cell.spec.estimator.version,
            cell=cell.key,
            setting=describe.setting(cell.spec),
            settings_tried=tried,
            n=len(values),
            mean=math.fsum(finite) / len(finite) if finite else None,
            failed_seeds=failed,
        )


def _answer(first: _Side, others: Sequence[_Side], place: _Place, question: Question) -> Comparison:
    metric, margin = place.metric, question.margin
    values = [other.values for other in others]
    found = margins.compare(first.values, values, _goal(metric), margin=margin)
    held = [
        _held(first, other, one, metric, margin, len(others))
        for other, one in zip(others, found, strict=True)
    ]
    select = place.board.metrics[0]
    return Comparison(
        first=first.answer,
        metric=metric,
        select=select.name,
        margin=margin,
        comparisons=held,
        notes=comparison_words.notes(first.answer, held, select),
    )


def _held(
    first: _Side, other: _Side, one: margins.Comparison, metric: MetricInfo, margin: float, comparisons: int
) -> HeldAgainst:
    failed = _failed_only_here(first, other)
    detectable, needed = _power(one.difference, comparisons)
    said = HeldAgainst(
        other=other.answer,
        metric=metric.name,
        seeds=one.difference.seeds,
        left_out=one.difference.left_out,
        mean=one.difference.mean if one.difference.seeds else None,
        sd=one.difference.sd,
        low=one.difference.low,
        high=one.difference.high,
        p_value=one.difference.p,
        p_adjusted=one.p,
        test=one.difference.test,
        verdict=one.verdict,
        no_worse=one.no_worse,
        failed_only_here=failed,
        regression=one.verdict == "worse" or bool(failed),
        detectable=detectable,
        seeds_needed=needed,
        pairs=_pairs(first.values, other.values, metric),
        sentence="",
    )
    sentence = comparison_words.sentence(first.answer, said, metric, margin=margin, several=comparisons > 1)
    return said.model_copy(update={"sentence": sentence})


def _failed_only_here(first: _Side, other: _Side) -> list[int]:
    """Seeds at which the first one has no finite result, and the other has."""
    failed = {
        *first.answer.failed_seeds,
        *(s for s, value in first.values.items() if not math.isfinite(value)),
    }
    return sorted(seed for seed in failed if math.isfinite(other.values.get(seed, math.nan)))


def _power(one: Difference, comparisons: int) -> tuple[float | None, int | None]:
    """The smallest difference that these seeds find, and how many seeds the measured one takes."""
    if one.sd is None:
        return None, None
    alpha = ALPHA / comparisons
    return power.detectable(one.sd, one.seeds, alpha=alpha), power.seeds_to_separate(
        one.mean, one.sd, alpha=alpha
    )


def _pairs(first: Seeds, second: Seeds, metric: MetricInfo) -> list[PairedSeed]:
    sign = 1.0 if metric.goal == "maximize" else -1.0
    return [
        PairedSeed(
            seed=seed,
            first=_finite(first[seed]),
            second=_finite(second[seed]),
            better_by=_finite(sign * (first[seed] - second[seed])),
        )
        for seed in sorted(first.keys() & second.keys())
    ]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _goal(metric: MetricInfo) -> Goal:
    return "maximize" if metric.goal == "maximize" else "minimize"
