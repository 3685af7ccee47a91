"""The rows of a board: ranked estimators at their chosen settings, and those that have no place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.scoring import seeds
from benchmarks.scoring.goals import Goal
from benchmarks.scoring.ranking import rank
from benchmarks.scoring.seeds import Method
from benchmarks.spec import CellSpec
from benchmarks.tasks.info import Reference
from service.resources import board_references, describe
from service.resources.board_choice import Choice, Contender
from service.resources.board_costs import baseline, mean_seconds, relative_to, row_cost
from service.resources.board_schemas import (
    BoardRow,
    RowCost,
    SeedCounts,
    SeedValue,
    Standing,
    Summary,
    UnrankedRow,
)
from service.resources.board_standings import standings
from service.states import TrialState
from service.storage.queries.boards import CellRow, SeedRow, ValueRow

Summaries = Mapping[str, Summary]
"""Metric -> its summary over the seeds of one cell."""

Absurd = Mapping[tuple[int, str, int], int]
"""Cell id, metric and seed -> the epoch from which that curve is absurd."""

Cause = Literal["failed", "diverged", "cancelled", "waiting", "few_seeds", "no_value"]

_ORDER: Sequence[Cause] = ("few_seeds", "no_value", "waiting", "diverged", "failed", "cancelled")


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What was read of the shown cells.

    Attributes:
        specs: cell id -> its specification.
        summaries: cell id -> its summaries.
        seeds: cell id -> what became of its seeds.
        provenances: attempt id -> what it computed with.
        diverged: (estimator, version) -> trials that diverged, of those without a place.
        references: numbers to show beside those of the board.
        goals: shown metric -> which direction of it is good.
        steps: of a trial, where known.
    """

    specs: Mapping[int, CellSpec]
    summaries: Mapping[int, Summaries]
    seeds: Mapping[int, Sequence[SeedRow]]
    provenances: Mapping[int, Mapping[str, Any]]
    diverged: Mapping[tuple[str, int], int]
    references: Sequence[Reference]
    goals: Mapping[str, Goal]
    steps: int | None


def summarise(
    values: Sequence[ValueRow], flags: Sequence[bool], method: Method = "t", absurd: Absurd | None = None
) -> Summary:
    """One metric of one cell over its seeds."""
    numbers = [row.value for row in values]
    summary = seeds.summary(numbers, method)
    known = absurd or {}
    return Summary(
        n=summary.n,
        mean=summary.mean,
        sd=summary.sd,
        low=summary.low,
        high=summary.high,
        median=seeds.median(numbers),
        interquartile_mean=seeds.interquartile_mean(numbers),
        seeds=[
            SeedValue(
                seed=row.seed,
                value=row.value,
                outlier=flag,
                absurd_from=known.get((row.cell_id, row.metric, row.seed)),
            )
            for row, flag in zip(values, flags, strict=True)
        ],
    )


def summaries(
    values: Sequence[ValueRow], metrics: Sequence[str], method: Method, absurd: Absurd
) -> dict[int, dict[str, Summary]]:
    """Cell id -> metric -> summary; what counts as an outlier is judged over all shown cells together."""
    found: dict[int, dict[str, Summary]] = {}
    for metric in metrics:
        by_cell: dict[int, list[ValueRow]] = {}
        for row in values:
            if row.metric == metric:
                by_cell.setdefault(row.cell_id, []).append(row)
        flags = seeds.outliers([[row.value for row in rows] for rows in by_cell.values()])
        for (cell, rows), flagged in zip(by_cell.items(), flags, strict=True):
            found.setdefault(cell, {})[metric] = summarise(rows, flagged, method, absurd)
    return found


def ranked_rows(
    choice: Choice, measured: Measured, select: str, goal: Goal
) -> tuple[list[BoardRow], tuple[int, ...]]:
    """The rows, best first, and the seeds without any one of which another would be the best."""
    chosen = {one.estimator: (one, one.chosen) for one in choice.ranked if one.chosen is not None}
    values = {
        name: {seed.seed: seed.value for seed in measured.summaries[cell.id][select].seeds}
        for name, (_, cell) in chosen.items()
    }
    ranking = rank(values, goal)
    places = standings(ranking, goal)
    costs = {
        name: row_cost(measured.seeds.get(cell.id, ()), measured.provenances, measured.steps)
        for name, (_, cell) in chosen.items()
    }
    base = costs.get(baseline(costs) or "")
    rows = [
        _row(*chosen[name], measured, place, relative_to(costs[name], base), select, goal)
        for name, place in places.items()
    ]
    return rows, ranking.fragile


def unranked_rows(choice: Choice, measured: Measured) -> list[UnrankedRow]:
    """The estimators without a place: those nearest to one first."""
    rows = [_unranked(one, measured, choice.enough) for one in choice.unranked]
    return sorted(rows, key=lambda row: (_ORDER.index(row.cause), row.title))


