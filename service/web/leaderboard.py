"""Rows of a leaderboard: measured numbers, the rail, references with their footnotes, outlying seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from service.resources import numbers
from service.resources.board_schemas import Board, BoardRow, ReferenceNumber, Summary
from service.resources.colours import colours
from service.web.rail import Axis, Rail, axis_for, rail


def leaderboard(board: Board) -> dict[str, Any]:
    """Everything that the table and the note below it show."""
    notes = footnotes(_shown_references(board))
    axis = axis_for(board.rows, board.select, board.references)
    styles = colours(row.estimator for row in board.rows)
    rows = [_row(row, board, axis, notes) | {"colour": styles[row.estimator]} for row in board.rows]
    has_references = any(row["references"] for row in rows)
    return {
        "rows": rows,
        "axis": axis,
        "has_references": has_references,
        "any_cut": any(row["rail"] and row["rail"].cut for row in rows),
        "columns": 4 + len(board.report) + 2 * has_references,
        "outlier_sentence": _outlier_sentence(rows),
        "sources": [footnote(reference, mark) for reference, mark in notes],
    }


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


def _row(
    row: BoardRow, board: Board, axis: Axis | None, marks: Sequence[tuple[ReferenceNumber, str]]
) -> dict[str, Any]:
    main = row.metrics.get(board.select)
    references = [r for r in (*row.references, *board.references) if r.metric == board.select]
    return {
        "title": row.title,
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


def _shown_references(board: Board) -> list[ReferenceNumber]:
    every = [*(r for row in board.rows for r in row.references), *board.references]
    return [r for r in every if r.metric == board.select]


def _origin(reference: ReferenceNumber) -> tuple[str, str, str]:
    origin = numbers.origin(reference.source, n=reference.n, slip=reference.slip)
    return reference.label, origin, reference.comparable.rstrip(".")


def footnotes(references: Sequence[ReferenceNumber]) -> list[tuple[ReferenceNumber, str]]:
    """Every distinct source with its footnote mark; one source alone needs none."""
    sources: dict[tuple[str, str, str], ReferenceNumber] = {}
    for reference in references:
        sources.setdefault(_origin(reference), reference)
    marks = ["*", "†", "‡", "§", "¶"] + [str(i) for i in range(1, len(sources))]
    return list(zip(sources.values(), marks, strict=False))


def footnote(reference: ReferenceNumber, mark: str) -> dict[str, str]:
    """What stands behind a mark: where a number is from, of how many seeds, its slip, how it differs."""
    label, source, comparable = _origin(reference)
    return {"mark": mark, "label": label, "source": source, "comparable": comparable}


def _outlier_sentence(rows: Sequence[Mapping[str, Any]]) -> str:
    if any(row["outliers"] for row in rows):
        return "Seeds far from the median of their cell are named in their row; triangles mark them."
    return "No seed of these cells is far from the others; one that is would be named here."
