"""At what cost: time, evaluations, memory and tuning beside quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from service.resources import numbers
from service.resources.board_schemas import Anytime, Board, BoardRow, EqualEvaluations
from service.resources.labels import metric_header, metric_label
from service.web import columns
from service.web.columns import ABSENT, Digits
from service.web.measured import rank, times
from service.web.names import Name
from service.web.tuning import series

MILLI, MICRO = 1e3, 1e6
"""Of these there are in a second."""


def costs(board: Board, named: Mapping[str, Name]) -> dict[str, Any]:
    """Everything that the section on cost shows."""
    unit, scale = _unit(board.rows)
    return {
        "costs": _lines(board, scale),
        "time_unit": unit,
        "baseline": named[board.cost_baseline].title if board.cost_baseline else "",
        "fronts": _fronts(board, named),
        "equal": _equal(board.equal_evaluations, board),
        "anytime": _anytime(board.anytime, board),
    }


def _unit(rows: Sequence[BoardRow]) -> tuple[str, float]:
    """A unit in which the longest step is at least 1."""
    longest = max((row.cost.seconds_per_step or 0.0 for row in rows), default=0.0)
    return ("s", 1.0) if longest >= 1 else ("ms", MILLI) if longest >= 1e-3 else ("µs", MICRO)


def _lines(board: Board, scale: float) -> list[dict[str, Any]]:
    lines = [_line(row, board) for row in board.rows]
    times_of = [[_time(row.cost.seconds_per_step, scale), times(row.cost.relative)] for row in board.rows]
    for line, (seconds, relative) in zip(lines, columns.aligned_columns(times_of), strict=True):
        line |= {"seconds": seconds, "relative": relative}
    return lines


def _line(row: BoardRow, board: Board) -> dict[str, Any]:
    cost = row.cost
    return {
        "estimator": row.estimator,
        "rank": rank(row),
        "position": row.standing.position,
        "per_step": _count(cost.evaluations_per_step),
        "evaluations": _count(cost.evaluations),
        "memory": "–" if cost.peak_memory_bytes is None else numbers.compact(cost.peak_memory_bytes / 2**20),
        "tried": row.settings_tried,
        "trials": f"{row.trials_spent:,}",
        "spent_raw": row.device_seconds,
        "spent": numbers.duration(row.device_seconds) or "–",
        "on_front": _on_front(row.estimator, board),
    }


def _time(seconds: float | None, scale: float) -> Digits:
    return ABSENT if seconds is None else times(seconds * scale)


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _on_front(estimator: str, board: Board) -> str:
    fronts = {"time": board.pareto.seconds, "evaluations": board.pareto.evaluations}
    return " and ".join(name for name, front in fronts.items() if estimator in front)


def _fronts(board: Board, named: Mapping[str, Name]) -> list[dict[str, Any]]:
    """Two pictures of quality against cost, where at least two costs are known."""
    unit, scale = _unit(board.rows)
    time = {row.estimator: (row.cost.seconds_per_step or 0.0) * scale for row in board.rows}
    evaluations = {row.estimator: float(row.cost.evaluations_per_step or 0) for row in board.rows}
    found = [
        _front("seconds", f"Time a step, {unit}", time, board.pareto.seconds, board, named),
        _front("evaluations", "Evaluations a step", evaluations, board.pareto.evaluations, board, named),
    ]
    return [one for one in found if len(one["figure"]["series"]) > 1]


def _front(
    id: str,
    title: str,
    cost: Mapping[str, float],
    front: Sequence[str],
    board: Board,
    named: Mapping[str, Name],
) -> dict[str, Any]:
    means = {
        row.estimator: row.metrics[board.select].mean
        for row in board.rows
        if board.select in row.metrics and cost[row.estimator] > 0
    }
    path = [id for id in front if id in means]
    figure = {
        "mode": "markers",
        "x": {"title": title, "short": title.lower(), "log": True},
        "y": {"title": metric_header(board.metrics[0]), "log": False},
        "series": [
            {**series(named[id], [cost[id]], [mean]), "strong": id in path} for id, mean in means.items()
        ],
        "front": {"x": [cost[id] for id in path], "y": [means[id] for id in path]},
    }
    return {"id": id, "title": title, "figure": figure, "names": path}


def _equal(equal: EqualEvaluations | None, board: Board) -> dict[str, Any] | None:
    """Rows after equally many evaluations, with the place that each has after equally many steps."""
    if equal is None:
        return None
    positions = {row.estimator: row.standing.position for row in board.rows}
    values = columns.aligned(columns.digits(numbers.five_digits(line.mean)) for line in equal.rows)
    return {
        "evaluations": f"{equal.evaluations:,}",
        "metric": _label(board, equal.metric),
        "rows": [
            {
                "estimator": line.estimator,
                "position": line.position,
                "at_equal_steps": positions[line.estimator],
                "epoch": line.epoch or "–",
                "value": value,
            }
            for line, value in zip(equal.rows, values, strict=True)
        ],
    }


def _anytime(anytime: Anytime | None, board: Board) -> dict[str, Any] | None:
    if anytime is None or not anytime.leads:
        return None
    leads = [
        {"epochs": _span(one.first_epoch, one.last_epoch), "estimator": one.estimator}
        for one in anytime.leads
    ]
    return {"metric": _label(board, anytime.metric), "leads": leads}


def _span(first: int, last: int) -> str:
    return f"epoch {first}" if first == last else f"epochs {first} to {last}"


def _label(board: Board, metric: str) -> str:
    return next((metric_label(one) for one in board.metrics if one.name == metric), metric)
