"""The training curves of a board: data of the picture, the same as a table, and in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from service.resources import numbers
from service.resources.board_schemas import Board, BoardCurve, BoardRow
from service.resources.labels import metric_header
from service.resources.schemas import MetricInfo
from service.web.names import Name

TABLE_ROWS = 12


def training_curves(board: Board, chosen: MetricInfo, named: Mapping[str, Name]) -> dict[str, Any]:
    """Everything that the section of the curves shows: those of the choosing metric, if there are any."""
    found = {
        curve.estimator: curve for curve in board.curves if curve.metric == board.select and curve.epochs
    }
    lines = [  # best first
        _line(found[row.estimator], row, named[row.estimator], board.steps_per_epoch)
        for row in board.rows
        if row.estimator in found
    ]
    if not lines:
        return {"curves": None}
    curves = {"unit": metric_header(chosen), "lines": lines}
    return {"curves": curves, "curve_table": _table(lines), "curve_summary": _summary(lines)}


def _table(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A dozen evenly spaced epochs, the last one among them."""
    epochs = sorted({epoch for line in lines for epoch in line["epochs"]})
    stride = -(-len(epochs) // TABLE_ROWS)
    chosen = epochs[::-stride][::-1]
    by_epoch = [dict(zip(line["epochs"], line["mean"], strict=True)) for line in lines]
    return [
        {"epoch": epoch, "values": [numbers.five_digits(values.get(epoch)) for values in by_epoch]}
        for epoch in chosen
    ]


def _summary(lines: Sequence[Mapping[str, Any]]) -> str:
    ends = [f"{line['title']} ends at {numbers.five_digits(line['mean'][-1])}" for line in lines]
    return "Training curves: " + "; ".join(ends)


def _line(curve: BoardCurve, row: BoardRow, name: Name, steps: int | None) -> dict[str, Any]:
    return {
        "estimator": curve.estimator,
        "title": name.title,
        "short": curve.estimator,
        "colour": name.colour,
        "epochs": curve.epochs,
        "mean": [_rounded(value) for value in curve.mean],
        "sd": [_rounded(value) for value in curve.sd],
        "evaluations_per_epoch": _per_epoch(row.cost.evaluations_per_step, steps),
        "seconds_per_epoch": _per_epoch(row.cost.seconds_per_step, steps),
    }


def _rounded(value: float | None) -> float | None:
    """Six significant digits: what a picture shows, in a third of the space."""
    return None if value is None else float(f"{value:.6g}")


def _per_epoch(each: float | None, steps: int | None) -> float | None:
    return None if each is None or steps is None else each * steps
