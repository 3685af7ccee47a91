"""Better or luck: who is told apart from the best and who is not, in words and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.resources import numbers
from service.resources.board_schemas import Board, BoardRow, DifferenceToBest, Summary
from service.web import columns
from service.web.measured import difference, half_width, rank
from service.web.names import is_exact

TESTS = {"permutation": "permutation test", "t": "t test", "none": "no test"}

MOST_OFFERED = 100
"""Seeds up to which a button offers to compute them."""


def luck(board: Board) -> dict[str, Any]:
    """Everything that the section on ties, ranks and tests shows."""
    lines = [_line(row, row.standing.to_best) for row in board.rows if row.standing.to_best is not None]
    aligned = columns.aligned(line["difference"] for line in lines)
    return {
        "facts": facts(board),
        "against_best": [line | {"difference": one} for line, one in zip(lines, aligned, strict=True)],
        "robust": [_robust(row, board.select) for row in board.rows if _has_outliers(row, board)],
    }


def facts(board: Board) -> list[str]:
    """What can be said of the order of the rows, a sentence each."""
    if len(board.rows) < 2:
        return []
    found = [_ties(board), _best_estimate(board), _method(board), _fragile(board), _detectable(board)]
    return [sentence for sentence in found if sentence]


def told_apart(row: BoardRow, best: str) -> str:
    """A row against the best, in a sentence or two."""
    to_best = row.standing.to_best
    if to_best is None:
        return "The best mean of this board."
    if to_best.mean is None or to_best.test == "none":
        return f"It shares {_seeds(to_best.seeds)} with {best}: too few to tell the two apart."
    verdict = "told apart" if to_best.separable else "not told apart"
    return (
        f"{difference(to_best).text} against {best} over {_seeds(to_best.seeds)} that both have"
        f"{_ends(to_best)}. "
        f"{_p(to_best)}: {verdict}. {more_seeds(to_best)}"
    ).strip()


def more_seeds(to_best: DifferenceToBest) -> str:
    """How many seeds would tell a row from the best, in a sentence; empty where it is told apart already."""
    if to_best.separable:
        return ""
    more = to_best.more_seeds
    if more is None:
        return "Not even a thousand seeds would be likely to separate these two." if to_best.seeds > 1 else ""
    seeds = "seed" if more == 1 else "seeds"
    return f"About {more:,} more {seeds} of each would separate these two, in 80 % of cases."


def p_text(p: float) -> str:
    """A p-value as it stands beside an equals sign or, where it is tiny, a smaller sign."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def _ties(board: Board) -> str:
    tied = [row.title for row in board.rows if row.standing.tied_with_best]
    best, others = tied[0], len(board.rows) - len(tied)
    if len(tied) == 1:
        whom = "each of the others" if others > 1 else "the other"
        return f"{best} is better than {whom}, beyond what seeds explain."
    rest = (
        "nobody is told from the best"
        if not others
        else f"the other {others} are worse beyond what seeds explain"
    )
    return f"{len(tied)} of {len(board.rows)} cannot be told from the best mean, that of {best}; {rest}."


def _best_estimate(board: Board) -> str:
    """Who comes after exact gradients, where these are first; empty otherwise."""
    if not is_exact(board.rows[0].estimator):
        return ""
    second = board.rows[1]
    return (
        f"{board.rows[0].title} enumerates all outcomes. Of those that estimate it, {second.title} has the "
        f"best mean, rank {rank(second)}."
    )


def _method(board: Board) -> str:
    pairs = [row.standing.to_best for row in board.rows if row.standing.to_best]
    tests = " or ".join(dict.fromkeys(TESTS[one.test] for one in pairs))
    common = sorted({one.seeds for one in pairs})
    span = f"{common[0]}" if len(common) == 1 else f"{common[0]} to {common[-1]}"
    return (
        "Two estimators are compared at equal seeds, which share initialisation and order of data: "
        f"{span} pairs with the best, {tests}, all p-values together at 5 % (Holm). A rank is an interval: "
        "it begins after those that are significantly better and ends before those significantly worse. "
        "Ranks answer for all pairs at once, and so are more cautious than the comparisons with the best."
    )


