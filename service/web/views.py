"""From answers of the API to what the templates of the pages show. Pure functions."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from estimators.info import Value
from service.resources import fallbacks, metrics, numbers
from service.resources.schemas import (
    PREFIX,
    Board,
    BoardCurve,
    BoardRow,
    CellProgress,
    MetricInfo,
    Progress,
    ReferenceNumber,
    Summary,
    SweepBoard,
    SweepDetail,
)
from service.web.rail import Axis, Rail, axis_for, rail

COLOURS = {"reinmax": 0, "stgs": 1, "st": 2, "exact": 3, "reinforce": 4}
"""Estimator -> colour of the style sheet, the same on every page and picture."""

SPARE_COLOURS = 5
"""Estimators from plug-ins share the colours after these, by a hash of their id."""

RELEASES = ("heunboard", "torch")
"""What of a board's provenance is named by its version."""

SPLITS = {"train": "training", "valid": "validation", "test": "test"}
CURVE_TABLE_ROWS = 12
SHOWN_CELLS = 500
STATES = ("running", "queued", "succeeded", "failed", "cancelled")


def colour(estimator: str) -> str:
    """Style class of an estimator's colour."""
    spare = len(COLOURS) + zlib.crc32(estimator.encode()) % SPARE_COLOURS
    return f"e{COLOURS.get(estimator, spare)}"


def percent(progress: Progress) -> str:
    """Share of the steps that are done; 100 % is shown only when all are."""
    if not progress.steps_total:
        return "0 %"
    return f"{100 * progress.steps_done // progress.steps_total} %"


def metric_label(metric: MetricInfo) -> str:
    """The title as it stands inside a sentence."""
    return metric.title[:1].lower() + metric.title[1:]


def metric_header(metric: MetricInfo) -> str:
    """The title as it heads a column, with the unit."""
    return f"{metric.title}, {metric.unit}" if metric.unit else metric.title


def measured(summary: Summary | None) -> dict[str, str]:
    """Mean with its uncertain digits apart, and the standard deviation."""
    if summary is None:
        return {"certain": "–", "uncertain": "", "sd": ""}
    half = None if summary.low is None or summary.high is None else (summary.high - summary.low) / 2
    certain, uncertain = numbers.split_digits(summary.mean, half)
    sd = "" if summary.sd is None else f"±{numbers.compact(summary.sd)}"
    return {"certain": certain, "uncertain": uncertain, "sd": sd}


def outlier_texts(row: BoardRow, titles: Mapping[str, str]) -> list[str]:
    """One sentence for each metric of which some seeds are far from the median."""
    texts = []
    for name, summary in row.metrics.items():
        far = [s for s in summary.seeds if s.outlier]
        if far:
            seeds = ", ".join(f"seed {s.seed}: {numbers.five_digits(s.value)}" for s in far)
            median = numbers.five_digits(summary.median)
            texts.append(f"{titles[name]}, {seeds}, far from the median of {median}; kept in the mean.")
    return texts


def board_context(board: Board) -> dict[str, Any]:
    """Everything that ``board.html`` shows."""
    chosen, *others = board.metrics
    marks = _marks(board)
    axis = axis_for(board.rows, board.select, board.references)
    rows = [_row(row, board, axis, marks) for row in board.rows]
    has_references = any(row["references"] for row in rows)
    curves = _curves(board, chosen)
    return {
        "board": board,
        "goal": board.goal,
        "chosen": _describe(chosen),
        "others": [_describe(m) for m in others],
        "default": _default(board),
        "selectable": _selectable(board),
        "links": _downloads(board),
        "rows": rows,
        "axis": axis,
        "has_references": has_references,
        "any_cut": any(row["rail"] and row["rail"].cut for row in rows),
        "columns": 4 + len(others) + 2 * has_references,
        "outlier_sentence": _outlier_sentence(rows),
        "sources": [_source(r, mark) for r, mark in marks],
        "curves": curves,
        "curve_table": _curve_table(curves["lines"]) if curves else [],
        "curve_summary": _curve_summary(curves["lines"]) if curves else "",
        "provenance": provenance(board, chosen),
        "warning": fallbacks.warning([dict(one) for one in board.fallbacks]),
    }


