"""Numbers of a board as they are written: means, differences, ranks, ratios."""

from __future__ import annotations

from typing import Any

from service.resources import numbers
from service.resources.board_schemas import BoardRow, DifferenceToBest, Spread
from service.web import columns
from service.web.columns import ABSENT, Digits

TINY = 1e-4


def measured(spread: Spread | None) -> dict[str, Any]:
    """Mean with its uncertain digits apart, and the standard deviation."""
    if spread is None:
        return {"value": ABSENT, "sd": "", "raw": None}
    value = columns.measured(spread.mean, half_width(spread))
    return {
        "value": value,
        "sd": "" if spread.sd is None else f"±{_short(spread.sd)}",
        "raw": spread.mean,
    }


def half_width(of: Spread | DifferenceToBest) -> float | None:
    """Half of a 95 % interval."""
    return None if of.low is None or of.high is None else (of.high - of.low) / 2


def rank(row: BoardRow) -> str:
    """``4``, or an interval as in ``1–3``."""
    low, high = row.standing.rank_low, row.standing.rank_high
    return str(low) if low == high else f"{low}–{high}"


def times(ratio: float | None) -> Digits:
    """A ratio in about three significant digits."""
    if ratio is None:
        return ABSENT
    return columns.digits(numbers.text(ratio, 2 if ratio < 10 else 1 if ratio < 100 else 0))


def difference(to_best: DifferenceToBest) -> Digits:
    """A difference to the best row, with a sign, as exact as its interval allows."""
    if to_best.mean is None:
        return ABSENT
    decimals = numbers.decimals_for(half_width(to_best), to_best.mean)
    return columns.digits(numbers.text(to_best.mean, decimals, signed=True))


def _short(sd: float) -> str:
    """A standard deviation in two digits; a tiny one with its power of ten, to keep the column narrow."""
    return numbers.rate(float(f"{sd:.2g}")) if 0 < sd < TINY else numbers.compact(sd)