def _fragile(board: Board) -> str:
    seeds = board.fragile_seeds
    if not seeds:
        return "No single seed decides who has the best mean."
    listed = ", ".join(map(str, seeds))
    return (
        f"Without seed {listed} another estimator would have the best mean."
        if len(seeds) == 1
        else f"Without any one of the seeds {listed} another estimator would have the best mean."
    )


def _detectable(board: Board) -> str:
    pairs = [row.standing.to_best for row in board.rows if row.standing.to_best]
    sizes = sorted(one.detectable for one in pairs if one.detectable is not None)
    if not sizes:
        return "One seed has no spread: compute more of them to learn who is better."
    low, high = numbers.compact(sizes[0]), numbers.compact(sizes[-1])
    span = low if low == high else f"{low} to {high} (it depends on the pair)"
    return f"These seeds find a difference to the best of {span} in 80 % of cases, and often miss less."


def _line(row: BoardRow, to_best: DifferenceToBest) -> dict[str, Any]:
    return {
        "estimator": row.estimator,
        "rank": rank(row),
        "difference": difference(to_best),
        "raw": to_best.mean,
        "interval": _interval(to_best),
        "p_raw": to_best.p_adjusted,
        "more_raw": 0 if to_best.separable else to_best.more_seeds or 1001,
        "p": "–" if to_best.test == "none" else p_text(to_best.p_adjusted),
        "test": TESTS[to_best.test],
        "seeds": to_best.seeds,
        "left_out": to_best.left_out,
        "verdict": "told apart" if to_best.separable else "not told apart",
        "detectable": "–" if to_best.detectable is None else numbers.compact(to_best.detectable),
        "more": _more(to_best),
        "offered": offered(to_best),
    }


def offered(to_best: DifferenceToBest) -> int:
    """How many more seeds a button offers; 0 where it offers none."""
    more = to_best.more_seeds or 0
    return more if not to_best.separable and more <= MOST_OFFERED else 0


def _more(to_best: DifferenceToBest) -> str:
    if to_best.separable:
        return "–"
    return "more than 1,000" if to_best.more_seeds is None else f"{to_best.more_seeds:,}"


def _interval(to_best: DifferenceToBest) -> str:
    if to_best.low is None or to_best.high is None or to_best.mean is None:
        return "–"
    decimals = numbers.decimals_for(half_width(to_best), to_best.mean)
    low, high = (numbers.text(end, decimals, signed=True) for end in (to_best.low, to_best.high))
    return f"{low} to {high}"


def _ends(to_best: DifferenceToBest) -> str:
    return "" if to_best.low is None else f" (95 % interval {_interval(to_best)})"


def _p(to_best: DifferenceToBest) -> str:
    p = p_text(to_best.p_adjusted)
    value = p if p.startswith("<") else f"= {p}"
    return f"p {value} by a {TESTS[to_best.test]}, adjusted for all rows (Holm)"


def _seeds(count: int) -> str:
    return f"{count} seed{'' if count == 1 else 's'}"


def _has_outliers(row: BoardRow, board: Board) -> bool:
    return board.select in row.metrics and any(s.outlier for s in row.metrics[board.select].seeds)


def _robust(row: BoardRow, metric: str) -> dict[str, Any]:
    """Mean, median and the mean of the middle half side by side, where a seed stands apart."""
    summary: Summary = row.metrics[metric]
    half = half_width(summary)
    decimals = max(numbers.decimals_for(half, summary.mean), numbers.decimals_for(None, summary.mean))
    far: Sequence[str] = [
        f"seed {s.seed}: {numbers.five_digits(s.value)}" for s in summary.seeds if s.outlier
    ]
    three = (summary.mean, summary.median, summary.interquartile_mean)
    return {
        "estimator": row.estimator,
        "numbers": [numbers.text(value, decimals) for value in three],
        "far": ", ".join(far),
    }