def provenance(board: Board, chosen: MetricInfo) -> list[tuple[str, str]]:
    """Terms and texts of "How this board was computed"."""
    shown = sum(row.n for row in board.rows)
    tried = sorted({row.settings_tried for row in board.rows})
    settings = "–" if not tried else str(tried[0]) if len(tried) == 1 else f"{tried[0]} to {tried[-1]}"
    seeds = sorted({row.n for row in board.rows})
    span = "–" if not seeds else str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    waiting = ", ".join(f"{n:,} {s}" for s, n in board.counts.items() if n and s != "succeeded")
    pairs = [
        ("Trials", f"{shown:,} shown, {board.trials:,} in the board" + (f" ({waiting})" if waiting else "")),
        ("Settings tried", f"{settings} for each estimator"),
        ("Chosen on", f"{metric_label(chosen)} ({SPLITS[chosen.split]} data), mean of {span} seeds"),
        ("Task", ", ".join(_assignment(k, v) for k, v in board.task.parameters.items())),
    ]
    versions = [f"{board.task.id} {board.task.version}"]
    versions += [f"{row.estimator} {row.version}" for row in board.rows]
    versions += [f"{name} {', '.join(found)}" for name, found in board.versions.items() if name in RELEASES]
    pairs.append(("Versions", "; ".join(versions)))
    if board.versions.get("device"):
        pairs.append(("Computed on", "; ".join(board.versions["device"])))
    if board.versions.get("executor"):
        pairs.append(("Steps done as", "; ".join(board.versions["executor"])))
    return [*pairs, ("Metric", chosen.description)]


def sweep_context(sweep: SweepDetail) -> dict[str, Any]:
    """Everything that ``sweep.html`` and ``_cells.html`` show."""
    boards = {board.id: board for board in sweep.boards}
    seconds = sweep.progress.seconds_left
    return {
        "sweep": sweep,
        "chosen": _metric_label(sweep, sweep.select),
        "others": [_metric_label(sweep, name) for name in metrics.beside(sweep.select, sweep.report)],
        "done": sweep.state in ("succeeded", "failed", "cancelled"),
        "time_left": f"about {numbers.duration(seconds)} left" if seconds else "",
        "counts": [(state, sweep.progress.counts.get(state, 0)) for state in STATES],
        "warning": fallbacks.warning([dict(one) for one in sweep.fallbacks]),
        "cells": [_cell(cell, boards[cell.board]) for cell in sweep.cells[:SHOWN_CELLS]],
    }


def _metric_label(sweep: SweepDetail, name: str) -> str:
    return metric_label(metrics.metric_info(sweep.task, name))


def _assignment(name: str, value: Value) -> str:
    return f"{name} {value}" if isinstance(value, str) else f"{name} {value:g}"


def _describe(metric: MetricInfo) -> dict[str, str]:
    label, header = metric_label(metric), metric_header(metric)
    return {"title": metric.title, "label": label, "header": header}


def _marks(board: Board) -> list[tuple[ReferenceNumber, str]]:
    """Every distinct source with its footnote mark; one source alone needs none."""
    sources: dict[tuple[str, str, str], ReferenceNumber] = {}
    for reference in _shown_references(board):
        sources.setdefault(_origin(reference), reference)
    marks = ["*", "†", "‡", "§", "¶"] + [str(i) for i in range(1, len(sources))]
    return list(zip(sources.values(), marks, strict=False))


def _shown_references(board: Board) -> list[ReferenceNumber]:
    every = [*(r for row in board.rows for r in row.references), *board.references]
    return [r for r in every if r.metric == board.select]


def _origin(reference: ReferenceNumber) -> tuple[str, str, str]:
    return reference.label, reference.source, reference.comparable


def _source(reference: ReferenceNumber, mark: str) -> dict[str, str]:
    source, comparable = reference.source.rstrip("."), reference.comparable.rstrip(".")
    return {"mark": mark, "label": reference.label, "source": source, "comparable": comparable}


def _row(
    row: BoardRow,
    board: Board,
    axis: Axis | None,
    marks: Sequence[tuple[ReferenceNumber, str]],
) -> dict[str, Any]:
    main = row.metrics.get(board.select)
    references = [r for r in (*row.references, *board.references) if r.metric == board.select]
    return {
        "title": row.title,
        "colour": colour(row.estimator),
        "setting": numbers.setting(**dict(row.setting)),
        "main": measured(main),
        "rail": _rail(main, axis, [r for r in references if not r.comparable]),
        "references": [_reference(r, main, marks) for r in references],
        "others": [measured(row.metrics.get(name)) for name in board.report],
        "n": row.n,
        "seeds_wanted": row.seeds_wanted,
        "outliers": outlier_texts(row, {metric.name: metric.title for metric in board.metrics}),
    }


