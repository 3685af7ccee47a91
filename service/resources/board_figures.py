"""Pictures of a board for papers and for a file of its own: curves, heat map, responses, cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from service.errors import NotFound
from service.resources.board_schemas import Board, BoardCurve, Response
from service.resources.figures import Level, Panel, Picture, Point, Trace
from service.resources.labels import metric_header
from service.resources.schemas import MetricInfo

Kind = Literal["curves", "heatmap", "sensitivity", "cost", "tuning"]
KINDS: tuple[Kind, ...] = ("curves", "heatmap", "sensitivity", "cost", "tuning")

TITLES = {
    "curves": "Training curves",
    "heatmap": "Temperatures",
    "sensitivity": "Responses to hyper-parameters",
    "cost": "Quality against cost",
    "tuning": "Best of several settings",
}

_MISSING = {
    "curves": "nothing was reported epoch by epoch",
    "heatmap": "fewer than two temperatures were tried",
    "sensitivity": "fewer than two values of every number were tried",
    "cost": "no result says what it cost",
    "tuning": "fewer than two settings were tried of every estimator",
}


def picture(board: Board, kind: Kind) -> Picture:
    """What to draw of a board.

    Raises:
        NotFound: the board has no such figure yet.
    """
    panels = _panels(board, kind)
    if not panels:
        raise NotFound(f"board {board.id} has no figure {kind!r}: {_MISSING[kind]}")
    metric = _curve_metric(board) if kind == "curves" else board.metrics[0]
    return Picture(
        title=f"{TITLES[kind]}: {board.title}",
        kind="curves" if kind == "tuning" else kind,
        axis=metric_header(metric),
        across=_across(board, kind),
        log=False,
        maximize=metric.goal == "maximize",
        panels=panels,
    )


def _across(board: Board, kind: Kind) -> str:
    if kind == "heatmap" and board.tuning.heat_map is not None:
        return board.tuning.heat_map.parameter.replace("_", " ")
    return "Settings tried" if kind == "tuning" else ""


def available(board: Board) -> list[Kind]:
    """The figures that a board has."""
    return [kind for kind in KINDS if _panels(board, kind)]


def _panels(board: Board, kind: Kind) -> tuple[Panel, ...]:
    if kind == "curves":
        return _curves(board)
    if kind == "tuning":
        return _best_of(board)
    if kind == "sensitivity":
        return _sensitivity(board)
    return _heat_map(board) if kind == "heatmap" else _costs(board)


def _sensitivity(board: Board) -> tuple[Panel, ...]:
    """A panel for each hyper-parameter that is a number, a line for each estimator with several values."""
    by_parameter: dict[str, list[Response]] = {}
    for one in board.tuning.responses:
        if one.scale != "words":
            by_parameter.setdefault(one.parameter, []).append(one)
    return tuple(
        Panel(
            title=name.replace("_", " "),
            numbers={},
            traces=tuple(_trace(one) for one in own),
            log_across=any(one.scale == "log" for one in own),
        )
        for name, own in by_parameter.items()
    )


def _trace(one: Response) -> Trace:
    halves = ((p.high - p.low) / 2 if p.high is not None and p.low is not None else 0.0 for p in one.points)
    return Trace(
        estimator=one.estimator,
        at=tuple(float(point.value) for point in one.points),
        means=tuple(point.mean for point in one.points),
        halves=tuple(halves),
    )


def _best_of(board: Board) -> tuple[Panel, ...]:
    """The expected best of so many settings, as curves over their number."""
    found = tuple(
        BoardCurve(
            estimator=one.estimator,
            metric=board.select,
            epochs=one.settings,
            mean=one.expected[board.select],
            sd=[None] * len(one.settings),
            n=[1] * len(one.settings),
        )
        for one in board.tuning.best_of
        if board.select in one.expected
    )
    several = any(len(one.epochs) > 1 for one in found)
    return (Panel(title="", curves=found, numbers={}),) if several else ()


def _curve_metric(board: Board) -> MetricInfo:
    """The first shown metric that has curves."""
    having = {curve.metric for curve in board.curves if curve.epochs}
    return next((metric for metric in board.metrics if metric.name in having), board.metrics[0])


def _curves(board: Board) -> tuple[Panel, ...]:
    metric = _curve_metric(board).name
    found = tuple(curve for curve in board.curves if curve.metric == metric and curve.epochs)
    levels = tuple(
        Level(label=one.label, value=one.mean, estimator=None)
        for one in board.references
        if one.metric == metric and not one.comparable and _is_near(one.mean, found)
    )
    return (Panel(title="", curves=found, levels=levels, numbers={}),) if found else ()


def _is_near(level: float, found: Sequence[BoardCurve]) -> bool:
    """Whether a line there leaves the curves two thirds of the height or more."""
    values = [mean for curve in found for mean in curve.mean if mean is not None]
    low, high = min(values, default=level), max(values, default=level)
    return low - (high - low) / 2 <= level <= high + (high - low) / 2


def _heat_map(board: Board) -> tuple[Panel, ...]:
    heat = board.tuning.heat_map
    if heat is None:
        return ()
    rows = {
        row.estimator: {
            at: math.nan if mean is None else mean for at, mean in zip(heat.values, row.means, strict=True)
        }
        for row in heat.rows
    }
    return (Panel(title="", numbers=rows),)


def _costs(board: Board) -> tuple[Panel, ...]:
    seconds = {row.estimator: row.cost.seconds_per_step for row in board.rows}
    evaluations = {row.estimator: row.cost.evaluations_per_step for row in board.rows}
    panels = (
        Panel(title="Seconds a step", numbers={}, points=_points(board, seconds, board.pareto.seconds)),
        Panel(
            title="Evaluations a step",
            numbers={},
            points=_points(board, evaluations, board.pareto.evaluations),
        ),
    )
    return tuple(panel for panel in panels if panel.points)


def _points(board: Board, costs: Mapping[str, float | None], front: Sequence[str]) -> tuple[Point, ...]:
    """The rows whose cost is known, at the choosing metric."""
    found = []
    for row in board.rows:
        cost, summary = costs[row.estimator], row.metrics.get(board.select)
        if cost is not None and summary is not None:
            ends = {"low": summary.low, "high": summary.high}
            on_front = row.estimator in front
            found.append(Point(estimator=row.estimator, cost=cost, mean=summary.mean, front=on_front, **ends))
    return tuple(found)