def example_cell(contender: Contender) -> CellRow:
    """The cell that stands for an estimator without a place: of those with failures, or of all, the first."""
    return next((cell for cell in contender.cells if cell.failed), contender.cells[0])


def _row(
    contender: Contender,
    cell: CellRow,
    measured: Measured,
    standing: Standing,
    cost: RowCost,
    select: str,
    goal: Goal,
) -> BoardRow:
    spec, mine = measured.specs[cell.id], measured.summaries[cell.id]
    seed_rows = measured.seeds.get(cell.id, ())
    return BoardRow(
        estimator=cell.estimator,
        title=describe.estimator_title(spec.estimator),
        version=cell.version,
        cell=cell.cell_key,
        setting=describe.setting(spec),
        n=cell.n or 0,
        seeds_wanted=cell.trials,
        settings_tried=contender.tried,
        trials_spent=contender.spent,
        device_seconds=contender.spent * mean_seconds(seed_rows),
        standing=standing,
        seeds=_counts([cell], diverged=_diverged(seed_rows), collapsed=_collapsed(mine[select], goal)),
        cost=cost,
        source="imported" if _imported(seed_rows) else "computed here",
        metrics=dict(mine),
        references=[
            board_references.beside(one, _values(mine.get(one.metric)), measured.goals.get(one.metric, goal))
            for one in measured.references
            if one.estimator == cell.estimator
        ],
    )


def _unranked(contender: Contender, measured: Measured, enough: int) -> UnrankedRow:
    cell = example_cell(contender)
    diverged = measured.diverged.get((cell.estimator, cell.version), 0)
    counts = _counts(contender.cells, diverged=diverged, collapsed=0)
    cause = _cause(contender, counts)
    seed_rows = measured.seeds.get(cell.id, ())
    failed = next((one for one in seed_rows if one.state is TrialState.FAILED), None)
    example = failed or next(iter(seed_rows), None)
    return UnrankedRow(
        estimator=cell.estimator,
        title=describe.title_of_estimator(cell.estimator),
        version=cell.version,
        cause=cause,
        reason=_reason(cause, counts, enough),
        settings=len(contender.cells),
        settings_tried=contender.tried,
        trials_spent=contender.spent,
        seeds=counts,
        cell=cell.cell_key,
        trial=None if example is None else example.key,
        error=None if failed is None else failed.error,
    )


def _counts(cells: Iterable[CellRow], *, diverged: int, collapsed: int) -> SeedCounts:
    listed = list(cells)
    wanted, succeeded, failed, cancelled = (
        sum(getattr(cell, name) for cell in listed) for name in ("trials", "succeeded", "failed", "cancelled")
    )
    return SeedCounts(
        wanted=wanted,
        succeeded=succeeded,
        failed=failed,
        diverged=diverged,
        collapsed=collapsed,
        cancelled=cancelled,
        waiting=max(0, wanted - succeeded - failed - cancelled),
    )


def _cause(contender: Contender, counts: SeedCounts) -> Cause:
    if any(cell.n for cell in contender.cells):
        return "few_seeds"
    if counts.succeeded:
        return "no_value"
    if counts.waiting:
        return "waiting"
    if counts.failed:
        return "diverged" if counts.diverged == counts.failed else "failed"
    return "cancelled"


def _reason(cause: Cause, counts: SeedCounts, enough: int) -> str:
    ended = f"{counts.failed:,} of {_number(counts.wanted, 'trial')}"
    match cause:
        case "few_seeds":
            return f"no setting has the {_number(enough, 'seed')} that it takes to be chosen on this board"
        case "no_value":
            return "its results do not have the metric that chooses"
        case "waiting":
            so_far = f", {counts.failed:,} failed so far" if counts.failed else ""
            return f"{counts.waiting:,} of {_number(counts.wanted, 'trial')} wait or run{so_far}"
        case "diverged":
            return f"{ended} diverged: the numbers were no longer finite"
        case "failed":
            some = f", {counts.diverged:,} of them diverged" if counts.diverged else ""
            return f"{ended} failed{some}"
        case "cancelled":
            return f"{counts.cancelled:,} of {_number(counts.wanted, 'trial')} were cancelled"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _diverged(rows: Iterable[SeedRow]) -> int:
    return sum(one.state is TrialState.FAILED and one.diverged_at is not None for one in rows)


def _collapsed(summary: Summary, goal: Goal) -> int:
    """Outliers on the bad side of the median, and absurd losses."""
    sign = -1.0 if goal == "maximize" else 1.0
    return sum(
        one.absurd_from is not None or (one.outlier and sign * (one.value - summary.median) > 0)
        for one in summary.seeds
    )


def _imported(rows: Iterable[SeedRow]) -> bool:
    return any(one.state is TrialState.SUCCEEDED and one.attempt_id is None for one in rows)


def _values(summary: Summary | None) -> list[float]:
    return [] if summary is None else [one.value for one in summary.seeds]