def _rail(main: Summary | None, axis: Axis | None, references: Sequence[ReferenceNumber]) -> Rail | None:
    return None if main is None or axis is None else rail(main, axis, references)


def _reference(
    reference: ReferenceNumber, main: Summary | None, marks: Sequence[tuple[ReferenceNumber, str]]
) -> dict[str, str | bool]:
    mark = next(m for r, m in marks if _origin(r) == _origin(reference))
    decimals = numbers.reference_decimals(reference.mean, reference.sd)
    difference = None if main is None else main.mean - reference.mean
    return {
        "label": reference.label,
        "mark": mark,
        "like": not reference.comparable,
        "value": numbers.text(reference.mean, decimals),
        "sd": "" if reference.sd is None else f"±{numbers.compact(reference.sd)}",
        "difference": numbers.text(difference, decimals, signed=True),
    }


def _selectable(board: Board) -> list[dict[str, str]]:
    """Every metric that the task reports, in its order, with the page on which it chooses."""
    return [
        {"name": metric.name, "title": metric.title, "href": _chosen_by(board, metric.name)}
        for metric in metrics.known_metrics(board.task.id)
    ]


def _chosen_by(board: Board, select: str) -> str:
    """The page with another choosing metric; one that was reported changes places with the present one."""
    report = [board.select if name == select else name for name in board.report]
    if (select, report) == (board.default_select, board.default_report):
        return f"/boards/{board.id}"
    return metrics.board_path(board.id, select, report)


def _default(board: Board) -> dict[str, Any] | None:
    """The task's own rule and its page, where the board is shown by another one."""
    if (board.select, board.report) == (board.default_select, board.default_report):
        return None
    select, *report = (
        metric_label(metrics.metric_info(board.task.id, name))
        for name in (board.default_select, *board.default_report)
    )
    return {"select": select, "report": report, "href": f"/boards/{board.id}"}


def _downloads(board: Board) -> dict[str, str]:
    address = PREFIX + metrics.board_path(board.id, board.select, board.report)
    return {"csv": f"{address}&format=csv", "json": address}


def _outlier_sentence(rows: Sequence[Mapping[str, Any]]) -> str:
    if any(row["outliers"] for row in rows):
        return "Seeds far from the median of their cell are named in their row; triangles mark them."
    return "No seed of these cells is far from the others; one that is would be named here."


def _curves(board: Board, chosen: MetricInfo) -> dict[str, Any] | None:
    lines = [c for c in board.curves if c.metric == board.select and c.epochs]
    titles = {row.estimator: row.title for row in board.rows}
    unit = metric_header(chosen)
    return {"unit": unit, "lines": [_line(c, titles) for c in lines]} if lines else None


def _line(curve: BoardCurve, titles: Mapping[str, str]) -> dict[str, Any]:
    return {
        "estimator": curve.estimator,
        "title": titles.get(curve.estimator, curve.estimator),
        "short": curve.estimator,
        "colour": colour(curve.estimator),
        "epochs": curve.epochs,
        "mean": curve.mean,
        "sd": curve.sd,
    }


def _curve_table(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A dozen evenly spaced epochs, the last one among them."""
    epochs = sorted({epoch for line in lines for epoch in line["epochs"]})
    stride = -(-len(epochs) // CURVE_TABLE_ROWS)
    chosen = epochs[::-stride][::-1]
    by_epoch = [dict(zip(line["epochs"], line["mean"], strict=True)) for line in lines]
    return [
        {"epoch": epoch, "values": [numbers.five_digits(values.get(epoch)) for values in by_epoch]}
        for epoch in chosen
    ]


def _curve_summary(lines: Sequence[Mapping[str, Any]]) -> str:
    ends = [f"{line['title']} ends at {numbers.five_digits(line['mean'][-1])}" for line in lines]
    return "Training curves: " + "; ".join(ends)


def _cell(cell: CellProgress, board: SweepBoard) -> dict[str, Any]:
    return {
        "colour": colour(cell.estimator),
        "title": cell.title,
        "setting": numbers.setting(**dict(cell.setting)),
        "board": board,
        "seeds": cell.seeds,
        "done": cell.counts.get("succeeded", 0),
        "states": [(state, cell.counts[state]) for state in STATES if cell.counts.get(state)],
    }
