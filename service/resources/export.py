"""Boards as text for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from service.resources import describe
from service.resources.board_schemas import Board, BoardRow

CSV_COLUMNS = (
    "board", "select", "estimator", "version", "parameters", "optimizer", "lr", "precision", "metric",
    "n", "mean", "sd", "low", "high", "median", "outlier_seeds",
    "reference", "reference_mean", "reference_sd", "reference_n", "reference_slip",
    "difference", "select_label",
)  # fmt: skip


def board_csv(board: Board) -> str:
    """One line for each estimator and metric."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(CSV_COLUMNS)
    writer.writerows(_lines(board))
    return text.getvalue()


def _lines(board: Board) -> Iterator[list[object]]:
    for row in board.rows:
        setting = row.setting
        parameters = " ".join(f"{name}={value}" for name, value in setting.parameters.items())
        start = [
            board.id,
            board.select,
            row.estimator,
            row.version,
            parameters,
            describe.assignments(setting.optimizer, setting.optimizer_parameters),
            setting.lr,
            setting.precision,
        ]
        for name, m in row.metrics.items():
            outliers = " ".join(str(s.seed) for s in m.seeds if s.outlier)
            measured = [name, m.n, m.mean, m.sd, m.low, m.high, m.median, outliers]
            for reference in _references(board, row, name):
                yield [*start, *measured, *reference, board.select_label]


def _references(board: Board, row: BoardRow, metric: str) -> list[list[object]]:
    """The references of one metric; one empty entry where there is none."""
    mean = row.metrics[metric].mean
    found = [r for r in (*row.references, *board.references) if r.metric == metric]
    return [[r.label, r.mean, r.sd, r.n, r.slip, mean - r.mean] for r in found] or [[""] * 6]
