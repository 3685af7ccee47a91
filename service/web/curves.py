"""The training curves of a board: data of the picture, the same as a table, and in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from service.resources import numbers
from service.resources.board_schemas import Board, BoardCurve
from service.resources.colours import colours
from service.resources.labels import metric_header
from service.resources.schemas import MetricInfo

TABLE_ROWS = 12


def training_curves(board: Board, chosen: MetricInfo) -> dict[str, Any]:
    """Everything that the section of the curves shows: those of the choosing metric, if there are any."""
    rows = {row.estimator: row for row in board.rows}
    styles = colours(rows)
    lines = [
        _line(curve, rows[curve.estimator].title, styles[curve.estimator])
        for curve in board.curves
        if curve.metric == board.select and curve.epochs
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


def _line(curve: BoardCurve, title: str, style: str) -> dict[str, Any]:
    return {
        "estimator": curve.estimator,
        "title": title,
        "short": curve.estimator,
        "colour": style,
        "epochs": curve.epochs,
        "mean": curve.mean,
        "sd": curve.sd,
    }
