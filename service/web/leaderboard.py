"""Rows of a leaderboard: ranks, measured numbers, the rail, published numbers, and those without a place."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from estimators import registry as estimators
from estimators.info import Value
from service.resources import numbers
from service.resources.board_schemas import Board, BoardRow, ReferenceNumber, Summary, UnrankedRow
from service.resources.schemas import Setting
from service.web import columns, rail
from service.web.address import Address
from service.web.luck import told_apart
from service.web.measured import difference, measured, rank, times
from service.web.names import is_exact
from service.web.rail import Axis

CHIPS = {"reproduced": "good", "within noise": "middling", "not reproduced": "poor"}
"""Verdict on a published number -> style of its chip."""

CAUSES = {
    "failed": "failed",
    "diverged": "failed",
    "cancelled": "cancelled",
    "waiting": "running",
    "few_seeds": "",
    "no_value": "failed",
}
"""Why an estimator has no rank -> style of its chip."""

Marks = Sequence[tuple[ReferenceNumber, str]]


def leaderboard(board: Board, address: Address) -> dict[str, Any]:
    """Everything that the table and the note below it show."""
    marks = footnotes(_shown_references(board))
    axis = _axis(board, address)
    rows = [_row(row, board, axis, marks, address) for row in board.rows]
    together = sum(1 for _ in itertools.takewhile(lambda row: row["tied"], rows))
    if 0 < together < len(rows):
        rows[together - 1]["tie_end"] = True
    _align(rows)
    return {
        "rows": rows,
        "unranked": [_unranked(row, address) for row in board.unranked],
        "axis": axis,
        "scales": _scales(board, address),
        "has_spread": any(row.n > 1 for row in board.rows),
        "several_tied": sum(row["tied"] for row in rows) > 1,
        "has_published": any(row["published"] for row in rows),
        "levels": [_level(one) for one in board.references if one.metric == board.select],
        "any_cut": any(row["rail"] and (row["rail"].cut or row["rail"].beyond) for row in rows),
        "common_setting": common_setting(board),
        "outlier_sentence": _outlier_sentence(rows),
        "sources": [footnote(reference, mark) for reference, mark in marks],
    }


def setting_text(setting: Setting, told: Mapping[str, Value], *, with_rule: bool = True) -> str:
    """A setting in one line, of its parameters those that are told."""
    if not with_rule:
        return numbers.assignments(told)
    return numbers.setting(**{**dict(setting), "parameters": dict(told)})


def told_parameters(estimator: str, setting: Setting, tuned: set[str]) -> dict[str, Value]:
    """The parameters of a setting that are worth a word: tuned, or not at their default."""
    known = estimators.get(estimator) if estimator in estimators.available() else None
    defaults = {} if known is None else {p.name: p.default for p in known.parameters}
    return {
        name: value
        for name, value in setting.parameters.items()
        if name in tuned or name not in defaults or defaults[name] != value
    }


def common_setting(board: Board) -> str:
    """Optimizer, rate and precision, where all rows share them: said once, below the table."""
    rules = {setting_text(row.setting, {}) for row in board.rows}
    return rules.pop() if len(rules) == 1 and len(board.rows) > 1 else ""


def _axis(board: Board, address: Address) -> Axis | None:
    best = address.scale != "all" and len(board.rows) > rail.MANY
    rows = rail.better_half(board.rows) if best else board.rows
    return rail.axis_for(rows, board.select, board.references)


def _scales(board: Board, address: Address) -> list[dict[str, Any]]:
    """The choice of the rail's axis, where there is one."""
    if len(board.rows) <= rail.MANY:
        return []
    whole = address.scale == "all"
    return [
        {"title": "better half", "href": address.but(scale=None), "current": not whole},
        {"title": "all", "href": address.but(scale="all"), "current": whole},
    ]


def _row(row: BoardRow, board: Board, axis: Axis | None, marks: Marks, address: Address) -> dict[str, Any]:
    main = row.metrics.get(board.select)
    references = [r for r in row.references if r.metric == board.select]
    to_best = row.standing.to_best
    return {
        **_opening(row.estimator, address),
        "setting": _setting(row, board),
        "position": row.standing.position,
        "reference": is_exact(row.estimator),
        "apart": told_apart(row, board.rows[0].title),
        "rank": rank(row),
        "tied": row.standing.tied_with_best,
        "tie_end": False,
        "main": measured(main),
        "rail": None
        if main is None or axis is None
        else rail.rail(main, axis, rail.comparable(board.select, (*references, *board.references))),
        "to_best": None if to_best is None else {"value": difference(to_best), "raw": to_best.mean},
        "others": [measured(row.metrics.get(name)) for name in board.report],
        "published": [_reference(r, main, marks) for r in references],
        "time": {"value": times(row.cost.relative), "raw": row.cost.relative},
        "evaluations": row.cost.evaluations_per_step,
        "tried": row.settings_tried,
        "trials": row.trials_spent,
        "n": row.n,
        "seeds": row.seeds,
        "imported": row.source == "imported",
        "outliers": outlier_texts(row, {metric.name: metric.title for metric in board.metrics}),
    }


