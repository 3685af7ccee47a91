"""Boards as lines for other programs."""

from __future__ import annotations

from collections.abc import Iterator

from service.resources import describe, numbers
from service.resources.board_schemas import (
    Board,
    BoardRow,
    DifferenceToBest,
    ReferenceNumber,
    Summary,
    UnrankedRow,
)
from service.resources.tables import csv_lines

STANDING = ("rank_low", "rank_high", "tied_with_best")
SETTING = ("estimator", "version", "cell", "parameters", "optimizer", "lr", "precision")
MEASURED = (
    "metric", "n", "seeds_wanted", "mean", "sd", "low", "high", "median", "interquartile_mean",
    "outlier_seeds", "seeds",
)  # fmt: skip
TO_BEST = ("to_best", "to_best_low", "to_best_high", "p_adjusted")
COST = (
    "settings_tried", "trials_spent", "device_seconds", "seconds_per_step", "relative_cost",
    "evaluations_per_step", "peak_memory_bytes",
)  # fmt: skip

CSV_COLUMNS = (
    "board", "select", *STANDING, *SETTING, *MEASURED, *TO_BEST, *COST, "references", "select_label",
    "unranked",
)  # fmt: skip


def board_csv(board: Board) -> str:
    """One line for each estimator and metric, ranked ones first; of the others one with the reason."""
    ranked = [line for row in board.rows for line in _ranked(board, row)]
    unranked = [_unranked(board, row) for row in board.unranked]
    lines = [[line.get(name) for name in CSV_COLUMNS] for line in (*ranked, *unranked)]
    return csv_lines([CSV_COLUMNS, *lines])


def _ranked(board: Board, row: BoardRow) -> Iterator[dict[str, object]]:
    known = _common(board, row) | _setting(row) | _cost(row)
    for name, summary in row.metrics.items():
        chosen = name == board.select
        quoted = [one for one in (*row.references, *board.references) if one.metric == name]
        yield (
            known
            | _measured(row, name, summary)
            | (_standing(row) if chosen else {})
            | {"references": "; ".join(_quoted(one) for one in quoted) or None}
        )


def _unranked(board: Board, row: UnrankedRow) -> dict[str, object]:
    spent = {"settings_tried": row.settings_tried, "trials_spent": row.trials_spent}
    counts = {"cell": row.cell, "seeds_wanted": row.seeds.wanted, "unranked": row.reason}
    return _common(board, row) | spent | counts


def _common(board: Board, row: BoardRow | UnrankedRow) -> dict[str, object]:
    own = {"estimator": row.estimator, "version": row.version}
    return {"board": board.id, "select": board.select, "select_label": board.select_label} | own


def _setting(row: BoardRow) -> dict[str, object]:
    one = row.setting
    return {
        "cell": row.cell,
        "parameters": " ".join(f"{name}={value}" for name, value in one.parameters.items()),
        "optimizer": describe.assignments(one.optimizer, one.optimizer_parameters),
        "lr": one.lr,
        "precision": one.precision,
    }


def _measured(row: BoardRow, metric: str, summary: Summary) -> dict[str, object]:
    spread = summary.model_dump(include={"n", "mean", "sd", "low", "high", "median", "interquartile_mean"})
    return spread | {
        "metric": metric,
        "seeds_wanted": row.seeds_wanted,
        "outlier_seeds": " ".join(str(one.seed) for one in summary.seeds if one.outlier),
        "seeds": " ".join(f"{one.seed}:{one.value!r}" for one in summary.seeds),
    }


def _standing(row: BoardRow) -> dict[str, object]:
    own = row.standing.model_dump(include=set(STANDING))
    return own | ({} if row.standing.to_best is None else _to_best(row.standing.to_best))


def _to_best(one: DifferenceToBest) -> dict[str, object]:
    return dict(zip(TO_BEST, (one.mean, one.low, one.high, one.p_adjusted), strict=True))


def _cost(row: BoardRow) -> dict[str, object]:
    own = row.cost.model_dump(include=set(COST)) | {"relative_cost": row.cost.relative}
    spent = {name: getattr(row, name) for name in ("settings_tried", "trials_spent", "device_seconds")}
    return own | spent


def _quoted(one: ReferenceNumber) -> str:
    """A published number in one phrase: ``Table 2 124.66 ± 0.88 (10 seeds)``."""
    decimals = numbers.reference_decimals(one.mean, one.sd)
    spread = "" if one.sd is None else f" ± {numbers.compact(one.sd)}"
    remarks = [f"{one.n} seeds"] if one.n is not None else []
    remarks += [f"known slip: {one.slip}"] if one.slip else []
    remarks += [f"not like with like: {one.comparable}"] if one.comparable else []
    said = f" ({'; '.join(remarks)})" if remarks else ""
    return f"{one.label} {numbers.text(one.mean, decimals)}{spread}{said}"