def _opening(estimator: str, address: Address) -> dict[str, Any]:
    """How a row is opened and closed, by script or without."""
    is_open = estimator in address.opened
    others = tuple(id for id in address.opened if id != estimator)
    opened = others if is_open else (*others, estimator)
    return {
        "estimator": estimator,
        "open": is_open,
        "toggle": address.but(f"row-{estimator}", opened=opened),
        "part": address.part(estimator),
    }


def _setting(row: BoardRow, board: Board) -> str:
    tuned = {one.parameter for one in board.tuning.responses if one.estimator == row.estimator}
    told = told_parameters(row.estimator, row.setting, tuned)
    return setting_text(row.setting, told, with_rule=not common_setting(board))


def _unranked(row: UnrankedRow, address: Address) -> dict[str, Any]:
    return {
        **_opening(row.estimator, address),
        "word": row.cause.replace("_", " "),
        "chip": CAUSES[row.cause],
        "reason": row.reason,
        "error": row.error,
        "trial": row.trial,
        "seeds": row.seeds,
        "tried": row.settings_tried,
        "settings": row.settings,
    }


def _align(rows: Sequence[dict[str, Any]]) -> None:
    """Give the numbers of every column the same decimals, unseen ones where they have fewer."""
    for holders in _columns(rows):
        for holder, value in zip(holders, columns.aligned(one["value"] for one in holders), strict=True):
            holder["value"] = value


def _columns(rows: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    yield [row["main"] for row in rows]
    yield from (list(column) for column in zip(*(row["others"] for row in rows), strict=True))
    yield [row["to_best"] for row in rows if row["to_best"]]
    yield [row["time"] for row in rows]
    yield [one for row in rows for one in row["published"]]


def _level(reference: ReferenceNumber) -> dict[str, str]:
    """A level of the whole board, such as a known optimum: said once."""
    decimals = numbers.reference_decimals(reference.mean, reference.sd)
    return {
        "label": reference.label,
        "value": numbers.text(reference.mean, decimals),
        "source": reference.source.rstrip("."),
        "comparable": reference.comparable.rstrip("."),
    }


def _reference(reference: ReferenceNumber, main: Summary | None, marks: Marks) -> dict[str, Any]:
    decimals = numbers.reference_decimals(reference.mean, reference.sd)
    return {
        "label": reference.label,
        "mark": next(m for r, m in marks if _origin(r) == _origin(reference)),
        "like": not reference.comparable,
        "value": columns.digits(numbers.text(reference.mean, decimals)),
        "sd": "" if reference.sd is None else f"±{numbers.compact(reference.sd)}",
        "difference": "" if main is None else numbers.text(main.mean - reference.mean, decimals, signed=True),
        "verdict": reference.verdict,
        "chip": CHIPS.get(reference.verdict or "", ""),
        "reason": reference.reason or "",
    }


def outlier_texts(row: BoardRow, titles: Mapping[str, str]) -> list[str]:
    """One sentence for each metric of which some seeds are far from the median, and for each absurd curve."""
    texts = []
    for name, summary in row.metrics.items():
        far = [s for s in summary.seeds if s.outlier]
        if far:
            seeds = ", ".join(f"seed {s.seed}: {numbers.five_digits(s.value)}" for s in far)
            median = numbers.five_digits(summary.median)
            texts.append(f"{titles[name]}, {seeds}, far from the median of {median}; kept in the mean.")
        texts += [
            f"{titles[name]}, seed {s.seed}: {numbers.five_digits(s.value)}, absurd from epoch "
            f"{s.absurd_from} on (more than ten times above where it began); kept in the mean."
            for s in summary.seeds
            if s.absurd_from is not None
        ]
    return texts


def _shown_references(board: Board) -> list[ReferenceNumber]:
    return [r for row in board.rows for r in row.references if r.metric == board.select]


def _origin(reference: ReferenceNumber) -> tuple[str, str, str]:
    origin = numbers.origin(reference.source, n=reference.n, slip=reference.slip)
    return reference.label, origin, reference.comparable.rstrip(".")


def footnotes(references: Sequence[ReferenceNumber]) -> list[tuple[ReferenceNumber, str]]:
    """Every distinct source with its footnote mark."""
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
